"""Models ready for use, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, overload

import torch

from prosect.checkpoints.catalog import NO_CLASSES, Entry, locate, segmenter
from prosect.checkpoints.files import RawWeights, read_weights
from prosect.checkpoints.fit import fit
from prosect.checkpoints.fit_sam_med3d import fit_sam_med3d, is_sam_med3d
from prosect.checkpoints.layouts import canonical
from prosect.errors import CheckpointError, ResourceError
from prosect.models.metadata import preprocessing_of, spec_of
from prosect.models.sam_med3d import SamMed3DModel, click_profile
from prosect.models.spec import ModelSpec
from prosect.models.spec import profile as _profile
from prosect.models.vista3d import Vista3DModel
from prosect.vocabulary import load as load_vocabulary

__all__ = ["Model", "device_named", "load"]

Model = Vista3DModel | SamMed3DModel


@overload
def load(
    name: Literal["sam-med3d"], weights: str | Path | None = None, device: str = "auto", profile: str = "prosect"
) -> SamMed3DModel: ...


@overload
def load(
    name: str | None = None, weights: str | Path | None = None, device: str = "auto", profile: str = "prosect"
) -> Model: ...


def load(
    name: str | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    profile: str = "prosect",
) -> Model:
    """Return a model ready to segment, or to be clicked with.

    Args:
        name: `prosect-small` (shipped), `vista3d`, `vista3d-ctmr`, or `sam-med3d`, which answers clicks only; None is
            the shipped model, or where `weights` are given that do not say what they are, `sam-med3d` or `vista3d`.
        weights: A weights file of any official layout, or one of ours; None takes the installed ones. Width and depth
            are read from it.
        device: `auto`, `cpu`, `gpu`, `cuda`, `cuda:N`, `gpu:N` or `mps`.
        profile: `prosect`, `bundle` (VISTA3D only) or `research`.

    Raises:
        CheckpointError: The model is unknown, or its weights are missing, unsafe, damaged or another network's.
        PromptError: The profile is unknown.
        ResourceError: The device is not there.
    """
    placed = device_named(device)
    click_profile(profile) if segmenter(name).network == "sam-med3d" else _profile(profile)
    raw = read_weights(weights if weights is not None else locate(name))
    base = segmenter(name or raw.metadata.get("base") or raw.metadata.get("model") or _recognised(raw))
    if base.network == "sam-med3d":
        return _sam_med3d(base, raw, placed, profile)
    network, report = fit(raw)
    if not report.architecture.automatic:
        raise CheckpointError(
            "These weights have no automatic branch, so there is nothing to segment with.", code="MODEL_WRONG_NETWORK"
        )
    spec = spec_of(base, raw.metadata, report.sha256, report.architecture.classes)
    return Vista3DModel(network.to(placed), spec, _profile(profile), placed)


def _recognised(raw: RawWeights) -> str:
    """Return the model that weights belong to that do not say so."""
    return "sam-med3d" if is_sam_med3d(canonical(raw.tensors).tensors) else "vista3d"


def _sam_med3d(base: Entry, raw: RawWeights, device: torch.device, profile: str) -> SamMed3DModel:
    """Return a SAM-Med3D; it knows structures by name, but none as a class."""
    chosen = click_profile(profile)
    network, report = fit_sam_med3d(raw)
    words = load_vocabulary(str(raw.metadata.get("vocabulary", base.vocabulary))).restrict((), NO_CLASSES)
    crop = report.architecture.crop
    spec = ModelSpec(
        name=str(raw.metadata.get("model", base.name)),
        vocabulary=words,
        patch=(crop, crop, crop),
        licence=str(raw.metadata.get("licence", base.licence)),
        weights_sha256=report.sha256,
        **preprocessing_of(base, raw.metadata),
    )
    return SamMed3DModel(network.to(device), spec, chosen, device)


def device_named(name: str) -> torch.device:
    """Return a device by the names users of other tools know.

    Raises:
        ResourceError: The device is not on this machine (`DEVICE_MISSING`).
    """
    name = str(name)  # a torch.device says its own name
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wanted = name.replace("gpu", "cuda")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ResourceError(f"'{name}' is no device; use cpu, gpu, gpu:N or mps.", code="DEVICE_MISSING") from error
    present = {"cpu": True, "mps": torch.backends.mps.is_available()}
    available = present.get(device.type, device.type == "cuda" and torch.cuda.is_available())
    if not available or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise ResourceError(f"This machine has no device '{name}'. Use --device cpu.", code="DEVICE_MISSING")
    return device
