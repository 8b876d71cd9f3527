"""Scans that a server has open: read once, shared by all sessions, dropped for want of memory, read again if needed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from prosect.errors import FormatError, ResourceError
from prosect.server.index import ScanEntry
from prosect.server.view import View, nifti_chunks, nifti_size, stored_type, view_of, window_of
from prosect.volume import Volume

__all__ = ["OpenScan", "Reader", "Scans"]

BYTES_PER_VOXEL = 4 + 4  # float32 intensities, and what resampling for a model holds beside them
MAX_AXIS = 4096  # voxels; other viewers' arrays have the same limit
Reader = Callable[..., Volume]


@dataclass(frozen=True)
class OpenScan:
    """A scan in memory.

    Attributes:
        entry: What is known of it without reading it.
        volume: Its voxels.
        view: Its display copy.
        window: Intensities shown at first as black and white.
    """

    entry: ScanEntry
    volume: Volume
    view: View
    window: tuple[float, float]

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, roughly."""
        return self.volume.grid.voxel_count * BYTES_PER_VOXEL

    @cached_property
    def stored_type(self) -> np.dtype[Any]:
        """How the display copy stores intensities; all of them are looked at for that, so it is found out once."""
        return stored_type(self.volume, self.view)

    def nifti(self) -> Iterator[bytes]:
        """Yield the display copy as a NIfTI file."""
        return nifti_chunks(self.volume, self.view, self.stored_type)

    def nifti_size(self) -> int:
        """Return the bytes of the display copy."""
        return nifti_size(self.view, self.stored_type)


class Scans:
    """Scans in memory, the least recently used dropped first. State: which are held.

    Args:
        read: Reads a scan; `prosect.read`.
        budget_bytes: What all scans together may take.
        max_voxels: Largest scan.
    """

    def __init__(self, read: Reader, budget_bytes: int, max_voxels: int) -> None:
        self._read, self._budget, self._max_voxels = read, budget_bytes, max_voxels
        self._held: OrderedDict[str, OpenScan] = OrderedDict()
        self._alive: WeakValueDictionary[str, OpenScan] = WeakValueDictionary()
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """What the scans in memory take, also those that were dropped here while a session still works on them."""
        with self._lock:
            return sum(scan.size for scan in self._alive.values())

    def open(self, entry: ScanEntry) -> OpenScan:
        """Return a scan, read from its file where it is not in memory.

        Raises:
            ProsectError: It cannot be read; see `prosect.read`.
            FormatError: Its file has changed since it was first opened (`SCAN_CHANGED`), or it is too large for this
                server (`INPUT_TOO_LARGE`).
            ResourceError: There is no room (`MEMORY_EXHAUSTED`).
        """
        with self._lock:
            if entry.identity in self._held:
                self._held.move_to_end(entry.identity)
                return self._held[entry.identity]
        # Reading takes seconds and needs no lock; two readers of one scan do the same work, and one copy is kept.
        volume = self._read(Path(entry.path), series=entry.series)
        if entry.sha256 and volume.source.sha256 != entry.sha256:
            raise FormatError(
                f"{entry.name}: the file has changed since this scan was opened; open it anew.", code="SCAN_CHANGED"
            )
        longest = max(volume.grid.shape)
        if longest > MAX_AXIS:
            raise FormatError(
                f"{entry.name}: {longest} voxels along one axis; a server takes at most {MAX_AXIS}. Crop the scan.",
                code="INPUT_TOO_LARGE",
            )
        count = volume.grid.voxel_count
        if count > self._max_voxels:
            raise FormatError(
                f"{entry.name}: {count} voxels; this server takes at most {self._max_voxels}. Crop the scan, or start "
                "the server with a larger limit.",
                code="INPUT_TOO_LARGE",
            )
        scan = OpenScan(entry, volume, view_of(volume.grid), window_of(volume))
        if scan.size > self._budget:
            raise ResourceError(
                f"{entry.name}: about {scan.size >> 20} MiB are needed; this server may use {self._budget >> 20} for "
                "scans. Start it with a larger --memory.",
                code="MEMORY_EXHAUSTED",
            )
        with self._lock:
            kept = self._held.get(entry.identity, scan)
        return self.keep(kept)

    def keep(self, scan: OpenScan) -> OpenScan:
        """Hold a scan, instead of what was held under its identity, and return it."""
        with self._lock:
            self._held[scan.entry.identity] = self._alive[scan.entry.identity] = scan
            self._held.move_to_end(scan.entry.identity)
            self._shrink()
        return scan

    def drop(self, identity: str) -> None:
        """Let go of a scan's voxels."""
        with self._lock:
            self._held.pop(identity, None)

    def _shrink(self) -> None:
        """Drop the scans that were used longest ago until the rest fits; the newest always stays."""
        total = sum(scan.size for scan in self._held.values())
        while total > self._budget and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            total -= dropped.size
