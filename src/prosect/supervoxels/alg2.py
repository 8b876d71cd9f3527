"""Algorithm 2 of VISTA3D: from a scan to supervoxels on its own voxels."""

from __future__ import annotations

import colorsys
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prosect.errors import ResourceError
from prosect.inference.memory import available_bytes, refuse_exhaustion
from prosect.labelmap import LabelMap
from prosect.progress import Watch
from prosect.supervoxels.encoders import Encoder, load_encoder
from prosect.supervoxels.memory import plan
from prosect.supervoxels.slic import air_around, cut, grow
from prosect.supervoxels.working import CELLS, Working
from prosect.vocabulary import Structure, Vocabulary
from prosect.volume import Volume

__all__ = ["SEGMENTS", "SIGMA_MM", "generate", "supervoxel_names"]

Labels = NDArray[np.uint16]

# Alg. 2: 100 segments and sigma 3; the released code has 400 segments unless told otherwise.
SEGMENTS, SIGMA_MM = 100, 3.0
# The turn of the colour wheel from one supervoxel to the next: neighbours in number differ most.
GOLDEN = 0.618034


@refuse_exhaustion()
@torch.inference_mode()
def generate(
    volume: Volume,
    encoder: str | Encoder = "features",
    segments: int = SEGMENTS,
    *,
    cells: int = CELLS,
    watch: Watch | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> LabelMap:
    """Return supervoxels of a scan on its own voxels, numbered from 1 without gaps; 0 is the air around the body.

    Each is a connected piece of the working grid (see `working_spacing`) whose cells have similar features. They are
    no anatomy: one organ falls into several, and one may hold several small organs.

    Differs from the official code in three ways, each measured in docs/supervoxels.md: the features are smoothed by 3
    mm, not by three voxels, so that the answer does not depend on how finely a scan is sampled; air is set aside
    before the cut, not after it, so that all segments lie in the body; and what is not air around the body, such as
    the lungs, is never removed.

    Args:
        volume: The scan.
        encoder: A name as for `load_encoder`, or what that returned.
        segments: About how many supervoxels.
        cells: Cells of the working grid at the most.
        watch: Told of each slice or window; what it raises ends the run.
        clock: Seconds, for the provenance.

    Raises:
        PromptError: There is no such encoder (`ENCODER_UNKNOWN`).
        CheckpointError: The encoder's weights are missing, unsafe, damaged or another network's.
        ResourceError: The run does not fit in memory.
    """
    if segments < 1 or cells < 1:
        raise ValueError(f"segments is {segments} and cells is {cells}; both must be at least 1")
    chosen = load_encoder(encoder) if isinstance(encoder, str) else encoder
    needed = plan(volume, chosen, cells)
    needed.require(available_bytes() + needed.parts["scan"])
    started = clock()
    working = Working.of(volume, cells)
    air = _air(working)
    body = ~_nearest_voxels(air, working)
    features = _features(chosen, working, watch)
    encoded = clock()
    spacing = working.grid.spacing_mm
    compactness = chosen.balance(features, torch.from_numpy(body)) if body.any() else 1.0
    found = cut(features.numpy(), body, segments, [SIGMA_MM / mm for mm in spacing], compactness, spacing)
    del features
    labels = _on_the_scan(found, air, working)
    provenance = {
        "supervoxels": chosen.identity,
        "segments": segments,
        "working_spacing_mm": list(spacing),
        "notes": list(volume.source.notes),
        "seconds": {"features": encoded - started, "cut": clock() - encoded},
    }
    return LabelMap(labels, volume.grid, supervoxel_names(int(labels.max())), provenance)


def _features(encoder: Encoder, working: Working, watch: Watch | None) -> Tensor:
    """Return the features (i j k c) of every cell."""
    features = torch.zeros(*working.shape, encoder.channels)
    try:
        encoder.add_to(features, working, watch)
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            "The GPU ran out of memory with the smallest batch; use --device cpu.", code="GPU_MEMORY"
        ) from error
    return features


def _air(working: Working) -> NDArray[np.bool_]:
    """Return the air around the body (i j k) on the scan's voxels, with axes to right, anterior, superior."""
    order = working.case.order
    dark = order.apply(working.volume.array < working.air)
    return air_around(dark, working.volume.grid.reorder(order).spacing_mm)


def _nearest_voxels(mask: NDArray[np.bool_], working: Working) -> NDArray[np.bool_]:
    """Return a mask (i j k) of the scan at the voxel nearest to each cell; outside the scan it is set."""
    if working.case.is_separable:
        index = []
        for axis, n in enumerate(mask.shape):
            index.append(np.clip(np.round(working.positions(axis)), 0, n - 1).astype(int))
        return np.asarray(mask[np.ix_(*index)])
    back = np.linalg.inv(working.case.to_prepared)
    out = np.ones(working.shape, dtype=np.bool_)
    j, k = np.meshgrid(np.arange(out.shape[1]), np.arange(out.shape[2]), indexing="ij")
    for i in range(out.shape[0]):
        cells = np.stack([np.full_like(j, i), j, k, np.ones_like(j)], axis=-1)
        voxels = np.round(cells @ back[:3].T).astype(int)
        inside = ((voxels >= 0) & (voxels < mask.shape)).all(axis=-1)
        out[i][inside] = mask[tuple(voxels[inside].T)]
    return out


def _on_the_scan(found: NDArray[np.int64], air: NDArray[np.bool_], working: Working) -> Labels:
    """Return supervoxels on the scan's voxels as stored, air cleared, numbered without gaps in their order."""
    stored = working.case.restore_nearest(grow(found).astype(np.uint16))
    working.case.order.apply(stored)[air] = 0
    kept = np.zeros(int(found.max(initial=0)) + 1, dtype=np.bool_)
    for plane in stored:
        kept[plane] = True
    kept[0] = False
    # The nth number that is kept becomes n; all others, and the air, become 0.
    numbers = np.cumsum(kept, dtype=np.uint16) * kept
    return np.asarray(numbers[stored])


@cache
def supervoxel_names(count: int) -> Vocabulary:
    """Return the vocabulary of so many supervoxels, each with a colour of its own."""
    structures = []
    for index in range(1, count + 1):
        red, green, blue = (round(255 * c) for c in colorsys.hsv_to_rgb(index * GOLDEN % 1, 0.65, 0.95))
        structures.append(Structure(index, f"supervoxel {index}", color=(red, green, blue)))
    return Vocabulary("supervoxels", tuple(structures))
