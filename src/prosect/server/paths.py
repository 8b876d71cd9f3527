"""Files that a server may show: below named roots, regular, and reached without following a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from prosect.errors import FormatError

__all__ = ["Found", "Roots", "output_path"]

MAX_NAME = 1024
MAX_PART = 255  # bytes, on most file systems
MAX_ENTRIES = 5000  # of one folder that are told of at once
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
DIRECTORY = getattr(os, "O_DIRECTORY", 0)


@dataclass(frozen=True)
class Found:
    """An entry of a folder.

    Attributes:
        name: Its name.
        folder: Whether it is a folder.
        size: Bytes of a file.
    """

    name: str
    folder: bool
    size: int


class Roots:
    """The folders and files that a server was told to offer.

    Args:
        places: Path of each root, by the name under which it is offered.
    """

    def __init__(self, places: Mapping[str, Path]) -> None:
        self._places = {name: Path(os.path.realpath(path)) for name, path in places.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the roots."""
        return tuple(self._places)

    def kinds(self) -> dict[str, bool]:
        """Return for each root, by name, whether it is a folder."""
        return {name: place.is_dir() for name, place in self._places.items()}

    def path(self, root: str, relative: str) -> Path:
        """Return the path of a file or folder below a root, after every part of it was looked at.

        Each part is opened relative to the folder before it, and links are not followed. So what was checked is what
        lies there, also where somebody exchanges a folder for a link in between.

        Raises:
            FormatError: There is no such root (`ROOT_UNKNOWN`), the path is malformed (`PATH_INVALID`), leads out of
                the root or to something that is no file or folder (`PATH_FORBIDDEN`), or nothing is there
                (`INPUT_NOT_FOUND`).
        """
        parts = parts_of(relative)
        base = self._base(root)
        if not parts:
            return base
        with ExitStack() as opened:
            descriptor = open_below(base, parts, opened)
            refuse_special(os.fstat(descriptor), parts[-1])
        return base.joinpath(*parts)

    def split(self, path: str) -> tuple[str, str] | None:
        """Return the root below which an absolute path lies, and the rest of it; None where it lies below none."""
        parts = Path(path).parts
        for root, place in self._places.items():
            if parts[: len(place.parts)] == place.parts:
                return root, "/".join(parts[len(place.parts) :])
        return None

    def entries(self, root: str, relative: str) -> list[Found]:
        """Return what lies in a folder below a root, folders first; hidden entries, links and devices are left out.

        Raises:
            FormatError: As for `path`.
        """
        base, parts = self._base(root), parts_of(relative)
        if base.is_file():
            return [Found(base.name, False, base.stat().st_size)]
        with ExitStack() as opened:
            descriptor = open_below(base, parts, opened)
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise FormatError(f"{parts[-1]}: this is a file, not a folder.", code="PATH_INVALID")
            found = sorted(listing(descriptor), key=lambda each: (not each.folder, each.name.lower()))
        return found[:MAX_ENTRIES]

    def _base(self, root: str) -> Path:
        if root not in self._places:
            offered = ", ".join(self._places) or "none"
            raise FormatError(f"There is no root '{root:.60}'; offered are: {offered}.", code="ROOT_UNKNOWN")
        return self._places[root]


def parts_of(relative: str) -> tuple[str, ...]:
    """Return the parts of a path that a client gave.

    Raises:
        FormatError: It is absolute, climbs, is too long, or has characters that no path of ours has (`PATH_INVALID`).
    """
    text = relative.rstrip("/")
    if len(text) > MAX_NAME:
        raise FormatError(f"A path of {len(text)} characters; at most {MAX_NAME} are read.", code="PATH_INVALID")
    # A name that changes when it is decoded again would mean one thing here and another to whoever decodes twice.
    encoded = unquote(text) != text
    bad = any(ord(character) < 32 or character in "\\\x7f" for character in text)
    drive = len(text) > 1 and text[1] == ":"
    if encoded or bad or drive or text.startswith("/"):
        raise FormatError(f"The path {text!r:.80} is not valid; give one relative to its root.", code="PATH_INVALID")
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if any(len(part.encode("utf-8", "replace")) > MAX_PART for part in parts):
        raise FormatError(f"A part of the path has more than {MAX_PART} bytes.", code="PATH_INVALID")
    if ".." in parts:
        raise FormatError(f"The path {text!r:.80} leads out of its root.", code="PATH_FORBIDDEN")
    return parts


def open_below(base: Path, parts: tuple[str, ...], opened: ExitStack) -> int:
    """Return a descriptor of what lies at `parts` below a folder; links are not followed.

    Raises:
        FormatError: Nothing is there (`INPUT_NOT_FOUND`), or a part is a link (`PATH_FORBIDDEN`).
    """
    try:
        descriptor = os.open(base, os.O_RDONLY)
        opened.callback(os.close, descriptor)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            # A named pipe would block whoever opens it, so the last part is opened without waiting.
            flags = os.O_RDONLY | NO_FOLLOW | (getattr(os, "O_NONBLOCK", 0) if last else DIRECTORY)
            descriptor = os.open(part, flags, dir_fd=descriptor)
            opened.callback(os.close, descriptor)
    except FileNotFoundError as error:
        raise FormatError(f"{'/'.join(parts)}: nothing is there.", code="INPUT_NOT_FOUND") from error
    except OSError as error:
        raise FormatError(
            f"{'/'.join(parts)}: not a file or folder below its root ({error.strerror}).", code="PATH_FORBIDDEN"
        ) from error
    return descriptor


def refuse_special(status: os.stat_result, name: str) -> None:
    """Refuse what is neither a regular file nor a folder.

    Raises:
        FormatError: It is a pipe, a device or a socket (`PATH_FORBIDDEN`).
    """
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise FormatError(f"{name}: neither a file nor a folder.", code="PATH_FORBIDDEN")


def listing(descriptor: int) -> Iterator[Found]:
    """Yield the visible files and folders of an opened folder."""
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield Found(entry.name, True, 0)
            elif stat.S_ISREG(status.st_mode):
                yield Found(entry.name, False, status.st_size)


def output_path(root: Path, relative: str) -> Path:
    """Return where a client may save, below the output root.

    Raises:
        FormatError: The path is malformed or leads out of the root, also by a link (`PATH_INVALID`, `PATH_FORBIDDEN`),
            or through a file (`OUTPUT_EXISTS`).
    """
    parts = parts_of(relative)
    if not parts:
        raise FormatError("A name for the file is needed.", code="PATH_INVALID")
    base = Path(os.path.realpath(root))
    target = Path(os.path.realpath(base.joinpath(*parts)))
    if base not in target.parents:
        raise FormatError(f"The path {relative!r:.80} leads out of the output root.", code="PATH_FORBIDDEN")
    for folder in target.parents:
        if folder != base and base in folder.parents and folder.is_file():
            raise FormatError(f"{folder.name} is a file and no folder; choose another name.", code="OUTPUT_EXISTS")
    return target
