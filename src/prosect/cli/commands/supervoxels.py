"""`prosect supervoxels`: a scan in, its supervoxels out."""

from __future__ import annotations

import argparse
from typing import Any

from prosect import results, supervoxels
from prosect.cli.choices import scan_of
from prosect.cli.console import open_console
from prosect.cli.progress import counting
from prosect.errors import FormatError
from prosect.io.formats import WRITTEN_ENDINGS
from prosect.labelmap import LabelMap
from prosect.results import Request

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Cut one scan and return 0; what can be refused is refused before the encoder is loaded."""
    request = None if args.dry_run else request_of(args)
    if request is not None:
        results.refuse(request, args.input, args.overwrite)
    volume = scan_of(args).read()
    if request is None:
        print(supervoxels.plan(volume, supervoxels.planned_encoder(args.encoder, args.weights, args.device)))
        return 0
    results.refuse(request, args.input, args.overwrite, volume.grid)
    generate = supervoxels.generate  # refused here where scikit-image is missing, before anything large is loaded
    encoder = supervoxels.load_encoder(args.encoder, args.weights, args.device)
    with counting("encoding", args.quiet) as watch:
        labels = generate(volume, encoder, args.segments, watch=watch)
    files = results.write(labels, volume, request)
    if not args.quiet:
        report(labels)
        for path in files:
            open_console().print(str(path))
    return 0


def request_of(args: argparse.Namespace) -> Request:
    """Return what is to be written.

    Raises:
        FormatError: The output is no label file (`OUTPUT_FORMAT_UNKNOWN`).
    """
    request = results.request_for(args.output, preview=args.preview)
    if request.is_folder:
        raise FormatError(
            f"{args.output}: supervoxels are one label file; give a name that ends in {', '.join(WRITTEN_ENDINGS)}.",
            code="OUTPUT_FORMAT_UNKNOWN",
        )
    return request


def report(labels: LabelMap) -> None:
    """Print how many there are, on which grid they were cut, and what it took."""
    how: Any = labels.provenance
    spacing = " x ".join(f"{mm:.2f}" for mm in how["working_spacing_mm"])
    seconds = how["seconds"]
    console = open_console()
    console.print(f"{len(labels.present)} supervoxels by {how['supervoxels']['encoder']}, cut on cells of {spacing} mm")
    console.print(f"features {seconds['features']:.1f} s, cutting {seconds['cut']:.1f} s")
