"""`prosect serve`: the page in which scans are annotated."""

from __future__ import annotations

import argparse
from pathlib import Path

import psutil

import prosect
from prosect.checkpoints import catalog
from prosect.cli.console import open_console
from prosect.errors import FormatError, UsageError
from prosect.models import LoadedModel
from prosect.server.running import address, free_port, opened_socket, serve
from prosect.server.settings import Settings, new_token, read_token
from prosect.server.shelf import Shelf, Source

__all__ = ["run", "shelf_of"]

WORK = Path(".prosect-work")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted, and return 0."""
    settings = settings_of(args)
    listening = opened_socket(settings.host, settings.port)
    settings = free_port(settings, listening)
    say = open_console().print if not args.quiet else silent
    # One line, so that scripts can read it: everything after the mark is the token and never reaches a server's log.
    print(f"prosect: open {address(settings)}", flush=True)
    if not settings.is_local:
        say("note: other machines can reach this server; put a proxy with encryption (TLS) in front of it.")
    serve(settings, shelf_of(args), listening, browser=not args.no_browser)
    return 0


def silent(_text: str) -> None:
    """Say nothing."""


def settings_of(args: argparse.Namespace) -> Settings:
    """Return what the flags ask for.

    Raises:
        UsageError: They do not go together.
        FormatError: A file or folder is not there.
    """
    if args.host not in ("127.0.0.1", "localhost", "::1") and not args.allow_remote:
        raise UsageError(
            f"--host {args.host} would let other machines in; add --allow-remote if that is meant, and a proxy with "
            "encryption in front."
        )
    free = psutil.virtual_memory().available
    return Settings(
        work=(args.work or WORK).resolve(),
        roots=roots_of(args.inputs, args.roots),
        token=new_token() if args.token_file is None else read_token(args.token_file),
        dialect_token=new_token(),
        host=args.host,
        port=args.port,
        dialects=tuple(name.strip() for name in args.dialects.split(",") if name.strip()),
        hosts=tuple(args.allow_host),
        origins=tuple(args.allow_origin),
        output_root=args.output_root,
        nninteractive_axes=args.nninteractive_axes,
        share_paths=args.share_paths,
        url_hosts=tuple(args.allow_url_host),
        open_dls=args.open_dls,
        max_sessions=args.max_sessions,
        memory_bytes=args.memory or free // 2,
    )


def roots_of(inputs: list[Path], named: list[str]) -> dict[str, Path]:
    """Return the roots by name: those of the command line under their own names, numbered where two are alike.

    Raises:
        UsageError: A `NAME=PATH` has no name or no path.
        FormatError: Nothing is there (`INPUT_NOT_FOUND`).
    """
    places: list[tuple[str, Path]] = [(path.resolve().name or "root", path) for path in inputs]
    for text in named:
        given, equals, place = text.partition("=")
        if not (given and equals and place):
            raise UsageError(f"--roots takes NAME=PATH; found {text!r}.")
        places.append((given, Path(place)))
    roots: dict[str, Path] = {}
    for name, path in places:
        if not path.exists():
            raise FormatError(f"{path}: nothing is there; give a scan or a folder of scans.", code="INPUT_NOT_FOUND")
        unique, number = name, 2
        while unique in roots:
            unique, number = f"{name} ({number})", number + 1
        roots[unique] = path
    return roots


def shelf_of(args: argparse.Namespace) -> Shelf:
    """Return the models that the flags name; each is loaded when it is first needed."""

    def load(name: str | None, weights: Path | None) -> LoadedModel:
        return prosect.load(name, weights=weights, device=args.device, engine=args.engine, precision=args.precision)

    key = args.model or (args.weights.name if args.weights is not None else catalog.default_name())
    return Shelf(load, [Source(key, args.model, args.weights)])
