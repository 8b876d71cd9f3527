"""The DICOM series of a cohort: which slices of which folder belong together, and what the series is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom

from prosect.errors import ProsectError
from prosect.io.dicom_files import file_member
from prosect.io.dicom_headers import slice_or_reason
from prosect.io.dicom_pixels import PARSE_ERRORS

__all__ = ["Series", "folder_series"]

SHORT_DIGITS = 8
UNKNOWN = ""

Groups = dict[Path, dict[str, list[Path]]]


@dataclass(frozen=True)
class Series:
    """One series of one folder.

    Attributes:
        path: The folder.
        uid: Series Instance UID; None where it is not known.
        label: What tells it from the other series of the folder, empty where there is none.
        files: Its slices.
    """

    path: Path
    uid: str | None
    label: str
    files: tuple[Path, ...]


def folder_series(files: Sequence[Path]) -> tuple[list[Series], dict[str, int]]:
    """Return the series among DICOM files, and the number of files that are no slices by what they are.

    Args:
        files: Parents before children. A series that lies in a folder and in folders below it is one, because the
            reader looks below a folder too; in folders side by side it is several.
    """
    groups: Groups = {}
    damaged: dict[Path, list[Path]] = {}
    passed: dict[str, int] = {}
    for path in files:
        uid, reason = series_or_reason(path)
        if reason:
            passed[reason] = passed.get(reason, 0) + 1
        elif uid is None:
            damaged.setdefault(path.parent, []).append(path)
        else:
            home = next((above for above in path.parents if uid in groups.get(above, {})), path.parent)
            groups.setdefault(home, {}).setdefault(uid, []).append(path)
    for folder, unreadable in damaged.items():
        # Beside good series they need no case of their own: reading those meets them, and refuses by name.
        groups.setdefault(folder, {UNKNOWN: unreadable})
    return [found for folder in sorted(groups) for found in named(folder, groups[folder])], passed


def series_or_reason(path: Path) -> tuple[str | None, str]:
    """Return the series of a slice, None where it is damaged beyond that; or why the file is no slice."""
    try:
        found = slice_or_reason(file_member(path), None)
    except ProsectError:
        return series_uid(path), ""
    return (None, found) if isinstance(found, str) else (found.series_uid, "")


def series_uid(path: Path) -> str | None:
    """Return the series of a file that is no plain slice, None where it cannot be read."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"], force=True)
        return str(header.get("SeriesInstanceUID") or "") or None
    except (*PARSE_ERRORS, OSError):
        return None


def named(folder: Path, group: Mapping[str, list[Path]]) -> Iterator[Series]:
    """Yield the series of one folder; several are told apart by the end of their UID, or by all of it if need be."""
    ends = [uid[-SHORT_DIGITS:].strip(".") for uid in group]
    for uid, end in zip(group, ends, strict=True):
        label = end if end and ends.count(end) == 1 else uid or "unnamed"
        # The series is named to the reader even where it is alone: other series may lie in the folders below.
        yield Series(folder, uid or None, label if len(group) > 1 else "", tuple(group[uid]))
