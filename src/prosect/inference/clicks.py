"""Answer clicks on a scan: where patches lie, what of them is remembered, and their answer on the scan's own voxels.

Only the patch around a click is looked at (VISTA3D, Sec. 3.2). What the network makes of a patch does not depend on
the clicks, so it is computed once and kept: every later click in the same patch pays the small head only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prosect.boxes import EMPTY, Box
from prosect.case import Placement
from prosect.inference.appearance import Appearance, PatchClick, appearance_in_box, appearance_logits
from prosect.inference.box_places import best_place, box_fit, places_in
from prosect.inference.box_prior import box_prior, box_prior_on_patch
from prosect.inference.feature_budget import FeatureBudget, Remembered, shared_budget
from prosect.inference.lasting import Lasting, lasting_logits
from prosect.inference.patch_images import PatchImage
from prosect.inference.patch_places import Start, place_patch
from prosect.inference.patch_to_scan import patch_box
from prosect.inference.patches_in_box import patches_in_box
from prosect.inference.question import Question
from prosect.inference.scale_choice import LabelledPoint
from prosect.inference.scale_cues import View
from prosect.inference.scales import Rescaled
from prosect.inference.windows import WindowPlan
from prosect.places import Point
from prosect.progress import Watch
from prosect.prompts import LabelledClick

__all__ = ["MILESTONE", "ClickResponder", "PointNetwork"]

Mask = NDArray[np.bool_]

MILESTONE = 8  # clicks from one answer that is kept apart to the next, see `ClickResponder`


class PointNetwork(Protocol):
    """What clicks need of a network."""

    def interactive_features(self, image: Tensor) -> Tensor:
        """Return what every click on a patch (1 1 i j k) shares."""

    @property
    def sequential(self) -> bool:
        """Whether an answer builds on the answer before the last click; else the order of clicks does not matter."""

    def point_logits(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return mask logits (q 1 i j k) for points (q n 3), labels (q n) and kinds (q).

        `previous` is the answer without the last point, where the network builds on it; one of zeros says that there
        was none.
        """


