"""What can be typed of `serve`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.groups import add_choice, add_device, add_engine, add_quiet
from prosect.cli.arguments.words import at_least_one, path

__all__ = ["COMMAND"]

DIALECTS = "native, nim, monailabel, nninteractive, dls"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `serve`."""
    parser.epilog = (
        "examples:\n"
        "  prosect serve ct.nii.gz                       # this scan, in the browser\n"
        "  prosect serve scans --output-root results     # all scans of a folder; results are saved below another\n"
        "  prosect serve scans --host 0.0.0.0 --allow-remote --allow-host annotate.example.org"
    )
    scan = "scans and folders to offer (default: none; files can be dropped onto the page)"
    parser.add_argument("inputs", metavar="SCAN|FOLDER", type=path, nargs="*", help=scan)
    files = parser.add_argument_group("files")
    files.add_argument(
        "--roots",
        metavar="NAME=PATH",
        nargs="+",
        default=[],
        help="scans and folders under names of your own (default: none)",
    )
    work = "folder of journals and uploads; sessions that are there go on (default: .prosect-work here)"
    files.add_argument("--work", metavar="DIR", type=path, help=work)
    saved = "results may be saved below this folder (default: they are only downloaded)"
    files.add_argument("--output-root", metavar="DIR", type=path, help=saved)
    model = parser.add_argument_group("model")
    add_choice(model)
    add_device(model)
    add_engine(model)
    add_address(parser)
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-sessions", metavar="N", type=at_least_one, default=8, help="sessions kept in memory (default: 8)"
    )
    limits.add_argument(
        "--memory", metavar="BYTES", type=at_least_one, help="memory for scans (default: half of what is free)"
    )
    add_quiet(parser)


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say who may come, and where."""
    who = parser.add_argument_group("address and access")
    who.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    who.add_argument("--port", type=int, default=8000, help="TCP port (default: 8000; 0 takes any that is free)")
    who.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")
    spoken = f"protocols that are spoken, joined by commas (default: all): {DIALECTS}"
    who.add_argument("--dialects", metavar="NAMES", default=DIALECTS, help=spoken)
    who.add_argument("--token-file", metavar="F", type=path, help="take the token from a file (default: a new one)")
    remote = "let other machines in; encryption is for a proxy in front"
    who.add_argument("--allow-remote", action="store_true", help=remote)
    who.add_argument(
        "--allow-host", metavar="H", action="append", default=[], help="a further name of this server (default: none)"
    )
    shared = "tell MONAI Label's clients on this machine where a scan lies, so that they need not load it"
    who.add_argument("--share-paths", action="store_true", help=shared)
    fetched = "a server from which NIM's clients may have scans fetched, by https; may be given again (default: none)"
    who.add_argument("--allow-url-host", metavar="H", action="append", default=[], help=fetched)
    open_dls = "ask ITK-SNAP for no token, as it can send none; on this machine only"
    who.add_argument("--open-dls", action="store_true", help=open_dls)
    axes = "where i, j, k of scans from nnInteractive's clients lead, as they do not say (default: LPS)"
    who.add_argument("--nninteractive-axes", metavar="AXES", type=str.upper, default="LPS", help=axes)
    who.add_argument(
        "--allow-origin", metavar="O", action="append", default=[], help="a web page that may call it (default: none)"
    )


COMMAND = Command("annotate scans in the browser", add)
