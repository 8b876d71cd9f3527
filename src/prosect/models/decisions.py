"""Between which classes a sweep decides, and who takes its slabs: painters of labels and probabilities, gauges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from prosect.case import Case
from prosect.inference.automatic import Classes, NativePainter, NearestPainter
from prosect.inference.canvas import Painting
from prosect.inference.gauge import Gauge
from prosect.inference.probabilities import ProbabilityPainter
from prosect.models.spec import ModelSpec, Profile
from prosect.networks.vista3d import Vista3D

__all__ = ["Decisions"]


@dataclass(frozen=True, eq=False)
class Decisions:
    """What a VISTA3D decides in a sweep.

    Attributes:
        network: Knows the classes.
        spec: What it was trained with.
        profile: How scans are restored.
    """

    network: Vista3D
    spec: ModelSpec
    profile: Profile

    def painters(
        self, case: Case, axis: int, paintings: Sequence[Painting], where: torch.device
    ) -> Sequence[NativePainter | NearestPainter]:
        """Return a painter for each painting; rivals are decided on and painted as background."""
        kind = NativePainter if self._interpolates(case) else NearestPainter
        painters = []
        for painting in paintings:
            _, classes = self._contest(painting, where)
            dtype = np.uint8 if max(classes.values) < 256 else np.uint16
            painters.append(kind(case, axis, classes, dtype))
        return painters

    def gauges(self, paintings: Sequence[Painting], where: torch.device) -> list[Gauge]:
        """Return what tells how sure the network is; nothing where nobody would judge by it."""
        if not (self.profile.withholds and self.spec.facts.structures):
            return []
        contests = [self._contest(painting, where) for painting in paintings]
        return [Gauge(classes, indices) for indices, classes in contests]

    def probabilities(self, case: Case, axis: int, indices: Sequence[int], where: torch.device) -> ProbabilityPainter:
        """Return a painter of the probabilities of structures, interpolated as their labels are."""
        vectors = self.network.class_vectors(tuple(indices)).float().to(where)
        return ProbabilityPainter(case, axis, vectors, indices, self._interpolates(case))

    def _interpolates(self, case: Case) -> bool:
        """Return whether logits are interpolated on the scan's voxels."""
        return self.profile.interpolation == "linear" and case.is_separable

    def _contest(self, painting: Painting, where: torch.device) -> tuple[tuple[int, ...], Classes]:
        """Return the structures between which a painting decides, those shown first, and their classes."""
        rivals = self._rivals(painting.shown)
        indices = (*painting.shown, *rivals)
        vectors = self.network.class_vectors(indices).float().to(where)
        values = (*painting.values, *(0 for _ in rivals))
        return indices, Classes(vectors, values, self._tiers(indices))

    def _rivals(self, shown: Sequence[int]) -> tuple[int, ...]:
        """Return the classes that must be beaten though nobody asked for them."""
        if not set(shown) & set(self.spec.exclusive):
            return ()
        return tuple(index for index in self.spec.exclusive if index not in shown)

    def _tiers(self, indices: Sequence[int]) -> tuple[int, ...]:
        """Return the precedence of each class: what lies inside another covers it, what contains others lies below."""
        if not self.profile.tiers:
            return tuple(0 for _ in indices)
        return self.spec.vocabulary.tiers(indices)
