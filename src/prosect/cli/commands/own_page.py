"""The page for one person on this machine: served in a folder that is gone at the end, with a session open."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from prosect.cli.commands.serve import shelf_of
from prosect.server.live import LiveSession
from prosect.server.running import address, free_port, opened_socket, serve
from prosect.server.service import Service
from prosect.server.settings import Settings

__all__ = ["half_of_memory", "show_page"]

HOST = "127.0.0.1"


def half_of_memory() -> int:
    """Return how many bytes such a server may take for what it remembers."""
    return int(psutil.virtual_memory().available) // 2


def show_page(
    args: argparse.Namespace, settings_in: Callable[[Path], Settings], begin: Callable[[Service], LiveSession]
) -> None:
    """Serve the page until interrupted.

    Args:
        args: `port`, `no_browser`, and the flags that choose models.
        settings_in: Returns what the server needs, given an empty folder to work in.
        begin: Opens the session that the page shows first; the page comes after it.
    """
    listening = opened_socket(HOST, args.port)
    with tempfile.TemporaryDirectory(prefix="prosect-view-") as work:
        settings = free_port(settings_in(Path(work)), listening)

        def prepare(service: Service) -> str:
            """Return the page's query."""
            path = f"/?session={begin(service).entry.identity}"
            print(f"prosect: open {address(settings, path)}", flush=True)
            return path

        serve(settings, shelf_of(args), listening, browser=not args.no_browser, prepare=prepare)
