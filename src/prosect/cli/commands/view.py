"""`prosect view`: one scan and its labels in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from prosect.cli.commands.own_page import half_of_memory, show_page
from prosect.errors import FormatError
from prosect.server.live import LiveSession
from prosect.server.service import Service
from prosect.server.settings import Settings, new_token

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Show a scan until interrupted, and return 0; what was changed is gone then, unless it was exported."""
    for path in (args.input, args.labels):
        if path is not None and not path.exists():
            raise FormatError(f"{path}: nothing is there.", code="INPUT_NOT_FOUND")
    scan: Path = args.input.resolve()

    def settings_in(work: Path) -> Settings:
        return Settings(
            work=work,
            roots={scan.name: scan},
            token=new_token(),
            port=args.port,
            read_only=not args.edit,
            memory_bytes=half_of_memory(),
        )

    def begin(service: Service) -> LiveSession:
        """Open the scan with its labels."""
        opened = service.library.open_scan(scan.name, "", args.series)
        session = service.library.create_session(opened.entry.identity)
        if args.labels is not None:
            with session.hold() as held:
                held.start_from(args.labels)
        return session

    show_page(args, settings_in, begin)
    return 0
