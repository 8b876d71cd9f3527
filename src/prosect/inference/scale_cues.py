"""What speaks for an answer to a click without knowing the truth: edges of the image under its outline.

Measured by `experiments/scale_rule.py`: how stable an answer is under the threshold tells nothing outside the scans
that a network was trained on; whether its outline follows edges does. What an answer tells apart by intensity adds
nothing to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from prosect.morphology import Components

__all__ = ["CUES", "View", "cues_of"]

Mask = NDArray[np.bool_]
Array = NDArray[np.float32]
Cues = Mapping[str, float]

CUES = ("align", "edge")
NEAR = 3  # voxels around an answer in which edges count
LEVEL = 0.01  # of intensities in [0, 1]: what counts as an edge beside noise


@dataclass(frozen=True, eq=False)
class View:
    """A patch, and the answer to clicks in it.

    Attributes:
        image: Its intensities in [0, 1] (i j k).
        logits: The answer (i j k).
        inside: Which part of the patch lies in the scan.
        click: The first click, in voxels of the patch (3).
    """

    image: Array
    logits: Array
    inside: tuple[slice, slice, slice]
    click: tuple[float, float, float]

    @property
    def answer(self) -> Mask:
        """The connected part of the answer (i j k) that holds the first click, inside the scan."""
        within = np.zeros(self.logits.shape, dtype=np.bool_)
        within[self.inside] = self.logits[self.inside] > 0
        last = np.asarray(self.logits.shape) - 1
        i, j, k = np.floor(np.asarray(self.click) + 0.5).astype(int).clip(0, last).tolist()
        parts = Components.of(within)
        label = parts.at((i, j, k))
        if label is None:
            return np.zeros_like(within)
        return parts.mask({label})


def cues_of(view: View) -> Cues:
    """Return what speaks for the answer in a view, by the names in `CUES`; nothing but zeros where it is empty.

    `align` is how much image gradient lies across the outline, in multiples of the mean around it; `edge` the gradient
    on the outline in multiples of that on both sides.
    """
    answer = view.answer
    if not answer.any():
        return dict.fromkeys(CUES, 0.0)
    known = np.zeros_like(answer)
    known[view.inside] = True
    inner = np.asarray(ndimage.binary_erosion(known), dtype=np.bool_)
    chance = 1 / (1 + np.exp(-view.logits.astype(np.float64)))
    slopes = []
    for each in np.gradient(view.image.astype(np.float64)):
        slopes.append(np.asarray(each))
    steepness = np.sqrt(sum(each**2 for each in slopes))
    return {
        "align": _alignment(answer, known, inner, chance, slopes, steepness),
        "edge": _edge(answer, known, inner, steepness),
    }


def _alignment(
    answer: Mask,
    known: Mask,
    inner: Mask,
    chance: NDArray[np.float64],
    slopes: list[NDArray[np.float64]],
    steepness: NDArray[np.float64],
) -> float:
    """Return the image gradient along the gradient of the answer's probability, over its mean around the answer."""
    near = ndimage.binary_dilation(answer, iterations=NEAR) & known
    outline = []
    for each in np.gradient(np.where(near, chance, 0)):
        outline.append(np.asarray(each))
    across = np.abs(sum(a * b for a, b in zip(outline, slopes, strict=True)))
    size = np.sqrt(sum(each**2 for each in outline))
    where = near & inner
    if not where.any():
        return 0.0
    return float(across[where].sum() / max(size[where].sum(), 1e-6) / (steepness[where].mean() + LEVEL))


def _edge(answer: Mask, known: Mask, inner: Mask, steepness: NDArray[np.float64]) -> float:
    """Return the mean gradient on the outline over that on both sides of it, one to three voxels away."""
    # To the outline, which runs half-way between voxels.
    within = ndimage.distance_transform_edt(answer) - 0.5
    beyond = ndimage.distance_transform_edt(~answer) - 0.5
    depth = np.where(answer, within, -beyond)
    on = _mean(steepness, (np.abs(depth) < 1) & inner, 0.0)
    before = _mean(steepness, (depth >= 1) & (depth < 3) & inner, on)
    behind = _mean(steepness, (depth <= -1) & (depth > -3) & known, on)
    return on / (0.5 * (before + behind) + LEVEL)


def _mean(values: NDArray[np.float64], where: Mask, otherwise: float) -> float:
    """Return the mean of some values, or another number where there is none."""
    if where.any():
        return float(values[where].mean())
    return otherwise
