"""The log of requests: one line of JSON each. What a line holds is said in `recording`; here it comes to the disk.

A thread of its own writes, because the event loop must not wait for a disk. A disk that refuses loses lines, not
requests: they are counted.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["LOG_NAME", "RequestLog"]

LOG_NAME = "requests.jsonl"
MOST_BYTES = 16 << 20  # then the file becomes the older one of two
MOST_WAITING = 10_000
CLOSE_S = 2.0


class RequestLog:
    """Lines that go to a file. State: those that wait, and how many were lost.

    Args:
        path: The file; the older one beside it ends in `.1`.
        most_bytes: How large the file becomes.
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._most = path, most_bytes
        self._waiting: queue.Queue[bytes | None] = queue.Queue(MOST_WAITING)
        self.lost = 0
        self._thread = threading.Thread(target=self._write, name="prosect-log", daemon=True)
        self._thread.start()

    def add(self, line: Mapping[str, Any]) -> None:
        """Write a line soon; this waits for nothing."""
        try:
            self._waiting.put_nowait(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Write what waits, and end."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join(CLOSE_S)

    def _write(self) -> None:
        while True:
            lines = [self._waiting.get()]
            while not self._waiting.empty():  # all that came meanwhile goes in one write
                lines.append(self._waiting.get())
            kept = [line for line in lines if line is not None]
            try:
                self._append(b"".join(kept))
            except OSError:
                self.lost += len(kept)
            if None in lines:
                return

    def _append(self, data: bytes) -> None:
        if self._path.exists() and self._path.stat().st_size + len(data) > self._most:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        with self._path.open("ab") as file:
            file.write(data)
