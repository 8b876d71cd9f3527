"""Answer clicks with a network that takes one click and its own previous answer, on one crop (SAM-Med3D).

A person's clicks are met in their order: each shows the network the newest click beside its last answer, as it was
trained. A target larger than a crop is followed over its border: where the answer touches a face, a neighbour that
overlaps by half is asked about the part of the target that both see, until no face is touched or the scan ends
(SAM-Med3D, Sec. 3.3). What a crop's image is to the network does not depend on clicks, so it is computed once and kept.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from prosect.boxes import EMPTY, Box
from prosect.case import Case
from prosect.errors import ProsectWarning
from prosect.inference.clicks import MILESTONE
from prosect.inference.crop_places import nearest_voxel, reaching, shared_voxels
from prosect.inference.feature_budget import FeatureBudget, Remembered, shared_budget
from prosect.inference.intensities import mean_and_spread
from prosect.inference.patch_places import central
from prosect.inference.patch_to_scan import patch_box
from prosect.inference.patches_in_box import patches_in_box
from prosect.inference.question import Question
from prosect.inference.scales import Rescaled
from prosect.morphology import Components, innermost
from prosect.progress import Watch
from prosect.prompts import LabelledClick

__all__ = ["CropNetwork", "CropResponder", "CropRules"]

Mask = NDArray[np.bool_]
Start = tuple[int, int, int]
History = tuple[LabelledClick, ...]  # in the order in which they were made

SPACING = (1.0, 1.0, 1.0)  # of a crop, in voxels


class CropNetwork(Protocol):
    """What clicks need of a network; see `networks.sam_med3d`."""

    def embed(self, image: Tensor) -> Tensor:
        """Return what every click on a crop (1 1 i j k) shares."""

    def blank(self, features: Tensor) -> Tensor:
        """Return the previous answer of a first click."""

    def refine(self, features: Tensor, points: Tensor, labels: Tensor, previous: Tensor) -> Tensor:
        """Return the answer (1 1 a b c), in logits at its own resolution, to points (1 n 3) with labels (1 n)."""

    def upsample(self, low: Tensor) -> Tensor:
        """Return an answer on the voxels of the crop (1 1 i j k)."""


@dataclass(frozen=True)
class CropRules:
    """How the network is asked.

    Attributes:
        normalise: What mean and spread of intensities are taken of: the `crop`, as in training, or the `scan`.
        prompts: `newest` shows the last click only, as in training; `all` every click so far, as the official
            inference does.
        extend: Whether the crop follows the target over its border.
        most_crops: How many crops one answer may take.
    """

    normalise: Literal["crop", "scan"] = "crop"
    prompts: Literal["newest", "all"] = "newest"
    extend: bool = True
    most_crops: int = 27


@dataclass(frozen=True, eq=False)
class _Crop:
    """The answer of one crop.

    Attributes:
        low: Logits at the network's own resolution (1 1 a b c).
        inside: Voxels of the crop that are known to be the target: the parts of the answer that hold one are followed.
        clicked: Whether a person's click was seen in it; other crops are extensions.
    """

    low: Tensor
    inside: tuple[Start, ...]
    clicked: bool


class _Answer(dict[Start, _Crop]):
    """The answers of crops by their start."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(crop.low.nbytes for crop in self.values())


