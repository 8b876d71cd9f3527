"""What the intensities around clicks say beside the network.

A small network on a coarse grid outlines roughly, most of all what it was never taught. But what was clicked has
intensities of its own: where a voxel looks as the surroundings of the positive clicks do, it more likely belongs to the
object, and where it looks as the rest does, less. Both histograms are weighted by the network's answer, as GrabCut does
it in two dimensions (Rother et al., 2004), and a voxel is won only near that answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Appearance", "PatchClick", "appearance_in_box", "appearance_logits"]

Array = NDArray[np.float32]
Inside = tuple[slice, slice, slice]

BINS = 24  # of the intensities in a patch
ENDS = (0.5, 99.5)  # percentiles of the patch between which they lie
SMOOTH = (0.06, 0.24, 0.4, 0.24, 0.06)  # over neighbouring bins
FLOOR = 0.01  # of the mean bin: what was never seen is unlikely, not impossible
SEED_VOXELS = 2.5  # squared distance up to which voxels are taken to look like the click
SEED = 0.5  # what such a voxel counts beside those of the answer
# Within a drawn box: what intensities weigh beside without one, and how often they are looked at.
IN_BOX, LOOKS_IN_BOX = 1.5, 2
THINNED = 3  # every third voxel along each axis is enough for percentiles


@dataclass(frozen=True)
class Appearance:
    """How much intensities count. Distances are in voxels of the network's grid.

    Attributes:
        weight: Of the logarithm of the ratio of both histograms, beside the network's logits.
        core: How far around positive clicks the object's intensities are taken from.
        near: The same for those of everything else.
        reach: How far beyond the network's answer a voxel can be won.
    """

    weight: float = 2.0
    core: float = 4.0
    near: float = 12.0
    reach: float = 3.0


@dataclass(frozen=True)
class PatchClick:
    """A click.

    Attributes:
        place: In voxels of the patch.
        positive: Whether it lies in the object.
    """

    place: tuple[float, float, float]
    positive: bool


def appearance_logits(
    image: Array, logits: Array, inside: Inside, clicks: Sequence[PatchClick], rules: Appearance
) -> Array:
    """Return what intensities add to the logits of a patch (i j k); nothing where no positive click lies in it.

    Args:
        image: Intensities of the patch (i j k).
        logits: The network's answer (i j k).
        inside: The part of the patch that lies in the scan.
        clicks: Those that the patch sees.
        rules: How much intensities count.
    """
    positive = [each.place for each in clicks if each.positive]
    if not positive:
        return np.zeros_like(logits)
    # Far from a box logits are so low that the exponential is infinite, which gives the right chance: none.
    with np.errstate(over="ignore"):
        chance = 1 / (1 + np.exp(-logits))
    of_object = chance * _closeness(positive, rules.core, logits.shape)
    of_rest = (1 - chance) * _closeness(positive, rules.near, logits.shape)
    for each in clicks:
        seeds = of_object if each.positive else of_rest
        seeds[_around(each.place, logits.shape)] += SEED
    low, high = np.percentile(image[inside][::THINNED, ::THINNED, ::THINNED], ENDS).tolist()
    scaled = (image - low) * (BINS / max(high - low, 1e-6))
    numbers = np.clip(scaled, 0, BINS - 1).astype(np.intp)
    seen = numbers[inside].ravel()
    ratio = _histogram(seen, of_object[inside].ravel()) - _histogram(seen, of_rest[inside].ravel())
    said = np.asarray(ratio, dtype=np.float32)[numbers]
    won = said * _falloff(logits > 0, rules.reach)
    return np.asarray(rules.weight * np.where(said > 0, won, said), dtype=np.float32)


def appearance_in_box(
    image: Array, likely: Array, inside: Inside, clicks: Sequence[PatchClick], rules: Appearance
) -> Array:
    """Return what intensities add in a box that a person drew; see `appearance_logits`.

    A box tells what is the object and what is not far better than a click does, so intensities count for more, and
    what they say is looked at once more.

    Args:
        image: Intensities of the patch (i j k).
        likely: The network's answer and what the box says (i j k).
        inside: The part of the patch that lies in the scan.
        clicks: Those that the patch sees.
        rules: How much intensities count.
    """
    stronger = replace(rules, weight=IN_BOX * rules.weight)
    added = np.zeros_like(likely)
    for _ in range(LOOKS_IN_BOX):
        added = appearance_logits(image, likely + added, inside, clicks, stronger)
    return added


def _histogram(numbers: NDArray[np.intp], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return the logarithm of the share of each bin (bins,)."""
    counted = np.bincount(numbers, weights, BINS)
    smooth = np.convolve(counted, SMOOTH, mode="same") + FLOOR * counted.sum() / BINS + 1e-9
    return np.asarray(np.log(smooth / smooth.sum()), dtype=np.float64)


def _closeness(places: Sequence[tuple[float, float, float]], width: float, shape: tuple[int, ...]) -> Array:
    """Return how close each voxel (i j k) is to one of some places, from 0 to 1."""
    closest = np.zeros(shape, dtype=np.float32)
    for place in places:
        i, j, k = (np.exp(-((np.arange(n) - x) ** 2) / (2 * width**2)) for x, n in zip(place, shape, strict=True))
        np.maximum(closest, (i[:, None, None] * j[:, None] * k).astype(np.float32), out=closest)
    return closest


def _around(place: tuple[float, float, float], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the voxels (i j k) next to a place."""
    i, j, k = ((np.arange(n) - x) ** 2 for x, n in zip(place, shape, strict=True))
    return np.asarray(i[:, None, None] + j[:, None] + k <= SEED_VOXELS)


def _falloff(answer: NDArray[np.bool_], reach: float) -> Array:
    """Return 1 inside an answer (i j k), less with the distance from it, and 0 at twice the reach.

    The greatest of many bells is found along one axis after another, which is faster than the distance itself.
    """
    found = answer.astype(np.float32)
    for axis in range(3):
        widened = found.copy()
        for step in range(1, int(np.ceil(2 * reach))):
            bell = np.float32(np.exp(-((step / reach) ** 2)))
            before, behind = _shifted(axis, step)
            np.maximum(widened[behind], found[before] * bell, out=widened[behind])
            np.maximum(widened[before], found[behind] * bell, out=widened[before])
        found = widened
    return found


def _shifted(axis: int, step: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return all of an array but its last voxels along an axis, and all but its first."""
    before, behind = [slice(None)] * 3, [slice(None)] * 3
    before[axis], behind[axis] = slice(None, -step), slice(step, None)
    return tuple(before), tuple(behind)
