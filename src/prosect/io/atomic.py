"""The one way a file comes to be: whole under its final name, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from prosect.errors import OutputError, ResourceError
from prosect.io.paths import file_name
from prosect.io.temporary import make_temporary_file, sweep_beside

__all__ = ["atomic_file", "gzip_chunks", "make_folder", "probe", "sync_file", "write_atomically"]

# Label maps shrink as much at 4 as at 9 within a few percent, in a fraction of the time. Fixed: same input, same bytes.
GZIP_LEVEL = 4
# mtime 0, no name, operating system 255 (unknown): nothing of the machine or the hour gets into the file.
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_file(path: Path, *, previous: Path | None = None) -> Iterator[BinaryIO]:
    """Yield a handle whose bytes appear under `path` only when the block ends well.

    The bytes go to a temporary file in the same folder, reach the disk (fsync), and take the name in one step; the
    folder is synced last. On any exception, an interrupt included, the temporary is removed and an older file stays.
    What killed processes left of earlier attempts at the same file is removed first.

    Args:
        path: The file.
        previous: Where an older file is kept, on the same file system, once the new one is whole.

    Raises:
        OutputError: The place cannot be written (`OUTPUT_UNWRITABLE`).
        ResourceError: The disk is full (`DISK_FULL`).
    """
    target = Path(os.path.realpath(path))
    temporary: Path | None = None
    try:
        refuse_special(target)
        sweep_beside(target)
        descriptor, temporary = make_temporary_file(target)
        with os.fdopen(descriptor, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        if previous is not None:
            keep_older(target, previous)
        os.replace(temporary, target)
        temporary = None
        sync_folder(target.parent)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def keep_older(path: Path, previous: Path) -> None:
    """Give a file a second name, in place of what had it; nothing is kept where there are no links."""
    if not path.exists():
        return
    previous.unlink(missing_ok=True)
    with suppress(OSError):
        os.link(path, previous)


def write_atomically(path: Path, chunks: Iterable[bytes]) -> None:
    """Write `chunks` one after another as the new content of `path`; see `atomic_file`."""
    with atomic_file(path) as handle:
        for chunk in chunks:
            handle.write(chunk)


def gzip_chunks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a gzip stream of `chunks` that depends on nothing but their bytes."""
    deflate = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -15)
    crc, size = 0, 0
    yield GZIP_HEADER
    for chunk in chunks:
        crc, size = zlib.crc32(chunk, crc), size + len(chunk)
        yield deflate.compress(chunk)
    yield deflate.flush()
    yield crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")


def make_folder(path: Path) -> None:
    """Make a folder for results if it is not there.

    Raises:
        OutputError: It cannot be made (`OUTPUT_UNWRITABLE`).
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{file_name(path)}: the folder cannot be made ({error.strerror}). Choose another place.",
            code="OUTPUT_UNWRITABLE",
        ) from error


def probe(path: Path, need_bytes: int) -> None:
    """Check that `need_bytes` could be written to `path`, by creating and removing a temporary file beside it.

    Twice the size must be free: the old file and the new one exist together for a moment.

    Raises:
        OutputError: The folder is missing or read-only, or `path` is no plain file (`OUTPUT_UNWRITABLE`).
        ResourceError: Too little disk space (`DISK_FULL`).
    """
    target = Path(os.path.realpath(path))
    try:
        refuse_special(target)
        descriptor, temporary = make_temporary_file(target)
        os.close(descriptor)
        temporary.unlink()
        free = shutil.disk_usage(target.parent).free
    except OSError as error:
        raise output_error(path, error) from error
    if free < 2 * need_bytes:
        raise ResourceError(
            f"{file_name(path)}: writing needs {2 * need_bytes / 2**20:.0f} MiB free on the disk, {free / 2**20:.0f} "
            "MiB are. Free some space or choose another folder.",
            code="DISK_FULL",
        )


def refuse_special(target: Path) -> None:
    """Refuse to replace a folder or a device by a file."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(target).st_mode):
            raise OutputError(
                f"{file_name(target)}: this is a folder or a device; give the name of a file.", code="OUTPUT_UNWRITABLE"
            )


def sync_file(path: Path) -> None:
    """Bring the bytes of a file to the disk that another library wrote.

    Raises:
        OSError: The disk refuses.
    """
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the new name itself to the disk, where the system can sync a folder."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def output_error(path: Path, error: OSError) -> OutputError | ResourceError:
    """Return the typed error for a failed write."""
    if error.errno in FULL:
        return ResourceError(
            f"{file_name(path)}: the disk is full; nothing was changed. Free some space and try again.",
            code="DISK_FULL",
        )
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return OutputError(
            f"{file_name(path)}: its folder does not exist. Create the folder first.", code="OUTPUT_UNWRITABLE"
        )
    return OutputError(
        f"{file_name(path)}: the file cannot be written ({error.strerror or type(error).__name__}). "
        "Check the permissions of its folder.",
        code="OUTPUT_UNWRITABLE",
    )
