"""Paths: the name under which a message speaks of a file, and the check that there is a file to read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from prosect.errors import FormatError

__all__ = ["file_name", "not_found", "require_file", "unreadable"]


def file_name(path: Path | str) -> str:
    """Return the name of a file for a message: without its folder, on one line, at most 120 characters."""
    name = Path(path).name or str(path)
    safe = "".join(c if c.isprintable() else "?" for c in name)
    return safe if len(safe) <= 120 else f"{safe[:80]}...{safe[-30:]}"


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
