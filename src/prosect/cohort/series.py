"""The DICOM series of a cohort: which slices of which folder belong together, and what the series is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prosect.errors import FormatError, ProsectError
from prosect.io.dicom.frames import is_localizer
from prosect.io.dicom.header import DERIVED_CLASSES, IMAGE_CLASSES
from prosect.io.dicom.member import Member, file_member
from prosect.io.dicom.pixels import PARSE_ERRORS, parse

__all__ = ["Series", "folder_series"]

SHORT_DIGITS = 8
HEADER_BYTES = 64 << 10
TAGS = [
    "SOPClassUID", "SeriesInstanceUID", "ImageType", "Rows", "SamplesPerPixel", "ImagePositionPatient",
]  # fmt: skip
# Their positions lie in functional groups, behind the tags above.
ENHANCED_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("2.1", "2.2", "4.1", "4.3", "4.4", "128.1", "130"))
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
    return [found for folder in sorted(groups) for found in name_series(folder, groups[folder])], passed


def series_or_reason(path: Path) -> tuple[str | None, str]:
    """Return the series of an image, None where it is damaged beyond that; or why the file is no image of a scan.

    This only sorts: whether the series is a scan that can be read, the reader decides.
    """
    try:
        dataset = header(file_member(path))
        uid = str(dataset.get("SeriesInstanceUID") or "")
        declared = str(dataset.get("SOPClassUID") or getattr(dataset.file_meta, "MediaStorageSOPClassUID", ""))
        if declared:
            return (uid, reason(dataset, declared))
        return (uid or None, "")
    except (ProsectError, *PARSE_ERRORS):
        return None, ""


def header(member: Member) -> Any:
    """Return the tags that tell, from the beginning of a file if that has them all, for pixels are long.

    Raises:
        FormatError: The file is damaged.
    """
    with suppress(FormatError):
        beginning = parse(member.name, member.head(HEADER_BYTES), TAGS)
        if "Rows" in beginning:  # the last of them in the order of a file
            return beginning
    return parse(member.name, member.read(), TAGS)


def reason(dataset: Any, declared: str) -> str:
    """Return why a file of a declared class is no image of a scan, empty where it is one or is a damaged one."""
    if "Rows" not in dataset:
        if declared in IMAGE_CLASSES:
            return ""
        return "not images"
    if any(declared == c or declared.startswith(c + ".") for c in DERIVED_CLASSES):
        return "not images"
    if is_localizer(dataset.get("ImageType")):
        return "localizers"
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        return "in colour"
    placed = dataset.get("ImagePositionPatient") or declared in ENHANCED_CLASSES
    if placed:
        return ""
    return "images without a position"


def name_series(folder: Path, group: Mapping[str, list[Path]]) -> Iterator[Series]:
    """Yield the series of one folder; several are told apart by the end of their UID, or by all of it if need be."""
    ends = [uid[-SHORT_DIGITS:].strip(".") for uid in group]
    for uid, end in zip(group, ends, strict=True):
        if end and ends.count(end) == 1:
            label = end
        else:
            label = uid or "unnamed"
        # The series is named to the reader even where it is alone: other series may lie in the folders below.
        yield Series(folder, uid or None, label if len(group) > 1 else "", tuple(group[uid]))
