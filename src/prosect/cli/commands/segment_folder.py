"""`prosect segment` of a folder or a list: every scan, the model loaded once, and a run that can be taken up again."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import prosect
from prosect import results
from prosect.cli.cohort_progress import Watch, watching
from prosect.cli.console import open_console
from prosect.cohort import report
from prosect.cohort.ledger import History, open_ledger
from prosect.cohort.listing import listed_scans
from prosect.cohort.local import segment_all
from prosect.cohort.manifest import LEDGER, Manifest, Scan, find_scans, refuse_clashes
from prosect.cohort.pipeline import Work
from prosect.cohort.plan import Plan, plan, refuse_changed_settings, refuse_inputs
from prosect.errors import FormatError, UsageError
from prosect.io.atomic import make_folder
from prosect.io.formats import format_named
from prosect.io.paths import file_name
from prosect.io.temporary import sweep
from prosect.labelmap import LabelLayers, LabelMap
from prosect.measure import measure
from prosect.results import Kind, Parameters, Request, Run
from prosect.results.request import kind_of
from prosect.volume import Volume

__all__ = ["cohort", "run"]

REPORT, STATISTICS = "cohort_report.json", "statistics.csv"
PARTLY_FAILED = 4
REFUSED_SHOWN = 20


def cohort(args: argparse.Namespace) -> Manifest | None:
    """Return the scans of an input that is a folder or a list of scans; None where it is one scan.

    A folder that holds a single DICOM series is one scan, and so is any folder where the output is a label file or
    a series was chosen.

    Raises:
        FormatError: The folder or list cannot be read, holds no scan, or the results would lie in the same folder.
    """
    folder, out = args.input, args.output
    if args.series is not None:
        return None
    if out is not None and kind_of(out) is not None and not args.output_is_folder:
        refuse_one_file(folder, out)
        return None
    if not folder.is_dir():
        return listed_scans(folder)
    if out is not None and out.is_dir() and os.path.samefile(out, folder):
        raise FormatError(
            f"{file_name(out)}: results in the folder of the scans would be taken for scans the next time. "
            "Give another folder.",
            code="OUTPUT_IS_INPUT",
        )
    found = find_scans(folder, skip=[] if out is None else [out])
    if not found.scans:
        counts = ", ".join(f"{count} {what}" for what, count in found.passed.items())
        raise FormatError(
            f"{file_name(folder)}: no scans are in this folder ({counts or 'no files at all'}). "
            "Give a folder of NIfTI, NRRD, MetaImage or DICOM.",
            code="INPUT_NO_SCANS",
        )
    return None if found.is_one_series else found


def refuse_one_file(folder: Path, out: Path) -> None:
    """Refuse one output file for a folder or list of several scans; several DICOM series are listed by the reader.

    Raises:
        FormatError: `USAGE`.
    """
    scans = (find_scans(folder) if folder.is_dir() else listed_scans(folder)).scans
    if any(not scan.path.is_dir() for scan in scans):
        raise UsageError(
            f"{file_name(out)}: one file cannot hold the results of the {len(scans)} scans of {file_name(folder)}. "
            "Give a folder for the results, or the path of one scan."
        )


def run(args: argparse.Namespace, manifest: Manifest) -> int:
    """Segment every scan of a folder.

    Returns:
        0 where all are done, now or by an earlier run; 4 where some were refused.

    Raises:
        ProsectError: What concerns all of them: names that clash, a folder in use, other settings than before, the
            model, a full disk.
    """
    planned = partial(planned_names, args)
    refuse_clashes(manifest.scans, planned, reserved=(LEDGER, REPORT, STATISTICS))
    if args.dry_run:
        return show_plan(manifest, planned)
    out: Path = args.output
    refuse_inputs(manifest.scans, out, planned)
    make_folder(out)
    with open_ledger(out / LEDGER, timestamp) as ledger:
        sweep([out])
        loaded = prosect.load(args.model, weights=args.weights, device=args.device, profile=args.profile)
        model = prosect.require_finds(loaded)
        settings = settings_of(args, model)
        known = ledger.history(settings)
        refuse_changed_settings(known, settings, args.overwrite)
        todo = plan(manifest.scans, out, known, planned, args.overwrite)
        begin = time.monotonic()
        try:
            with watching(len(todo.todo) + len(todo.alone), args.quiet, args.debug, time.monotonic) as watch:
                segment_all(todo, work_of(args, model, watch), ledger, out, settings, watch.outcome)
        except BaseException:
            say_stopped(len(ledger.history(settings).done), len(manifest.scans))
            raise
        found = finish(manifest, todo, ledger.history(settings), out, settings)
        if not args.quiet:
            say(found, todo, out, time.monotonic() - begin)
    return PARTLY_FAILED if found["counts"]["refused"] else 0


def case_request(args: argparse.Namespace, name: str) -> Request:
    """Return what is written for one case: `OUT/<name>` with the ending of its type, or a folder of that name.

    Raises:
        FormatError: Flags that name one file, which cannot hold the results of many scans.
    """
    for path in (args.statistics, args.report):
        if isinstance(path, Path):
            raise UsageError(
                f"{file_name(path)}: one file cannot hold this of every scan; give -s and -rp without a name."
            )
    kinds: tuple[Kind, ...] = args.output_type or ("nifti",)
    as_folder = args.per_class or len(kinds) > 1
    out = args.output or Path()
    return results.request_for(
        out / (name if as_folder else f"{name}{format_named(kinds[0]).ending}"),
        kinds=kinds,
        is_folder=as_folder,
        per_class=args.per_class,
        multilabel=as_folder and (args.ml or not args.per_class),
        overlap=args.overlap,
        statistics=args.statistics or args.statistics_extra,
        extra=args.statistics_extra,
        preview=args.preview,
        report=args.report,
    )


def planned_names(args: argparse.Namespace, name: str) -> tuple[str, ...]:
    """Return the places that one case takes, relative to the folder of the results."""
    top = args.output or Path()
    return tuple(path.relative_to(top).as_posix() for path in results.planned_files(case_request(args, name)))


def settings_of(args: argparse.Namespace, model: prosect.Finds) -> dict[str, Any]:
    """Return what decides the results, and with that whether they may lie in one folder; the device is not part of it.

    Raises:
        VocabularyError: A structure is unknown.
    """
    request = case_request(args, "case")
    chosen = None if args.roi_subset is None else sorted(model.vocabulary.resolve(args.roi_subset).indices)
    return {
        "prosect": prosect.__version__,
        "model": model.spec.name,
        "weights_sha256": model.spec.weights_sha256,
        "profile": args.profile,
        "structures": "all" if chosen is None else chosen,
        "overlap": args.overlap,
        "volume": args.volume,
        "types": list(request.kinds),
        "per_class": request.per_class,
        "multilabel": request.multilabel,
        "statistics": ("extra" if request.extra else True) if request.statistics else False,
        "preview": request.preview,
        "report": bool(request.report),
    }


def work_of(args: argparse.Namespace, model: prosect.Finds, watch: Watch) -> Work[Volume, LabelMap | LabelLayers]:
    """Return what is done with each scan."""
    # Loaded here, after the model: it asks torch.
    environment = importlib.import_module("prosect.results.environment")
    how = Run(parameters_of(args), None, (), environment.libraries(), environment.threads())

    def read(scan: Scan) -> Volume:
        return prosect.read(scan.path, series=scan.series, volume=None if scan.path.is_dir() else args.volume)

    def compute(scan: Scan, volume: Volume) -> LabelMap | LabelLayers:
        results.refuse(case_request(args, scan.name), scan.path, overwrite=True, grid=volume.grid)
        chosen: dict[str, Any] = {"classes": args.roi_subset, "overlap": args.overlap}
        labels: LabelMap | LabelLayers = model.segment(
            volume, **chosen, watch=(lambda done, total: watch.part(done / total)) if watch.is_looked_at else None
        )
        return labels

    def save(scan: Scan, volume: Volume, labels: LabelMap | LabelLayers) -> Mapping[str, Any]:
        found = measure(labels, volume)
        this = replace(how, parameters=replace(how.parameters, series=scan.series), started=datetime.now(UTC))
        files = results.write(labels, volume, case_request(args, scan.name), this, case=scan.name, found=found)
        return {"files": files, "structures": len(found)}

    return Work(read, compute, save)


def parameters_of(args: argparse.Namespace) -> Parameters:
    """Return what the flags ask of the model, without paths."""
    return Parameters(
        classes=None if args.roi_subset is None else tuple(args.roi_subset),
        overlap=args.overlap,
        model=args.model,
        weights=None if args.weights is None else args.weights.name,
        profile=args.profile,
        device=args.device,
        volume=args.volume,
    )


def timestamp() -> str:
    """Return the time of day for the ledger."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def finish(
    manifest: Manifest, todo: Plan, known: History, out: Path, settings: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """Write the report and the joined table over all runs, and return the report."""
    found = report.summary(manifest, todo, known, settings)
    report.write_json(found, out / REPORT)
    report.write_statistics(out, known, [scan.name for scan in manifest.scans], out / STATISTICS)
    return found


