"""Segmenting in one call: the job that the command line makes, made from Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import prosect
from prosect.jobs.inputs import ModelChoice, ScanInput
from prosect.jobs.job import job_error
from prosect.jobs.segment import SegmentJob
from prosect.labelmap import LabelLayers, LabelMap
from prosect.models import Finds
from prosect.progress_bar import bar
from prosect.results import request_for
from prosect.volume import Volume

__all__ = ["segment"]


def segment(
    scan: str | os.PathLike[str] | Volume | object,
    classes: str | Sequence[str] | None = None,
    *,
    model: str | Finds | None = None,
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    overlap: bool = False,
    fast: bool = False,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> LabelMap | LabelLayers:
    """Return the labels of a scan on its own grid, as `prosect segment` makes them.

    `provenance` says which models answered and what was withheld, and under `report` warnings, seconds and files.

    Args:
        scan: A path (NIfTI, NRRD, MetaImage, DICOM), a scan that was read, or what else `prosect.read` takes.
        classes: A name, or names, of structures and groups; None for everything that the model finds.
        model: A model's name, or one that was loaded; None for all that ship, answering as one.
        weights: A weights file; not beside a loaded model.
        device: As in `prosect.load`; a loaded model has its own.
        overlap: One layer per structure, so that none hides another.
        fast: Run on a coarser grid; not beside a loaded model.
        output: A label file or folder that is written, too, as by `-o`.
        overwrite: Whether results that exist may be replaced.
        progress: Draw a bar in terminals and notebooks.

    Raises:
        ProsectError: Scan, model, structures or output cannot be used; refused before a model is loaded.
    """
    path = Path(scan) if isinstance(scan, str | os.PathLike) else None
    choice, loaded = chosen_model(model, weights, device, fast)
    request = None if output is None else request_for(output, overlap=overlap)
    job = SegmentJob(ScanInput(path), names_of(classes), overlap, choice, request, overwrite)
    watch = bar("segmenting") if progress else None
    done = job.run(loaded, None if path is not None else scan_of(scan), watch=watch)
    files = [str(file) for file in done.files]
    facts = {"warnings": list(done.warnings), "seconds": dict(done.stopwatch.seconds), "files": files}
    return replace(done.labels, provenance={**done.labels.provenance, "report": facts})


def chosen_model(
    model: str | Finds | None, weights: str | os.PathLike[str] | None, device: str, fast: bool
) -> tuple[ModelChoice, Finds | None]:
    """Return which model is asked, and the model itself where it is loaded already.

    Raises:
        UsageError: How a model is loaded is said beside one that is (`JOB_INVALID`).
    """
    if weights is None:
        place = None
    else:
        place = Path(weights)
    if model is None or isinstance(model, str):
        return ModelChoice(model, place, device=device, fast=fast), None
    if place is not None or fast:
        raise job_error("`weights` and `fast` choose how a model is loaded; leave them out beside one that is loaded.")
    return ModelChoice(device=device), model


def names_of(classes: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return names of structures as a job takes them; None for everything."""
    if classes is None:
        return None
    if isinstance(classes, str):
        return (classes,)
    return tuple(classes)


def scan_of(given: object) -> Volume:
    """Return a scan that was given as one, or as an image of another library.

    Raises:
        ProsectError: See `prosect.read`.
    """
    if isinstance(given, Volume):
        return given
    return prosect.read(given)
