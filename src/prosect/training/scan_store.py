"""Prepared scans kept as files that are mapped into memory, found again by the content they were made from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prosect.case import Preparation
from prosect.data.datalist import DataList, Entry
from prosect.data.labels import TOLERANCE_MM
from prosect.errors import FormatError
from prosect.io.atomic import make_folder
from prosect.io.paths import not_found, unreadable
from prosect.io.temporary import make_temporary_folder, sweep_beside
from prosect.training.patches import TrainingScan
from prosect.training.scans import Numbering, known_of, training_scan

__all__ = ["prepared_scan", "prepared_scans"]

# Part of every key: raised when a change of the preparation makes older files wrong.
VERSION = 1
ABOUT = "about.json"
ARRAYS = ("intensities", "labels", "nested", "supervoxels")
PLACES = "places.npz"


def prepared_scans(
    datalist: DataList,
    numbering: Numbering,
    preparation: Preparation,
    folder: Path,
    on_scan: Callable[[str], None] | None = None,
    on_unreadable: Callable[[str, FormatError], None] | None = None,
    tolerance_mm: float = TOLERANCE_MM,
) -> list[TrainingScan]:
    """Return all scans of a list, see `prepared_scan`.

    Args:
        datalist: The list.
        numbering: How structures are numbered.
        preparation: How the network sees a scan.
        folder: Where prepared scans are kept.
        on_scan: Called with the name of each as soon as it is there.
        on_unreadable: Called for each that cannot be read, which is then left out; by default the first ends it all.
        tolerance_mm: How far label voxels may lie from the scan's.
    """
    scans = []
    for entry in datalist:
        try:
            scans.append(prepared_scan(entry, datalist, numbering, preparation, folder, tolerance_mm))
        except FormatError as error:
            if on_unreadable is None:
                raise
            on_unreadable(entry.name, error)
            continue
        if on_scan is not None:
            on_scan(entry.name)
    return scans


def prepared_scan(
    entry: Entry,
    datalist: DataList,
    numbering: Numbering,
    preparation: Preparation,
    folder: Path,
    tolerance_mm: float = TOLERANCE_MM,
) -> TrainingScan:
    """Return a scan whose arrays are read-only files mapped into memory.

    A file is known by the hash of what it was made from, and carries its own: a changed scan, label or setting makes
    another, and one that was damaged is made again.

    Args:
        entry: The scan.
        datalist: Its list.
        numbering: How structures are numbered.
        preparation: How the network sees a scan.
        folder: Where prepared scans are kept.
        tolerance_mm: How far label voxels may lie from the scan's.

    Raises:
        FormatError: A file is missing, damaged or no image, or the folder cannot be written.
        RecipeError: Labels do not belong to the scan.
    """
    key = _key(entry, datalist, numbering, preparation)
    place = folder / key
    found = _open(place, entry.name)
    if found is None:
        made = training_scan(entry, datalist, numbering, preparation, tolerance_mm)
        _store(made, place)
        found = _open(place, entry.name) or made
    return replace(found, origin=key)


def _key(entry: Entry, datalist: DataList, numbering: Numbering, preparation: Preparation) -> str:
    files = (entry.image, entry.label, entry.pseudo_label, entry.supervoxels)
    mapping: list[tuple[int | str, int | tuple[int, ...] | None]] = []
    if entry.label is not None:
        own = datalist.mapping(entry)
        mapping = [*sorted(own.values.items()), *sorted(own.by_name.items()), *sorted(own.regions.items())]
    facts: dict[str, Any] = {
        "version": VERSION,
        "files": [None if path is None else input_content(path) for path in files],
        "mapping": mapping,
        "known": [list(part) for part in known_of(entry, datalist)],
        "labelled": entry.labelled,
        "reliability": entry.reliability,
        "order": numbering.order,
        "bits": sorted(numbering.bits.items()),
        "preparation": asdict(preparation),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:40]


def input_content(path: Path) -> str:
    """Return the hash of a file or folder that the list names.

    Raises:
        FormatError: It cannot be read.
    """
    try:
        return content_of(path)
    except FileNotFoundError:
        raise not_found(path) from None
    except OSError as error:
        raise unreadable(path, error) from error


def content_of(path: Path) -> str:
    """Return the hash of a file, or of all files of a folder with their names; each is read once in a process."""
    if not path.is_dir():
        now = path.stat()
        return _digest(path, now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
    parts = sorted(p for p in path.rglob("*") if p.is_file())
    listed = "".join(f"{p.relative_to(path).as_posix()} {content_of(p)}\n" for p in parts)
    return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()


@cache
def _digest(path: Path, *_of_this_version: int) -> str:
    """Return the hash of a file. Every stage asks for all scans, and of thousands that would take hours."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _store(scan: TrainingScan, place: Path) -> None:
    """Write a scan into a folder that takes its name when all is there; what was under the name goes."""
    make_folder(place.parent)
    sweep_beside(place)
    part = make_temporary_folder(place)
    arrays: dict[str, list[Any]] = {}
    for name in ARRAYS:
        value = getattr(scan, name)
        if value is not None:
            np.ascontiguousarray(value).tofile(part / name)
            arrays[name] = [value.dtype.str, value.shape, content_of(part / name)]
    flat: dict[str, Any] = {str(value): voxels for value, voxels in (scan.places or {}).items()}
    np.savez(part / PLACES, **flat)
    about = {
        "arrays": arrays,
        "places": content_of(part / PLACES),
        "spacing_mm": scan.spacing_mm,
        "present": scan.present,
        "known": scan.known.tolist(),
    }
    (part / ABOUT).write_text(json.dumps(about))
    # A folder cannot take the name of one that is there.
    shutil.rmtree(place, ignore_errors=True)
    try:
        part.replace(place)
    except OSError:  # another process has made the same scan in the meantime
        shutil.rmtree(part, ignore_errors=True)


def _open(place: Path, name: str) -> TrainingScan | None:
    """Return a kept scan; None where there is none, or not the one that was written."""
    try:
        about = json.loads((place / ABOUT).read_bytes())
        if about["places"] != content_of(place / PLACES):
            return None
        kept = {}
        for each, said in about["arrays"].items():
            kept[each] = _mapped(place / each, *said)
        with np.load(place / PLACES) as stored:
            places = {}
            for key in stored.files:
                places[int(key)] = stored[key]
        a, b, c = about["spacing_mm"]
        present, known = tuple(about["present"]), np.array(about["known"], dtype=bool)
        return TrainingScan(
            name, kept["intensities"], kept["labels"], kept["nested"], (a, b, c), present, known,
            kept.get("supervoxels"), places,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _mapped(path: Path, kind: str, shape: list[int], digest: str) -> NDArray[Any]:
    """Return an array as a map of its file. numpy's own maps each keep a file open, and thousands are too many.

    Raises:
        ValueError: The file is not the one that was written.
    """
    if content_of(path) != digest:
        raise ValueError(path.name)
    # Private pages: what is written into them never reaches the file.
    whole = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
    return np.asarray(whole.numpy().view(kind).reshape(shape))
