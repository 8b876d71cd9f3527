"""How models that answer as one answer clicks: by one of them, to which structures of the others are strangers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.inference.question import Question
from prosect.inference.scales import Rescaled
from prosect.progress import Watch
from prosect.session.protocols import Responder, rescaled_of

__all__ = ["SetResponder"]

Mask = NDArray[np.bool_]
Voxel = tuple[int, int, int]


class SetResponder:
    """Answers clicks by one model, to which structures that it does not know are objects without a name.

    Args:
        answers: The model's own responder.
        known: Indices of the structures that the model knows.
    """

    def __init__(self, answers: Responder, known: frozenset[int]) -> None:
        self._answers, self._known = answers, known
        others = rescaled_of(answers)
        self.rescaled: Rescaled[SetResponder] | None = None
        if others is not None:
            self.rescaled = Rescaled(others.scales, lambda scale: SetResponder(others.at(scale), known), others.find)

    def place(self, position_ras: Sequence[float], existing: Sequence[Voxel]) -> Voxel:
        """Return the patch for a click, one of those that exist where it serves."""
        return self._answers.place(position_ras, existing)

    def box(self, patch: Voxel) -> Box:
        """Return the box of the scan that a patch covers."""
        return self._answers.box(patch)

    def extent(self, question: Question, watch: Watch | None = None) -> Box:
        """Return the box of the scan that the answer covers."""
        return self._answers.extent(self._in_its_words(question), watch)

    def propose(self, question: Question, box: Box, watch: Watch | None = None) -> tuple[Mask, Mask]:
        """Return where in a box the network was asked, and where it says yes, both (i j k)."""
        return self._answers.propose(self._in_its_words(question), box, watch)

    def knows(self, structure: int) -> bool:
        """Return whether the model was taught a structure."""
        return structure in self._known

    def _in_its_words(self, question: Question) -> Question:
        is_stranger = question.structure not in self._known
        return replace(question, zero_shot=question.zero_shot or is_stranger)
