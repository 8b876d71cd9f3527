"""`prosect segment` of a folder by many workers: as one of them, or as who starts them; and of an object store."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prosect.cli.arguments.executors import OWN_FLAGS
from prosect.cli.cohort_progress import say_refused, watching
from prosect.cli.console import open_console
from prosect.cohort.inputs import scans_of
from prosect.cohort.manifest import Manifest
from prosect.cohort.running import REPORT
from prosect.cohort.running_part import Sharing, refuse_shared, run_part
from prosect.cohort.sharing import Part
from prosect.cohort.slurm import array_script, submit
from prosect.cohort.store import own_worker_name
from prosect.errors import UsageError
from prosect.jobs.cohort import CohortJob, is_address
from prosect.jobs.segment import utc_now
from prosect.lazy import lazy_module

if TYPE_CHECKING:
    from prosect.cohort import bucket, objects, ray_actors
else:
    bucket = lazy_module("prosect.cohort.bucket")
    objects = lazy_module("prosect.cohort.objects")
    ray_actors = lazy_module("prosect.cohort.ray_actors")

__all__ = ["run_objects", "run_shared", "worker_words"]

PARTLY_FAILED = 4


def run_shared(args: argparse.Namespace, job: CohortJob, manifest: Manifest) -> int:
    """Do what the executor is for, and return the exit status."""
    refuse_shared(job, manifest)
    if args.executor == "slurm-array":
        return start_array(args)
    if args.executor == "ray":
        return start_actors(args, job, manifest)
    how = sharing_of(args)
    done = run_part(
        job,
        manifest,
        sharing=how,
        watching=lambda total: watching(total, args.quiet, args.debug, time.monotonic),
    )
    if not args.quiet:
        say(done.report, done.finished, str(job.output / REPORT))
    if done.refused:
        return PARTLY_FAILED
    return 0


def sharing_of(args: argparse.Namespace) -> Sharing:
    """Return how a worker shares the cohort; without `--part` it does all cases first."""
    number, total = args.part or (1, 1)
    return Sharing(Part(number, total), args.lease, args.case_time, slots=args.at_once, together=args.batch_scans)


def start_actors(args: argparse.Namespace, job: CohortJob, manifest: Manifest) -> int:
    """Do the whole cohort with actors of Ray, and return the exit status."""
    asked = ray_actors.RayTasks(args.tasks, args.cpus_per_task, args.gpus_per_task, args.ray_address)
    how = sharing_of(args)
    with watching(len(manifest.scans), args.quiet, args.debug, time.monotonic) as watch:
        ray_actors.run_ray(job, manifest, asked, how, watch=watch.outcome)
    report = json.loads((job.output / REPORT).read_text("ascii"))
    if not args.quiet:
        say(report, True, str(job.output / REPORT))
    if report["counts"]["refused"]:
        return PARTLY_FAILED
    return 0


def run_objects(args: argparse.Namespace, job_of: Callable[[argparse.Namespace], CohortJob]) -> int:
    """Do a cohort whose scans or results lie in an object store, and return the exit status.

    Raises:
        UsageError: An executor that cannot (`USAGE`).
    """
    if args.executor == "ray":
        raise UsageError("--executor ray needs folders; for an object store give --part on each machine.")
    if args.executor == "slurm-array":
        return start_array(args)
    how = sharing_of(args)
    with tempfile.TemporaryDirectory(prefix="prosect-") as name:
        scratch = Path(name)
        source: objects.ObjectSource | None = None
        if is_address(args.input):
            source = objects.ObjectSource(bucket.connect(str(args.input)))
            manifest = objects.find_objects(source.bucket, scratch / "scans")
        else:
            found = scans_of(args.input, scratch / "work", output_is_folder=True)
            if found is None:
                raise UsageError(f"{args.output}: give a folder or a list of scans for results in an object store.")
            manifest = found
        job, store = job_of(args), None
        if is_address(args.output):
            worker = own_worker_name(utc_now())
            store = objects.ObjectStore(bucket.connect(str(args.output)), worker, scratch / "work", args.lease)
            job = replace(job, output=scratch / "work")
        done = run_part(
            job, manifest, store, None, how, source,
            watching=lambda total: watching(total, args.quiet, args.debug, time.monotonic),
        )  # fmt: skip
    if not args.quiet:
        say(done.report, done.finished, f"{args.output}/{REPORT}")
    if done.refused:
        return PARTLY_FAILED
    return 0


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
            if equals:
                skip = 0
            else:
                skip = OWN_FLAGS[flag]
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


def say(report: Mapping[str, Any], finished: bool, report_file: str) -> None:
    """Print what became of the scans."""
    console = open_console()
    say_refused(report["cases"])
    counts = report["counts"]
    left = ""
    if counts["left"]:
        left = f", {counts['left']} left"
    console.print(f"all workers: {counts['done']} scans done, {counts['refused']} refused{left}")
    if finished:
        console.print(report_file)
    else:
        console.print("all workers were asked to leave; see prosect cohort status")
