"""Which scans there are to learn from and to be judged by, where their labels lie, and what these mean."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prosect import vocabulary as vocabularies
from prosect.data.list_files import SPLITS, Written, read_written
from prosect.data.mapping import LabelMapping, mapping_by_names, mapping_of, mark_new, with_new
from prosect.data.mapping_files import published_mappings
from prosect.data.splits import published_split
from prosect.errors import RecipeError
from prosect.io.atomic import write_atomically
from prosect.io.formats import scan_stem
from prosect.io.paths import file_name
from prosect.vocabulary import Vocabulary

__all__ = ["DataList", "Entry", "Roots", "read_datalist", "split_as_published", "write_datalist"]

LIST_SUFFIXES = ("_5_folds", "_folds")
TAIL = 3  # folder of the set, folder of the case, file: where the official lists keep supervoxels


@dataclass(frozen=True)
class Entry:
    """One scan of a list.

    Attributes:
        name: The case; unique in its list.
        image: The scan.
        label: Manual labels, in the values of the data set; None where there are none.
        pseudo_label: Another model's labels, in the vocabulary's indices.
        reliability: Of the pseudo-labels: 0 means that they are not to be used.
        supervoxels: Regions for zero-shot training (VISTA3D, Alg. 2).
        dataset: Names the mapping of the labels.
        split: `training`, `validation` or `testing`.
        fold: Which fold of the training scans.
        labelled: Label values, or names in its file, that this scan was labelled for; None for all of the set.
    """

    name: str
    image: Path
    label: Path | None = None
    pseudo_label: Path | None = None
    reliability: float = 1.0
    supervoxels: Path | None = None
    dataset: str = ""
    split: str = "training"
    fold: int | None = None
    labelled: tuple[int | str, ...] | None = None


@dataclass(frozen=True)
class DataList:
    """Scans with what is known of their labels.

    Attributes:
        entries: In the order of the list.
        mappings: What label values mean, by data set.
        vocabulary: Names the indices.
        pseudo_classes: Structures that the pseudo-labels were made for; None where the list does not say.
        notes: What was left out or assumed.
    """

    entries: tuple[Entry, ...]
    mappings: Mapping[str, LabelMapping]
    vocabulary: Vocabulary
    pseudo_classes: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def mapping(self, entry: Entry) -> LabelMapping:
        """Return what the label values of an entry mean."""
        return self.mappings[entry.dataset]

    def known(self, entry: Entry) -> tuple[int, ...]:
        """Return the structures that the manual labels of an entry say something about."""
        if entry.dataset in self.mappings:
            return self.mapping(entry).known(entry.labelled)
        return ()

    def examined(self, split: str | None, fold: int | None = None) -> DataList:
        """Return the scans of one split, of `all`, or by default the testing scans where there are such.

        Raises:
            RecipeError: As in `part`.
        """
        if split is None and any(entry.split == "testing" for entry in self.entries):
            split = "testing"
        return self.part(None if split == "all" else split, fold)

    def part(self, split: str | None = None, fold: int | None = None) -> DataList:
        """Return the scans of one split.

        Args:
            split: `training`, `validation`, `testing`, or None for all. Where the list names no validation scans they
                are those of a fold.
            fold: That fold; None counts every fold as training.

        Raises:
            RecipeError: No scan is left (`DATALIST_INVALID`).
        """
        if any(entry.split == "validation" for entry in self.entries):
            fold = None  # the list's own validation scans come before a fold
        if split is None:
            return self
        kept = tuple(entry for entry in self.entries if split_of(entry, fold) == split)
        if not kept:
            others = sorted({split_of(entry, fold) for entry in self.entries})
            raise RecipeError(f"The list has no {split} scan; it has: {', '.join(others)}.", code="DATALIST_INVALID")
        return replace(self, entries=kept)


@dataclass(frozen=True)
class Roots:
    """Where paths of a list start; None is the folder of the list.

    Attributes:
        data: Of images and labels.
        pseudo: Of pseudo-labels; the official lists give them the paths of the images, below another root.
        supervoxels: Of supervoxels.
    """

    data: Path | None = None
    pseudo: Path | None = None
    supervoxels: Path | None = None


def split_of(entry: Entry, fold: int | None) -> str:
    """Return the split of an entry when one fold is kept for validation."""
    if fold is not None and entry.split == "training" and entry.fold == fold:
        return "validation"
    return entry.split


def read_datalist(
    path: Path,
    roots: Roots | None = None,
    dataset: str | None = None,
    mappings: Mapping[str, Iterable[Any]] | None = None,
    vocabulary: Vocabulary | None = None,
) -> DataList:
    """Return a list of scans.

    What label values mean is taken, in this order, from `mappings`, from the list's own `label_mapping`, from the
    mappings of the paper's data sets, and from the names that the list gives its values.

    Args:
        path: See `read_written`.
        roots: Where its paths start.
        dataset: Name of the set; by default what the list says, or its own name (`AMOS22_5_folds.json`).
        mappings: Pairs of label value and structure by data set; those of `default` serve every set.
        vocabulary: Finds the structures; by default the one that the list names, or `prosect`.

    Raises:
        FormatError: There is no such file.
        RecipeError: It is no list (`DATALIST_INVALID`), or nothing says what its labels mean (`MAPPING_MISSING`).
        VocabularyError: A structure is unknown.
    """
    written = read_written(path)
    words = vocabulary or vocabularies.load(str(written.about.get("vocabulary", "prosect")))
    own = dataset or str(written.about.get("dataset") or set_name(path))
    entries, notes = entries_of(written, path, roots or Roots(), dataset, own)
    found: dict[str, LabelMapping] = {}
    for name in dict.fromkeys(entry.dataset for entry in entries if entry.label is not None):
        pairs = pairs_for(name, written, mappings or {})
        if pairs is not None and written.names_new and not mappings:
            pairs = mark_new(pairs, words)
        if pairs is not None:
            words = with_new(words, pairs)
        found[name] = mapping_for(name, written, pairs, words, path)
    # What a scan is labelled for may be written as names, which only its mapping turns into values.
    complete = []
    for entry in entries:
        labelled = values_of(entry.labelled, found.get(entry.dataset), words, entry.name)
        complete.append(replace(entry, labelled=labelled))
    pseudo = None
    if written.about.get("pseudo_classes") is not None:
        pseudo = tuple(sorted(words[each].index for each in written.about["pseudo_classes"]))
    return DataList(tuple(complete), found, words, pseudo, notes)


def set_name(path: Path) -> str:
    """Return the name of a set as its file has it."""
    if path.is_dir():
        name = scan_stem(path.name)
    else:
        name = path.stem
    for suffix in LIST_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def pairs_for(name: str, written: Written, given: Mapping[str, Iterable[Any]]) -> list[Any] | None:
    """Return the pairs of label value and structure of a data set, from the nearest source; None where there are none.

    Raises:
        RecipeError: They are no list (`MAPPING_INVALID`).
    """
    own = written.about.get("label_mapping", published_mappings().get(name))
    pairs = given.get(name, given.get("default", own))
    if pairs is not None and (isinstance(pairs, str | Mapping) or not isinstance(pairs, Iterable)):
        raise RecipeError(f"The label mapping of '{name}' is no list of pairs.", code="MAPPING_INVALID")
    if pairs is None:
        return None
    return list(pairs)


def mapping_for(
    name: str, written: Written, pairs: list[Any] | None, vocabulary: Vocabulary, path: Path
) -> LabelMapping:
    """Return what the label values of a data set mean.

    Raises:
        RecipeError: Nothing says so (`MAPPING_MISSING`).
    """
    absent = written.about.get("absent", ())
    # Values that the list names and the mapping leaves out are known to mean nothing in our vocabulary.
    listed: list[int] = []
    for names in written.names:
        listed += [int(value) for value in names if str(value).isdigit()]
    if pairs is not None:
        return mapping_of(pairs, vocabulary, absent, listed)
    for names in written.names:
        by_name = mapping_by_names(names, vocabulary)
        if by_name is not None:
            return replace(by_name, absent=tuple(sorted(vocabulary[each].index for each in absent)))
    raise RecipeError(
        f"{file_name(path)}: nothing says what the labels of '{name}' mean. Give a mapping: --map 1=liver 2=spleen, "
        "--mapping FILE, or `label_mapping` in the list.",
        code="MAPPING_MISSING",
    )


def entries_of(
    written: Written, path: Path, roots: Roots, dataset: str | None, own: str
) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """Return the entries of a list with the structures they are labelled for still as written, and notes."""
    data = roots.data or (path if path.is_dir() else path.parent)
    rows = rows_of(written)
    images = [str(row["image"]) for row in rows]
    names = case_names([str(row.get("name") or "") for row in rows], images)
    entries, same = [], 0
    for row, name in zip(rows, names, strict=True):
        # The official lists give pseudo-labels the path of their image, below a root of their own.
        if roots.pseudo is None and row.get("pseudo_label") == row["image"]:
            row = {key: value for key, value in row.items() if key != "pseudo_label"}
            same += 1
        entries.append(entry_of(row, name, data, roots, dataset or str(row.get("dataset", own))))
    note = f"{same} pseudo-labels have the path of their image and were left out; say where they are (pseudo root)"
    return tuple(entries), (note,) if same else ()


def entry_of(row: Mapping[str, Any], name: str, data: Path, roots: Roots, dataset: str) -> Entry:
    """Return an entry of a list.

    Args:
        row: Its text by column.
        name: The case.
        data: Where paths of images and labels start.
        roots: Where other paths start.
        dataset: The set it belongs to.

    Raises:
        RecipeError: A number is none (`DATALIST_INVALID`).
    """
    label = pseudo = supervoxels = fold = None
    if "label" in row:
        label = data / str(row["label"])
    if row.get("pseudo_label") is not None:
        pseudo = (roots.pseudo or data) / str(row["pseudo_label"])
    if "supervoxels" in row:
        supervoxels = locate(str(row["supervoxels"]), data, roots.supervoxels)
    if "fold" in row:
        fold = int(number(row["fold"], name, "fold"))
    return Entry(
        name=name,
        image=data / str(row["image"]),
        label=label,
        pseudo_label=pseudo,
        reliability=number(row.get("reliable", 1), name, "pseudo_label_reliability"),
        supervoxels=supervoxels,
        dataset=dataset,
        split=str(row["split"]),
        fold=fold,
        labelled=row.get("labelled"),
    )


def rows_of(written: Written) -> tuple[Mapping[str, Any], ...]:
    """Return the entries of a list, each of which must name an image.

    Raises:
        RecipeError: One does not, or its split is unknown (`DATALIST_INVALID`).
    """
    for number_, row in enumerate(written.rows):
        if not isinstance(row.get("image"), str):
            raise RecipeError(f"Entry {number_} of the list names no image file.", code="DATALIST_INVALID")
        if row["split"] not in SPLITS:
            raise RecipeError(f"Entry {number_}: there is no split {row['split']!r}.", code="DATALIST_INVALID")
    return written.rows


def case_names(given: list[str], images: list[str]) -> list[str]:
    """Return a name for every case: as given, or of its file, with its folders where files share a name.

    Raises:
        RecipeError: A name is given twice, or cannot name a file (`DATALIST_INVALID`).
    """
    stems = [scan_stem(Path(image).name) for image in images]
    count = Counter(stems)
    names: list[str] = []
    for own, image, stem in zip(given, images, stems, strict=True):
        if own:
            names.append(own)
        elif count[stem] > 1:
            names.append(scan_stem("_".join(Path(image).parts).lstrip("./_")))
        else:
            names.append(stem)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise RecipeError(f"The list has two entries named {file_name(name)!r}.", code="DATALIST_INVALID")
        if name != Path(name).name or "\\" in name or name.startswith("."):
            raise RecipeError(
                f"{file_name(name)!r} cannot name a case: it becomes a file name.", code="DATALIST_INVALID"
            )
        seen.add(name)
    return names


def number(value: Any, name: str, column: str) -> float:
    """Return a number of an entry.

    Raises:
        RecipeError: It is none (`DATALIST_INVALID`).
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise RecipeError(f"{name}: {column} is {value!r:.40}, not a number.", code="DATALIST_INVALID") from None
    if not 0 <= found < 1e6 or (column == "fold" and found != int(found)):
        raise RecipeError(f"{name}: {column} cannot be {value!r:.40}.", code="DATALIST_INVALID")
    return found


