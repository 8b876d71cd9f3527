"""A log of lines: one JSON object each, with its checksum, on the disk before anything builds on it, never rewritten.

The last member of each object is the CRC-32 of the rest, so that a line which a crash cut short, or which rot has
changed, is told from a whole one. A crash can cut only the last line: the next line takes its place. Damage anywhere
else is reported by its number; what it means, the owner of the log decides: a journal refuses, a ledger goes on
without the line.
"""

from __future__ import annotations

import json
import os
import threading
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prosect.errors import LedgerError, OutputError, ProsectWarning
from prosect.io.atomic import output_error, sync_folder, write_atomically
from prosect.io.lock import try_lock
from prosect.io.paths import file_name, unreadable

__all__ = ["Lines", "LogFile", "append_line", "decode_lines", "encode_line", "open_log", "resume_log", "warn_of_damage"]

CRC_KEY = b',"crc32":"'
CRC_TAIL = len(CRC_KEY) + 8 + len(b'"}')

Entry = dict[str, Any]


@dataclass(frozen=True)
class Lines:
    """What a log holds.

    Attributes:
        entries: The objects of the whole lines, in order.
        damaged: Numbers, from 1, of lines before the last that are not whole.
        whole_bytes: Where the last whole line ends, or a damaged one before it; what follows was cut short.
    """

    entries: tuple[Entry, ...]
    damaged: tuple[int, ...]
    whole_bytes: int


def encode_line(entry: Mapping[str, Any], *, allow_nan: bool = True) -> bytes:
    """Return an object as a line with its checksum.

    Raises:
        ValueError: It holds a number that is not finite, where none is allowed.
    """
    body = json.dumps(entry, separators=(",", ":"), allow_nan=allow_nan).encode("ascii")
    return body[:-1] + CRC_KEY + b'%08x"}\n' % zlib.crc32(body)


def decode_lines(content: bytes, *, unchecked: bool = False) -> Lines:
    """Return what is whole in the bytes of a log.

    Args:
        content: The whole file. Lines of earlier versions, with the checksum behind a tab, are read too.
        unchecked: Whether lines without any checksum count, as earlier versions wrote them.
    """
    entries: list[Entry] = []
    damaged: list[int] = []
    position = whole_bytes = 0
    for number, text in enumerate(content.split(b"\n"), start=1):
        position += len(text) + 1
        entry = decode_line(text, unchecked)
        is_last = position > len(content)
        if entry is not None:
            entries.append(entry)
        elif not is_last:
            damaged.append(number)
        if entry is not None or not is_last:
            whole_bytes = min(position, len(content))
    return Lines(tuple(entries), tuple(damaged), whole_bytes)


def decode_line(text: bytes, unchecked: bool) -> Entry | None:
    """Return the object of one line, or None where the line is not whole."""
    body, tail = text[:-CRC_TAIL] + b"}", text[-CRC_TAIL:]
    if tail == CRC_KEY + b'%08x"}' % zlib.crc32(body):
        return decode_object(body)
    # Journals of earlier versions have the checksum behind a tab.
    body, tab, checksum = text.rpartition(b"\t")
    if tab and checksum == b"%08x" % zlib.crc32(body):
        return decode_object(body)
    # A line that has a checksum, and a wrong one, is damaged whatever else may be read without.
    if unchecked and CRC_KEY not in text:
        return decode_object(text)
    return None


