"""Data lists as people have them: the official JSON form, a table, or folders of images and labels."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prosect.data.case_files import labels_in, scans_in
from prosect.data.nnunet import DATASET_FILE, is_nnunet, label_pairs, refuse_channels
from prosect.data.tables import read_text, separator_of
from prosect.errors import RecipeError
from prosect.io.paths import file_name, require_file

__all__ = ["SPLITS", "Written", "is_laid_out", "read_written"]

SPLITS = ("training", "validation", "testing")
MAX_BYTES = 256 << 20
# Sections of a JSON list by the split they hold; `test` is the Medical Segmentation Decathlon's.
SECTIONS = {"training": "training", "validation": "validation", "testing": "testing", "test": "testing"}
# Column of an entry by every name that is in use for it.
COLUMNS = {
    "image": "image", "scan": "image", "path": "image",
    "label": "label", "labels": "label", "mask": "label",
    "pseudo_label": "pseudo_label", "pseudo_label_reliability": "reliable", "reliability": "reliable",
    "label_sv": "supervoxels", "supervoxels": "supervoxels",
    "name": "name", "case": "name", "id": "name",
    "dataset": "dataset", "dataset_name": "dataset",
    "split": "split", "fold": "fold", "labelled": "labelled",
}  # fmt: skip
ABOUT = ("dataset", "vocabulary", "label_mapping", "absent", "pseudo_classes")
NAMES = ("label_dict", "labels", "original_label_dict")
FOLDERS = {
    "image": ("images", "imagesTr", "image", "scans"),
    "label": ("labels", "labelsTr", "label", "masks"),
    "pseudo_label": ("pseudo_labels", "pseudo"),
    "supervoxels": ("supervoxels", "label_sv"),
}


@dataclass(frozen=True)
class Written:
    """A list as it is written down.

    Attributes:
        rows: Its entries: text by column; the columns are the values of `COLUMNS`.
        about: What it says of itself: any of `ABOUT`.
        names: Dictionaries of names by label value, the one to trust most first.
        names_new: Whether names that no vocabulary knows are meant as new structures, as nnU-Net's are.
    """

    rows: tuple[Mapping[str, Any], ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[Mapping[Any, Any], ...] = ()
    names_new: bool = False


def read_written(path: Path) -> Written:
    """Return what a list says.

    Args:
        path: A `.json` in the official form (sections `training`, `validation` and `testing` of entries with `image`,
            `label`, `pseudo_label`, `pseudo_label_reliability`, `label_sv`, `fold`; of the Medical Segmentation
            Decathlon too), a `.csv` or `.tsv` with such columns, or a folder that holds the folders `images` and
            `labels` with the same file names; nnU-Net's folder, or its `dataset.json`, too.

    Raises:
        FormatError: There is no such file.
        RecipeError: It is no such list, or has no entry (`DATALIST_INVALID`).
    """
    if path.is_dir():
        written = from_folder(path)
    elif (nnunet := nnunet_folder(path)) is not None:
        written = nnunet
    else:
        require_file(path)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError("it is too large")
            text = read_text(path)
            is_table = path.suffix.lower() in (".csv", ".tsv")
            if is_table:
                written = from_table(text)
            else:
                written = from_json(json.loads(text))
        except (OSError, ValueError, TypeError, csv.Error) as error:
            raise RecipeError(
                f"{file_name(path)}: this is no data list ({error}). Give the official JSON form, a .csv or .tsv "
                "with the columns image and label, or a folder with images and labels.",
                code="DATALIST_INVALID",
            ) from error
    if not written.rows:
        raise RecipeError(f"{file_name(path)}: the list has no entry.", code="DATALIST_INVALID")
    return written


def is_laid_out(folder: Path) -> bool:
    """Return whether a folder is a data set by its folders, as `read_written` takes one."""
    return any((folder / name).is_dir() for name in FOLDERS["image"])


def from_json(plain: Any) -> Written:
    """Return a list in the official form.

    Raises:
        ValueError: It is not one.
    """
    if not isinstance(plain, dict):
        raise ValueError("a JSON object with the section `training` is needed")
    for key in plain:
        refuse_misspelt(key, (*SECTIONS, *ABOUT, *NAMES))
    rows: list[Mapping[str, Any]] = []
    for section, split in SECTIONS.items():
        entries = plain.get(section, [])
        if not isinstance(entries, list):
            raise ValueError(f"the section {section!r} is no list")
        rows += [row_of(entry, split) for entry in entries]
    names = tuple(plain[key] for key in NAMES if isinstance(plain.get(key), dict))
    return Written(tuple(rows), {key: plain[key] for key in ABOUT if key in plain}, names)


def row_of(entry: Any, split: str) -> Mapping[str, Any]:
    """Return one entry by column."""
    if isinstance(entry, str):
        return {"image": entry, "split": split}  # the Decathlon lists test images bare
    if not isinstance(entry, dict):
        raise ValueError(f"{entry!r:.60} is no entry with an image")
    return {"split": split, **by_column(entry.items())}


def by_column(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """Return the values of an entry by our names of columns; those that are not ours are left out.

    Raises:
        ValueError: A name is all but one of ours, or one column is given twice.
    """
    found: dict[str, Any] = {}
    for name, value in pairs:
        key = str(name).strip().lower()
        if key not in COLUMNS:
            refuse_misspelt(key, COLUMNS)
            continue
        if value is None or value == "":
            continue
        # Official images may be lists of one file.
        if isinstance(value, list) and len(value) == 1 and COLUMNS[key] != "labelled":
            value = value[0]
        if found.setdefault(COLUMNS[key], value) != value:
            raise ValueError(f"an entry gives its {COLUMNS[key]} twice")
    return found


def refuse_misspelt(name: str, known: Iterable[str]) -> None:
    """Refuse a name that is all but a known one: taken for a stranger, its content would silently be left out.

    Raises:
        ValueError: It is.
    """
    words = list(known)
    if name in words:
        return
    # Swapped letters count little for difflib and are the likeliest slip.
    swapped = []
    for word in words:
        if sorted(word) == sorted(name.lower()):
            swapped.append(word)
    near = swapped or difflib.get_close_matches(name.lower(), words, n=1, cutoff=0.85)
    if near:
        raise ValueError(f"it has {name!r}; is {near[0]!r} meant?")


def from_table(text: str) -> Written:
    """Return a list from a table with a header; commas, tabs or semicolons are between its columns.

    Raises:
        ValueError: It has no column of images, or a row is malformed.
    """
    try:
        separator = separator_of(text, names_images)
    except ValueError as error:
        raise ValueError(f"it has no column `image`; {error}") from None
    reader = csv.DictReader(io.StringIO(text), delimiter=separator, strict=True)
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num} has another number of columns than the header")
        named = by_column((name, (value or "").strip()) for name, value in row.items())
        if named.get("split", "training") not in SPLITS:
            raise ValueError(f"line {reader.line_num}: the split is {named['split']!r}; known are {', '.join(SPLITS)}")
        rows.append({"split": "training", **named})
    return Written(tuple(rows))


def names_images(names: list[str]) -> bool:
    """Return whether one of these columns is that of the images."""
    return any(COLUMNS.get(name) == "image" for name in names)


def from_folder(folder: Path) -> Written:
    """Return a list of the files in `images` and their namesakes in `labels`, `pseudo_labels` and `supervoxels`.

    The folders of the Decathlon and of nnU-Net (`imagesTr`, `labelsTr`, `_0000` at the end of an image) are known too.

    Raises:
        RecipeError: There are no images, or a label without an image (`DATALIST_INVALID`).
    """
    found = {column: dict(stems(folder, names, column != "image")) for column, names in FOLDERS.items()}
    if not found["image"]:
        raise RecipeError(
            f"{file_name(folder)}: the folder needs a folder `images` with scans, and `labels` with files of the same "
            "names.",
            code="DATALIST_INVALID",
        )
    for column in ("label", "pseudo_label", "supervoxels"):
        alone = sorted(found[column].keys() - found["image"].keys())
        if alone:
            raise RecipeError(
                f"{file_name(folder)}: no image belongs to {file_name(found[column][alone[0]])} "
                f"({len(alone)} such files).",
                code="DATALIST_INVALID",
            )
    rows = rows_of_files(found, "training")
    described = described_labels(folder)
    if described is None:
        return Written(tuple(rows))
    # nnU-Net's test scans, of which some have labels too.
    apart = {
        "image": dict(stems(folder, ("imagesTs",), are_labels=False)),
        "label": dict(stems(folder, ("labelsTs",), are_labels=True)),
    }
    rows += rows_of_files(apart, "testing")
    return Written(tuple(rows), {"label_mapping": described}, names_new=True)


def rows_of_files(found: Mapping[str, Mapping[str, Path]], split: str) -> list[Mapping[str, Any]]:
    """Return the entries of files by column and case."""
    rows: list[Mapping[str, Any]] = []
    for stem in sorted(found["image"]):
        row = {"split": split, "name": stem}
        for column, paths in found.items():
            if stem in paths:
                row[column] = str(paths[stem])
        rows.append(row)
    return rows


def nnunet_folder(path: Path) -> Written | None:
    """Return what lies beside nnU-Net's `dataset.json`, version 2; None where a file is something else.

    Raises:
        RecipeError: The folders beside it are no data set (`DATALIST_INVALID`).
    """
    if path.name != DATASET_FILE or not path.is_file() or path.stat().st_size > MAX_BYTES:
        return None
    try:
        plain = json.loads(read_text(path))
    except (OSError, ValueError):
        return None  # reading it as a list says what is wrong
    if is_nnunet(plain):
        return from_folder(path.parent)
    return None


def described_labels(folder: Path) -> list[list[Any]] | None:
    """Return the pairs of label value and name that a `dataset.json` in a folder gives; None where there is none.

    Raises:
        RecipeError: It is none that can be used (`DATALIST_INVALID`).
    """
    place = folder / DATASET_FILE
    if not place.is_file():
        return None
    try:
        if place.stat().st_size > MAX_BYTES:
            raise ValueError("it is too large")
        plain = json.loads(read_text(place))
        if not isinstance(plain, dict) or not isinstance(plain.get("labels"), dict):
            return None
        refuse_channels(plain)
        return label_pairs(plain["labels"])
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"{file_name(folder)}/{DATASET_FILE}: this description of a data set cannot be used ({error}).",
            code="DATALIST_INVALID",
        ) from error


def stems(folder: Path, names: Iterable[str], are_labels: bool) -> Iterator[tuple[str, Path]]:
    """Yield the images in the first of these folders that exists, relative to `folder`, by name without ending."""
    for name in names:
        place = folder / name
        if not place.is_dir():
            continue
        for case, path in labels_in(place) if are_labels else scans_in(place):
            yield case, path.relative_to(folder)
        return
