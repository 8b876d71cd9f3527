"""Temporary files that a killed process left: swept when the next one starts."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["sweep"]

# As `atomic` and the folders of results name them.
LEFTOVER = re.compile(r"\..+\.tmp-(\d+)-\d{4}")


def sweep(folders: Iterable[Path]) -> int:
    """Remove the temporary files and folders of processes that are gone, and return how many there were."""
    count = 0
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            found = LEFTOVER.fullmatch(path.name)
            if found and (int(found[1]) == os.getpid() or not psutil.pid_exists(int(found[1]))):
                remove(path)
                count += 1
    return count


def remove(path: Path) -> None:
    """Remove a leftover, if the system lets us."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()
