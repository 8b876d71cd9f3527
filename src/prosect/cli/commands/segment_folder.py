"""`prosect segment` of a folder or a list: every scan, the model loaded once, and a run that can be taken up again."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from prosect.cli.choices import classes_of, dicom_of, model_of
from prosect.cli.cohort_progress import say_refused, watching
from prosect.cli.commands.segment_shared import run_objects, run_shared
from prosect.cli.console import open_console
from prosect.cohort.inputs import scans_of
from prosect.cohort.manifest import Manifest
from prosect.cohort.running import CohortRun, refuse_names, run_cohort
from prosect.errors import UsageError
from prosect.io.paths import file_name
from prosect.jobs.cohort import CohortJob, is_address

__all__ = ["run"]

PARTLY_FAILED = 4


def run(args: argparse.Namespace) -> int | None:
    """Segment every scan of a folder or list.

    Returns:
        0 where all are done, now or by an earlier run; 4 where some were refused; None where the input is one scan.

    Raises:
        ProsectError: See `scans_of` and `run_cohort`.
    """
    if is_address(args.input) or is_address(args.output):
        return run_objects(args, job_of)
    manifest = scans_of(args.input, args.output, output_is_folder=args.output_is_folder, series=args.series)
    if manifest is None:
        return None
    job = job_of(args)
    if args.dry_run:
        refuse_names(job, manifest)
        show_plan(job, manifest)
        return 0
    if args.executor != "local" or args.part is not None:
        return run_shared(args, job, manifest)
    done = run_cohort(
        job,
        manifest,
        watching=lambda total: watching(total, args.quiet, args.debug, time.monotonic),
        on_stop=say_stopped,
        slots=args.at_once,
        together=args.batch_scans,
    )
    if not args.quiet:
        say(done)
    if done.refused:
        return PARTLY_FAILED
    return 0


def job_of(args: argparse.Namespace) -> CohortJob:
    """Return what the flags ask for.

    Raises:
        UsageError: Flags that name one file, which cannot hold the results of many scans.
    """
    if args.probabilities:
        raise UsageError("-sp is for one scan: the probabilities of a folder would fill the disk. Give one scan.")
    for path in (args.statistics, args.report):
        if isinstance(path, Path):
            raise UsageError(
                f"{file_name(path)}: one file cannot hold this of every scan; give -s and -rp without a name."
            )
    return CohortJob(
        input=args.input,
        output=args.output or Path(),
        classes=classes_of(args),
        overlap=args.overlap,
        model=model_of(args),
        volume=args.volume,
        modality=args.modality,
        nan_as=args.nan_as,
        assume_orientation=args.assume_orientation,
        regularise=args.regularise,
        kinds=args.output_type,
        per_class=args.per_class,
        multilabel=args.ml,
        statistics=args.statistics or args.statistics_extra,
        extra=args.statistics_extra,
        preview=args.preview or args.preview_rows,
        report=args.report,
        dicom=dicom_of(args),
        overwrite=args.overwrite,
        least_mm3=args.least_mm3,
        aggregation=args.aggregation,
        radiomics=args.radiomics,
        preview_rows=args.preview_rows,
        label_tables=args.label_tables,
        renumber=args.renumber,
        tables=tuple(args.tables),
    )


def say_stopped(done: int, total: int) -> None:
    """Say how far a run came that ends before its time."""
    print(f"prosect: {done} of {total} scans are done; the same command goes on from here", file=sys.stderr)


def say(done: CohortRun) -> None:
    """Print what became of the scans."""
    console = open_console()
    say_refused(done.report["cases"])
    for what, count in done.report["passed_over"].items():
        console.print(f"passed over: {count} x {what}")
    before = ""
    if done.plan.finished:
        before = f" ({len(done.plan.finished)} of them before)"
    count = done.report["counts"]["done"]
    console.print(f"{count} scans done{before}, {done.report['counts']['refused']} refused, in {pace(done)}")
    console.print(str(done.report_file))


def pace(done: CohortRun) -> str:
    """Return the time of this run, and where it went per scan."""
    mine = set()
    for scan in (*done.plan.todo, *done.plan.alone):
        mine.add(scan.name)
    rows = []
    for row in done.report["cases"]:
        if row["case"] in mine:
            rows.append(row)
    timed = []
    for row in rows:
        if row["state"] == "done":
            timed.append(row["seconds"])
    if not timed:
        return f"{done.seconds:.1f} s"
    spent: Counter[str] = Counter()
    for stages in timed:
        spent.update(stages)
    stages = ", ".join(f"{stage} {total / len(timed):.1f}" for stage, total in spent.items())
    busy = done.report["last_run"]["model_busy_percent"]
    return f"{done.seconds:.1f} s; per scan, side by side: {stages} s; the model worked for {busy:.0f} % of the time"


def show_plan(job: CohortJob, manifest: Manifest) -> None:
    """Print what a run would do."""
    console = open_console()
    for scan in manifest.scans:
        series = ""
        if scan.series:
            series = f" series {scan.series}"
        console.print(f"{scan.origin}{series} -> {', '.join(job.planned_names(scan.name))}")
    for what, count in manifest.passed.items():
        console.print(f"passed over: {count} x {what}")
    console.print(f"{len(manifest.scans)} scans")
