"""Scans that a list names: a text file with a path per line, or a table with a column of paths."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prosect.cohort.manifest import Manifest, Scan, stem
from prosect.errors import FormatError
from prosect.io.paths import file_name, require_file

__all__ = ["read_scans_of_list"]

PATH_COLUMNS = ("path", "image", "input", "scan", "file")
NAME_COLUMNS = ("case", "name", "id")
MAX_BYTES = 64 << 20


def read_scans_of_list(path: Path) -> Manifest:
    """Return the scans that a list names, in its order; paths count from the folder of the list.

    A `.txt` has a path per line; empty lines and those that begin with # are passed over. A `.csv` or `.tsv` has a
    header with a column `path` (or `image`, `input`, `scan`, `file`) and, as it likes, `case` (or `name`, `id`) and
    `series`. A case without a name has that of its file or folder.

    Raises:
        FormatError: The list cannot be read, names nothing, or has no such column (`LIST_INVALID`).
    """
    require_file(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("it is too large")
        rows = list(entries(path.read_text("utf-8-sig"), path.suffix.lower()))
    except (OSError, ValueError, csv.Error) as error:
        raise FormatError(
            f"{file_name(path)}: this is not a list of scans ({error}). Give a .txt with a path per line, or a .csv "
            "with a column `path`.",
            code="LIST_INVALID",
        ) from error
    if not rows:
        raise FormatError(f"{file_name(path)}: the list names no scan.", code="LIST_INVALID")
    return Manifest(tuple(scan_of(path.parent, row) for row in rows), {})


def entries(text: str, suffix: str) -> Iterator[Mapping[str, str]]:
    """Yield path, case and series of each entry.

    Raises:
        ValueError: There is no column of paths, or a row without one.
    """
    if suffix == ".txt":
        for line in text.splitlines():
            place = line.strip()
            if place and not place.startswith("#"):
                yield {"path": place}
        return
    table = csv.DictReader(io.StringIO(text), delimiter="\t" if suffix == ".tsv" else ",")
    columns = {}
    for name in table.fieldnames or ():
        columns[(name or "").strip().lower()] = name
    paths = first_column(columns, PATH_COLUMNS)
    if paths is None:
        raise ValueError(f"it has no column named {', '.join(PATH_COLUMNS)}")
    names, series = first_column(columns, NAME_COLUMNS), first_column(columns, ["series"])
    for row in table:
        place = cell(row, paths)
        if not place:
            raise ValueError(f"line {table.line_num} has no path")
        yield {"path": place, "case": cell(row, names), "series": cell(row, series)}


def first_column(columns: Mapping[str, str], wanted: Iterable[str]) -> str | None:
    """Return the first of these columns that a table has, as it is written there."""
    for name in wanted:
        if name in columns:
            return columns[name]
    return None


def cell(row: Mapping[str, str | None], column: str | None) -> str:
    """Return what a row has in a column, empty where there is nothing or no such column."""
    if column is None:
        return ""
    return (row.get(column) or "").strip()


def scan_of(top: Path, row: Mapping[str, str]) -> Scan:
    """Return the scan of one entry.

    Raises:
        FormatError: A name that leads into another folder.
    """
    path = top / row["path"]
    name = row.get("case") or stem(path.name)
    if name != Path(name).name or "\\" in name or "\x00" in name or name.startswith("."):
        raise FormatError(
            f"{file_name(name)}: a case becomes a file name, which this cannot be. Choose another name.",
            code="LIST_INVALID",
        )
    return Scan(name, path, row["path"], row.get("series") or None, files_of(path))


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files whose size and time tell whether the input changed."""
    if path.is_dir():
        return tuple(sorted(place for place in path.rglob("*") if place.is_file()))
    return (path,)
