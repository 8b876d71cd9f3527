"""`prosect segment`: a scan in, a label file out, what was found on the screen."""

from __future__ import annotations

import argparse
import importlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import prosect
from prosect import io
from prosect.cli.screen import open_console, plain_table
from prosect.errors import FormatError
from prosect.io.atomic import probe
from prosect.measure import Measurement, measure
from prosect.volume import Volume

__all__ = ["run"]

ROWS_SHOWN = 24
PREVIEW_BYTES = 4 << 20
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
PHANTOM_SEED = 0


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.seconds.items())
        return f"{sum(self.seconds.values()):.1f} s ({parts})"


def run(args: argparse.Namespace) -> int:
    """Segment one scan and return 0.

    Everything about the output that can be refused is refused before a model is loaded.
    """
    watch = Stopwatch()
    picture = picture_path(args.output) if args.preview and args.output else None
    if not args.dry_run:
        refuse_outputs(args, picture)
    with watch.stage("reading"):
        volume = scan(args)
    if not args.dry_run:
        io.check_writable(args.output, volume.grid.voxel_count * 2)
    with watch.stage("model"):
        model = prosect.load(args.model, weights=args.weights, device=args.device, profile=args.profile)
    if args.dry_run:
        print(model.plan(volume, classes=args.roi_subset, overlap=args.overlap))
        return 0
    with watch.stage("segmenting"):
        labels = model.segment(volume, classes=args.roi_subset, overlap=args.overlap)
    with watch.stage("writing"):
        prosect.write(labels, args.output, like=volume)
    with watch.stage("measuring"):
        found = measure(labels, volume)
    if picture is not None:
        with watch.stage("preview"):
            # Loaded on first use: it brings a plotting library.
            preview = importlib.import_module("prosect.preview")
            preview.render(volume, labels, picture, title=volume.source.name, measurements=found)
    if not args.quiet:
        announce(labels.provenance, args.verbose)
        report(found, watch, [args.output, *([picture] if picture else [])], args.verbose, volume)
    return 0


def refuse_outputs(args: argparse.Namespace, picture: Path | None) -> None:
    """Refuse outputs that exist, are the input itself, or could not be written.

    Raises:
        FormatError: `OUTPUT_IS_INPUT`, `OUTPUT_EXISTS`, `OUTPUT_FORMAT_UNKNOWN` or `OUTPUT_UNWRITABLE`.
        ResourceError: The disk is full.
    """
    io.check_writable(args.output)
    for path in (args.output, picture):
        if path is None or not os.path.lexists(path):
            continue
        if same_file(path, args.input):
            raise FormatError(
                f"{path.name}: the output is the input itself, which would destroy the scan. Choose another name.",
                code="OUTPUT_IS_INPUT",
            )
        if not args.overwrite:
            raise FormatError(
                f"{path.name}: the file exists already. Choose another name, or replace it with --overwrite.",
                code="OUTPUT_EXISTS",
            )
    if picture is not None:
        probe(picture, PREVIEW_BYTES)


def same_file(path: Path, other: Path | None) -> bool:
    """Return whether both names lead to one file; links count."""
    try:
        return other is not None and os.path.samefile(path, other)
    except OSError:
        return False


def picture_path(output: Path) -> Path:
    """Return the name of the preview beside an output."""
    ending = next((suffix for suffix in SUFFIXES if output.name.lower().endswith(suffix)), output.suffix)
    return output.with_name(output.name[: len(output.name) - len(ending)] + "_preview.png")


def scan(args: argparse.Namespace) -> Volume:
    """Return the scan that was asked for: a file, or a synthetic person."""
    if args.phantom is None:
        return prosect.read(args.input, series=args.series, volume=args.volume)
    phantom = importlib.import_module("prosect.phantom")
    person = phantom.torso if args.phantom == "torso" else phantom.head_neck
    made: Volume = person(np.random.default_rng(PHANTOM_SEED))[0]
    return made


def announce(provenance: Mapping[str, Any], verbose: bool) -> None:
    """Print what the request was taken to mean: groups by their parts, and on demand every note."""
    console = open_console()
    for group, parts in provenance.get("expansions", {}).items():
        console.print(f"{group}: {', '.join(parts)}")
    for note in provenance.get("notes", ()) if verbose else ():
        console.print(f"note: {note}")


def report(found: Sequence[Measurement], watch: Stopwatch, files: list[Any], verbose: bool, volume: Volume) -> None:
    """Print the structures by size, the time taken, and where the results are."""
    console = open_console()
    largest = sorted(found, key=lambda m: -m.volume_ml)
    shown = largest if verbose else largest[:ROWS_SHOWN]
    if shown:
        console.print(found_table(shown, volume.modality))
    if len(shown) < len(largest):
        console.print(f"and {len(largest) - len(shown)} smaller structures (-v shows all)")
    number = f"{len(found)} structure{'s' if len(found) != 1 else ''}" if found else "Nothing found"
    console.print(f"{number} in {watch}")
    for path in files:
        console.print(str(path))


def found_table(rows: Sequence[Measurement], modality: str | None) -> Table:
    """Return the table of structures."""
    table = plain_table()
    table.add_column("structure")
    table.add_column("mL", justify="right")
    table.add_column("mean HU" if modality == "CT" else "mean", justify="right")
    table.add_column("")
    for m in rows:
        digits = 0 if m.volume_ml >= 100 else 1 if m.volume_ml >= 1 else 2
        mean = "" if m.mean_hu is None else f"{m.mean_hu:.0f}"
        table.add_row(m.name, f"{m.volume_ml:.{digits}f}", mean, "reaches the edge" if m.touches_border else "")
    return table
