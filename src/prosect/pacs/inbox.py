"""What a listener receives: files sorted by series on the disk, and which series are complete."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from prosect.io.atomic import make_folder, write_atomically
from prosect.pacs.uids import file_name_of, is_uid

__all__ = ["Arrival", "Inbox"]

SHORT = 16


@dataclass
class Arrival:
    """A series that is arriving.

    Attributes:
        series_uid: Series Instance UID.
        modality: Modality.
        folder: Where its files are.
        files: How many there are.
        seen_s: When the last one came, by the inbox's clock.
    """

    series_uid: str
    modality: str
    folder: Path
    files: int = 0
    seen_s: float = 0.0


@dataclass
class Inbox:
    """Files as they come in; the network's threads add, one other thread takes what is complete.

    Attributes:
        folder: Where series are kept, each in a folder named by a hash.
        quiet_s: A series is complete when no file came for so long.
        max_bytes: What may lie here at once.
        clock: Seconds.
    """

    folder: Path
    quiet_s: float
    max_bytes: int
    clock: Callable[[], float]
    _arriving: dict[str, Arrival] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _bytes: int = 0

    def add(self, series_uid: str, instance_uid: str, modality: str, content: bytes) -> bool:
        """Keep a file, and return whether it could be kept: names are valid, and there is room."""
        if not is_uid(series_uid) or not is_uid(instance_uid):
            return False
        with self._lock:
            if self._bytes + len(content) > self.max_bytes:
                return False
            self._bytes += len(content)
            arrival = self._arriving.get(series_uid)
            if arrival is None:
                place = self.folder / hashlib.sha256(series_uid.encode()).hexdigest()[:SHORT]
                arrival = self._arriving[series_uid] = Arrival(series_uid, modality, place)
            # Until it is written the series must not pass for complete.
            arrival.seen_s = self.clock()
        make_folder(arrival.folder)
        write_atomically(arrival.folder / file_name_of(instance_uid), [content])
        with self._lock:
            arrival.files += 1
            arrival.seen_s = self.clock()
        return True

    def take_complete(self) -> list[Arrival]:
        """Return the series that are complete, and forget them."""
        with self._lock:
            now = self.clock()
            done = [arrival for arrival in self._arriving.values() if now - arrival.seen_s >= self.quiet_s]
            for arrival in done:
                del self._arriving[arrival.series_uid]
        return done

    def release(self, arrival: Arrival) -> None:
        """Remove the files of a series that was dealt with."""
        freed = 0
        for path in arrival.folder.iterdir():
            freed += path.stat().st_size
            path.unlink()
        arrival.folder.rmdir()
        with self._lock:
            self._bytes -= freed