def locate(written: str, data: Path, root: Path | None) -> Path:
    """Return the place of a file whose absolute path in a list is that of another machine."""
    path = Path(written)
    if root is None or not path.is_absolute():
        return (root or data) / path
    # The longest end of the path that is there: nobody knows where the other machine's root ended.
    for first in range(1, len(path.parts)):
        place = root / Path(*path.parts[first:])
        if place.exists():
            return place
    return root / Path(*path.parts[-TAIL:])


def values_of(
    labelled: Any, mapping: LabelMapping | None, vocabulary: Vocabulary, name: str
) -> tuple[int | str, ...] | None:
    """Return the label values that a scan is labelled for, given as values or structures, joined by `|` or listed.

    Where the mapping goes by the names in each file, so does what is returned.

    Raises:
        RecipeError: The mapping has no such value (`LABELS_UNMAPPED`).
    """
    if labelled is None or mapping is None:
        return None
    if isinstance(labelled, str):
        words = labelled.split("|")
    else:
        words = list(labelled)
    found: set[int | str] = set()
    for word in words:
        text = str(word).strip()
        values: set[int | str] = set()
        if text.isdigit():
            values.update({int(text)} & mapping.values.keys())
        elif text in mapping.by_name:
            values.add(text)
        else:
            index = vocabulary[text].index
            values.update(label for label in mapping.labels if mapping.meaning(label) == index)
        if not values:
            raise RecipeError(
                f"{name}: the list says that the scan is labelled for {text!r}, but the mapping has no such value. "
                "Correct `labelled`, or add it to the mapping.",
                code="LABELS_UNMAPPED",
            )
        found |= values
    return tuple(sorted(found, key=lambda label: (isinstance(label, str), label)))


