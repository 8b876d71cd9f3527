"""Memory for feature maps that is taken from the system once and used again.

A map of a window has up to hundreds of megabytes, which C libraries return to the system as soon as it is free. Each
window would then pay for 100,000s of pages anew, which costs more than some of the arithmetic. Pages are large where
the system has large ones.
"""

from __future__ import annotations

import math
import mmap
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["Buffers"]

# Smaller arrays come from the allocator, which keeps such memory itself.
LEAST_BYTES = 2**20


class Buffers:
    """Arrays whose memory comes back by itself when nobody holds them any more."""

    def __init__(self) -> None:
        self._free: dict[int, list[mmap.mmap]] = {}

    def take(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return an array of any content.

        Raises:
            MemoryError: The system has no more.
        """
        size = math.prod(shape) * dtype.itemsize
        if size < LEAST_BYTES:
            return torch.empty(tuple(shape), dtype=dtype)
        free = self._free.setdefault(size, [])
        if free:
            memory = free.pop()
        else:
            memory = allocate(size)
        # The tensor and all its views hold this array, so its end is theirs.
        array = np.frombuffer(memory, dtype=np.uint8)
        # At exit nobody takes it again, and the list may be gone before the array.
        weakref.finalize(array, free.append, memory).atexit = False
        return torch.from_numpy(array).view(dtype).view(tuple(shape))

    def release(self) -> None:
        """Return what nobody holds to the system."""
        for free in self._free.values():
            free.clear()


def allocate(size: int) -> mmap.mmap:
    """Return memory of the system, in large pages where there are such.

    Raises:
        MemoryError: There is no more.
    """
    try:
        memory = mmap.mmap(-1, size)
    except OSError as error:
        raise MemoryError(f"the system has no {size} bytes") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
