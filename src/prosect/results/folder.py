"""A folder of results that appears whole: made beside its place under a temporary name, then renamed."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from prosect.io.atomic import output_error, sync_folder
from prosect.io.paths import file_name
from prosect.results.request import REPORT_NAME

__all__ = ["staged"]


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder whose files become those of `folder` when the block ends well.

    A folder that is not there appears in one step. Into one that is there, which stays the same folder with its owner
    and mode, they are moved one by one: its report goes first and the new report comes last, so that a folder with a
    report is complete. Files that the old report lists and the new results do not have are removed; all others stay.

    Raises:
        FormatError: The place cannot be written (`OUTPUT_UNWRITABLE`).
        ResourceError: The disk is full.
    """
    target = Path(os.path.realpath(folder))
    try:
        sweep(target)
        temporary = open_folder(target)
    except OSError as error:
        raise output_error(folder, error) from error
    try:
        yield temporary
        try:
            publish(temporary, target)
        except OSError as error:
            raise output_error(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def open_folder(target: Path) -> Path:
    """Create `.<name>.tmp-<pid>-<n>` beside `target` and return it."""
    for attempt in range(10_000):
        temporary = target.with_name(f".{target.name[:200]}.tmp-{os.getpid()}-{attempt:04d}")
        with suppress(FileExistsError):
            temporary.mkdir()
            return temporary
    raise FileExistsError(17, "ten thousand temporary folders are in the way")


def sweep(target: Path) -> None:
    """Remove what processes that were killed on this machine have left beside `target`."""
    leftover = re.compile(rf"\.{re.escape(target.name[:200])}\.tmp-(\d+)-\d{{4}}")
    for path in target.parent.iterdir():
        found = leftover.fullmatch(path.name)
        if found and path.is_dir() and not psutil.pid_exists(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)


def publish(temporary: Path, target: Path) -> None:
    """Give the finished folder its name, or its files their places in one that is there."""
    if not target.exists():
        os.rename(temporary, target)
        sync_folder(target.parent)
        return
    old = listed(target / REPORT_NAME)
    (target / REPORT_NAME).unlink(missing_ok=True)
    names = sorted((path.name for path in temporary.iterdir()), key=lambda name: (name == REPORT_NAME, name))
    for name in old - set(names):
        (target / name).unlink(missing_ok=True)
    for name in names:
        os.replace(temporary / name, target / name)
    sync_folder(target)


def listed(report: Path) -> set[str]:
    """Return the plain file names that an earlier report lists as its outputs; nothing where it is not ours."""
    try:
        outputs = json.loads(report.read_bytes())["outputs"]
        names = {str(entry["file"]) for entry in outputs}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {name for name in names if name == file_name(name) and name not in (".", "..", REPORT_NAME)}
