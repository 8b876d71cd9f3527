"""Patches shown as copies of a scan: bent, as another person, or with intensities drawn anew from the labels.

Both happen to single patches, by the patch's own random stream, so that a resumed training sees the same copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prosect.phantom.copies import AIR_HU
from prosect.phantom.synthesis import divide, synthesize
from prosect.phantom.warp import random_displacement

__all__ = ["Copies", "synthesize_patch", "warped_places"]


@dataclass(frozen=True)
class Copies:
    """How often patches of a scan are copies, and of what kind.

    Attributes:
        warp: Share of the patches that are bent at random.
        synthesis: Share of the patches whose intensities are drawn anew.
        kinds: Tissue of each local label, one of `tissues.CT_HU`.
        window_hu: Hounsfield units that are 0 and 1 in a patch; None where intensities are no CT's.
    """

    warp: float = 0.0
    synthesis: float = 0.0
    kinds: Mapping[int, str] = field(default_factory=dict)
    window_hu: tuple[float, float] | None = None


def warped_places(
    shape: tuple[int, int, int], spacing_mm: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return where a bent patch is read: for each voxel its place (i j k 3) in mm from the middle of the patch.

    The map is smooth, never folds, and keeps left and right; see `random_displacement`.

    Args:
        shape: Patch voxels.
        spacing_mm: Their size.
        generator: Source of the map.
    """
    unit = random_displacement(shape, (spacing_mm,) * 3, generator, 1.0)[0].numpy()[..., ::-1]
    half_mm = (np.asarray(shape) - 1) / 2 * spacing_mm
    return np.asarray(unit * half_mm, dtype=np.float64)


def synthesize_patch(
    image: Tensor, labels: Tensor, copies: Copies, spacing_mm: float, generator: np.random.Generator
) -> Tensor:
    """Return an image (1 1 i j k) in [0, 1] with the structures of a patch and intensities of its own.

    What no label names is divided by the intensities there, so that unnamed fat and muscle keep their true shapes.

    Args:
        image: Intensities (1 1 i j k) in [0, 1].
        labels: Local labels (i j k).
        copies: Which tissue each label is, and what intensities mean.
        spacing_mm: Voxel size.
        generator: Source of everything.
    """
    values = image[0, 0].numpy()
    parts = divide(labels.numpy(), values)
    if copies.window_hu is None:
        made = synthesize(parts, generator, spacing_mm=(spacing_mm,) * 3, palette="any", kinds=copies.kinds)
        return torch.from_numpy(made)[None, None]
    low, high = copies.window_hu
    kinds = dict(copies.kinds)
    for part in range(int(labels.max()) + 1, int(parts.max()) + 1):
        inside = parts == part
        # Other parts take any tissue, but air that looked like bone would be no CT of anything.
        if inside.any() and low + float(values[inside].mean()) * (high - low) < AIR_HU:
            kinds[part] = "air"
    made_hu = synthesize(parts, generator, spacing_mm=(spacing_mm,) * 3, palette="ct", kinds=kinds)
    return torch.from_numpy((made_hu - low) / (high - low)).clamp(0, 1)[None, None]
