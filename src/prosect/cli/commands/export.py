"""`prosect export`: a model for other programs."""

from __future__ import annotations

import argparse

from prosect.bundle.graph import export_onnx, export_torchscript
from prosect.bundle.writing import export_bundle
from prosect.checkpoints import catalog
from prosect.cli.console import open_console
from prosect.jobs import ModelChoice
from prosect.models import require_learns

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Write the export and return 0."""
    name = args.model
    if name is None and args.weights is None:
        name = catalog.entry(None).name
    source = args.weights or catalog.locate(name)
    model = require_learns(ModelChoice(name=name, weights=args.weights, device="cpu").load())
    if args.action == "bundle":
        files = export_bundle(model, args.output, source)
    else:
        write = export_onnx if args.action == "onnx" else export_torchscript
        files = write(model, args.output, None if args.window is None else tuple(args.window))
    for path in files:
        open_console().print(str(path))
    return 0
