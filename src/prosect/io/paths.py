"""Paths: the name under which a message speaks of a file, and the check that there is a file to read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from prosect.errors import FormatError

__all__ = ["PAIR_VOXELS", "file_name", "header_of_pair", "in_any_spelling", "not_found", "require_file", "unreadable"]

# How the two files of a NIfTI or ANALYZE pair end.
PAIR_HEADERS, PAIR_VOXELS = (".hdr", ".hdr.gz"), (".img", ".img.gz")


def file_name(path: Path | str) -> str:
    """Return the name of a file for a message: without its folder, on one line, at most 120 characters."""
    name = Path(path).name or str(path)
    safe = "".join(c if c.isprintable() else "?" for c in name)
    if len(safe) <= 120:
        return safe
    return f"{safe[:80]}...{safe[-30:]}"


def require_file(path: Path) -> None:
    """Refuse a path that cannot be read as a plain file.

    Raises:
        FormatError: Missing (`INPUT_NOT_FOUND`), or a device, socket or unreadable (`INPUT_UNREADABLE`).
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise not_found(path) from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(mode):
        raise FormatError(f"{file_name(path)}: this is not a plain file. Give an image file.", code="INPUT_UNREADABLE")


def not_found(path: Path) -> FormatError:
    """Return the refusal for a path at which there is nothing."""
    return FormatError(f"{file_name(path)}: there is no such file or folder. Check the path.", code="INPUT_NOT_FOUND")


def unreadable(path: Path, error: Exception) -> FormatError:
    """Return the refusal for a file that the system does not let us read."""
    cause = getattr(error, "strerror", None) or type(error).__name__
    return FormatError(
        f"{file_name(path)}: the file cannot be read ({cause}). Check its permissions and the disk.",
        code="INPUT_UNREADABLE",
    )


def header_of_pair(path: Path) -> Path:
    """Return the header beside the voxels of a NIfTI or ANALYZE pair; any other path as it is."""
    if not path.name.lower().endswith(PAIR_VOXELS):
        return path
    return in_any_spelling(path, PAIR_HEADERS) or path


def in_any_spelling(path: Path, endings: tuple[str, ...]) -> Path | None:
    """Return the file beside the file of a pair that has one of these endings instead of its own, if there is one."""
    if path.name.lower().endswith(".gz"):
        stem = path.name[: -len(".gz")]
    else:
        stem = path.name
    stem = stem[: -len(".hdr")]
    for ending in endings:
        for spelling in (ending, ending.upper()):
            place = path.with_name(stem + spelling)
            if place.is_file():
                return place
    return None
