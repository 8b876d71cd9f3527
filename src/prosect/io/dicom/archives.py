"""DICOM files in an archive, zip or tar, read in memory under caps; nothing is ever unpacked onto the disk."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prosect.errors import FormatError
from prosect.io.dicom.member import MAX_MEMBERS, Member, is_candidate
from prosect.io.paths import file_name, unreadable
from prosect.io.payload import check_memory, corrupt, inflate, read_payload

__all__ = ["tar_members", "zip_members"]

# A zip may promise anything; a DICOM series compresses 2 to 4 times, lossless or not, never 200 times.
MAX_ZIP_RATIO = 200
MAX_ZIP_BYTES = 16 << 30
# A compressed tar has no directory, so all of it is unpacked in memory.
MAX_TAR_BYTES = 1 << 30
TAR_ERRORS = (tarfile.TarError, EOFError, ValueError, OverflowError)


def open_zip(path: Path) -> zipfile.ZipFile:
    """Return the opened archive.

    Raises:
        FormatError: Its directory is damaged.
    """
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise corrupt(file_name(path), f"zip directory: {error}") from error


@contextmanager
def zip_members(path: Path) -> Iterator[list[Member]]:
    """Yield the files in a zip.

    Raises:
        FormatError: Damaged, encrypted, too many files, or a declared size or ratio beyond the caps.
    """
    with open_zip(path) as archive:
        yield bounded_members(path, archive)


def bounded_members(path: Path, archive: zipfile.ZipFile) -> list[Member]:
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
    kept = [info for info in infos if is_archive_candidate(info.filename)]
    kept.sort(key=lambda info: info.filename)
    return [zip_member(path, archive, info) for info in kept]


def zip_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    """Return a file in an archive as a member."""
    return Member(file_name(info.filename), info.file_size, zip_head(path, archive, info), has_checksum=True)


def is_archive_candidate(name: str) -> bool:
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


@contextmanager
def tar_members(path: Path) -> Iterator[list[Member]]:
    """Yield the plain files in a tar archive, gzipped or not; links, devices and sparse files are passed over.

    Raises:
        FormatError: Damaged, or too large to be unpacked in memory (`INPUT_TOO_LARGE`).
        ResourceError: Larger than the free memory.
    """
    with closing_tar(path) as archive:
        try:
            found = plain_members(path, archive)
        except (*TAR_ERRORS, OSError) as error:
            raise corrupt(file_name(path), f"tar archive: {error}") from error
        yield found


def closing_tar(path: Path) -> tarfile.TarFile:
    """Return the opened archive, which its `with` closes.

    Raises:
        FormatError: See `tar_members`.
    """
    try:
        return open_tar(path)
    except TAR_ERRORS as error:
        raise corrupt(file_name(path), f"tar archive: {error}") from error
    except OSError as error:
        raise unreadable(path, error) from error


def open_tar(path: Path) -> tarfile.TarFile:
    """Return the opened archive, inflated in memory where it is gzipped; errors as the library raises them."""
    with open(path, "rb") as handle:
        is_gzip = handle.read(2) == b"\x1f\x8b"
    if not is_gzip:
        return tarfile.open(path, "r:")
    payload = read_payload(path)
    if len(payload.raw) > MAX_TAR_BYTES:
        raise FormatError(
            f"{file_name(path)}: the compressed archive takes {len(payload.raw) >> 20} MiB; at most "
            f"{MAX_TAR_BYTES >> 20} are unpacked in memory. Unpack it and give the folder.",
            code="INPUT_TOO_LARGE",
        )
    size = int.from_bytes(payload.raw[-4:], "little")
    return tarfile.open(fileobj=io.BytesIO(inflate(payload.raw, size, payload.name)), mode="r:")


def plain_members(path: Path, archive: tarfile.TarFile) -> list[Member]:
    """Return the plain files in a tar archive by the order of their names.

    Raises:
        FormatError: There are too many.
    """
    found: list[tarfile.TarInfo] = []
    for info in archive:
        if info.isreg() and not info.issparse() and is_archive_candidate(info.name):
            found.append(info)
        if len(found) > MAX_MEMBERS:
            raise FormatError(
                f"{file_name(path)}: the archive holds more than {MAX_MEMBERS} files. Unpack it and give the folder of "
                "one study.",
                code="INPUT_TOO_LARGE",
            )
    found.sort(key=lambda info: info.name)
    return [Member(file_name(info.name), info.size, tar_head(path, archive, info)) for info in found]


def tar_head(path: Path, archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[int], bytes]:
    """Return a reader of the first bytes of a file in a tar archive."""

    def head(count: int) -> bytes:
        name = f"{file_name(info.name)} in {file_name(path)}"
        check_memory(name, min(count, info.size))
        try:
            stream = archive.extractfile(info)
            if stream:
                return stream.read(count)
            return b""
        except (*TAR_ERRORS, OSError) as error:
            raise corrupt(name, str(error)) from error

    return head
