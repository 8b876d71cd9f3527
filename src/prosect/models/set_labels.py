"""What several models found, put together: one label map, one stack of layers, one judgement."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np

from prosect.geometry import Grid
from prosect.labelmap import LabelArray, LabelLayers
from prosect.models.withheld import is_of_region
from prosect.vocabulary import Vocabulary

__all__ = ["judgements_of", "merge_flat", "merge_layers", "merging_bytes", "unsaid_by_all"]


def judgements_of(said: Mapping[int, Mapping[str, Any]], owners: Mapping[int, int]) -> dict[str, object]:
    """Return what the models say together of what can be in the scan; nothing where none of them judges.

    Of each structure its owner speaks. A region is shown if a model sees it and none misses it: in a thigh one saw
    vertebrae.
    """
    judging = {number: each for number, each in said.items() if "confidence" in each}
    if not judging:
        return {}
    regions: dict[str, bool] = {}
    for each in judging.values():
        for name in each["regions"]:
            regions.setdefault(name, True)
        for name in each["missing"]:
            regions[name] = False
    merged: dict[str, object] = {"regions": [name for name, is_shown in regions.items() if is_shown]}
    for key in ("confidence", "withheld", "evidence"):
        rows: dict[int, object] = {}
        for number, each in judging.items():
            rows |= {index: row for index, row in each[key].items() if owners.get(index) == number}
        merged[key] = rows
    return merged


def unsaid_by_all(said: Mapping[int, Mapping[str, Any]], shown: Container[int]) -> dict[int, float]:
    """Return how much of each structure was withheld for itself, in mL, where no model shows it or has said so.

    Args:
        said: What each model says of its result; the first speaks of regions that are not there.
        shown: The structures that a model shows.
    """
    leads = said.get(0, {})
    spoken = set(leads.get("withheld", {})) - set(leads.get("unsaid", {}))
    unsaid: dict[int, float] = {}
    for each in said.values():
        for index, volume_ml in each.get("unsaid", {}).items():
            is_known = index in shown or index in spoken or is_of_region(each["withheld"][index])
            if not is_known:
                unsaid[index] = max(volume_ml, unsaid.get(index, 0.0))
    return unsaid


def merging_bytes(labels: Sequence[int], overlap: bool) -> int:
    """Return the bytes of what models found and of what it merges into.

    Args:
        labels: The bytes of the labels of each model.
        overlap: Whether each structure has a layer of its own.
    """
    if overlap:
        return 2 * sum(labels)
    if len(labels) == 1:
        # The labels of one model are the result.
        return labels[0]
    return sum(labels) + max(labels)


def merge_flat(
    arrays: Sequence[LabelArray], ascending: Sequence[int], tables: Sequence[LabelArray | None] = ()
) -> LabelArray:
    """Return one label per voxel (i j k) of several label arrays (i j k) of one shape.

    Args:
        arrays: Label values; 0 is background.
        ascending: Every label value once: a later one covers those before it.
        tables: For each array what its values stand for, by value; None, or nothing at all, where for themselves.
    """
    tables = tables or [None] * len(arrays)
    if len(arrays) == 1 and tables[0] is None:
        return arrays[0]
    highest = max(ascending)
    height = np.zeros(highest + 1, dtype=np.uint16)
    height[list(ascending)] = np.arange(1, len(ascending) + 1)
    merged: LabelArray = np.zeros(arrays[0].shape, dtype=np.uint8 if highest < 256 else np.uint16)
    # Plane by plane: heights and values of a whole scan would need as much memory again as its labels.
    for array, table in zip(arrays, tables, strict=True):
        for plane, other in zip(merged, array, strict=True):
            values = other
            if table is not None:
                values = table[other]
            covers = height[values] > height[plane]
            plane[covers] = values[covers]
    return merged


def merge_layers(
    found: Mapping[int, LabelLayers],
    owners: Mapping[int, int],
    grid: Grid,
    vocabulary: Vocabulary,
    provenance: Mapping[str, object],
) -> LabelLayers:
    """Return the layer of each structure from its owner, in the order of `owners`."""
    masks = np.empty((len(owners), *grid.shape), dtype=np.bool_)
    for place, (index, number) in enumerate(owners.items()):
        masks[place] = found[number].own_mask(index)
    return LabelLayers(masks, tuple(owners), grid, vocabulary, provenance)
