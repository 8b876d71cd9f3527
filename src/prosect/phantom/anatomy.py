"""What a body is made of: parts that are painted one over the other, in a place and posture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prosect.phantom.bending import Bend
from prosect.phantom.grain import Grain
from prosect.phantom.shapes import Shape

__all__ = ["Anatomy", "Part", "random_waves"]

# A smooth random field of unit variance: waves this long (mm) in random directions.
WAVELENGTHS_MM = (9.0, 14.0, 22.0, 35.0)


@dataclass(frozen=True)
class Part:
    """One thing in the body, painted over everything before it.

    Attributes:
        structure: Name in the vocabulary, or None to leave the labels as they are.
        hu: Mean attenuation, or None to leave what is there and only name it.
        shapes: Its solids, in world mm of a body of unit scale.
        texture_hu: Standard deviation of its unevenness.
        grain: Which of the anatomy's grains is its unevenness; the waves by default.
        slope_hu_mm: How much denser it is per mm towards the back, where blood and heavy contents sink.
        over: Structures it may cover; everything by default.
        still: Whether it keeps out of the body's posture and bending, as a table does.
    """

    structure: str | None
    hu: float | None
    shapes: tuple[Shape, ...]
    texture_hu: float = 0.0
    grain: int | None = None
    slope_hu_mm: float = 0.0
    over: tuple[str, ...] = ()
    still: bool = False


@dataclass(frozen=True)
class Anatomy:
    """A whole body: parts in the order they are painted.

    Attributes:
        parts: Outermost first.
        scale: Stretch along R, A, S.
        waves: Wave vectors (1/mm) and phases (n, 4) of the texture.
        bend: How the body lies and is bent; straight by default.
        grains: Random textures that parts choose from.
    """

    parts: tuple[Part, ...]
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    waves: NDArray[np.float32] | None = None
    bend: Bend | None = None
    grains: tuple[Grain, ...] = ()


def random_waves(generator: np.random.Generator) -> NDArray[np.float32]:
    """Return two waves of each length in random directions."""
    rows = []
    for length in WAVELENGTHS_MM * 2:
        direction = generator.normal(size=3)
        direction *= 2 * np.pi / length / np.linalg.norm(direction)
        rows.append([*direction, generator.uniform(0, 2 * np.pi)])
    return np.asarray(rows, dtype=np.float32)