def decode_object(text: bytes) -> Entry | None:
    """Return a JSON object, or None where the text is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict):
        return found
    return None


def resume_log(path: Path, settings: Mapping[str, Any], *, overwrite: bool = False) -> tuple[Entry, ...]:
    """Return the lines of a log whose first says for what settings it was kept; begin it where there is none.

    Args:
        path: The file. Lines of earlier versions, which have no checksum, are read too.
        settings: As plain data.
        overwrite: Whether what is there is replaced.

    Raises:
        LedgerError: It was kept for other settings (`RUN_CHANGED`), or cannot be read or written.
        ResourceError: The disk is full (`DISK_FULL`).
    """
    first = json.loads(json.dumps(settings))
    content = b""
    if path.exists() and not overwrite:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise unreadable(path, error) from error
    lines = decode_lines(content, unchecked=True)
    if lines.entries and lines.entries[0] != first:
        raise LedgerError(
            f"{file_name(path)}: the folder holds results of another model, list or request. Choose another folder, or "
            "give --overwrite.",
            code="RUN_CHANGED",
        )
    warn_of_damage(path, lines.damaged)
    # Written anew even where it was whole: behind a line that a kill has cut nothing more could be added.
    write_atomically(path, (encode_line(entry) for entry in lines.entries or (first,)))
    return lines.entries[1:]


def append_line(path: Path, entry: Mapping[str, Any], *, allow_nan: bool = True) -> None:
    """Add an object to the log at `path` and bring it to the disk; the file is open and locked for that time only.

    Raises:
        OutputError: Another process is writing it (`OUTPUT_LOCKED`), or it cannot be written (`OUTPUT_UNWRITABLE`).
        ResourceError: The disk is full (`DISK_FULL`); the log is then as it was.
        ValueError: See `encode_line`.
    """
    line = encode_line(entry, allow_nan=allow_nan)
    with open_log(path, needs_lock=False) as log:
        if log is None:
            raise OutputError(
                f"{file_name(path)}: another process is writing this file. Wait for it, or choose another file.",
                code="OUTPUT_LOCKED",
            )
        log.write(line)


class LogFile:
    """An open log, which this process alone may append to; several threads may.

    Args:
        path: The file, for messages.
        descriptor: The file, open for appending and locked.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor
        self._lock = threading.Lock()

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add an object and wait until it is on the disk.

        Raises:
            OutputError: The log is closed, or cannot be written (`OUTPUT_UNWRITABLE`).
            ResourceError: The disk is full (`DISK_FULL`).
        """
        self.write(encode_line(entry))

    def write(self, line: bytes) -> None:
        """Add a line and wait until it is on the disk; where that fails, the file is as it was."""
        with self._lock:
            if self._descriptor is None:
                raise OutputError(f"{file_name(self.path)}: the run is over.", code="OUTPUT_UNWRITABLE")
            try:
                write_line(self._descriptor, line)
            except OSError as error:
                raise output_error(self.path, error) from error

    def repair(self, content: bytes, lines: Lines) -> None:
        """Cut off a line that was cut short, so that the next one begins at the start of a line.

        Args:
            content: All bytes of the file.
            lines: What they hold.

        Raises:
            OutputError: The file cannot be written.
        """
        if self._descriptor is None:
            return
        whole = content[: lines.whole_bytes]
        try:
            if len(whole) < len(content):
                os.ftruncate(self._descriptor, len(whole))
            if whole and not whole.endswith(b"\n"):
                write_all(self._descriptor, b"\n")  # only the end of the line was missing
            sync_folder(self.path.parent)
        except OSError as error:
            raise output_error(self.path, error) from error

    def close(self) -> None:
        """Give the file free; a thread that is late can append no more."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def open_log(path: Path, *, needs_lock: bool = True) -> Iterator[LogFile | None]:
    """Yield the log at `path`, made if need be and locked until the block ends; None where another process has it.

    Args:
        path: The file.
        needs_lock: Whether a file system without locks will not do.

    Raises:
        OutputError: It cannot be written (`OUTPUT_UNWRITABLE`).
        ResourceError: The disk is full (`DISK_FULL`).
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise output_error(path, error) from error
    log = LogFile(path, descriptor)
    try:
        try:
            free = try_lock(descriptor)
        except OSError as error:
            if needs_lock:
                raise output_error(path, error) from error
            free = True
        yield log if free else None
    finally:
        log.close()


def write_line(descriptor: int, line: bytes) -> None:
    """Write a line and bring it to the disk; where that fails, cut off what of it was written."""
    size = os.fstat(descriptor).st_size
    try:
        write_all(descriptor, line)
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):  # where it cannot be cut either, the first failure is the one to tell
            os.ftruncate(descriptor, size)
        raise


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; the system may take fewer at a time."""
    while data:
        data = data[os.write(descriptor, data) :]


def warn_of_damage(path: Path, damaged: Iterable[int]) -> None:
    """Warn of lines that were left out."""
    numbers = [str(number) for number in damaged]
    if numbers:
        warnings.warn(
            f"{file_name(path)}: lines {', '.join(numbers)} were cut short or changed, and are left out.",
            ProsectWarning,
            stacklevel=3,
        )
