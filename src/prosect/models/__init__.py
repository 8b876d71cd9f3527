"""Models ready for use, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from prosect.case import Intensity
from prosect.checkpoints.catalog import Entry, entry, locate
from prosect.checkpoints.files import read_weights
from prosect.checkpoints.fit import fit
from prosect.errors import CheckpointError, ResourceError
from prosect.models.spec import ModelSpec
from prosect.models.spec import profile as _profile
from prosect.models.vista3d import Vista3DModel
from prosect.vocabulary import Vocabulary
from prosect.vocabulary import load as load_vocabulary

__all__ = ["load"]

HINT = "this model was not trained for it; load official VISTA3D weights with -w"


def load(
    name: str | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    profile: str = "prosect",
) -> Vista3DModel:
    """Return a model ready to segment.

    Args:
        name: `prosect-small` (shipped), `vista3d` or `vista3d-ctmr`; None is the shipped model, or `vista3d` where
            `weights` are given that do not say what they are.
        weights: A weights file of any official layout, or one of ours; None takes the installed ones. Width and depth
            are read from it.
        device: `auto`, `cpu`, `gpu`, `cuda`, `cuda:N`, `gpu:N` or `mps`.
        profile: `prosect`, `bundle` or `research`.

    Raises:
        CheckpointError: The model is unknown, or its weights are missing, unsafe, damaged or another network's.
        PromptError: The profile is unknown.
        ResourceError: The device is not there.
    """
    chosen = _profile(profile)
    placed = _device(device)
    if weights is None:
        entry(name)
    raw = read_weights(weights if weights is not None else locate(name))
    network, report = fit(raw)
    if not report.architecture.automatic:
        raise CheckpointError(
            "These weights have no automatic branch, so there is nothing to segment with.", code="MODEL_WRONG_NETWORK"
        )
    base = entry(name or raw.metadata.get("model") or "vista3d")
    spec = _spec(base, raw.metadata, report.sha256, report.architecture.classes)
    return Vista3DModel(network.to(placed), spec, chosen, placed)


def _spec(base: Entry, metadata: Mapping[str, Any], sha256: str, rows: int) -> ModelSpec:
    """Return the specification from the catalog, overridden by what the file says about itself."""
    said = metadata.get("preprocessing", {})
    intensity = said.get("intensity", dict(zip(("kind", "low", "high"), base.intensity, strict=True)))
    vocabulary, everything = _vocabulary(base, metadata, rows)
    return ModelSpec(
        name=str(metadata.get("model", base.name)),
        vocabulary=vocabulary,
        spacing_mm=_three(said.get("spacing_mm", base.spacing_mm)),
        patch=_three(said.get("patch", base.patch)),
        intensity=Intensity(**intensity),
        everything=everything,
        exclusive=tuple(int(index) for index in metadata.get("exclusive", ())),
        largest_ml={int(index): float(ml) for index, ml in metadata.get("largest_ml", {}).items()},
        licence=str(metadata.get("licence", base.licence)),
        weights_sha256=sha256,
        automatic_only=base.automatic_only,
    )


def _vocabulary(base: Entry, metadata: Mapping[str, Any], rows: int) -> tuple[Vocabulary, str | None]:
    """Return the vocabulary, restricted to the trained classes where the file lists them, and its everything list."""
    vocabulary = load_vocabulary(str(metadata.get("vocabulary", base.vocabulary)))
    trained = metadata.get("classes")
    if trained is None:
        if rows <= max(s.index for s in vocabulary if s.status == "supported"):
            raise CheckpointError(
                f"The weights have {rows} class rows, too few for the vocabulary '{vocabulary.name}'.",
                code="MODEL_WRONG_NETWORK",
            )
        return vocabulary, base.everything
    return vocabulary.restrict(trained, HINT, everything="TRAINED"), "TRAINED"


def _three(values: Any) -> Any:
    a, b, c = values
    return a, b, c


def _device(name: str) -> torch.device:
    """Return a device by the names users of other tools know.

    Raises:
        ResourceError: The device is not on this machine (`DEVICE_MISSING`).
    """
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
