"""What scans, results and models show of themselves: a line in a terminal, a card in a notebook, numbers, a picture.

The classes that show themselves stand low, and what measures and draws stands above them. So it is loaded by name when
it is asked for (see `prosect.lazy`), here and nowhere else: a scan that nobody looks at loads no plotting library.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prosect.lazy import load_module

__all__ = ["Picture", "Shown", "ShownLabels", "in_words", "millilitres", "sizes", "spacings"]

MOST_NAMED = 3
# Less is one voxel of a fine scan; more digits than this would pretend to know it.
LEAST_ML = 0.01


class Shown:
    """Shows itself as a short line, and in a notebook as a card.

    A class says by `_facts`, `_rows` and `_scene` what there is to show.
    """

    def _facts(self) -> Iterable[str]:
        """Return what the line says, and the head of the card."""
        return ()

    def _rows(self) -> Iterable[tuple[str, str]]:
        """Return further rows of the card: a word, and what is said of it."""
        return ()

    def _scene(self) -> tuple[Any, Any] | None:
        """Return scan and labels that the card draws, either of them None where there is none; None draws nothing."""
        return None

    def __repr__(self) -> str:
        """Return the class and its facts."""
        return f"{type(self).__name__}({', '.join(self._facts())})"

    def _repr_html_(self) -> str:
        """Return the card that a notebook shows."""
        return str(load_module("prosect.cards").card(self._facts(), self._rows(), self._scene(), type(self).__name__))


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """A picture that a notebook shows.

    Attributes:
        png: It as PNG.
    """

    png: bytes

    def __repr__(self) -> str:
        """Return how large it is, not its bytes."""
        return f"Picture({len(self.png)} bytes of PNG; .save(path) writes it)"

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows."""
        return self.png

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture, whole or not at all, and return its path.

        Raises:
            FormatError: The place cannot be written.
        """
        place = Path(path)
        load_module("prosect.cards").save(place, self.png)
        return place


class ShownLabels(Shown):
    """Labels that count, measure and draw themselves."""

    def statistics(self, volume: Any = None) -> list[Any]:
        """Return a `Measurement` of each structure that was found, in the order of the label values.

        Args:
            volume: The scan (`Volume`), for intensities; without it they are None.

        Raises:
            GeometryError: The scan has another shape than the labels.
        """
        return list(load_module("prosect.measure").measure(self, volume))

    def preview(self, volume: Any = None, *, each: bool = False) -> Picture:
        """Return a picture: three planes, a projection, names and volumes.

        Args:
            volume: The scan (`Volume`) that is drawn under the labels; without it the ground is black.
            each: Add a row of planes through the middle of each structure.

        Raises:
            GeometryError: Scan and labels differ in shape.
        """
        return Picture(load_module("prosect.cards").picture(self, volume, each))


def sizes(shape: Sequence[int]) -> str:
    """Return a shape in words: `512x512x41`."""
    return "x".join(map(str, shape))


def spacings(spacing_mm: Sequence[float]) -> str:
    """Return a spacing in words: `0.76x0.76x5 mm`, or `3 mm` where all axes have it."""
    texts = [f"{x:.3g}" for x in spacing_mm]
    if len(set(texts)) == 1:
        return f"{texts[0]} mm"
    return f"{'x'.join(texts)} mm"


def in_words(volumes_ml: Mapping[str, float]) -> str:
    """Return how many structures there are and the first of them: `4 structures: lung 452 mL, larynx 1.3 mL, ...`."""
    count = len(volumes_ml)
    if not count:
        return "nothing found"
    named = []
    for name, ml in list(volumes_ml.items())[:MOST_NAMED]:
        named.append(f"{name} {millilitres(ml)}")
    if count > MOST_NAMED:
        named.append("...")
    word = "structures"
    if count == 1:
        word = "structure"
    return f"{count} {word}: {', '.join(named)}"


def millilitres(volume_ml: float) -> str:
    """Return a volume with the digits that mean something: `7741 mL`, `9.1 mL`, `0.58 mL`, `< 0.01 mL`, `0 mL`."""
    if volume_ml == 0:
        return "0 mL"
    if volume_ml < LEAST_ML:
        return f"< {LEAST_ML} mL"
    digits = 2
    if volume_ml >= 100:
        digits = 0
    elif volume_ml >= 1:
        digits = 1
    return f"{volume_ml:.{digits}f} mL"