class CropResponder:
    """Answers clicks on one scan; see `session.protocols.Responder`.

    Unlike the answer of a network that sees all clicks together, this one depends on their order.

    Args:
        case: The scan made ready, neither cropped nor scaled to [0, 1].
        network: Answers clicks on a crop.
        size: Voxels of a crop along each axis.
        rules: How it is asked.
        kept: Memory for what is remembered; by default the one that the whole process shares.
        rescaled: Responders of the same scan at other working spacings; None where there are none.
    """

    def __init__(
        self,
        case: Case,
        network: CropNetwork,
        size: int,
        rules: CropRules,
        kept: FeatureBudget | None = None,
        rescaled: Rescaled[CropResponder] | None = None,
    ) -> None:
        self.rescaled = rescaled
        self._case, self._network, self._size, self._rules = case, network, size, rules
        self._shape = case.grid.shape
        budget = shared_budget() if kept is None else kept
        self.features: Remembered[Tensor] = Remembered(budget.features)
        self.answers: Remembered[_Answer] = Remembered(budget.answers)
        self._milestones: Remembered[_Answer] = Remembered(budget.milestones)
        self._extensions: Remembered[Tensor] = Remembered(budget.answers)

    def place(self, position_ras: Sequence[float], existing: Sequence[Start]) -> Start:
        """Return the crop for a click, as its start on the network grid; it may reach beyond the scan.

        A crop that exists serves where the click lies in its central half; otherwise one is centred on the click. It is
        not moved inward at the scan's border: the network was trained with its target in the middle, padded with zeros.

        Raises:
            PromptError: The position lies outside the scan.
        """
        point = self.position(position_ras)
        found = central(point.tolist(), existing, (self._size,) * 3)
        if found is not None:
            return found
        i, j, k = (int(n) for n in np.floor(point + 0.5) - self._size // 2)
        return i, j, k

    def box(self, patch: Start) -> Box:
        """Return the box of the scan's voxels that a crop covers."""
        return patch_box(self._case, patch, (self._size,) * 3)

    def extent(self, question: Question, watch: Watch | None = None) -> Box:
        """Return the box of the scan's voxels that the answer covers, extensions included, which asks the network.

        Args:
            question: The clicks.
            watch: Called after each click that is answered.
        """
        box = EMPTY
        for start in self.answer(question, watch):
            box |= self.box(start)
        return box

    def sees(self, start: Start, position_ras: Sequence[float]) -> bool:
        """Return whether a position lies in a crop; its outermost voxels count."""
        point = self.position(position_ras) - start
        return bool(((point >= -0.5) & (point <= self._size - 0.5)).all())

    @torch.inference_mode()
    def propose(self, question: Question, box: Box, watch: Watch | None = None) -> tuple[Mask, Mask]:
        """Return where in a box the network was asked, and where it says yes, both (i j k) as the scan is stored.

        Where crops overlap their logits are averaged with weights that fall off towards the faces.

        Args:
            question: The clicks; whether they are zero-shot is of no consequence: this network knows no classes.
            box: In voxels of the scan.
            watch: Called after each click that is answered.
        """
        answer = self.answer(question, watch)
        patch = (self._size,) * 3
        return patches_in_box(
            self._case, list(answer), patch, lambda s: self._network.upsample(answer[s].low)[0, 0], box
        )

    @torch.inference_mode()
    def answer(self, question: Question, watch: Watch | None = None) -> Mapping[Start, _Crop]:
        """Return the answer of each crop after all clicks, from the longest row of clicks that is remembered.

        Args:
            question: The clicks.
            watch: Called after each click that is answered.
        """
        answer = _Answer()
        waiting: list[History] = []
        for count in range(len(question.clicks), 0, -1):
            history = question.clicks[:count]
            found = self._find(history)
            if found is not None:
                answer = found
                break
            waiting.append(history)
        for done, history in enumerate(reversed(waiting), 1):
            answer = self.answers.put(history, self._step(answer, history))
            if len(history) % MILESTONE == 0:
                self._milestones.put(history, answer)
            if watch is not None:
                watch(done, len(waiting))
        return answer

    def _find(self, history: History) -> _Answer | None:
        """Return an answer that is remembered, or None."""
        found = self.answers.find(history)
        return self._milestones.find(history) if found is None else found

    def _step(self, before: _Answer, history: History) -> _Answer:
        """Return the answer after one more click: every crop that sees it is asked, then extensions are made anew."""
        click = history[-1]
        after = _Answer({start: crop for start, crop in before.items() if crop.clicked})
        for start in sorted({click.patch, *(each for each in before if self.sees(each, click.position_ras))}):
            after[start] = self._clicked(start, before, history)
        if self._rules.extend:
            self._extend(after)
        return after

    def _clicked(self, start: Start, before: _Answer, history: History) -> _Crop:
        """Return a crop's answer to the newest click."""
        seen = [click for click in history if self.sees(start, click.position_ras)]
        shown = [history[-1]]
        if self._rules.prompts == "all":
            shown = seen
        points = np.stack([self.position(click.position_ras) - start for click in shown])
        features = self._features(start)
        if start in before:
            previous = before[start].low
        else:
            previous = self._carried(start, features, before)
        low = self._ask(features, points, [click.label % 2 for click in shown], previous)
        # Positive clicks say what is the target, whether or not the network is shown them again.
        inside = []
        for click in seen:
            if click.label % 2:
                inside.append(nearest_voxel(self.position(click.position_ras) - start, self._size))
        return _Crop(low, tuple(inside), True)

    def _ask(self, features: Tensor, points: NDArray[np.float64], labels: Sequence[int], previous: Tensor) -> Tensor:
        where = features.device
        return self._network.refine(
            features,
            torch.tensor(points[None], dtype=torch.float32, device=where),
            torch.tensor([list(labels)], device=where),
            previous,
        )

    def _carried(self, start: Start, features: Tensor, before: _Answer) -> Tensor:
        """Return what is known of a new crop as its previous answer: that of crops it overlaps, elsewhere logits of 0.

        Nothing at all for a first click, as in training.
        """
        low = self._network.blank(features)
        total, count = low.new_zeros((self._size,) * 3), low.new_zeros((self._size,) * 3)
        for other, crop in before.items():
            ours, theirs = shared_voxels(start, other, self._size)
            if all(s.start < s.stop for s in ours):
                total[ours] += self._network.upsample(crop.low)[0, 0][theirs]
                count[ours] += 1
        return F.avg_pool3d((total / count.clamp(min=1))[None, None], self._size // low.shape[2])

    def _extend(self, answer: _Answer) -> None:
        """Add neighbours to an answer until it touches no face beyond which the scan goes on.

        A neighbour that does not see the target where it was told to look has nothing to say and is left out.
        """
        waiting = deque(sorted(answer))
        blind: set[Start] = set()
        while waiting:
            start = waiting.popleft()
            for neighbour, point in self._beyond(start, answer):
                if neighbour in blind:
                    continue
                if len(answer) >= self._rules.most_crops:
                    warnings.warn(
                        f"The target was followed through {len(answer)} crops and no further; click on the rest.",
                        ProsectWarning,
                        stacklevel=2,
                    )
                    return
                found = self._extension(neighbour, point)
                if not bool(self._network.upsample(found.low)[0, 0][point] > 0):
                    blind.add(neighbour)
                    continue
                answer[neighbour] = found
                waiting.append(neighbour)

    def _extension(self, start: Start, point: Start) -> _Crop:
        """Return the answer of a crop to a click that nobody made, as to a first one."""

        def ask() -> Tensor:
            features = self._features(start)
            return self._ask(features, np.asarray([point], dtype=np.float64), [1], self._network.blank(features))

        return _Crop(self._extensions.get((start, point), ask), (point,), False)

    def _beyond(self, start: Start, answer: _Answer) -> Iterator[tuple[Start, Start]]:
        """Yield the neighbours into which the target goes on, each with a voxel of it deep in what both crops see.

        A face is passed over where another crop has seen what lies behind it.
        """
        target = self._target(start, answer[start])
        if target is None:
            return
        for axis in range(3):
            for ahead in (False, True):
                room = self._shape[axis] - start[axis] - self._size if ahead else start[axis]
                face = np.take(target, [self._size - 1 if ahead else 0], axis)
                if room <= 0 or not face.any() or self._seen_beyond(start, axis, ahead, face, answer):
                    continue
                shift = min(self._size // 2, room)
                shared = slice(shift, None) if ahead else slice(None, self._size - shift)
                held = np.moveaxis(np.moveaxis(target, axis, 0)[shared], 0, axis)
                point = list(innermost(reaching(held, axis, ahead), SPACING))
                point[axis] += 0 if ahead else shift
                i, j, k = (s + (axis == a) * (shift if ahead else -shift) for a, s in enumerate(start))
                yield (i, j, k), (point[0], point[1], point[2])

    def _seen_beyond(self, start: Start, axis: int, ahead: bool, face: Mask, answer: _Answer) -> bool:
        """Return whether a crop that was asked sees where the target meets a face, and a quarter of a crop beyond."""
        met = Box.of(face)
        low = [s + n for s, n in zip(start, met.start, strict=True)]
        high = [s + n for s, n in zip(start, met.stop, strict=True)]
        if ahead:
            low[axis] = start[axis] + self._size - 1
            high[axis] = min(low[axis] + 1 + self._size // 4, self._shape[axis])
        else:
            high[axis] = start[axis] + 1
            low[axis] = max(start[axis] - self._size // 4, 0)
        return any(
            all(o <= a and b <= o + self._size for o, a, b in zip(other, low, high, strict=True)) for other in answer
        )

    def _target(self, start: Start, crop: _Crop) -> Mask | None:
        """Return the parts of a crop's answer, inside the scan, that hold a voxel known to be the target."""
        mask = (self._network.upsample(crop.low)[0, 0] > 0).cpu().numpy()
        scan = tuple(slice(max(-s, 0), max(n - s, 0)) for s, n in zip(start, self._shape, strict=True))
        within = np.zeros_like(mask)
        within[scan] = mask[scan]
        parts = Components.of(within)
        held = {part for voxel in crop.inside if (part := parts.at(voxel)) is not None}
        return parts.mask(held) if held else None

    def _features(self, start: Start) -> Tensor:
        return self.features.get(start, lambda: self._network.embed(self._image(start)))

    def _image(self, start: Start) -> Tensor:
        """Return a crop (1 1 i j k) as the network takes it. official: beyond the scan lie zeros, as intensities."""
        inner: list[slice] = []
        pads: list[int] = []
        for first, count in zip(start, self._shape, strict=True):
            end = first + self._size
            inner.append(slice(max(first, 0), min(end, count)))
            # `pad` counts axes from the last one.
            pads = [max(-first, 0), max(end - count, 0), *pads]
        crop = F.pad(self._case.image[:, :, *inner], pads)
        mean, spread = self._of_scan if self._rules.normalise == "scan" else mean_and_spread(crop)
        return (crop - mean) / spread

    @cached_property
    def _of_scan(self) -> tuple[Tensor, Tensor]:
        return mean_and_spread(self._case.image)

    def position(self, position_ras: Sequence[float]) -> NDArray[np.float64]:
        """Return a position on the network grid, free of rounding on the way through millimetres.

        Half a voxel of a coarse scan may reach beyond the finer network grid; there the nearest place on it is taken.
        """
        point = self._case.to_network(np.asarray([position_ras], dtype=np.float64))[0].round(6)
        return np.asarray(np.clip(point, -0.5, np.asarray(self._shape) - 0.5))
