"""`prosect view`: one scan and its labels in the browser."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import psutil

from prosect.cli.commands.serve import shelf_of
from prosect.errors import FormatError
from prosect.server.running import address, free_port, opened_socket, serve
from prosect.server.service import Service
from prosect.server.settings import Settings, new_token

__all__ = ["run"]

HOST = "127.0.0.1"


def run(args: argparse.Namespace) -> int:
    """Show a scan until interrupted, and return 0; what was changed is gone then, unless it was exported."""
    for path in (args.input, args.labels):
        if path is not None and not path.exists():
            raise FormatError(f"{path}: nothing is there.", code="INPUT_NOT_FOUND")
    scan: Path = args.input.resolve()
    listening = opened_socket(HOST, args.port)
    with tempfile.TemporaryDirectory(prefix="prosect-view-") as work:
        settings = Settings(
            work=Path(work),
            roots={scan.name: scan},
            token=new_token(),
            port=args.port,
            read_only=not args.edit,
            memory_bytes=psutil.virtual_memory().available // 2,
        )
        settings = free_port(settings, listening)

        def prepare(service: Service) -> str:
            """Open the scan with its labels before the page comes, and return the page's query."""
            opened = service.library.open_scan(scan.name, "", args.series)
            session = service.library.create_session(opened.entry.identity)
            if args.labels is not None:
                with session.hold() as held:
                    held.start_from(args.labels)
            path = f"/?session={session.entry.identity}"
            print(f"prosect: open {address(settings, path)}", flush=True)
            return path

        serve(settings, shelf_of(args), listening, browser=not args.no_browser, prepare=prepare)
    return 0
