"""Scans and labels of sessions as two folders that `prosect finetune` takes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prosect.errors import PromptError
from prosect.io.atomic import write_atomically
from prosect.io.formats import scan_stem
from prosect.io.writing import write
from prosect.labelmap import LabelMap
from prosect.server.live import LiveSession
from prosect.session import Session
from prosect.vocabulary import Vocabulary

__all__ = ["TrainingSet", "write_training_set"]


@dataclass(frozen=True)
class TrainingSet:
    """What was written.

    Attributes:
        scans: How many.
        classes: Structure of each label value, from 1.
        left_out: Structures that only some of the sessions have.
    """

    scans: int
    classes: tuple[str, ...]
    left_out: tuple[str, ...]

    def command(self, folder: str) -> str:
        """Return what to type where the folder lies."""
        words = [f"{value}={name}" for value, name in enumerate(self.classes, start=1)]
        classes = " ".join(shlex.quote(word) for word in words)
        place = shlex.quote(folder)
        return f"prosect finetune --images {place}/images --labels {place}/labels --classes {classes} -o my.safetensors"


def write_training_set(
    sessions: Sequence[LiveSession], vocabulary: Vocabulary, folder: Path, structures: Sequence[str] | None = None
) -> TrainingSet:
    """Write the scans and labels of sessions, and a data list of them.

    Only structures that all of the sessions have are written: where one is missing nobody has said that it is absent,
    and a training would learn that it is.

    Args:
        sessions: Whose.
        vocabulary: Of the model that answers clicks.
        folder: Where; made here.
        structures: Which; all that the sessions share by default.

    Raises:
        PromptError: They share none (`STRUCTURES_DIFFER`).
    """
    found = [names_in(each) for each in sessions]
    every = set().union(*found) if structures is None else set(structures)
    shared = sorted(every.intersection(*found)) if found else []
    if not shared:
        raise PromptError(
            "There is no structure that all of these sessions have; choose sessions of the same structures.",
            code="STRUCTURES_DIFFER",
        )
    rows = []
    for number, live in enumerate(sessions):
        name = f"{number + 1:03d}_{scan_stem(live.scan.entry.name)}.nii.gz"
        with live.hold() as session:
            write(session.volume, made(folder / "images") / name)
            write(numbered(session, shared), made(folder / "labels") / name, like=session.volume)
        rows.append({"name": name.removesuffix(".nii.gz"), "image": f"images/{name}", "label": f"labels/{name}"})
    values = {str(value): name for value, name in enumerate(shared, start=1)}
    listed = {"dataset": folder.name, "vocabulary": vocabulary.name, "labels": values, "training": rows}
    write_atomically(folder / "list.json", [json.dumps(listed, indent=1).encode() + b"\n"])
    return TrainingSet(len(rows), tuple(shared), tuple(sorted(set().union(*found) - set(shared))))


def names_in(live: LiveSession) -> set[str]:
    """Return the structures of a session that have a voxel."""
    with live.hold() as session:
        return set(session.structures)


def made(folder: Path) -> Path:
    """Make a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def numbered(session: Session, names: Sequence[str]) -> LabelMap:
    """Return the labels of a session numbered 1, 2, ...; where two structures overlap the later one wins."""
    grid = session.volume.grid
    values = np.zeros(grid.shape, dtype=np.uint8 if len(names) < 256 else np.uint16)
    for value, name in enumerate(names, start=1):
        values[session.mask(name)] = value
    return LabelMap(values, grid, session.vocabulary)
