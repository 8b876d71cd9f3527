"""The models prosect knows by name: where their weights come from, under which licence, and where they lie here.

They are listed in `catalog.toml`. The only module below the command line that reads environment variables. Nothing is
fetched unless `pull` is called.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import tomllib
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from prosect.checkpoints.files import read_weights, write_weights
from prosect.checkpoints.fitting import FITTINGS, Report
from prosect.errors import CheckpointError

__all__ = [
    "CATALOG",
    "JOIN",
    "Entry",
    "default_name",
    "entry",
    "import_weights",
    "locate",
    "members",
    "pull",
    "read_catalog",
    "segmenter",
    "verify",
    "weights_folder",
]

Fetch = Callable[[str, Path], None]
JOIN = "+"  # between the names of models that answer as one


@dataclass(frozen=True)
class Entry:
    """One model known by name.

    Attributes:
        name: What `load` and `-m` take.
        summary: One line for people.
        vocabulary: Name of its vocabulary; empty for an encoder, which segments nothing by itself.
        network: Which network the weights belong to: `vista3d`, `sam-med3d` or `sam`.
        patch: Window the weights were trained with.
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
        click_scales: Working spacings at which clicks may be answered: what differs from `prosect.inference.scales`.
    """

    name: str
    summary: str
    vocabulary: str = ""
    network: str = "vista3d"
    patch: tuple[int, int, int] = (128, 128, 128)
    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 1.5)
    intensity: tuple[str, float, float] = ("window", -963.8247715525971, 1053.678477684517)
    everything: str | None = None
    licence: str = ""
    url: str = ""
    shipped: str = ""
    automatic_only: bool = False
    no_classes: str = ""
    dice: Mapping[str, float] = field(default_factory=dict)
    click_scales: Mapping[str, Any] = field(default_factory=dict)


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
        for key in ("patch", "spacing_mm", "intensity"):
            if key in values:
                values[key] = tuple(values[key])
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


def import_weights(path: str | Path, name: str, ema: bool = False) -> tuple[Path, Report]:
    """Convert a weights file to ours and keep it under a model's name; return where and what was found.

    Args:
        path: The file.
        name: The model.
        ema: Take the running average that lies in the file beside the weights.

    Raises:
        CheckpointError: The file is unsafe, damaged or another network's, or the model comes with the package.
    """
    found = entry(name)
    if found.shipped:
        raise CheckpointError(f"'{name}' comes with prosect and takes no other weights.", code="MODEL_UNKNOWN")
    raw = read_weights(path, ema)
    said = raw.metadata.get("model", found.name)
    if said != found.name:
        raise CheckpointError(
            f"{Path(path).name}: these are weights of '{said}', not of '{found.name}', and know other structures. Use "
            "them by -w.",
            code="MODEL_WRONG_NETWORK",
        )
    network, report = FITTINGS[found.network].fit(raw)
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {
        "format": 1,
        "model": found.name,
        "vocabulary": found.vocabulary,
        "licence": found.licence,
        "source_sha256": raw.sha256,
        **{key: raw.metadata[key] for key in ("architecture",) if key in raw.metadata},  # what no shape tells
    }
    target = write_weights(folder / f"{found.name}.safetensors", network.state_dict(), metadata)
    return target, report


def verify(name: str) -> Report:
    """Read a model's weights, check their content hash and fit them; return the report.

    Raises:
        CheckpointError: They are missing or damaged.
    """
    _, report = FITTINGS[entry(name).network].fit(read_weights(locate(name)))
    return report


def fetch_https(url: str, target: Path) -> None:
    """Download `url` to `target`. Only https."""
    if urllib.parse.urlsplit(url).scheme != "https":
        raise CheckpointError(f"{url} is not an https address.", code="MODEL_UNKNOWN")
    with urllib.request.urlopen(url, timeout=60) as response, target.open("wb") as file:
        shutil.copyfileobj(response, file, 2**20)


def pull(name: str, fetch: Fetch = fetch_https) -> tuple[Path, str, Report]:
    """Download the official weights of a model and take them over; return where, the download's sha256, the report.

    Raises:
        CheckpointError: The model comes with the package, the download fails, or the file is not what it should be.
    """
    found = entry(name)
    if not found.url:
        raise CheckpointError(f"'{name}' comes with prosect; there is nothing to fetch.", code="MODEL_UNKNOWN")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / Path(urllib.parse.urlsplit(found.url).path).name
        try:
            fetch(found.url, target)
        except OSError as error:
            raise CheckpointError(
                f"The weights of '{name}' could not be fetched from {found.url} ({error}). Download the file by other "
                f"means and run 'prosect weights import FILE {name}'.",
                code="MODEL_DOWNLOAD_FAILED",
            ) from error
        sha256 = hashlib.sha256(target.read_bytes()).hexdigest()
        path, report = import_weights(target, name)
    return path, sha256, report
