"""The lock on a work folder, so that one training at a time uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prosect.errors import FormatError
from prosect.io.atomic import make_folder, output_error
from prosect.io.lock import try_lock
from prosect.io.paths import file_name

__all__ = ["LOCK", "lock_work_folder", "refuse_locked"]

LOCK = ".lock"


@contextmanager
def lock_work_folder(work: Path | None) -> Iterator[None]:
    """Keep every other training out of a work folder if there is one; the lock ends with the process.

    Raises:
        FormatError: Another process trains there (`OUTPUT_LOCKED`), or the folder cannot be written.
    """
    if work is None:
        yield
        return
    make_folder(work)
    try:
        handle = (work / LOCK).open("ab")
    except OSError as error:
        raise output_error(work / LOCK, error) from error
    with handle:
        free = True
        with suppress(OSError):  # a file system without locks
            free = try_lock(handle.fileno())
        if not free:
            raise FormatError(
                f"{file_name(work)}: another process trains in this folder. Wait for it, or choose another folder.",
                code="OUTPUT_LOCKED",
            )
        yield


def refuse_locked(work: Path) -> None:
    """Refuse a work folder in which another process trains; one that is not there yet is not made.

    Raises:
        FormatError: `OUTPUT_LOCKED`.
    """
    if (work / LOCK).exists():
        with lock_work_folder(work):
            pass
