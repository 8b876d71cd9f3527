"""The page with some cases of a cohort: each is opened with its labels when it is chosen."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from prosect.cli.commands.own_page import half_of_memory, show_page
from prosect.cohort.opening import CaseFiles
from prosect.server.live import LiveSession
from prosect.server.service import Service
from prosect.server.settings import Settings, new_token

__all__ = ["open_cases", "settings_of_cases"]


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
        memory_bytes=half_of_memory(),
        labels=labels,
    )


def open_cases(args: argparse.Namespace, cases: Mapping[str, CaseFiles]) -> int:
    """Serve the page, with the first case open, until interrupted, and return 0.

    Labels can be corrected there. The results stay as they are, and what was not exported is gone at the end.
    """

    def begin(service: Service) -> LiveSession:
        """Open the first case."""
        first = next(iter(cases))
        opened = service.library.open_scan(first, "", cases[first].series)
        return service.library.create_session(opened.entry.identity)

    show_page(args, lambda work: settings_of_cases(cases, work, args.port), begin)
    return 0
