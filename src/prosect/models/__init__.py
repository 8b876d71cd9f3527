"""Models ready for use, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, overload

import torch

from prosect.case import Intensity
from prosect.checkpoints.catalog import NO_CLASSES, Entry, locate, segmenter
from prosect.checkpoints.files import RawWeights, read_weights
from prosect.checkpoints.fit import fit
from prosect.checkpoints.fit_sam_med3d import fit_sam_med3d, is_sam_med3d
from prosect.checkpoints.layouts import canonical
from prosect.errors import CheckpointError, ResourceError
from prosect.models.sam_med3d import SamMed3DModel, click_profile
from prosect.models.spec import ModelSpec, with_structures
from prosect.models.spec import profile as _profile
from prosect.models.vista3d import Vista3DModel
from prosect.vocabulary import Vocabulary
from prosect.vocabulary import load as load_vocabulary
from prosect.vocabulary.rows import structure_of

__all__ = ["Model", "device_named", "load"]

Model = Vista3DModel | SamMed3DModel

HINT = "this model was not trained for it; load official VISTA3D weights with -w"


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
    spec = _spec(base, raw.metadata, report.sha256, report.architecture.classes)
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
        **_preparation(base, raw.metadata),
    )
    return SamMed3DModel(network.to(device), spec, chosen, device)


def _preparation(base: Entry, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return working spacing and intensities: the catalog's, overridden by what the file says about itself."""
    said = metadata.get("preprocessing", {})
    intensity = said.get("intensity", dict(zip(("kind", "low", "high"), base.intensity, strict=True)))
    return {"spacing_mm": _three(said.get("spacing_mm", base.spacing_mm)), "intensity": Intensity(**intensity)}


def _spec(base: Entry, metadata: Mapping[str, Any], sha256: str, rows: int) -> ModelSpec:
    """Return the specification from the catalog, overridden by what the file says about itself."""
    vocabulary, everything = _vocabulary(base, metadata, rows)
    said = metadata.get("preprocessing", {})
    return ModelSpec(
        name=str(metadata.get("model", base.name)),
        vocabulary=vocabulary,
        patch=_three(said.get("patch", base.patch)),
        click_patch=_three(said["click_patch"]) if "click_patch" in said else None,
        **_preparation(base, metadata),
        everything=everything,
        exclusive=tuple(int(index) for index in metadata.get("exclusive", ())),
        one_piece=tuple(int(index) for index in metadata.get("one_piece", ())),
        largest_ml={int(index): float(ml) for index, ml in metadata.get("largest_ml", {}).items()},
        licence=str(metadata.get("licence", base.licence)),
        weights_sha256=sha256,
        automatic_only=base.automatic_only,
        base=str(metadata.get("base", "")),
    )


def _vocabulary(base: Entry, metadata: Mapping[str, Any], rows: int) -> tuple[Vocabulary, str | None]:
    """Return the vocabulary, restricted to the trained classes where the file lists them, and its everything list."""
    vocabulary = load_vocabulary(str(metadata.get("vocabulary", base.vocabulary)))
    vocabulary = with_structures(vocabulary, [structure_of(row) for row in metadata.get("structures", ())])
    trained = metadata.get("classes")
    if trained is None:
        if rows <= max(s.index for s in vocabulary if s.status == "supported"):
            raise CheckpointError(
                f"The weights have {rows} class rows, too few for the vocabulary '{vocabulary.name}'.",
                code="MODEL_WRONG_NETWORK",
            )
        return vocabulary, base.everything
    if not trained:
        return vocabulary.restrict((), HINT), None
    return vocabulary.restrict(trained, HINT, everything="TRAINED"), "TRAINED"


def _three(values: Any) -> Any:
    a, b, c = values
    return a, b, c


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
