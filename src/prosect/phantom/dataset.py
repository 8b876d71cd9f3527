"""A folder of synthetic cases with a data list in the official form, to train or test on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prosect.errors import OutputError
from prosect.io import write
from prosect.io.atomic import make_folder, write_atomically
from prosect.io.paths import file_name
from prosect.phantom.people import Kind, Spacing, case, structures

__all__ = ["LIST_NAME", "WrittenCase", "case_generator", "write_dataset"]

LIST_NAME = "dataset.json"
FOLDS = 5


@dataclass(frozen=True)
class WrittenCase:
    """One case of a set.

    Attributes:
        name: Its name.
        image: The scan.
        label: Its labels.
        kept: Whether it was already there.
    """

    name: str
    image: Path
    label: Path
    kept: bool


def case_generator(seed: int, kind: Kind, number: int) -> np.random.Generator:
    """Return the generator of one case of a set: it does not depend on how many others there are."""
    return np.random.default_rng([seed, number, len(kind)])


def planned_case(folder: Path, kind: Kind, seed: int, number: int, overwrite: bool) -> WrittenCase:
    """Return where a case of a set lies; it is kept where both of its files are there."""
    name = f"{kind.replace('-', '_')}_{seed}_{number:04d}"
    image, label = folder / "images" / f"{name}.nii.gz", folder / "labels" / f"{name}.nii.gz"
    is_there = image.is_file() and label.is_file()
    return WrittenCase(name, image, label, is_there and not overwrite)


def write_dataset(
    folder: Path,
    count: int,
    *,
    kind: Kind = "torso",
    seed: int = 0,
    spacing_mm: Spacing | None = None,
    lesions: float = 0.3,
    overwrite: bool = False,
    on_case: Callable[[WrittenCase], None] | None = None,
) -> Path:
    """Write `images` and `labels` of synthetic people and the list of them, `dataset.json`; return its path.

    Every case is that of `people.case` with a generator of its own, so that a set with more cases begins with those of
    a smaller one. A case that is already there whole is kept as it is; the list is written last.

    Args:
        folder: Made where it does not exist.
        count: How many cases.
        kind: `torso` or `head-neck`.
        seed: Of the set.
        spacing_mm: Voxel size; drawn for every case by default.
        lesions: Probability of each of up to three lesions in a torso.
        overwrite: Make cases again that are there, and replace a list.
        on_case: Called after every case.

    Raises:
        OutputError: The folder holds a list of other settings (`OUTPUT_EXISTS`), or cannot be written.
        ResourceError: The disk is full.
    """
    settings: dict[str, object] = {"phantom": kind, "seed": seed, "spacing_mm": spacing_mm, "lesions": lesions}
    refuse_other(folder / LIST_NAME, settings, overwrite)
    for part in ("images", "labels"):
        make_folder(folder / part)
    rows: list[dict[str, object]] = []
    for number in range(count):
        written = planned_case(folder, kind, seed, number, overwrite)
        if not written.kept:
            generator = case_generator(seed, kind, number)
            volume, labels = case(generator, kind, spacing_mm=spacing_mm, lesions=lesions)
            write(labels, written.label)
            write(volume, written.image)
        rows.append(
            {
                "image": f"images/{written.image.name}",
                "label": f"labels/{written.label.name}",
                "fold": number % FOLDS,
            }
        )
        if on_case is not None:
            on_case(written)
    write_list(folder / LIST_NAME, kind, settings, rows)
    return folder / LIST_NAME


def write_list(path: Path, kind: Kind, settings: dict[str, object], rows: list[dict[str, object]]) -> None:
    """Write the list of a set, which says how it was made and what its label values mean."""
    dataset = {
        "dataset": f"prosect-phantom-{kind}",
        "vocabulary": "prosect",
        "description": settings,
        "labels": {str(index): name for name, index in structures(kind).items()},
        "training": rows,
    }
    write_atomically(path, [(json.dumps(dataset, indent=1) + "\n").encode()])


def refuse_other(path: Path, settings: dict[str, object], overwrite: bool) -> None:
    """Refuse to mix cases of two settings in one folder.

    Raises:
        OutputError: The list that is there tells of others, or is none of ours (`OUTPUT_EXISTS`).
    """
    if overwrite or not path.exists():
        return
    try:
        before = json.loads(path.read_text("utf-8"))["description"]
    except (OSError, ValueError, KeyError, TypeError):
        before = None
    if before != json.loads(json.dumps(settings)):
        raise OutputError(
            f"{file_name(path)} lists other cases ({before}); choose another folder, or replace them with --overwrite.",
            code="OUTPUT_EXISTS",
        )
