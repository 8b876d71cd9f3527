"""What was found, as data: TotalSegmentator's `statistics.json`, and a table with one row per structure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prosect.labelmap import Labels
from prosect.measure import Measurement
from prosect.results.report import plausibility
from prosect.results.request import structure_keys
from prosect.vocabulary import Structure

__all__ = ["COLUMNS", "as_csv", "as_json", "as_radiomics"]

COLUMNS = (
    "case", "index", "name", "snomed", "laterality", "present", "touches_border", "volume_ml", "mean_intensity",
    "sd_intensity", "min_intensity", "max_intensity", "centroid_r_mm", "centroid_a_mm", "centroid_s_mm",
    "bbox_i_start", "bbox_i_stop", "bbox_j_start", "bbox_j_stop", "bbox_k_start", "bbox_k_stop",
    "plausible", "confidence",
)  # fmt: skip


def as_json(
    labels: Labels,
    found: Sequence[Measurement],
    extra: bool = False,
    medians: Mapping[int, float] | None = None,
) -> bytes:
    """Return `statistics.json`: for each structure looked for, `volume` in mm3 and mean `intensity`.

    Differs from TotalSegmentator: a structure that reaches the edge keeps its numbers and says `touches_border`; one
    that was not found has `present` false and no intensity, not an intensity of 0.

    Args:
        labels: The result.
        found: Its measurements.
        extra: Add `n_voxels`, `std`, `min`, `max`, `centroid_vox` and `bbox_vox` (first voxel and one past the last,
            by axis).
        medians: By index, what `intensity` is in place of the mean.
    """
    table: dict[str, dict[str, Any]] = {}
    keys = keys_of(labels)
    for structure, m in rows(labels, found):
        row = entry(m, labels, extra)
        if medians is not None and m is not None:
            row["intensity"] = round_value(medians[m.index])
        table[keys[structure.index]] = row
    return (json.dumps(table, indent=4, allow_nan=False) + "\n").encode()


def entry(m: Measurement | None, labels: Labels, extra: bool) -> dict[str, Any]:
    """Return the JSON of one structure."""
    if m is None:
        plain: dict[str, Any] = {"volume": 0.0, "intensity": None, "present": False, "touches_border": False}
        if extra:
            return {**plain, "n_voxels": 0}
        return plain
    plain = {"volume": round_value(m.volume_ml * 1000), "intensity": round_value(m.mean_hu), "present": True}
    plain["touches_border"] = m.touches_border
    if extra:
        middle = labels.grid.to_voxel([m.centroid_ras])[0]
        plain |= {
            "n_voxels": m.voxels,
            "std": round_value(m.sd_hu),
            "min": round_value(m.min_hu),
            "max": round_value(m.max_hu),
        }
        plain["centroid_vox"] = [round_value(float(x)) for x in middle]
        plain["bbox_vox"] = [list(pair) for pair in zip(m.start_vox, m.stop_vox, strict=True)]
    return plain


def as_csv(labels: Labels, found: Sequence[Measurement], case: str) -> bytes:
    """Return the table: one row for each structure looked for; numbers are empty where it was not found.

    Args:
        labels: The result.
        found: Its measurements.
        case: Stands in the first column of every row, so that tables of many scans can be joined.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for structure, m in rows(labels, found):
        row = name_columns(structure, case, m)
        if m is not None:
            row |= value_columns(m)
        judged = plausibility(labels.provenance, structure.index)
        if judged["plausible"] is not None:
            row |= {"plausible": truth(judged["plausible"]), "confidence": judged["confidence"]}
        writer.writerow(row)
    return text.getvalue().encode("utf-8", "replace")  # a file name need not be valid text


def name_columns(structure: Structure, case: str, m: Measurement | None) -> dict[str, Any]:
    """Return the columns that say which structure it is."""
    return {
        "case": case,
        "index": structure.index,
        "name": structure.name,
        "snomed": structure.snomed.value if structure.snomed and structure.snomed.scheme == "SCT" else "",
        "laterality": structure.laterality or "",
        "present": truth(m is not None),
        "touches_border": truth(m is not None and m.touches_border),
        "volume_ml": 0 if m is None else round_value(m.volume_ml),
    }


def value_columns(m: Measurement) -> dict[str, Any]:
    """Return the columns of a structure that was found."""
    intensity = {"mean": m.mean_hu, "sd": m.sd_hu, "min": m.min_hu, "max": m.max_hu}
    columns: dict[str, Any] = {}
    for name, value in intensity.items():
        columns[f"{name}_intensity"] = round_value(value)
    columns |= {f"centroid_{axis}_mm": round_value(x) for axis, x in zip("ras", m.centroid_ras, strict=True)}
    for axis, start, stop in zip("ijk", m.start_vox, m.stop_vox, strict=True):
        columns |= {f"bbox_{axis}_start": start, f"bbox_{axis}_stop": stop}
    return columns


def rows(labels: Labels, found: Sequence[Measurement]) -> Iterator[tuple[Structure, Measurement | None]]:
    """Yield each structure looked for, with its measurement or None, ascending."""
    by_index = {}
    for m in found:
        by_index[m.index] = m
    for index in labels.sought:
        structure = labels.vocabulary.get(index)
        if structure is not None:
            yield structure, by_index.get(index)


def keys_of(labels: Labels) -> dict[int, str]:
    """Return the key of each structure that was looked for, by its index."""
    return structure_keys([row for index in labels.sought if (row := labels.vocabulary.get(index)) is not None])


def as_radiomics(labels: Labels, features: Mapping[int, Mapping[str, float | None]]) -> bytes:
    """Return `statistics_radiomics.json`: the features of each structure looked for; nothing where it was not found."""
    table: dict[str, dict[str, float | None]] = {}
    keys = keys_of(labels)
    for index in labels.sought:
        structure = labels.vocabulary.get(index)
        if structure is not None:
            row = features.get(index, {})
            table[keys[index]] = {name: round_value(value) for name, value in row.items()}
    return (json.dumps(table, indent=4, allow_nan=False) + "\n").encode()


def round_value(value: float | None) -> float | None:
    """Return a number with the digits that mean something."""
    if value is None:
        return None
    return round(value, 5)


def truth(value: bool) -> str:
    """Return a truth value as most readers of tables take it."""
    if value:
        return "true"
    return "false"
