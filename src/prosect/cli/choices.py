"""What the flags choose that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from prosect import jobs
from prosect.data.labels import TOLERANCE_MM
from prosect.jobs import ModelChoice, ScanInput

if TYPE_CHECKING:
    from prosect.jobs.lists import ListInput

__all__ = ["classes_of", "list_of", "model_of", "scan_of", "tolerance_of"]


def classes_of(args: argparse.Namespace) -> tuple[str, ...] | None:
    """Return the structures that the flags name; None for everything."""
    return None if args.roi_subset is None else tuple(args.roi_subset)


def scan_of(args: argparse.Namespace) -> ScanInput:
    """Return the scan that the flags name, and how it is read."""
    return ScanInput(
        args.input,
        args.series,
        args.volume,
        getattr(args, "phantom", None),
        args.modality,
        args.nan_as,
        args.assume_orientation,
        args.regularise,
    )


def model_of(args: argparse.Namespace) -> ModelChoice:
    """Return the model that the flags name."""
    return ModelChoice(args.model, args.weights, args.profile, args.device)


def list_of(args: argparse.Namespace, path: Path) -> ListInput:
    """Return the data list at a path, read as the flags say."""
    return jobs.ListInput(
        path=path,
        root=args.root,
        pseudo_root=args.pseudo_root,
        supervoxel_root=args.supervoxel_root,
        dataset=args.dataset,
        pairs=tuple(args.map),
        mapping=args.mapping,
        tolerance_mm=tolerance_of(args),
    )


def tolerance_of(args: argparse.Namespace) -> float:
    """Return how far label voxels may lie from the scan's, in millimetres."""
    return TOLERANCE_MM if args.tolerance_mm is None else float(args.tolerance_mm)
