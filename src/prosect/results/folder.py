"""A folder of results that appears whole: made beside its place under a temporary name, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prosect.io.atomic import output_error, sync_folder
from prosect.io.paths import file_name
from prosect.io.temporary import make_temporary_folder, sweep_beside
from prosect.results.request import REPORT_NAME

__all__ = ["stage_folder"]


@contextmanager
def stage_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder whose files become those of `folder` when the block ends well.

    A folder that is not there appears in one step. Into one that is there, which stays the same folder with its owner
    and mode, they are moved one by one: its report goes first and the new report comes last, so that a folder with a
    report is complete. Files that the old report lists and the new results do not have are removed; all others stay.

    Raises:
        OutputError: The place cannot be written (`OUTPUT_UNWRITABLE`).
        ResourceError: The disk is full.
    """
    target = Path(os.path.realpath(folder))
    try:
        sweep_beside(target)
        temporary = make_temporary_folder(target)
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


def publish(temporary: Path, target: Path) -> None:
    """Give the finished folder its name, or its files their places in one that is there."""
    if not target.exists():
        os.rename(temporary, target)
        sync_folder(target.parent)
        return
    old = outputs_of(target / REPORT_NAME)
    (target / REPORT_NAME).unlink(missing_ok=True)
    names = sorted((path.name for path in temporary.iterdir()), key=lambda name: (name == REPORT_NAME, name))
    for name in old - set(names):
        (target / name).unlink(missing_ok=True)
    for name in names:
        os.replace(temporary / name, target / name)
    sync_folder(target)


def outputs_of(report: Path) -> set[str]:
    """Return the plain file names that an earlier report lists as its outputs; nothing where it is not ours."""
    try:
        outputs = json.loads(report.read_bytes())["outputs"]
        names = set()
        for entry in outputs:
            names.add(str(entry["file"]))
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    found: set[str] = set()
    for name in names:
        if name == file_name(name) and name not in (".", "..", REPORT_NAME):
            found.add(name)
    return found
