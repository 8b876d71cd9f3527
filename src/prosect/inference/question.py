"""What a network is asked about one structure: all clicks on it, each with the patch that answers it."""

from __future__ import annotations

from dataclasses import dataclass

from prosect.boxes import Box
from prosect.prompts import LabelledClick

__all__ = ["Question"]

Start = tuple[int, int, int]


@dataclass(frozen=True)
class Question:
    """Clicks on one structure.

    Attributes:
        clicks: In the order in which they were made.
        zero_shot: Whether the network meets the structure as something no class describes.
        structure: Its index in the session's vocabulary, for models whose parts know different structures; 0 where
            nobody said.
        bounds: The box of the scan's voxels in which a person says that the structure lies, or None.
    """

    clicks: tuple[LabelledClick, ...]
    zero_shot: bool
    structure: int = 0
    bounds: Box | None = None

    @property
    def patches(self) -> tuple[Start, ...]:
        """The patches asked about, each once, in ascending order."""
        return tuple(sorted({click.patch for click in self.clicks}))
