"""Two models that take clicks, together: one finds the whole object, the other refines it where it was clicked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.display import Shown
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.merge import NEAR_MISS_MM, merge
from prosect.inference.question import Question
from prosect.inference.scales import Rescaled
from prosect.labelmap import LabelLayers, LabelMap
from prosect.progress import Watch
from prosect.prompts import LabelledClick, voxel_of
from prosect.session import Session
from prosect.session.protocols import (
    ClickModel,
    NumbersLabels,
    Responder,
    require_drafts,
    rescaled_of,
    responder_at,
)
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume, require_volume

__all__ = ["HybridModel"]

Mask = NDArray[np.bool_]
Voxel = tuple[int, int, int]


@dataclass(frozen=True, eq=False, repr=False)
class HybridModel(Shown):
    """A model for sessions made of two.

    `whole` answers every click with an object of any size (SAM-Med3D follows it from crop to crop). Where `fine` was
    asked too, its answer corrects that by Algorithm 1: what hangs together and holds a positive click is added, what
    holds a negative one is taken away.

    Attributes:
        whole: Finds the object.
        fine: Refines it, drafts structures, and says what is known by name.
    """

    whole: ClickModel
    fine: ClickModel

    def _facts(self) -> tuple[str, ...]:
        return f"whole: {self.whole!r}", f"fine: {self.fine!r}"

    @property
    def vocabulary(self) -> Vocabulary:
        """The structures known by name."""
        return self.fine.vocabulary

    @property
    def identity(self) -> dict[str, str]:
        """What decides its answers: both models."""
        return {
            **{f"whole_{key}": value for key, value in self.whole.identity.items()},
            **self.fine.identity,
            "model": f"{self.whole.identity['model']}+{self.fine.identity['model']}",
        }

    @property
    def label_values(self) -> Mapping[int, int]:
        """Label value in files by structure, where it is not the structure's index: those of the model that refines."""
        if isinstance(self.fine, NumbersLabels):
            return self.fine.label_values
        return {}

    def session(self, volume: Volume, **options: Any) -> Session:
        """Return a session in which a person edits this scan by clicks; see `Session`.

        It is resumed with the same pair: `prosect.resume(path, volume, model=...)`.
        """
        require_volume(volume)
        return Session(volume, self, **options)

    def draft(
        self, volume: Volume, indices: Sequence[int], overlap: bool, watch: Watch | None = None
    ) -> LabelMap | LabelLayers:
        """Return the automatic segmentation of the model that refines."""
        return require_drafts(self.fine).draft(volume, indices, overlap, watch)

    def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> HybridResponder:
        """Return what answers clicks on a scan.

        Args:
            volume: The scan.
            kept: Memory for what is remembered; by default the one that the whole process shares.

        Raises:
            CheckpointError: One of the two takes no clicks (`MODEL_NO_CLICKS`).
        """
        return HybridResponder(volume, self.whole.responder(volume, kept), self.fine.responder(volume, kept))


class HybridResponder:
    """Answers clicks on one scan by two responders; patches are those of the one that refines.

    At another working spacing both answer there, as far as they can.

    Args:
        volume: The scan.
        whole: Finds the object.
        fine: Refines it.
    """

    def __init__(self, volume: Volume, whole: Responder, fine: Responder) -> None:
        self._grid, self._whole, self._fine = volume.grid, whole, fine
        self.rescaled: Rescaled[HybridResponder] | None = None
        others = rescaled_of(fine)
        if others is not None:
            self.rescaled = Rescaled(
                others.scales, lambda scale: HybridResponder(volume, responder_at(whole, scale), others.at(scale))
            )

    def place(self, position_ras: Sequence[float], existing: Sequence[Voxel]) -> Voxel:
        """Return the patch that refines around a click, one of those that exist where it serves."""
        return self._fine.place(position_ras, existing)

    def box(self, patch: Voxel) -> Box:
        """Return the box of the scan that a patch covers."""
        return self._fine.box(patch)

    def extent(self, question: Question, watch: Watch | None = None) -> Box:
        """Return the box of the scan that both answers cover.

        Args:
            question: The clicks, with patches of the model that refines.
            watch: Called while the model that finds the object is asked.
        """
        return self._whole.extent(self._for_whole(question), watch) | self._fine.extent(question, watch)

    def propose(self, question: Question, box: Box, watch: Watch | None = None) -> tuple[Mask, Mask]:
        """Return where in a box either was asked, and what comes of both answers, both (i j k).

        Args:
            question: The clicks, with patches of the model that refines.
            box: In voxels of the scan.
            watch: Called for each of the two in turn.
        """
        asked, found = self._whole.propose(self._for_whole(question), box, watch)
        asked_too, refined = self._fine.propose(question, box, watch)
        found = found & asked
        at: Mapping[bool, list[Voxel]] = {True: [], False: []}
        for click in question.clicks:
            i, j, k = np.subtract(voxel_of(click.position_ras, self._grid), box.start).tolist()
            at[click.label % 2 == 1].append((i, j, k))
        axes = self._grid.affine[:3, :3]
        yes = merge(found, np.where(asked_too, refined, found), at[True], at[False], axes, NEAR_MISS_MM)
        return asked | asked_too, yes

    def _for_whole(self, question: Question) -> Question:
        """Return the question with the patches of the model that finds the object, which follow from the clicks."""
        clicks: list[LabelledClick] = []
        for click in question.clicks:
            patch = self._whole.place(click.position_ras, [each.patch for each in clicks])
            clicks.append(click._replace(patch=patch))
        return replace(question, clicks=tuple(clicks))