class ClickResponder:
    """Answers clicks on one scan. Sessions of one scan may share it: it holds the scan made ready, and no mask.

    A network that builds on its answer before makes a row of answers, one for each click on a patch. The newest is
    looked for first, so that one more click costs one pass. After many undos it may have been forgotten; every eighth
    answer is kept apart, so that few passes lead from there to the present. A patch that comes late sees clicks that
    others answered: it is shown all but the last eight of them together, so that it costs nine passes at most.

    Args:
        case: Where the network grid lies in the scan; it is not cropped: a click may lie anywhere.
        network: Answers clicks on a patch.
        plan: How the grid is padded to hold a patch; its `window` is the patch.
        image: Shows patches.
        kept: Memory for what is remembered; by default the one that the whole process shares.
        rescaled: Responders of the same scan at other working spacings; None where there are none.
        appearance: How much intensities count beside the network; None where they do not.
        lasting: How much lasts of the answers before the last click on a structure that the network was taught, or that
            began with a box; None where nothing does. Of other objects the first answers are worth less.
    """

    def __init__(
        self,
        case: Placement,
        network: PointNetwork,
        plan: WindowPlan,
        image: PatchImage,
        kept: FeatureBudget | None = None,
        rescaled: Rescaled[ClickResponder] | None = None,
        appearance: Appearance | None = None,
        lasting: Lasting | None = None,
    ) -> None:
        self.rescaled, self._appearance, self._lasting = rescaled, appearance, lasting
        self._case, self._network, self._plan, self._image = case, network, plan, image
        self._in_order = network.sequential
        budget = shared_budget() if kept is None else kept
        self.features: Remembered[Tensor] = Remembered(budget.features)
        self.answers: Remembered[Tensor] = Remembered(budget.answers)
        self._images: Remembered[Tensor] = Remembered(budget.answers)
        self._milestones: Remembered[Tensor] = Remembered(budget.milestones)
        self._aims: Remembered[Tensor] = Remembered(budget.answers)

    def place(self, position_ras: Sequence[float], existing: Sequence[Start]) -> Start:
        """Return the patch for a click, as its start on the padded network grid; see `place_patch`.

        Args:
            position_ras: Where, in mm.
            existing: Starts of patches to prefer.

        Raises:
            PromptError: The position lies outside the scan.
        """
        return place_patch(self._position(position_ras).tolist(), self._plan.padded, self._plan.window, existing)

    def box(self, patch: Start) -> Box:
        """Return the box of the scan's voxels that a patch covers."""
        return patch_box(self._case, self._on_grid(patch), self._plan.window)

    def extent(self, question: Question, watch: Watch | None = None) -> Box:
        """Return the box of the scan's voxels that the answer covers: that of its patches. Nothing is computed."""
        box = EMPTY
        for patch in question.patches:
            box |= self.box(patch)
        return box

    def sees(self, patch: Start, position_ras: Sequence[float]) -> bool:
        """Return whether a position lies in a patch; its outermost voxels count, index 0 too."""
        return bool(self._inside(patch, self._positions([position_ras]))[0])

    @torch.inference_mode()
    def propose(self, question: Question, box: Box, watch: Watch | None = None) -> tuple[Mask, Mask]:
        """Return where in a box the network was asked, and where it says yes, both (i j k) as the scan is stored.

        Each patch answers the clicks that it sees. Where patches overlap their logits are averaged with weights that
        fall off towards the faces, so the order of patches and clicks does not matter, except that of clicks to a
        network that builds on its answer before. Differs from the official code, which adds them up.

        Args:
            question: The clicks.
            box: In voxels of the scan.
            watch: Called after each patch.
        """
        question = self._aimed(question)
        seen = self._seen(question)
        asked_of = {self._on_grid(patch): patch for patch in seen}

        def answer(start: Start) -> Tensor:
            patch = asked_of[start]
            first = self._first_step(question, patch, seen[patch])
            logits = self._answer(patch, seen[patch], first, question.zero_shot)
            has_lasting = not question.zero_shot or question.bounds is not None
            if self._lasting is not None and self._in_order and has_lasting:
                logits = self._with_lasting(patch, seen[patch], first, question.zero_shot, self._lasting)
            if self._appearance is None:
                return logits
            filled = box_prior_on_patch(question, self._case, start, self._plan.window)
            return self._with_appearance(patch, seen[patch], logits, self._appearance, filled)

        expected = box_prior(question, box, self._case.native)
        return patches_in_box(self._case, list(asked_of), self._plan.window, answer, box, watch, expected)

    @torch.inference_mode()
    def view(self, points: Sequence[LabelledPoint], zero_shot: bool) -> View:
        """Return the answer to clicks in the patch of the first, which no other click has placed.

        Args:
            points: The clicks in their order.
            zero_shot: Whether the structure is an object of its own.
        """
        patch = self.place(points[0][0], ())
        seen = tuple(point for point in points if self.sees(patch, point[0]))
        if not self._in_order:
            seen = tuple(sorted(seen))
        logits = self._answer(patch, seen, 1 if self._in_order else len(seen), zero_shot)
        x, y, z = (self._position(points[0][0]) - patch).tolist()
        return View(self._shown(patch), logits.cpu().numpy(), self._in_scan(patch), (x, y, z))

    def value_at(self, points: Sequence[LabelledPoint], zero_shot: bool, position_ras: Sequence[float]) -> float | None:
        """Return the logit at a place of the answer to clicks in the patch of the first; None where it is not shown."""
        patch = self.place(points[0][0], ())
        if not self.sees(patch, position_ras):
            return None
        logits = self.view(points, zero_shot).logits
        place = np.floor(self._position(position_ras) - patch + 0.5).astype(int)
        i, j, k = place.clip(0, np.asarray(logits.shape) - 1).tolist()
        return float(logits[i, j, k])

    def _aimed(self, question: Question) -> Question:
        """Return a question whose click in the middle of a box in space lies where the answer fits that box best."""
        drawn, rules = question.bounds, self._appearance
        if drawn is None or 1 in drawn.shape or rules is None or not self._in_order:
            return question
        places = places_in(drawn, self._case.native)
        clicks = []
        for click in question.clicks:
            if click.label % 2 == 1 and np.allclose(click.position_ras, places[0], rtol=0, atol=1e-6):
                key = (drawn, click, question.zero_shot)
                taken = self._aims.get(key, partial(self._aim, drawn, places, click, question.zero_shot, rules))
                if taken.item() > 0:
                    click = click._replace(position_ras=places[int(taken.item())])
            clicks.append(click)
        return replace(question, clicks=tuple(clicks))

    def _aim(
        self, drawn: Box, places: Sequence[Point], click: LabelledClick, zero_shot: bool, rules: Appearance
    ) -> Tensor:
        """Return at which of some places in a box its click is asked (scalar).

        Args:
            drawn: In voxels of the scan.
            places: In mm.
            click: In its middle.
            zero_shot: Whether the structure is an object of its own.
            rules: How much intensities count.
        """
        ends = self._case.native.to_world(np.stack([drawn.start, np.asarray(drawn.stop) - 1]))
        corners = self._positions(np.asarray(ends).tolist()) - click.patch
        low, high = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()

        def fit_at(place: Point) -> float:
            if not self.sees(click.patch, place):
                return 0.0
            points = ((place, click.label),)
            logits = self._answer(click.patch, points, 1, zero_shot)
            answer = self._with_appearance(click.patch, points, logits, rules)
            return box_fit((answer > 0).cpu().numpy(), low, high)

        return torch.tensor(best_place(places, fit_at))

    def _in_scan(self, patch: Start) -> tuple[slice, slice, slice]:
        """Return the part of a patch that lies in the scan."""
        inside = []
        for start, before, size, count in zip(
            patch, self._plan.pad_before, self._plan.shape, self._plan.window, strict=True
        ):
            inside.append(slice(max(before - start, 0), min(before + size - start, count)))
        return inside[0], inside[1], inside[2]

    def _shown(self, patch: Start) -> NDArray[np.float32]:
        """Return the intensities of a patch (i j k)."""
        image: NDArray[np.float32] = self._images.get(patch, lambda: self._image.patch(patch)[0, 0]).cpu().numpy()
        return image

    def _with_lasting(
        self, patch: Start, points: tuple[LabelledPoint, ...], first: int, zero_shot: bool, rules: Lasting
    ) -> Tensor:
        """Return the logits (i j k) of a patch with what lasts of the answers before the last of its clicks.

        Args:
            patch: Its start on the padded network grid.
            points: The clicks that it sees.
            first: How many of them the network was shown in the first pass.
            zero_shot: Whether the structure is an object of its own.
            rules: How much lasts.
        """
        objects = [count for count, (_, label) in enumerate(points, 1) if label % 2 == 1]
        # Before the first positive click there was no answer that could last.
        begin = max(first, len(points) - rules.clicks, min(objects, default=len(points)))
        found = self._answer(patch, points[:begin], first, zero_shot)
        for count in range(begin + 1, len(points) + 1):
            newest = self._answer(patch, points[:count], first, zero_shot)
            place = (self._position(points[count - 1][0]) - patch).tolist()
            found = lasting_logits(newest, found, place, rules)
        return found

    def _with_appearance(
        self,
        patch: Start,
        points: tuple[LabelledPoint, ...],
        logits: Tensor,
        rules: Appearance,
        filled: NDArray[np.float32] | None = None,
    ) -> Tensor:
        """Return the logits (i j k) of a patch with what intensities around its clicks say.

        Args:
            patch: Its start on the padded network grid.
            points: The clicks that it sees.
            logits: The network's answer (i j k).
            rules: How much intensities count.
            filled: Logits of a box that a person drew (i j k): it, too, says where the object is. Not added here.
        """
        places = self._positions([position for position, _ in points]) - patch
        clicks = []
        for (x, y, z), (_, label) in zip(places.tolist(), points, strict=True):
            clicks.append(PatchClick((x, y, z), label % 2 == 1))
        shown, inside, found = self._shown(patch), self._in_scan(patch), logits.cpu().numpy()
        if filled is None:
            added = appearance_logits(shown, found, inside, clicks, rules)
        else:
            added = appearance_in_box(shown, found + filled, inside, clicks, rules)
        return logits + torch.from_numpy(added).to(logits.device)

    def _seen(self, question: Question) -> dict[Start, tuple[LabelledPoint, ...]]:
        """Return for each patch the clicks that it sees, each once, in the order in which the network takes them."""
        points = list(dict.fromkeys((click.position_ras, click.label) for click in question.clicks))
        if not self._in_order:
            points.sort()  # the same clicks in another order find the same answer remembered
        # Worked out once: for each patch anew they would cost more than the network after a hundred clicks.
        positions = self._positions([position for position, _ in points])
        seen = {}
        for patch in question.patches:
            inside = self._inside(patch, positions)
            if inside.any():
                seen[patch] = tuple(points[n] for n in np.flatnonzero(inside))
        return seen

    def _first_step(self, question: Question, patch: Start, points: tuple[LabelledPoint, ...]) -> int:
        """Return how many of the clicks that a patch sees are shown to the network in the first pass."""
        if not self._in_order:
            return len(points)
        own = {(click.position_ras, click.label) for click in question.clicks if click.patch == patch}
        # On a sheared grid a place that is shown with a click may lie beyond its patch, whose box is larger than it.
        before = next(number for number, point in enumerate(points) if point in own)
        return max(1, before - MILESTONE + 1)

    def _answer(self, patch: Start, points: tuple[LabelledPoint, ...], first: int, zero_shot: bool) -> Tensor:
        """Return the logits (i j k) of a patch, from the longest part of its answer that is remembered.

        Args:
            patch: Its start on the padded network grid.
            points: The clicks that it sees.
            first: How many of them the network is shown in the first pass.
            zero_shot: Whether the structure is an object of its own.
        """
        steps = range(first, len(points) + 1)
        answer: Tensor | None = None
        waiting: list[int] = []
        for count in reversed(steps):
            answer = self._find((patch, points[:count], first, zero_shot))
            if answer is not None:
                break
            waiting.append(count)
        for count in reversed(waiting):
            answer = self._ask(patch, points[:count], zero_shot, answer)
            key = (patch, points[:count], first, zero_shot)
            self.answers.put(key, answer)
            if self._in_order and count % MILESTONE == 0:
                self._milestones.put(key, answer)
        assert answer is not None  # a patch that sees no click is not asked
        return answer

    def _find(self, key: tuple[Start, tuple[LabelledPoint, ...], int, bool]) -> Tensor | None:
        """Return an answer that is remembered, or None."""
        found = self.answers.find(key)
        if found is None:
            return self._milestones.find(key)
        return found

    def _ask(self, patch: Start, points: tuple[LabelledPoint, ...], zero_shot: bool, previous: Tensor | None) -> Tensor:
        """Return the logits (i j k) of a patch by one pass of the network's head."""
        features = self.features.get(patch, lambda: self._network.interactive_features(self._image.patch(patch)))
        positions = self._positions([position for position, _ in points]) - patch
        where = features.device
        if previous is None and self._in_order and len(points) > 1:
            previous = features.new_zeros(self._plan.window)  # no answer before, though there are clicks before
        return self._network.point_logits(
            features,
            torch.tensor(positions[None], dtype=torch.float32, device=where),
            torch.tensor([[label for _, label in points]], device=where),
            torch.tensor([zero_shot], device=where),
            None if previous is None else previous[None, None],
        )[0, 0].float()

    def _position(self, position_ras: Sequence[float]) -> NDArray[np.float64]:
        """Return one position (3,); see `_positions`."""
        return np.asarray(self._positions([position_ras])[0])

    def _positions(self, positions_ras: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """Return positions (n, 3) on the padded network grid, free of rounding on the way through millimetres.

        Half a voxel of a coarse scan may reach beyond the finer network grid; there the nearest place on it is taken.
        """
        points = self._case.to_network(np.asarray(positions_ras, dtype=np.float64).reshape(-1, 3)).round(6)
        return np.asarray(np.clip(points, -0.5, np.asarray(self._plan.shape) - 0.5) + self._plan.pad_before)

    def _inside(self, patch: Start, positions: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return for each position (n, 3) on the padded network grid whether it lies in a patch; see `sees`."""
        points = positions - patch
        return np.asarray(((points >= -0.5) & (points <= np.asarray(self._plan.window) - 0.5)).all(axis=1))

    def _on_grid(self, patch: Start) -> Start:
        """Return the start of a patch on the network grid before padding."""
        i, j, k = (s - p for s, p in zip(patch, self._plan.pad_before, strict=True))
        return i, j, k
