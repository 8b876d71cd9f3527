"""Two folders, of scans and of their labels, as a data list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from prosect.data.case_files import labels_in, scans_in
from prosect.data.datalist import DataList, Entry
from prosect.data.mapping import mapping_of, mark_new, with_new
from prosect.errors import RecipeError
from prosect.io.paths import file_name
from prosect.vocabulary import Vocabulary

__all__ = ["label_files", "pair_files"]

SHOWN = 3


def pair_files(images: Path, labels: Path, pairs: Iterable[Sequence[Any]], vocabulary: Vocabulary) -> DataList:
    """Return the list of the scans in one folder with the labels of the same names in another.

    Args:
        images: Folder of scans, of DICOM a folder each; `_0000` at the end of a name does not count.
        labels: Folder of label maps, or of DICOM SEG or RTSTRUCT; `a.seg.nrrd` belongs to `a.nii.gz` as `a.nrrd` does.
        pairs: Label value and structure; a name that the vocabulary has not is taken as a new structure.
        vocabulary: Finds the structures.

    Raises:
        RecipeError: A scan has no labels, labels have no scan, two files have one name, or there are none
            (`DATALIST_INVALID`); pairs are no pairs (`MAPPING_INVALID`).
        PromptError: A name that cannot be one (`STRUCTURE_NAME`).
    """
    chosen = mark_new(pairs, vocabulary)
    words = with_new(vocabulary, chosen)
    scans, maps = by_case(images, scans_in), by_case(labels, labels_in)
    if not scans:
        raise RecipeError(f"{file_name(images)}: no scan is in the folder.", code="DATALIST_INVALID")
    for here, there, what in ((scans, maps, "no labels for"), (maps, scans, "no scan for")):
        alone = sorted(here.keys() - there.keys())
        if alone:
            more = ""
            if len(alone) > SHOWN:
                more = f" and {len(alone) - SHOWN} more"
            named = ", ".join(here[stem].name for stem in alone[:SHOWN])
            raise RecipeError(
                f"There are {what} {named}{more}. Files of one name belong together; add what is missing, or take "
                "these out of the folder.",
                code="DATALIST_INVALID",
            )
    dataset = images.resolve().parent.name or "mine"
    entries = tuple(Entry(stem, scans[stem], maps[stem], dataset=dataset) for stem in sorted(scans))
    return DataList(entries, {dataset: mapping_of(chosen, words)}, words)


def label_files(folder: Path) -> dict[str, Path]:
    """Return the labels in a folder by case; see `labels_in`, errors as in `by_case`."""
    return by_case(folder, labels_in)


def by_case(folder: Path, cases: Callable[[Path], Iterable[tuple[str, Path]]]) -> dict[str, Path]:
    """Return the scans or labels of a folder by case.

    Args:
        folder: Where they lie.
        cases: `scans_in` or `labels_in`.

    Raises:
        RecipeError: It is no folder, or two files have one name (`DATALIST_INVALID`).
    """
    if not folder.is_dir():
        raise RecipeError(f"{file_name(folder)}: this is no folder.", code="DATALIST_INVALID")
    found: dict[str, Path] = {}
    for name, path in cases(folder):
        if name in found:
            raise RecipeError(
                f"{file_name(folder)}: {found[name].name} and {path.name} have one name; which is meant?",
                code="DATALIST_INVALID",
            )
        found[name] = path
    return found
