"""The files of a DICOM folder, archive or single slice, as bytes under caps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prosect.errors import FormatError
from prosect.io.dicom.archives import tar_members, zip_members
from prosect.io.dicom.member import MAX_MEMBERS, Member, file_member, is_candidate
from prosect.io.formats import SCAN_ENDINGS
from prosect.io.paths import file_name
from prosect.io.sniff import sniff

__all__ = ["is_archive", "members", "remedy"]

# How many files a message names.
NAMED = 3
ARCHIVES = {"zip": zip_members, "tar": tar_members}


def is_archive(path: Path) -> bool:
    """Return whether a path is a zip or tar."""
    return not path.is_dir() and sniff(path).kind in ARCHIVES


@contextmanager
def members(path: Path) -> Iterator[list[Member]]:
    """Yield the files at `path`: a folder with all below it, an archive, or a file with its neighbours in the folder.

    Raises:
        FormatError: The archive is damaged, encrypted or a bomb; too many files; the folder cannot be read.
    """
    if path.is_dir():
        yield folder_members(path, deep=True)
    elif is_archive(path):
        with ARCHIVES[sniff(path).kind](path) as found:
            yield found
    else:
        yield folder_members(path.resolve().parent, deep=False)


def folder_members(folder: Path, *, deep: bool) -> list[Member]:
    """Return the plain files of a folder in the order of their names; hidden ones and DICOMDIR are not slices."""
    found: list[Member] = []
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if deep and not f.startswith((".", "__MACOSX")))
        for name in sorted(names):
            place = Path(base) / name
            if is_candidate(name) and place.is_file():
                found.append(file_member(place))
    if len(found) > MAX_MEMBERS:
        raise FormatError(
            f"{file_name(folder)}: the folder holds {len(found)} files; at most {MAX_MEMBERS} are searched. "
            "Give the folder of one study.",
            code="INPUT_TOO_LARGE",
        )
    return found


def remedy(files: Sequence[Member]) -> str:
    """Return what to give instead of files none of which is a slice."""
    others: list[str] = []
    for member in files:
        if member.name.lower().endswith(SCAN_ENDINGS):
            others.append(member.name)
    if not others:
        return "Give the folder or zip that holds the series."
    more = ""
    if len(others) > NAMED:
        more = f" and {len(others) - NAMED} more"
    return f"Scans of other formats are in it ({', '.join(others[:NAMED])}{more}); unpack them, and give one by name."
