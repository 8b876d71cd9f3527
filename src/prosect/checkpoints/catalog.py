"""The models prosect knows by name: where their weights come from, under which licence, and where they lie here.

They are listed in `catalog.toml`. The only module below the command line that reads environment variables. Nothing here
loads torch or reads weights; `checkpoints.keeping` takes weights over, checks and fetches them.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from prosect.errors import CheckpointError

__all__ = [
    "CATALOG",
    "JOIN",
    "Entry",
    "default_name",
    "entry",
    "installed",
    "locate",
    "members",
    "place_of",
    "read_catalog",
    "segmenter",
    "weights_folder",
]

JOIN = "+"  # between the names of models that answer as one


@dataclass(frozen=True)
class FastCost:
    """What a coarser grid (`--fast`) costs on validation scans.

    Attributes:
        scans: How many.
        dice: Mean Dice over scans and structures on the model's grid.
        fast_dice: The same on the coarser grid.
    """

    scans: int
    dice: float
    fast_dice: float


@dataclass(frozen=True)
class Entry:
    """One model known by name.

    Attributes:
        name: What `load` and `-m` take.
        summary: One line for people.
        vocabulary: Name of its vocabulary; empty for an encoder, which segments nothing by itself.
        network: Which network the weights belong to: `vista3d`, `sam-med3d` or `sam`.
        window: Shape of a window the weights were trained with.
        least_window: The smallest window that answers as well, where that was measured.
        spacing_mm: Working spacing.
        intensity: Kind, low and high of the intensity scaling (SAM-Med3D: of CT only); see `prosect.case.Intensity`.
        everything: The vocabulary's list segmented when no class is named.
        licence: Licence of the weights.
        url: Official public location; empty for weights that come with the package.
        shipped: Name of the file inside the package; empty for others.
        automatic_only: Its interactive branch must not be offered.
        no_classes: Why it segments nothing by itself; empty where it does.
        dice: Mean Dice on validation by structure, as its model card has it; decides which of several models finds
            what both know.
        fast_cost: What a coarser grid costs; None where nobody measured it.
        air_filled: Structures whose outline follows the air of a CT.
        click_scales: Working spacings at which clicks may be answered: what differs from `prosect.inference.scales`.
        appearance: Where intensities count beside the network: what differs from `prosect.inference.appearance`. None
            where they do not.
        lasting: Where the answer before the last click lasts: what differs from `prosect.inference.lasting`. None
            where it does not.
    """

    name: str
    summary: str
    vocabulary: str = ""
    network: str = "vista3d"
    window: tuple[int, int, int] = (128, 128, 128)
    least_window: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 1.5)
    intensity: tuple[str, float, float] = ("window", -963.8247715525971, 1053.678477684517)
    everything: str | None = None
    licence: str = ""
    url: str = ""
    shipped: str = ""
    automatic_only: bool = False
    no_classes: str = ""
    dice: Mapping[str, float] = field(default_factory=dict)
    fast_cost: FastCost | None = None
    air_filled: tuple[str, ...] = ()
    click_scales: Mapping[str, Any] = field(default_factory=dict)
    appearance: Mapping[str, Any] | None = None
    lasting: Mapping[str, Any] | None = None


def read_catalog(text: str) -> tuple[dict[str, Entry], str]:
    """Return the entries by name that a catalogue lists, and the name of its default.

    Args:
        text: TOML: `default`, and under `model` one table per entry, whose keys are the fields of `Entry`.

    Raises:
        TypeError: A key is none of the fields.
        KeyError: The default is none of the entries.
    """
    found = tomllib.loads(text)
    entries = {}
    for name, row in found["model"].items():
        values: dict[str, Any] = dict(row)
        for key in ("window", "least_window", "spacing_mm", "intensity", "air_filled"):
            if key in values:
                values[key] = tuple(values[key])
        if "fast_cost" in values:
            values["fast_cost"] = FastCost(**values["fast_cost"])
        entries[name] = Entry(name, **values)
    return entries, entries[found["default"]].name


CATALOG, DEFAULT = read_catalog((resources.files("prosect") / "checkpoints" / "catalog.toml").read_text("utf-8"))


def default_name() -> str:
    """Return what answers where no model is named: the names of all that are shipped, joined."""
    return JOIN.join(each.name for each in CATALOG.values() if each.shipped)


def members(name: str | None) -> tuple[Entry, ...]:
    """Return the entries of models that answer as one: those of a joined name such as `a+b`, or all that are shipped.

    Raises:
        CheckpointError: There is no model of that name, or it is an encoder (`MODEL_UNKNOWN`).
    """
    # Each once: a model beside itself would add nothing.
    names = dict.fromkeys((name or default_name()).split(JOIN))
    return tuple(segmenter(each) for each in names)


def entry(name: str | None) -> Entry:
    """Return the entry of one model; None is the shipped one that trainings begin with and that clicks are asked of.

    Raises:
        CheckpointError: There is no model of that name (`MODEL_UNKNOWN`).
    """
    if name is None:
        return CATALOG[DEFAULT]
    found = CATALOG.get(name)
    if found is None:
        raise CheckpointError(f"There is no model '{name}'; known are {', '.join(CATALOG)}.", code="MODEL_UNKNOWN")
    return found


def segmenter(name: str | None) -> Entry:
    """Return the entry of one model that segments; None is that of `entry`.

    Raises:
        CheckpointError: There is no model of that name, or it is an encoder (`MODEL_UNKNOWN`).
    """
    found = entry(name)
    if not found.vocabulary:
        raise CheckpointError(
            f"'{name}' is an image encoder and segments nothing by itself; it is for 'prosect supervoxels --encoder "
            f"{name}'.",
            code="MODEL_UNKNOWN",
        )
    return found


def weights_folder() -> Path:
    """Return where imported weights lie: `PROSECT_WEIGHTS_DIR`, else the user's data folder."""
    if chosen := os.environ.get("PROSECT_WEIGHTS_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "prosect" / "weights"


def installed() -> list[str]:
    """Return the names of the models whose weights are on this machine."""
    return [name for name in CATALOG if place_of(name) is not None]


def place_of(name: str) -> Path | None:
    """Return where the weights of a model are, or None where they are not on this machine."""
    try:
        return locate(name)
    except CheckpointError:
        return None


def cache_folder() -> Path:
    """Return where is kept what can be found out again: `XDG_CACHE_HOME`, else the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "prosect"


def locate(name: str | None) -> Path:
    """Return the weights file of a model.

    Raises:
        CheckpointError: The weights are not on this machine (`MODEL_NOT_INSTALLED`), or the model is unknown.
    """
    found = entry(name)
    if found.shipped:
        path = Path(str(resources.files("prosect") / "weights" / found.shipped))
    else:
        path = weights_folder() / f"{found.name}.safetensors"
    if not path.is_file() and found.shipped:
        raise CheckpointError(
            f"The weights of '{found.name}' are part of prosect but missing from this installation. Install it again.",
            code="MODEL_NOT_INSTALLED",
        )
    if not path.is_file():
        raise CheckpointError(
            f"The weights of '{found.name}' are not on this machine. Pass a file with -w, take one over with "
            f"'prosect weights import FILE {found.name}', or fetch it with 'prosect weights pull {found.name}'.",
            code="MODEL_NOT_INSTALLED",
        )
    return path
