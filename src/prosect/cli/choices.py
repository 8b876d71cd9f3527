"""What the flags choose that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from prosect import jobs, vocabulary
from prosect.checkpoints import catalog
from prosect.cli.arguments.tasks import LISTS, TASKS, TOTAL
from prosect.data.labels import TOLERANCE_MM
from prosect.io.dicom.choices import DicomChoices
from prosect.jobs import ModelChoice, ScanInput

if TYPE_CHECKING:
    from prosect.jobs.lists import ListInput

__all__ = ["classes_of", "classes_of_task", "dicom_of", "list_of", "model_of", "scan_of", "tolerance_of"]


def classes_of(args: argparse.Namespace) -> tuple[str, ...] | None:
    """Return the structures that the flags name, one by one or as a set; None for everything."""
    if args.roi_subset is not None:
        return tuple(args.roi_subset)
    return classes_of_task(getattr(args, "task", TOTAL))


def classes_of_task(task: str) -> tuple[str, ...] | None:
    """Return the structures of a set of TotalSegmentator's name; None for everything."""
    if task == TOTAL:
        return None
    if task in TASKS:
        return TASKS[task]
    name, model = LISTS[task]
    words = vocabulary.load(catalogue_vocabulary(model))
    return tuple(words[index].name for index in words.everything(name))


def catalogue_vocabulary(model: str) -> str:
    """Return the name of a model's vocabulary."""
    return str(catalog.segmenter(model).vocabulary)


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


def dicom_of(args: argparse.Namespace) -> DicomChoices:
    """Return how the flags say that DICOM results are written."""
    return DicomChoices(args.seg_encoding, args.deidentify, args.seg_compression, args.rt_tolerance)


def model_of(args: argparse.Namespace) -> ModelChoice:
    """Return the model that the flags name."""
    fast, keep_all = getattr(args, "fast", False), getattr(args, "keep_all", False)
    engine, precision = getattr(args, "engine", "auto"), getattr(args, "precision", "auto")
    return ModelChoice(args.model, args.weights, args.profile, args.device, fast, keep_all, engine, precision)


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
    if args.tolerance_mm is None:
        return TOLERANCE_MM
    return float(args.tolerance_mm)
