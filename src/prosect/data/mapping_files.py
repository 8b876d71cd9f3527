"""Where mappings of label values are written: in files of the user's, and in the table of the paper's data sets."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from prosect.data.tables import read_text, separator_of
from prosect.errors import RecipeError
from prosect.io.paths import file_name, require_file

__all__ = ["published_mappings", "read_mappings"]

MEANING = ("structure", "index", "name")  # columns that say what a value means


@functools.cache
def published_mappings() -> Mapping[str, tuple[tuple[int, int], ...]]:
    """Return the mappings of the paper's data sets: pairs of label value and index, by name of the set."""
    text = resources.files("prosect.data").joinpath("datasets.tsv").read_text(encoding="utf-8")
    found: dict[str, list[tuple[int, int]]] = {}
    for row in csv.DictReader(text.splitlines(), delimiter="\t"):
        found.setdefault(row["dataset"], []).append((int(row["value"]), int(row["index"])))
    rows: dict[str, tuple[tuple[int, int], ...]] = {}
    for name, pairs in found.items():
        rows[name] = tuple(pairs)
    return rows


def read_mappings(path: Path) -> Mapping[str, tuple[Sequence[Any], ...]]:
    """Return pairs by name of the data set from a file; `default` where it names none.

    A `.json` holds the official form, `{"AMOS22": [[1, 3], ...]}`, or one list of pairs; a `.tsv` or `.csv` has the
    columns `value` and `structure` (or `index`, `name`), and `dataset` where there are several.

    Raises:
        FormatError: It is missing or cannot be read.
        RecipeError: It holds no mapping (`MAPPING_INVALID`).
    """
    require_file(path)
    try:
        text = read_text(path)
        if path.suffix.lower() == ".json":
            plain = json.loads(text)
            if isinstance(plain, dict):
                by_set = plain
            else:
                by_set = {"default": plain}
            found: dict[str, tuple[Sequence[Any], ...]] = {}
            for name, pairs in by_set.items():
                found[str(name)] = tuple(map(tuple, pairs))
            return found
        return pairs_of_table(text)
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise RecipeError(f"{file_name(path)}: this is no label mapping ({error}).", code="MAPPING_INVALID") from error


def names_structures(names: list[str]) -> bool:
    """Return whether these columns map label values to structures."""
    return "value" in names and any(column in names for column in MEANING)


def pairs_of_table(text: str) -> Mapping[str, tuple[Sequence[Any], ...]]:
    """Return pairs by name of the data set from a table."""
    found: dict[str, list[Sequence[Any]]] = {}
    try:
        separator = separator_of(text, names_structures)
    except ValueError as error:
        raise ValueError(f"it has no column value, or none named structure, index or name; {error}") from None
    for row in csv.DictReader(text.splitlines(), delimiter=separator):
        named = {}
        for key, value in row.items():
            named[str(key).strip().lower()] = (value or "").strip()
        column = next(key for key in MEANING if key in named)
        found.setdefault(named.get("dataset") or "default", []).append((named["value"], named[column]))
    if not found:
        raise ValueError("it has no row")
    rows: dict[str, tuple[Sequence[Any], ...]] = {}
    for name, pairs in found.items():
        rows[name] = tuple(pairs)
    return rows
