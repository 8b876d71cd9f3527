"""`prosect segment`: a scan in, its results out, what was found on the screen."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import prosect
from prosect import results, vocabulary
from prosect.cli.console import open_console, plain_table
from prosect.cli.progress import counting
from prosect.cli.warnings_kept import keep_warnings
from prosect.io.temporary import sweep
from prosect.labelmap import LabelLayers, LabelMap
from prosect.measure import Measurement, measure
from prosect.results import Parameters, Request, Run, Stopwatch
from prosect.volume import Volume

__all__ = ["parameters_of", "request_of", "run", "scan"]

LISTS = (".txt", ".csv", ".tsv")
ROWS_SHOWN = 24
FILES_SHOWN = 6
PHANTOM_SEED = 0


def run(args: argparse.Namespace) -> int:
    """Segment one scan and return 0, or every scan of a folder.

    Everything about the output that can be refused is refused before a model is loaded.
    """
    if args.input is not None and (args.input.is_dir() or args.input.suffix.lower() in LISTS):
        folder = importlib.import_module(
            "prosect.cli.commands.segment_folder"
        )  # loaded on first use: it reads DICOM headers
        scans = folder.cohort(args)
        if scans is not None:
            return int(folder.run(args, scans))
    watch, started = Stopwatch(), datetime.now(UTC)
    request = None if args.output is None else request_of(args)
    refuse_names(args)
    if request is not None and not args.dry_run:
        sweep([request.output.parent])
        results.refuse(request, args.input, args.overwrite)
    with keep_warnings(show=not args.quiet) as warned:
        with watch.stage("reading"):
            volume = scan(args.input, args.series, args.volume, args.phantom)
        if request is not None and not args.dry_run:
            results.refuse(request, args.input, args.overwrite, volume.grid)
        with watch.stage("model"):
            loaded = prosect.load(args.model, weights=args.weights, device=args.device, profile=args.profile)
            model = prosect.require_finds(loaded)
        if args.dry_run or request is None:
            print(model.plan(volume, classes=args.roi_subset, overlap=args.overlap))
            return 0
        with watch.stage("segmenting"), counting("segmenting", args.quiet) as step:
            labels = model.segment(volume, classes=args.roi_subset, overlap=args.overlap, watch=step)
    with watch.stage("measuring"):
        found = measure(labels, volume)
    how = run_of(args, started, warned)
    files = results.write(labels, volume, request, how, found=found, watch=watch)
    if not args.quiet:
        announce(labels.provenance, args.verbose)
        report(found, watch, shown_files(request, files), args.verbose, volume)
        if args.roi_subset is not None:
            say_absent(labels, found)
    return 0


def refuse_names(args: argparse.Namespace) -> None:
    """Refuse structures that no vocabulary has, before anything is read; the model itself may know fewer.

    Raises:
        VocabularyError: A name is unknown, with the nearest (`STRUCTURE_UNKNOWN`).
        CheckpointError: The model is unknown.
    """
    if args.roi_subset is None:
        return
    # Weights say themselves which vocabulary is theirs, so with a file of weights any will do.
    catalog = importlib.import_module("prosect.checkpoints.catalog")
    own = vocabulary.load(catalog.segmenter(args.model).vocabulary)
    known = [own] if args.weights is None else [own, *(vocabulary.load(name) for name in vocabulary.NAMES)]
    added = any_of_weights(args.weights)
    for name in args.roi_subset:
        if not added and not any(name in words for words in known):
            own.find(name)


def any_of_weights(path: Path | None) -> bool:
    """Return whether a weights file brings structures of its own; the model then judges every name itself."""
    files = importlib.import_module("prosect.checkpoints.files")
    return path is not None and bool(files.read_metadata(path).get("structures"))


def request_of(args: argparse.Namespace) -> Request:
    """Return what the flags ask to be written."""
    return results.request_for(
        args.output,
        is_folder=args.output_is_folder,
        kinds=args.output_type,
        per_class=args.per_class,
        multilabel=args.ml,
        overlap=args.overlap,
        statistics=args.statistics or args.statistics_extra,
        extra=args.statistics_extra,
        preview=args.preview,
        report=args.report,
    )


def parameters_of(args: argparse.Namespace) -> Parameters:
    """Return what the flags ask of the model, without paths."""
    return Parameters(
        classes=None if args.roi_subset is None else tuple(args.roi_subset),
        overlap=args.overlap,
        model=args.model,
        weights=None if args.weights is None else args.weights.name,
        profile=args.profile,
        device=args.device,
        series=args.series,
        volume=args.volume,
        phantom=args.phantom,
    )


def run_of(args: argparse.Namespace, started: datetime, warned: Sequence[str]) -> Run:
    """Return how this run was made, for the report."""
    # Loaded here, after the model: it asks torch.
    environment = importlib.import_module("prosect.results.environment")
    return Run(parameters_of(args), started, tuple(warned), environment.libraries(), environment.threads())


def scan(path: Path | None, series: str | None, volume: int | None, phantom: str | None) -> Volume:
    """Return the scan that was asked for: a file, or a synthetic person."""
    if phantom is None:
        assert path is not None
        return prosect.read(path, series=series, volume=volume)
    people = importlib.import_module("prosect.phantom")
    person = people.torso if phantom == "torso" else people.head_neck
    made: Volume = person(np.random.default_rng(PHANTOM_SEED))[0]
    return made


def announce(provenance: Mapping[str, Any], verbose: bool) -> None:
    """Print what the request was taken to mean: groups by their parts, and on demand every note."""
    console = open_console()
    for group, parts in provenance.get("expansions", {}).items():
        console.print(f"{group}: {', '.join(parts)}")
    for note in provenance.get("notes", ()) if verbose else ():
        console.print(f"note: {note}")


def say_absent(labels: LabelMap | LabelLayers, found: Sequence[Measurement]) -> None:
    """Print which of the structures that were asked for are not in the scan."""
    absent = [labels.name_of(index) for index in labels.sought if index not in {m.index for m in found}]
    if absent:
        open_console().print(f"not found: {', '.join(absent)}")


def shown_files(request: Request, files: Sequence[Path]) -> list[str]:
    """Return what is said of the files: a folder of many by its name."""
    if not request.is_folder or len(files) <= FILES_SHOWN:
        return [str(path) for path in files]
    outside = [str(path) for path in files if path.parent != request.output]
    return [f"{request.output} ({len(files) - len(outside)} files)", *outside]


def report(found: Sequence[Measurement], watch: Stopwatch, files: Sequence[str], verbose: bool, volume: Volume) -> None:
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
        console.print(path)


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
