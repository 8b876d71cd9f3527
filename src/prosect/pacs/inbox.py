"""What a listener receives: files sorted by series on the disk, and which series are complete."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from prosect.errors import FormatError, ProsectError
from prosect.io.atomic import make_folder, write_atomically
from prosect.io.dicom.pixels import parse
from prosect.io.temporary import sweep
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
        sizes: Bytes of each file by its name; a file that comes again replaces itself.
        seen_s: When the last one came, by the inbox's clock.
    """

    series_uid: str
    modality: str
    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)
    seen_s: float = 0.0

    @property
    def files(self) -> int:
        """How many files there are."""
        return len(self.sizes)


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
    _taken: set[Path] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _bytes: int = 0

    def recover(self) -> int:
        """Take up what a run that was killed has left here, and return how many series that are.

        Call it before anything arrives. Each series counts from now as if its last file had just come, because more
        of it may follow. What cannot be read as DICOM is removed: half a file can hold a patient's name, too.
        """
        if not self.folder.is_dir():
            return 0
        for folder in sorted(self.folder.iterdir()):
            sweep([folder])
            for path in sorted(folder.iterdir()):
                self._recover_file(path)
            if not any(folder.iterdir()):
                folder.rmdir()
        return len(self._arriving)

    def _recover_file(self, path: Path) -> None:
        """Count one file of an earlier run for its series, in the folder of the series."""
        try:
            header = parse(path.name, path.read_bytes(), ["SeriesInstanceUID", "Modality"])
            series_uid = str(header.SeriesInstanceUID)
        except (FormatError, AttributeError, OSError):
            path.unlink()
            return
        arrival = self._arriving.get(series_uid)
        if arrival is None:
            arrival = Arrival(series_uid, str(header.get("Modality", "")), path.parent)
            self._arriving[series_uid] = arrival
        size = path.stat().st_size
        # A series that came in two parts lay in two folders; it is one again.
        path.replace(arrival.folder / path.name)
        self._bytes += size - arrival.sizes.get(path.name, 0)
        arrival.sizes[path.name] = size
        arrival.seen_s = self.clock()

    def add(self, series_uid: str, instance_uid: str, modality: str, content: bytes) -> bool:
        """Keep a file, and return whether it could be kept: names are valid, and there is room."""
        if not is_uid(series_uid) or not is_uid(instance_uid):
            return False
        name, size = file_name_of(instance_uid), len(content)
        with self._lock:
            arrival = self._arriving.get(series_uid)
            if arrival is None:
                arrival = Arrival(series_uid, modality, self._place(series_uid))
            before = arrival.sizes.get(name, 0)
            if self._bytes + size - before > self.max_bytes:
                return False
            self._arriving[series_uid] = arrival
            self._bytes += size - before
            arrival.sizes[name] = size
            # Until it is written the series must not pass for complete.
            arrival.seen_s = self.clock()
        try:
            make_folder(arrival.folder)
            write_atomically(arrival.folder / name, [content])
        except ProsectError:
            with self._lock:
                self._bytes -= arrival.sizes.pop(name)
            raise
        with self._lock:
            arrival.seen_s = self.clock()
        return True

    def _place(self, series_uid: str) -> Path:
        """Return a folder for a series: that of its hash, or another while files that came before are dealt with."""
        name = hashlib.sha256(series_uid.encode()).hexdigest()[:SHORT]
        place, number = self.folder / name, 2
        while place in self._taken:
            place, number = self.folder / f"{name}-{number}", number + 1
        return place

    def take_complete(self) -> list[Arrival]:
        """Return the series that are complete, and forget them; files that come later make a series of their own."""
        with self._lock:
            now = self.clock()
            done = [arrival for arrival in self._arriving.values() if now - arrival.seen_s >= self.quiet_s]
            for arrival in done:
                del self._arriving[arrival.series_uid]
                self._taken.add(arrival.folder)
        return done

    def release(self, arrival: Arrival) -> None:
        """Remove the files of a series that was dealt with."""
        shutil.rmtree(arrival.folder, ignore_errors=True)
        with self._lock:
            self._bytes -= sum(arrival.sizes.values())
            self._taken.discard(arrival.folder)
