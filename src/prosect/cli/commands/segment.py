"""`prosect segment`: a scan in, its results out, what was found on the screen."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from prosect.checkpoints import catalog
from prosect.cli.arguments.tasks import LISTS, TASKS, TOTAL
from prosect.cli.choices import classes_of, classes_of_task, dicom_of, model_of, scan_of
from prosect.cli.commands.labels import vocabulary_of
from prosect.cli.console import open_console, plain_table
from prosect.cli.progress import counting
from prosect.errors import UsageError
from prosect.jobs import Segmented, SegmentJob
from prosect.jobs.cohort import is_address, may_hold_many
from prosect.labelmap import LabelLayers, LabelMap
from prosect.lazy import lazy_module
from prosect.measure import Measurement
from prosect.results import Request, request_for

if TYPE_CHECKING:
    from prosect.cli.commands import segment_folder
else:
    segment_folder = lazy_module("prosect.cli.commands.segment_folder")

__all__ = ["run"]

ROWS_SHOWN = 24
FILES_SHOWN = 6


def run(args: argparse.Namespace) -> int:
    """Segment one scan and return 0, or every scan of a folder.

    Everything about the output that can be refused is refused before a model is loaded.
    """
    if args.list_tasks or args.list_classes is not None:
        return show_sets(args)
    for note in () if args.quiet else args.flag_notes:
        print(f"prosect: note: {note}", file=sys.stderr)
    if args.input is not None and (may_hold_many(args.input) or is_address(args.input)):
        status = segment_folder.run(args)
        if status is not None:
            return status
    refuse_executor(args)
    job = job_of(args)
    if args.dry_run:
        print(job.plan())
        return 0
    with counting("segmenting", args.quiet) as watch:
        made = job.run(watch=watch, show_warnings=not args.quiet)
    if not args.quiet:
        announce(made.labels.provenance, args.verbose)
        if args.fast:
            say_cost(str(made.labels.provenance.get("model", "")))
        report(made, args.verbose)
        for line in shown_files(job.request, made.files):
            open_console().print(line)
        if job.classes is not None:
            say_absent(made.labels, made.found)
    return 0


def refuse_executor(args: argparse.Namespace) -> None:
    """Refuse to share a single scan among workers.

    Raises:
        UsageError: `USAGE`.
    """
    if args.executor != "local" or args.part is not None:
        raise UsageError("--executor and --part share a folder or a list of scans; this is one scan. Leave them out.")
    if args.tables:
        raise UsageError("--tables joins the numbers of many scans; this is one scan. Leave it out.")


def show_sets(args: argparse.Namespace) -> int:
    """Print the sets of structures, or the structures of one, and return 0."""
    words = vocabulary_of(args.model, args.weights)
    if args.list_classes is None:
        for task in (TOTAL, *TASKS, *LISTS):
            offered = classes_of_task(task)
            named = [s.name for s in words if s.supported] if offered is None else offered
            known = sum(name in words and words[name].supported for name in named)
            open_console().print(f"{task}: {known} of {len(named)} structures can be segmented by this model")
        return 0
    names = classes_of_task(args.list_classes)
    for structure in words if names is None else [words[name] for name in names]:
        if structure.supported or names is not None:
            reason = "" if structure.supported else f"  (not by this model: {structure.reason or structure.status})"
            open_console().print(f"{structure.index} {structure.name}{reason}")
    return 0


def job_of(args: argparse.Namespace) -> SegmentJob:
    """Return what the flags ask for."""
    return SegmentJob(
        scan_of(args),
        classes_of(args),
        args.overlap,
        model_of(args),
        None if args.output is None else request_of(args),
        args.overwrite,
        least_mm3=args.least_mm3,
    )


def request_of(args: argparse.Namespace) -> Request:
    """Return what the flags ask to be written."""
    return request_for(
        args.output,
        is_folder=args.output_is_folder,
        kinds=args.output_type,
        per_class=args.per_class,
        multilabel=args.ml,
        overlap=args.overlap,
        statistics=args.statistics or args.statistics_extra,
        extra=args.statistics_extra,
        preview=args.preview or args.preview_rows,
        report=args.report,
        aggregation=args.aggregation,
        radiomics=args.radiomics,
        dicom=dicom_of(args),
        preview_rows=args.preview_rows,
        label_tables=args.label_tables,
        renumber=args.renumber,
        probabilities=args.probabilities,
    )


def announce(provenance: Mapping[str, Any], verbose: bool) -> None:
    """Print what the request was taken to mean: groups by their parts, and on demand every note."""
    console = open_console()
    for group, parts in provenance.get("expansions", {}).items():
        console.print(f"{group}: {', '.join(parts)}")
    regions = provenance.get("regions")
    if regions:
        console.print(f"the scan shows the {' and the '.join(regions)}")
    elif regions is not None:
        console.print("the scan shows no region that the model knows")
    for note in provenance.get("notes", ()) if verbose else ():
        console.print(f"note: {note}")


def say_cost(models: str) -> None:
    """Print what a coarser grid costs, as far as it was measured with the models that answered."""
    for name in models.split(catalog.JOIN):
        known = catalog.CATALOG.get(name)
        cost = None if known is None else known.fast_cost
        if cost is None:
            said = "nobody measured what the coarser grid costs"
        else:
            dice = f"{cost.fast_dice:.2f}, not {cost.dice:.2f}"
            said = f"on {cost.scans} validation scans the coarser grid has a mean Dice of {dice}"
        open_console().print(f"--fast, {name}: {said}")


def say_absent(labels: LabelMap | LabelLayers, found: Sequence[Measurement]) -> None:
    """Print which of the structures that were asked for are not in the scan."""
    absent = []
    for index in labels.sought:
        if index not in {m.index for m in found}:
            absent.append(labels.name_of(index))
    if absent:
        open_console().print(f"not found: {', '.join(absent)}")


def shown_files(request: Request | None, files: Sequence[Path]) -> list[str]:
    """Return what is said of the files: a folder of many by its name."""
    if request is None or not request.is_folder or len(files) <= FILES_SHOWN:
        return [str(path) for path in files]
    outside = []
    for path in files:
        if path.parent != request.output:
            outside.append(str(path))
    return [f"{request.output} ({len(files) - len(outside)} files)", *outside]


def report(made: Segmented, verbose: bool) -> None:
    """Print the structures by size, and the time taken."""
    console = open_console()
    largest = sorted(made.found, key=lambda measurement: -measurement.volume_ml)
    if verbose:
        shown = largest
    else:
        shown = largest[:ROWS_SHOWN]
    if shown:
        console.print(found_table(shown, made.volume.modality))
    if len(shown) < len(largest):
        console.print(f"and {len(largest) - len(shown)} smaller structures (-v shows all)")
    console.print(f"{counted(len(made.found))} in {made.stopwatch}")


def counted(number: int) -> str:
    """Return a number of structures in words."""
    if number == 0:
        return "Nothing found"
    if number == 1:
        return "1 structure"
    return f"{number} structures"


def found_table(rows: Sequence[Measurement], modality: str | None) -> Table:
    """Return the table of structures."""
    table = plain_table()
    table.add_column("structure")
    table.add_column("mL", justify="right")
    table.add_column("mean HU" if modality == "CT" else "mean", justify="right")
    table.add_column("")
    for m in rows:
        if m.volume_ml >= 100:
            digits = 0
        else:
            digits = 1 if m.volume_ml >= 1 else 2
        if m.mean_hu is None:
            mean = ""
        else:
            mean = f"{m.mean_hu:.0f}"
        table.add_row(m.name, f"{m.volume_ml:.{digits}f}", mean, "reaches the edge" if m.touches_border else "")
    return table
