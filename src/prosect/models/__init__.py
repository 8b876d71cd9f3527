"""Models ready for use, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, overload

import torch

from prosect.checkpoints.catalog import Entry, locate, members, segmenter
from prosect.checkpoints.exhaustion import refuse_exhaustion_of_loading
from prosect.checkpoints.files import read_weights
from prosect.checkpoints.fitting import network_of
from prosect.models.devices import device_named
from prosect.models.family import FAMILIES
from prosect.models.model_set import ModelSet, set_of
from prosect.models.protocols import (
    Finds,
    FindsAndTakesClicks,
    Learns,
    LoadedModel,
    Model,
    RunsEngines,
    TakesClicks,
    Withholds,
    require_both,
    require_clicks,
    require_coarser,
    require_engines,
    require_finds,
    require_learns,
)
from prosect.models.sam_med3d import SamMed3DModel
from prosect.models.vista3d import Vista3DModel

__all__ = [
    "Finds",
    "Learns",
    "LoadedModel",
    "Model",
    "ModelSet",
    "TakesClicks",
    "device_named",
    "load",
    "require_clicks",
    "require_finds",
    "require_learns",
]


@overload
def load(
    name: Literal["sam-med3d"],
    weights: str | Path | None = None,
    device: str = "auto",
    profile: str = "prosect",
    ema: bool = False,
    fast: bool = False,
    keep_all: bool = False,
    engine: str = "auto",
    precision: str = "auto",
) -> SamMed3DModel: ...


@overload
def load(
    name: None = None,
    weights: None = None,
    device: str = "auto",
    profile: str = "prosect",
    ema: bool = False,
) -> FindsAndTakesClicks: ...


@overload
def load(
    name: Literal["prosect-small", "prosect-torso", "vista3d", "vista3d-ctmr"],
    weights: None = None,
    device: str = "auto",
    profile: str = "prosect",
    ema: bool = False,
    fast: bool = False,
    keep_all: bool = False,
    engine: str = "auto",
    precision: str = "auto",
) -> Vista3DModel: ...


@overload
def load(
    name: str | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    profile: str = "prosect",
    ema: bool = False,
    fast: bool = False,
    keep_all: bool = False,
    engine: str = "auto",
    precision: str = "auto",
) -> LoadedModel: ...


@refuse_exhaustion_of_loading()
def load(
    name: str | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    profile: str = "prosect",
    ema: bool = False,
    fast: bool = False,
    keep_all: bool = False,
    engine: str = "auto",
    precision: str = "auto",
) -> LoadedModel:
    """Return a model ready to segment, or to be clicked with.

    Where the name leaves open what the model can do, ask it once: `require_finds`, `require_clicks` and
    `require_learns` return it as one that can, or refuse.

    Args:
        name: `prosect-small` or `prosect-torso` (shipped), `vista3d`, `vista3d-ctmr`, or `sam-med3d`, which answers
            clicks only. Names joined by `+` are models that answer as one, see `ModelSet`. None are all that are
            shipped, or where `weights` are given that do not say what they are, `sam-med3d` or `vista3d`.
        weights: A weights file of any official layout, or one of ours; None takes the installed ones. Width and depth
            are read from it.
        device: `auto`, `cpu`, `gpu`, `cuda`, `cuda:N`, `gpu:N` or `mps`.
        profile: `prosect`, `bundle` (VISTA3D only) or `research`.
        ema: Of a file that holds a running average of its weights beside them, take the average. A warning says which
            was taken.
        fast: Run on a coarser grid, where the model allows it: several times as fast, and less exact.
        keep_all: Keep what cannot be in a scan, too, such as a larynx in an abdomen.
        engine: How a VISTA3D runs: `modules`, `fast`, `openvino`, or `auto`, the fastest of those that are installed.
        precision: In what a VISTA3D multiplies: `float32`, `bfloat16`, or `auto`, which is bfloat16 on a GPU only.

    Raises:
        CheckpointError: The model is unknown, or its weights are missing, unsafe, damaged or another network's; models
            that cannot answer as one.
        PromptError: The profile is unknown.
        ResourceError: The device is not there, or its memory or the computer's is not sufficient (`GPU_MEMORY`,
            `MEMORY_EXHAUSTED`); the engine or precision is not (`ENGINE_MISSING`, `PRECISION_MISSING`).
    """
    model = load_members(name, weights, device_named(device), profile, ema)
    if isinstance(model, RunsEngines) or (engine, precision) != ("auto", "auto"):
        model = require_engines(model).running(engine, precision)
    if fast:
        model = require_coarser(model).coarser()
    if keep_all:
        return keeping_all(model)
    return model


def load_members(
    name: str | None, weights: str | Path | None, device: torch.device, profile: str, ema: bool
) -> LoadedModel:
    """Return the model of a name or of weights, or several that answer as one; see `load` and `load_one`."""
    if weights is None:
        entries = members(name)
    else:
        entries = (segmenter(name),)
    # Refused before the weights are read, which takes seconds.
    for entry in entries:
        FAMILIES[entry.network].check_profile(profile)
    if len(entries) == 1:
        return load_one(name, entries[0], weights, device, profile, ema)
    loaded = []
    for each in entries:
        loaded.append(require_both(load_one(each.name, each, None, device, profile, ema)))
    return set_of(loaded, [each.dice for each in entries])


def load_one(
    name: str | None, entry: Entry, weights: str | Path | None, device: torch.device, profile: str, ema: bool
) -> LoadedModel:
    """Return one model.

    Args:
        name: As it was given; without one, weights say themselves what they are.
        entry: The catalogue's entry of that name.
        weights: A file; None for the installed one.
        device: Where it runs.
        profile: One of its family's.
        ema: As in `load`.
    """
    raw = read_weights(weights if weights is not None else locate(entry.name), ema)
    said = name or raw.metadata.get("base") or raw.metadata.get("model")
    base = segmenter(said or FAMILIES[network_of(raw)].standard)
    return FAMILIES[base.network].load(base, raw, device, profile)


def keeping_all(model: LoadedModel) -> LoadedModel:
    """Return a model that withholds nothing; one that never does is that already."""
    if isinstance(model, Withholds):
        return model.keeping_all()
    return model
