"""Labels from another model: any that we load, or what TotalSegmentator left in a folder (VISTA3D, Sec. 3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prosect.data.labelled import LabelledScan
from prosect.data.labels import refuse_other_grid, values_in
from prosect.errors import RecipeError, VocabularyError
from prosect.evaluation.dice import dice
from prosect.geometry import Grid
from prosect.io import read_labels
from prosect.io.formats import SCAN_ENDINGS, scan_stem
from prosect.io.paths import file_name
from prosect.io.stored import StoredLabels
from prosect.labelmap import LabelLayers, LabelMap
from prosect.vocabulary import Vocabulary
from prosect.vocabulary.crosswalk import SCHEMES, Crosswalk, crosswalk
from prosect.volume import Volume

__all__ = ["LEAST_DICE", "PseudoLabels", "Segmenter", "agreement", "from_model", "from_totalsegmentator", "judge"]

# The rules by which the paper removes unreliable pseudo-labels are not published. This is ours: where manual labels of
# the same scan speak of the same structures, they must agree at least this well on the average.
LEAST_DICE = 0.5
FOLDERS = ("", "segmentations")


class Segmenter(Protocol):
    """A model that segments by itself."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Names what it finds."""

    def segment(self, volume: Volume, classes: Sequence[str | int] | None = None) -> LabelMap | LabelLayers:
        """Return labels on the scan's grid."""


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Labels from another model.

    Attributes:
        labels: By the vocabulary's indices, on the scan's grid.
        known: Structures that were looked for.
        notes: What was left out or doubted.
        reliability: 1, or 0 where they are not to be used.
    """

    labels: LabelMap
    known: tuple[int, ...]
    notes: tuple[str, ...] = ()
    reliability: int = 1


def from_model(volume: Volume, model: Segmenter, classes: Sequence[str | int] | None = None) -> PseudoLabels:
    """Return what a model finds in a scan; all that it knows, or some structures by name or index."""
    labels = model.segment(volume, classes)
    flat = labels.flatten()
    notes = flat.provenance.get("notes", ())
    said: tuple[str, ...] = ()
    if isinstance(notes, list | tuple):
        said = tuple(str(note) for note in notes)
    return PseudoLabels(flat, flat.sought, said)


def from_totalsegmentator(folder: Path, case: str, grid: Grid, vocabulary: Vocabulary, scheme: str) -> PseudoLabels:
    """Return what TotalSegmentator found in a scan, as far as our vocabulary means the same.

    Args:
        folder: Holds `<case>.nii.gz`, the multi-label file of `--ml`, or the folder `<case>`, with a mask per structure
            in it or in `segmentations` below it.
        case: Name of the scan.
        grid: Its grid.
        vocabulary: One with the indices of `vista3d-ctmr`, such as `prosect`.
        scheme: `totalsegmentator-v2` or `-v1`: what values mean where a file does not name them.

    Raises:
        FormatError: A file is damaged or no label map.
        RecipeError: There is no result (`PSEUDO_MISSING`), it lies elsewhere than the scan (`LABEL_SHAPE`,
            `LABEL_AFFINE`), or it is another task's (`LABELS_UNMAPPED`).
    """
    for ending in SCAN_ENDINGS:
        if (folder / f"{case}{ending}").is_file():
            return from_multilabel(folder / f"{case}{ending}", grid, vocabulary, crosswalk(scheme))
    masks = next((found for sub in FOLDERS if (found := mask_files(folder / case / sub))), {})
    if not masks:
        raise RecipeError(
            f"{file_name(folder)}: there is neither {case}.nii.gz nor a folder {case} of masks.", code="PSEUDO_MISSING"
        )
    return from_masks(masks, grid, vocabulary, crosswalk(scheme))


def mask_files(folder: Path) -> Mapping[str, Path]:
    """Return the images of a folder by name without ending; none where there is no such folder."""
    if not folder.is_dir():
        return {}
    found = {}
    for p in sorted(folder.iterdir()):
        if p.name.lower().endswith(SCAN_ENDINGS):
            found[scan_stem(p.name)] = p
    return found


def from_multilabel(path: Path, grid: Grid, vocabulary: Vocabulary, scheme: Crosswalk) -> PseudoLabels:
    """Return the labels of one file; the names in it are believed before its values.

    Raises:
        RecipeError: A value is no label of the scheme (`LABELS_UNMAPPED`).
    """
    stored = read_labels(path, like=grid)
    refuse_other_grid(stored.grid, grid, file_name(path))
    present = values_in(stored)
    table = np.zeros(max(present, default=0) + 1, dtype=np.uint16)
    left: list[str] = []
    for value in present:
        name, index = meaning(value, stored, scheme, path)
        if index is None:
            left.append(name)
        else:
            table[value] = index
    flat = stored_flat(stored)
    known = tuple(sorted(set(scheme.indices().values())))
    return PseudoLabels(LabelMap(table[flat], grid, vocabulary), known, left_out(left))


def stored_flat(stored: StoredLabels) -> NDArray[Any]:
    """Return label values (i j k); of overlapping masks the last counts."""
    if not stored.layers:
        return stored.array
    out = np.zeros(stored.grid.shape, dtype=np.uint16)
    for value, mask in zip(stored.layers, stored.array, strict=True):
        out[mask] = value
    return out


def meaning(value: int, stored: StoredLabels, scheme: Crosswalk, path: Path) -> tuple[str, int | None]:
    """Return the name of a label in TotalSegmentator's words, and our index where we have the same."""
    for label in ([stored.names[value]] if value in stored.names else []) + [value]:
        for words in dict.fromkeys((scheme, *map(crosswalk, SCHEMES))) if isinstance(label, str) else (scheme,):
            try:
                return words.find(label).name, words.ours(label)
            except VocabularyError:
                continue
    raise RecipeError(
        f"{file_name(path)}: {value} is no label of {scheme.scheme}. Is it the result of another task?",
        code="LABELS_UNMAPPED",
    )


