"""Label values in files where they are not the structures' indices: those of the labels a model was finetuned on."""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["distinct_values", "own_values"]


def own_values(provenance: Mapping[str, object]) -> dict[int, int]:
    """Return the label values in files by structure that provenance states (its `label_values`); empty without any."""
    stated = provenance.get("label_values", {})
    if not isinstance(stated, Mapping):
        return {}
    return {int(index): int(value) for index, value in stated.items()}


def distinct_values(values: Mapping[int, int], indices: Collection[int]) -> dict[int, int]:
    """Return label values in files by structure, or none at all where two structures would share one.

    Args:
        values: Of some structures; each of the others has its index.
        indices: All structures that a file may hold.
    """
    in_files = {values.get(index, index) for index in indices}
    if len(in_files) < len(indices):
        return {}
    return dict(values)