def split_as_published(datalist: DataList) -> DataList:
    """Return the list with the split of the paper, each data set for itself; see `published_split`."""
    by_set: dict[str, list[str]] = {}
    for entry in datalist:
        by_set.setdefault(entry.dataset, []).append(entry.name)
    splits: dict[str, tuple[str, int | None]] = {}
    for cases in by_set.values():
        splits.update(zip(cases, published_split(len(cases)), strict=True))
    entries = []
    for entry in datalist:
        split, fold = splits[entry.name]
        entries.append(replace(entry, split=split, fold=fold))
    return replace(datalist, entries=tuple(entries))


def write_datalist(datalist: DataList, path: Path) -> Path:
    """Write a list of one data set in the official JSON form, with its mapping, and return the path.

    Raises:
        RecipeError: It has several data sets (`DATALIST_INVALID`).
        FormatError: The place cannot be written.
    """
    if len({entry.dataset for entry in datalist}) > 1:
        raise RecipeError("A list of several data sets is written one by one.", code="DATALIST_INVALID")
    plain: dict[str, Any] = {"dataset": datalist.entries[0].dataset, "vocabulary": datalist.vocabulary.name}
    for mapping in datalist.mappings.values():
        base = vocabularies.load(datalist.vocabulary.name)
        plain["label_mapping"] = mapping.to_json(datalist.vocabulary, base)
        plain["absent"] = [datalist.vocabulary[index].name for index in mapping.absent]
    if datalist.pseudo_classes is not None:
        plain["pseudo_classes"] = [datalist.vocabulary[index].name for index in datalist.pseudo_classes]
    for split in SPLITS:
        plain[split] = [entry_to_json(entry, path.parent) for entry in datalist if entry.split == split]
    write_atomically(path, [json.dumps(plain, indent=1).encode(), b"\n"])
    return path


def entry_to_json(entry: Entry, folder: Path) -> dict[str, Any]:
    """Return an entry with paths relative to the folder of its list."""
    files = {
        "image": entry.image, "label": entry.label, "pseudo_label": entry.pseudo_label, "label_sv": entry.supervoxels,
    }  # fmt: skip
    plain: dict[str, Any] = {"name": entry.name}
    for key, file in files.items():
        if file is not None:
            plain[key] = Path(os.path.relpath(file, folder)).as_posix()
    if entry.pseudo_label is not None:
        # The official lists write 0 and 1 as whole numbers.
        if entry.reliability in (0, 1):
            plain["pseudo_label_reliability"] = int(entry.reliability)
        else:
            plain["pseudo_label_reliability"] = entry.reliability
    if entry.fold is not None:
        plain["fold"] = entry.fold
    if entry.labelled is not None:
        plain["labelled"] = list(entry.labelled)
    return plain