def from_masks(masks: Mapping[str, Path], grid: Grid, vocabulary: Vocabulary, scheme: Crosswalk) -> PseudoLabels:
    """Return the labels of a folder with one mask per structure; only structures that have a file were looked for."""
    array = np.zeros(grid.shape, dtype=np.uint16)
    known: list[int] = []
    left: list[str] = []
    for name, path in masks.items():
        try:
            index = scheme.ours(name)
        except VocabularyError:
            index = None
        if index is None:
            left.append(name)
            continue
        stored = read_labels(path, like=grid)
        refuse_other_grid(stored.grid, grid, file_name(path))
        # Overlapping segments of one mask file are that mask together.
        if stored.layers:
            mask = stored.array.any(axis=0)
        else:
            mask = stored.array > 0
        array[mask] = index
        known.append(index)
    return PseudoLabels(LabelMap(array, grid, vocabulary), tuple(sorted(known)), left_out(left))


def left_out(names: Sequence[str]) -> tuple[str, ...]:
    """Return the note on labels that our vocabulary has nothing the same for."""
    if names:
        return (f"left out, as nothing of ours means the same: {', '.join(sorted(names))}",)
    return ()


def agreement(pseudo: PseudoLabels, manual: LabelledScan) -> Mapping[int, float]:
    """Return the Dice of pseudo-labels and manual labels, by each structure that both speak of and one of them has."""
    found = {}
    for index in sorted(set(pseudo.known) & set(manual.known)):
        overlap = dice(pseudo.labels.mask(index, whole=True), manual.truth(index))
        if overlap is not None:
            found[index] = overlap
    return found


def judge(pseudo: PseudoLabels, manual: LabelledScan | None = None, least_dice: float = LEAST_DICE) -> PseudoLabels:
    """Return pseudo-labels with a verdict: unreliable where nothing was found, or where manual labels disagree.

    Args:
        pseudo: What another model found.
        manual: Manual labels of the same scan, where there are any.
        least_dice: Mean Dice over the structures that both speak of, below which the pseudo-labels are not used.
    """
    if not pseudo.labels.present:
        return PseudoLabels(pseudo.labels, pseudo.known, (*pseudo.notes, "nothing was found"), 0)
    found = {} if manual is None else agreement(pseudo, manual)
    if not found:
        return pseudo
    mean = float(np.mean(list(found.values())))
    note = f"agrees with the manual labels of {len(found)} structures with a mean Dice of {mean:.3f}"
    return PseudoLabels(pseudo.labels, pseudo.known, (*pseudo.notes, note), int(mean >= least_dice))
