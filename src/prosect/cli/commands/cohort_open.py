"""The page with some cases of a cohort: each is opened with its labels when it is chosen."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from prosect.cli.commands.serve import shelf_of
from prosect.cohort.opening import CaseFiles
from prosect.server.running import address, free_port, opened_socket, serve
from prosect.server.service import Service
from prosect.server.settings import Settings, new_token

__all__ = ["open_cases", "settings_of_cases"]

HOST = "127.0.0.1"


def settings_of_cases(cases: Mapping[str, CaseFiles], work: Path, port: int) -> Settings:
    """Return what a server needs to offer cases with their labels.

    Args:
        cases: The files of each case, by what it is called in the list of the page.
        work: An empty folder.
        port: TCP port, 0 for any.
    """
    roots: dict[str, Path] = {}
    labels: dict[tuple[Path, str | None], Path] = {}
    several: set[Path] = set()
    for name, files in cases.items():
        roots[name] = files.scan
        place = Path(os.path.realpath(files.scan))
        if files.labels is None:
            continue
        # A folder of one series is opened without naming it. Of several the page asks which.
        if (place, None) in labels:
            several.add(place)
        labels[place, None] = labels[place, files.series] = files.labels.absolute()
    for place in several:
        del labels[place, None]
    return Settings(
        work=work,
        roots=roots,
        token=new_token(),
        port=port,
        memory_bytes=psutil.virtual_memory().available // 2,
        labels=labels,
    )


def open_cases(args: argparse.Namespace, cases: Mapping[str, CaseFiles]) -> int:
    """Serve the page, with the first case open, until interrupted, and return 0.

    Labels can be corrected there. The results stay as they are, and what was not exported is gone at the end.
    """
    listening = opened_socket(HOST, args.port)
    with tempfile.TemporaryDirectory(prefix="prosect-view-") as work:
        settings = free_port(settings_of_cases(cases, Path(work), args.port), listening)
        names: Sequence[str] = list(cases)

        def prepare(service: Service) -> str:
            """Open the first case before the page comes, and return the page's query."""
            opened = service.library.open_scan(names[0], "", cases[names[0]].series)
            session = service.library.create_session(opened.entry.identity)
            path = f"/?session={session.entry.identity}"
            print(f"prosect: open {address(settings, path)}", flush=True)
            return path

        serve(settings, shelf_of(args), listening, browser=not args.no_browser, prepare=prepare)
    return 0
