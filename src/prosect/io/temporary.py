"""Temporary files and folders: the one way they are named and made, and the one sweep of what a kill has left.

Each is called `.<name>.tmp-<pid>-<n>` and lies beside the file or folder that it will become, so that it takes its name
in one step, and so that whoever finds it later can tell whose it is and whether that process still lives.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["make_temporary_file", "make_temporary_folder", "sweep", "sweep_beside"]

MAX_NAME_BYTES = 255
# Trainings of earlier versions left out the last number.
NAME = re.compile(r"\.(.+)\.tmp-(\d+)(?:-\d{4})?", re.DOTALL)
# For the descriptor of a file; the second exists on Windows alone.
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def make_temporary_file(target: Path) -> tuple[int, Path]:
    """Create a temporary file for `target`, never one that exists; return its open descriptor and its path.

    Raises:
        OSError: The folder cannot be written.
    """
    for place in free_names(target):
        with suppress(FileExistsError):
            return os.open(place, FLAGS, 0o666), place
    raise FileExistsError(errno.EEXIST, "ten thousand temporary files are in the way")


def make_temporary_folder(target: Path) -> Path:
    """Create an empty temporary folder for `target`, never one that exists, and return it.

    Raises:
        OSError: The folder around it cannot be written.
    """
    for place in free_names(target):
        with suppress(FileExistsError):
            place.mkdir()
            return place
    raise FileExistsError(errno.EEXIST, "ten thousand temporary folders are in the way")


def free_names(target: Path) -> Iterator[Path]:
    """Yield names for a temporary of `target`; a long name is cut so that the file system takes it."""
    for attempt in range(10_000):
        ending = f".tmp-{os.getpid()}-{attempt:04d}"
        stem = os.fsencode(target.name)[: MAX_NAME_BYTES - len(ending) - 1]
        yield target.parent / f".{os.fsdecode(stem)}{ending}"


def sweep(folders: Iterable[Path]) -> int:
    """Remove all temporaries in these folders that no other living process owns, and return how many there were.

    Only for the beginning of a command, when this process has none of its own yet: one that carries its number is then
    of a dead process that had the same, as happens in containers.
    """
    count = 0
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            found = NAME.fullmatch(path.name)
            if found and (int(found[2]) == os.getpid() or not psutil.pid_exists(int(found[2]))):
                remove(path)
                count += 1
    return count


def sweep_beside(target: Path) -> None:
    """Remove the temporaries of `target` alone whose process is no more on this machine.

    Raises:
        OSError: Its folder cannot be read.
    """
    for path in target.parent.iterdir():
        found = NAME.fullmatch(path.name)
        if found and is_of(target, path, found[1]) and not psutil.pid_exists(int(found[2])):
            remove(path)


def is_of(target: Path, temporary: Path, stem: str) -> bool:
    """Return whether a temporary with this stem belongs to `target`, whose name may have been too long for it."""
    if stem == target.name:
        return True
    # Compared as bytes: the cut may lie within a letter.
    is_full = len(os.fsencode(temporary.name)) == MAX_NAME_BYTES
    return is_full and os.fsencode(target.name).startswith(os.fsencode(stem))


def remove(path: Path) -> None:
    """Remove a file or a folder with all in it, if the system lets us."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()