def say_stopped(done: int, total: int) -> None:
    """Say how far a run came that ends before its time."""
    print(f"prosect: {done} of {total} scans are done; the same command goes on from here", file=sys.stderr)


def say(found: Mapping[str, Any], todo: Plan, out: Path, seconds: float) -> None:
    """Print what became of the scans."""
    console = open_console()
    refused = [row for row in found["cases"] if row["state"] == "refused"]
    for row in refused[:REFUSED_SHOWN]:
        console.print(f"refused: {row['case']} [{row['code']}] {row['message']}")
    if len(refused) > REFUSED_SHOWN:
        console.print(f"and {len(refused) - REFUSED_SHOWN} more")
    for what, count in found["passed_over"].items():
        console.print(f"passed over: {count} x {what}")
    before = f" ({len(todo.finished)} of them before)" if todo.finished else ""
    console.print(
        f"{found['counts']['done']} scans done{before}, {len(refused)} refused, in {pace(found, todo, seconds)}"
    )
    console.print(str(out / REPORT))


def pace(found: Mapping[str, Any], todo: Plan, seconds: float) -> str:
    """Return the time of this run, and where it went per case."""
    mine = {scan.name for scan in (*todo.todo, *todo.alone)}
    spent: Counter[str] = Counter()
    timed = [row["seconds"] for row in found["cases"] if row["case"] in mine and row["state"] == "done"]
    for stages in timed:
        spent.update(stages)
    if not timed:
        return f"{seconds:.1f} s"
    stages = ", ".join(f"{stage} {total / len(timed):.1f}" for stage, total in spent.items())
    return f"{seconds:.1f} s; per scan, side by side: {stages} s"


def show_plan(manifest: Manifest, planned: Any) -> int:
    """Print what a run would do, and return 0."""
    console = open_console()
    for scan in manifest.scans:
        names: Sequence[str] = planned(scan.name)
        series = f" series {scan.series}" if scan.series else ""
        console.print(f"{scan.origin}{series} -> {', '.join(names)}")
    for what, count in manifest.passed.items():
        console.print(f"passed over: {count} x {what}")
    console.print(f"{len(manifest.scans)} scans")
    return 0
