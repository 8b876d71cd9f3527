"""Read the labels of a list's scans: checked against the scan and the mapping, in the vocabulary's indices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prosect.data.datalist import DataList, Entry
from prosect.data.labelled import LabelledScan
from prosect.data.mapping import LabelMapping
from prosect.errors import RecipeError, UsageError
from prosect.geometry import Grid
from prosect.io import read, read_labels
from prosect.io.paths import file_name
from prosect.io.stored import StoredLabels
from prosect.labelmap import LabelLayers, LabelMap
from prosect.vocabulary import Vocabulary

__all__ = [
    "TOLERANCE_MM",
    "read_labelled",
    "read_manual",
    "read_pseudo",
    "read_supervoxels",
    "read_unlabelled",
    "refuse_other_grid",
    "values_in",
]

# How far label voxels may lie from the scan's: two float32 or qform headers of one grid differ by up to 0.007 mm.
TOLERANCE_MM = 1e-2


def read_labelled(entry: Entry, datalist: DataList, tolerance_mm: float = TOLERANCE_MM) -> LabelledScan:
    """Return a scan of the list with its manual labels.

    Args:
        entry: Which.
        datalist: Its list.
        tolerance_mm: How far label voxels may lie from the scan's.

    Raises:
        FormatError: A file is missing, damaged or no image.
        RecipeError: There are no manual labels (`LABEL_MISSING`), they lie elsewhere than the scan (`LABEL_SHAPE`,
            `LABEL_AFFINE`), hold values that the list does not know (`LABELS_UNMAPPED`, `LABELS_UNLISTED`), or names
            that say something else than the list (`LABELS_CONTRADICTED`).
    """
    volume = read(entry.image)
    labels = read_manual(entry, datalist, volume.grid, tolerance_mm)
    return LabelledScan(entry.name, volume, labels, datalist.known(entry), entry.dataset)


def read_unlabelled(entry: Entry, datalist: DataList) -> LabelledScan:
    """Return a scan of the list as if nothing were known of it.

    Raises:
        FormatError: The file is missing, damaged or no image.
    """
    volume = read(entry.image)
    nothing = LabelMap(np.zeros(volume.grid.shape, dtype=np.uint8), volume.grid, datalist.vocabulary)
    return LabelledScan(entry.name, volume, nothing, (), entry.dataset)


def read_manual(
    entry: Entry, datalist: DataList, grid: Grid, tolerance_mm: float = TOLERANCE_MM
) -> LabelMap | LabelLayers:
    """Return the manual labels of an entry on the scan's grid; errors as in `read_labelled`."""
    if entry.label is None:
        raise RecipeError(f"{entry.name}: the list has no manual labels for it.", code="LABEL_MISSING")
    name = file_name(entry.label)
    stored = on_grid(entry.label, grid, tolerance_mm)
    present = values_in(stored)
    # Names in the file and the mapping of the list meet here: they must not speak of two structures.
    mapping = datalist.mapping(entry).in_file(stored.names, present, datalist.vocabulary, name)
    if entry.labelled is not None:
        unlisted = set(present) - set(entry.labelled)
        named = set()
        for label in entry.labelled:
            named.add(datalist.mapping(entry).meaning(label))
        # A value that means nothing in the vocabulary contradicts nothing; one that is listed by name is listed.
        strange = sorted(value for value in unlisted if mapping.meaning(value) not in (None, *named))
        if strange:
            raise RecipeError(
                f"{name}: the values {strange} are labelled, but the list says that this scan was not labelled for "
                "them. Correct `labelled`.",
                code="LABELS_UNLISTED",
            )
    mapping.require(present, name)
    if mapping.regions:
        return region_layers(stored, mapping, grid, datalist.vocabulary)
    if stored.layers:
        kept = []
        for n, value in enumerate(stored.layers):
            if mapping.values.get(value) is not None:
                kept.append(n)
        indices = [mapping.values[stored.layers[n]] or 0 for n in kept]
        return merge_layers(stored.array[kept], indices, grid, datalist.vocabulary)
    return LabelMap(mapping.translate(stored.array, present, name), grid, datalist.vocabulary)


