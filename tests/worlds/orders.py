"""The 48 ways to store one scan."""

from __future__ import annotations

import itertools

import numpy as np

from prosect.geometry import AxisOrder
from prosect.volume import Volume

__all__ = ["ORDERS", "stored"]

ORDERS = [
    AxisOrder(axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]


def stored(volume: Volume, order: AxisOrder) -> Volume:
    """Return the same scan with its voxels stored in another order of axes."""
    array = np.ascontiguousarray(order.apply(volume.array))
    return Volume(array, volume.grid.reorder(order), volume.modality)
