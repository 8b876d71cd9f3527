"""`prosect segment` of a folder by many workers: as one of them, or as who starts them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from prosect.cli.arguments.executors import OWN_FLAGS
from prosect.cli.cohort_progress import watching
from prosect.cli.console import open_console
from prosect.cohort.manifest import Manifest
from prosect.cohort.running import REPORT
from prosect.cohort.running_part import PartRun, Sharing, refuse_shared, run_part
from prosect.cohort.sharing import Part
from prosect.cohort.slurm import array_script, submit
from prosect.jobs.cohort import CohortJob

__all__ = ["run_shared", "worker_words"]

PARTLY_FAILED = 4
REFUSED_SHOWN = 20


def run_shared(args: argparse.Namespace, job: CohortJob, manifest: Manifest) -> int:
    """Do what the executor is for, and return the exit status."""
    refuse_shared(job, manifest)
    if args.executor == "slurm-array":
        return start_array(args)
    number, total = args.part
    how = Sharing(Part(number, total), args.lease, args.case_time)
    done = run_part(
        job,
        manifest,
        sharing=how,
        watching=lambda total: watching(total, args.quiet, args.debug, time.monotonic),
    )
    if not args.quiet:
        say(done, str(job.output / REPORT))
    return PARTLY_FAILED if done.refused else 0


def start_array(args: argparse.Namespace) -> int:
    """Print the script of an array job, or submit it."""
    words = [sys.executable, "-m", "prosect", *worker_words(args.words)]
    script = array_script(words, args.tasks, args.sbatch)
    if args.submit:
        open_console().print(f"job {submit(script)}: {args.tasks} tasks; prosect cohort status shows how far they are")
    else:
        print(script, end="")
    return 0


def worker_words(words: Sequence[str]) -> list[str]:
    """Return a command without the flags that say who starts the workers."""
    kept: list[str] = []
    skip = 0
    for word in words:
        flag, equals, _ = word.partition("=")
        if flag in OWN_FLAGS:
            skip = 0 if equals else OWN_FLAGS[flag]
            continue
        # A flag that takes any number of words ends at the next flag.
        if skip < 0 and not word.startswith("-"):
            continue
        if skip > 0:
            skip -= 1
            continue
        skip = 0
        kept.append(word)
    return kept


def say(done: PartRun, report_file: str) -> None:
    """Print what became of the scans."""
    console = open_console()
    refused = [row for row in done.report["cases"] if row["state"] == "refused"]
    for row in refused[:REFUSED_SHOWN]:
        console.print(f"refused: {row['case']} [{row['code']}] {row['message']}")
    if len(refused) > REFUSED_SHOWN:
        console.print(f"and {len(refused) - REFUSED_SHOWN} more")
    counts = done.report["counts"]
    left = f", {counts['left']} left" if counts["left"] else ""
    console.print(f"all workers: {counts['done']} scans done, {counts['refused']} refused{left}")
    if done.finished:
        console.print(report_file)
    else:
        console.print("all workers were asked to leave; see prosect cohort status")