def read_pseudo(entry: Entry, datalist: DataList, grid: Grid, tolerance_mm: float = TOLERANCE_MM) -> LabelMap | None:
    """Return the pseudo-labels of an entry on the scan's grid; None where there are none, or unreliable ones.

    Raises:
        FormatError: The file is missing, damaged or no label map.
        RecipeError: They lie elsewhere than the scan (`LABEL_SHAPE`, `LABEL_AFFINE`), or hold values that the
            vocabulary does not know (`LABELS_UNMAPPED`).
    """
    if entry.pseudo_label is None or entry.reliability <= 0:
        return None
    stored = on_grid(entry.pseudo_label, grid, tolerance_mm)
    present = values_in(stored)
    strange = []
    for value in present:
        if value not in datalist.vocabulary:
            strange.append(value)
    if strange:
        raise RecipeError(
            f"{file_name(entry.pseudo_label)}: the values {strange[:8]} are no indices of "
            f"'{datalist.vocabulary.name}'; pseudo-labels must hold its indices.",
            code="LABELS_UNMAPPED",
        )
    own = LabelMapping({value: value for value in present})
    own.in_file(stored.names, present, datalist.vocabulary, file_name(entry.pseudo_label))
    if stored.layers:
        return LabelLayers(stored.array, stored.layers, grid, datalist.vocabulary).flatten()
    return LabelMap(stored.array, grid, datalist.vocabulary)


def read_supervoxels(
    entry: Entry, grid: Grid, tolerance_mm: float = TOLERANCE_MM
) -> NDArray[np.unsignedinteger] | None:
    """Return the supervoxels of an entry (i j k), 0 where there are none; None where the list has none.

    Raises:
        FormatError: The file is missing, damaged or no label map.
        RecipeError: They lie elsewhere than the scan (`LABEL_SHAPE`, `LABEL_AFFINE`).
    """
    if entry.supervoxels is None:
        return None
    return np.asarray(on_grid(entry.supervoxels, grid, tolerance_mm).array)


def on_grid(path: Path, grid: Grid, tolerance_mm: float) -> StoredLabels:
    """Return stored labels, which must lie where the scan does; DICOM labels are put there by position."""
    stored = read_labels(path, like=grid)
    refuse_other_grid(stored.grid, grid, file_name(path), tolerance_mm)
    return stored


def refuse_other_grid(labels: Grid, scan: Grid, name: str, tolerance_mm: float = TOLERANCE_MM) -> None:
    """Refuse labels whose voxels are not the scan's.

    Raises:
        RecipeError: Another shape (`LABEL_SHAPE`), or other places (`LABEL_AFFINE`).
        UsageError: The tolerance is negative.
    """
    if not tolerance_mm >= 0:
        raise UsageError(f"The tolerance is {tolerance_mm:g} mm; give 0 or more.")
    if labels.shape != scan.shape:
        raise RecipeError(
            f"{name}: the labels have shape {labels.shape} but the scan {scan.shape}; resample them to it.",
            code="LABEL_SHAPE",
        )
    apart = labels.distance_to(scan)
    if apart > tolerance_mm:
        raise RecipeError(
            f"{name}: the labels lie up to {apart:.3g} mm from the scan's voxels ({tolerance_mm:g} mm are allowed). "
            "Are they another scan's? Resample them, or allow more.",
            code="LABEL_AFFINE",
        )


def values_in(stored: StoredLabels) -> tuple[int, ...]:
    """Return the label values that occur in a file, ascending, without the background."""
    if stored.layers:
        return tuple(sorted(v for v, mask in zip(stored.layers, stored.array, strict=True) if mask.any()))
    # Plane by plane: bincount widens every voxel to eight bytes.
    counts = np.zeros(int(stored.array.max(initial=0)) + 1, dtype=np.int64)
    for k in range(stored.array.shape[2]):
        counts += np.bincount(stored.array[..., k].ravel(), minlength=counts.size)
    found = []
    for value in np.flatnonzero(counts):
        if value:
            found.append(int(value))
    return tuple(found)


def region_layers(stored: StoredLabels, mapping: LabelMapping, grid: Grid, vocabulary: Vocabulary) -> LabelLayers:
    """Return one layer per region that a file shows, each where any of its label values is."""
    present = set(values_in(stored))
    shown = {index: values for index, values in mapping.regions.items() if present & set(values)}
    stack = np.zeros((len(shown), *grid.shape), dtype=np.bool_)
    for layer, values in zip(stack, shown.values(), strict=True):
        if stored.layers:
            own = []
            for n, value in enumerate(stored.layers):
                if value in values:
                    own.append(n)
            layer[...] = stored.array[own].any(axis=0)
        else:
            layer[...] = np.isin(stored.array, values)
    return LabelLayers(stack, tuple(shown), grid, vocabulary)


def merge_layers(masks: NDArray[np.bool_], indices: Sequence[int], grid: Grid, vocabulary: Vocabulary) -> LabelLayers:
    """Return one layer per structure; masks (n i j k) that mean the same are united."""
    united: dict[int, NDArray[np.bool_]] = {}
    for mask, index in zip(masks, indices, strict=True):
        if index in united:
            united[index] = united[index] | mask
        else:
            united[index] = mask
    stack = np.zeros((len(united), *grid.shape), dtype=np.bool_)
    for layer, mask in zip(stack, united.values(), strict=True):
        layer[...] = mask
    return LabelLayers(stack, tuple(united), grid, vocabulary)
