"""`prosect supervoxels`: a scan in, its supervoxels out."""

from __future__ import annotations

import argparse
from typing import Any

from prosect.cli.choices import scan_of
from prosect.cli.console import open_console
from prosect.cli.progress import counting
from prosect.jobs.supervoxels import SupervoxelsJob
from prosect.labelmap import LabelMap

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Cut one scan and return 0; what can be refused is refused before the encoder is loaded."""
    job = job_of(args)
    if args.dry_run:
        print(job.plan())
        return 0
    with counting("encoding", args.quiet) as watch:
        done = job.run(watch=watch)
    if not args.quiet:
        report(done.labels)
        for path in done.files:
            open_console().print(str(path))
    return 0


def job_of(args: argparse.Namespace) -> SupervoxelsJob:
    """Return what the flags ask for."""
    return SupervoxelsJob(
        input=scan_of(args),
        output=args.output,
        encoder=args.encoder,
        weights=args.weights,
        segments=args.segments,
        device=args.device,
        preview=args.preview,
        overwrite=args.overwrite,
    )


def report(labels: LabelMap) -> None:
    """Print how many there are, on which grid they were cut, and what it took."""
    how: Any = labels.provenance
    spacing = " x ".join(f"{mm:.2f}" for mm in how["working_spacing_mm"])
    seconds = how["seconds"]
    console = open_console()
    console.print(f"{len(labels.present)} supervoxels by {how['supervoxels']['encoder']}, cut on cells of {spacing} mm")
    console.print(f"features {seconds['features']:.1f} s, cutting {seconds['cut']:.1f} s")
