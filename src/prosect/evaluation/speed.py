"""How long a model takes, by size of the scan: Table 2."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import psutil

from prosect.geometry import Grid
from prosect.labelmap import Labels
from prosect.resample import respaced_grid
from prosect.volume import Volume

__all__ = ["TimedModel", "time_scan"]

# Sizes are compared at the spacing of the paper's table, whatever the model works at.
TABLE_SPACING_MM = (1.5, 1.5, 1.5)


class TimedModel(Protocol):
    """A model whose automatic pass is timed."""

    def segment(self, volume: Volume, classes: Sequence[str | int] | None = None) -> Labels:
        """Return labels on the scan's grid."""


def time_scan(
    volume: Volume,
    model: TimedModel,
    classes: Sequence[str | int] | None = None,
    repeats: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Mapping[str, Any]:
    """Return how long a scan takes, from the volume in memory to labels on its own grid.

    Args:
        volume: The scan.
        model: Segments it; everything that it knows by default.
        classes: Only these.
        repeats: How often; the fastest counts, the others tell how steady the machine is.
        clock: Seconds.

    Returns:
        `seconds`, all of them in `runs`, by stage in `stages`, the size as stored (`shape`) and at 1.5 mm
        (`shape_1_5mm`, `megavoxels_1_5mm`), `windows`, `structures`, and the memory of the process after it in GiB.
    """
    runs: list[float] = []
    for _ in range(repeats):
        started = clock()
        labels = model.segment(volume, classes)
        runs.append(clock() - started)
        if runs[-1] == min(runs):
            fastest = labels
    respaced, provenance = at_table_spacing(volume.grid), fastest.provenance
    stages = provenance.get("seconds")
    return {
        "seconds": min(runs),
        "runs": runs,
        "stages": dict(stages) if isinstance(stages, Mapping) else {},
        "shape": list(volume.grid.shape),
        "shape_1_5mm": list(respaced),
        "megavoxels_1_5mm": math.prod(respaced) / 1e6,
        "windows": provenance.get("windows"),
        "structures": len(fastest.sought),
        "resident_gib": psutil.Process().memory_info().rss / 2**30,
    }


def at_table_spacing(grid: Grid) -> tuple[int, int, int]:
    """Return the shape of a scan at 1.5 mm, axes in the order right, anterior, superior."""
    return respaced_grid(grid.reorder(grid.to_ras()), TABLE_SPACING_MM).shape
