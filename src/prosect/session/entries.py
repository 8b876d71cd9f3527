"""The actions of a session in order, kept out of memory: in its journal, or else in a temporary file."""

from __future__ import annotations

import json
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from prosect.errors import ResourceError
from prosect.session.journal import Journal, read_record

__all__ = ["Entries"]

MEMORY_BYTES = 4 * 2**20


class Entries:
    """Every action of a session, from which it can be restored.

    Args:
        journal: Where actions are on disk before they take effect; without one they are in memory at first, and beyond
            4 MiB in a temporary file without a name.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._spool = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115
        # The file lives as long as the session, whose end nobody announces.
        weakref.finalize(self, self._spool.close)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add an action; a journal has it on disk when this returns.

        Raises:
            FormatError: The journal cannot be written (`OUTPUT_UNWRITABLE`).
            ResourceError: The disk is full (`DISK_FULL`).
        """
        if self._journal is not None:
            self._journal.append(entry)
            return
        size = self._spool.seek(0, 2)
        try:
            self._spool.write(json.dumps(entry, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        except OSError as error:
            self._spool.seek(size)
            self._spool.truncate()
            raise ResourceError(
                f"The session cannot be kept in {tempfile.gettempdir()} ({error.strerror}); free space there, or give "
                "the session a journal.",
                code="DISK_FULL",
            ) from error

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        if self._journal is not None:
            yield from read_record(self._journal.path).entries
            return
        self._spool.seek(0)
        for line in self._spool:
            yield json.loads(line)
