"""The files of a DICOM folder, zip or single slice, as bytes under caps; nothing is ever unpacked onto the disk."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prosect.errors import FormatError
from prosect.io.paths import file_name, unreadable
from prosect.io.payload import check_memory, corrupt
from prosect.io.sniff import sniff

__all__ = ["Member", "file_member", "members"]

# A zip may promise anything; a DICOM series compresses 2 to 4 times, lossless or not, never 200 times.
MAX_ZIP_RATIO = 200
MAX_ZIP_BYTES = 16 << 30
MAX_MEMBERS = 100_000


@dataclass(frozen=True)
class Member:
    """One file that may be a DICOM slice.

    Attributes:
        name: Its name without folders, for messages.
        size: Its length in bytes.
        head: Returns its first bytes, at most as many as asked for.
        has_checksum: Whether reading all of it tells damage, as in a zip.
    """

    name: str
    size: int
    head: Callable[[int], bytes]
    has_checksum: bool = False

    def read(self) -> bytes:
        """Return all its bytes.

        Raises:
            FormatError: It cannot be read, or its zip checksum is wrong.
        """
        return self.head(self.size)


@contextmanager
def members(path: Path) -> Iterator[list[Member]]:
    """Yield the files at `path`: a folder with all below it, a zip, or a file with its neighbours in the folder.

    Raises:
        FormatError: The zip is damaged, encrypted or a bomb; too many files; the folder cannot be read.
    """
    if path.is_dir():
        yield folder_members(path, deep=True)
    elif sniff(path).kind == "zip":
        with open_zip(path) as archive:
            yield zip_members(path, archive)
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


def file_member(place: Path) -> Member:
    """Return a file on the disk as a member."""
    return Member(file_name(place), place.stat().st_size, file_head(place))


def is_candidate(name: str) -> bool:
    """Return whether a file of this name can be a slice."""
    return not name.startswith(".") and Path(name).stem.upper() != "DICOMDIR"


def file_head(place: Path) -> Callable[[int], bytes]:
    """Return a reader of the first bytes of a file."""

    def head(count: int) -> bytes:
        try:
            with open(place, "rb") as handle:
                return handle.read(count)
        except OSError as error:
            raise unreadable(place, error) from error

    return head


def open_zip(path: Path) -> zipfile.ZipFile:
    """Return the opened archive.

    Raises:
        FormatError: Its directory is damaged.
    """
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise corrupt(file_name(path), f"zip directory: {error}") from error


def zip_members(path: Path, archive: zipfile.ZipFile) -> list[Member]:
    """Return the files in an archive, after bounding what they may unpack to.

    Raises:
        FormatError: Encrypted, too many files, or a declared size or ratio beyond the caps (`INPUT_TOO_LARGE`).
    """
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if any(info.flag_bits & 1 for info in infos):
        raise FormatError(f"{file_name(path)}: the zip is encrypted. Unpack it first.", code="INPUT_UNREADABLE")
    total = sum(info.file_size for info in infos)
    packed = path.stat().st_size
    if len(infos) > MAX_MEMBERS or total > min(MAX_ZIP_BYTES, MAX_ZIP_RATIO * packed):
        raise FormatError(
            f"{file_name(path)}: the zip declares {len(infos)} files of {total >> 20} MiB in {packed >> 20} MiB; "
            f"at most {MAX_MEMBERS} files, {MAX_ZIP_BYTES >> 30} GiB and {MAX_ZIP_RATIO} to 1 are unpacked. "
            "Unpack it yourself if you trust it.",
            code="INPUT_TOO_LARGE",
        )
    kept = [info for info in infos if is_zip_candidate(info.filename)]
    kept.sort(key=lambda info: info.filename)
    return [zip_member(path, archive, info) for info in kept]


def zip_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    """Return a file in an archive as a member."""
    return Member(file_name(info.filename), info.file_size, zip_head(path, archive, info), has_checksum=True)


def is_zip_candidate(name: str) -> bool:
    """Return whether an archive member of this name can be a slice."""
    parts = name.replace("\\", "/").split("/")
    return is_candidate(parts[-1]) and "__MACOSX" not in parts


def zip_head(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[int], bytes]:
    """Return a reader of the first bytes of an archive member; reading all of them checks the CRC."""

    def head(count: int) -> bytes:
        name = f"{file_name(info.filename)} in {file_name(path)}"
        check_memory(name, min(count, info.file_size))
        try:
            with archive.open(info) as handle:
                data = handle.read(count)
                if count >= info.file_size:
                    handle.read(1)  # the CRC is compared on reaching the end
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
            raise corrupt(name, str(error)) from error
        return data

    return head
