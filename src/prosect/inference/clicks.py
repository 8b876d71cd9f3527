"""Answer clicks on a scan: where patches lie, what of them is remembered, and their answer on the scan's own voxels.

Only the patch around a click is looked at (VISTA3D, Sec. 3.2). What the network makes of a patch does not depend on
the clicks, so it is computed once and kept: every later click in the same patch pays the small head only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prosect.boxes import EMPTY, Box
from prosect.case import Case
from prosect.inference.accumulate import Padding, pad_volume
from prosect.inference.patch_to_scan import patch_box
from prosect.inference.patches_in_box import patches_in_box
from prosect.inference.windows import Shape, WindowPlan
from prosect.prompts import LabelledClick

__all__ = ["FEATURE_BYTES", "ClickResponder", "PointNetwork", "Remembered", "central", "place_patch"]

Mask = NDArray[np.bool_]
Start = tuple[int, int, int]

# Bytes kept of the features of patches, and of answers: ten patches of VISTA3D's 50 MB, and eight answers of 8 MB.
FEATURE_BYTES = 512 * 2**20
ANSWER_BYTES = 64 * 2**20


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

        `previous` is the answer without the last point, where the network builds on it.
        """


class HasBytes(Protocol):
    """What says how much memory it holds, such as a tensor."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""


Kept = TypeVar("Kept", bound=HasBytes)


class Remembered(Generic[Kept]):
    """Tensors by key, least recently used first out, within a budget of bytes; the newest always stays."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(kept.nbytes for kept in self._kept.values())

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """Return what is kept under a key, made now where it is not."""
        if key not in self._kept:
            self._kept[key] = make()
        self._kept.move_to_end(key)
        while self.nbytes > self.budget_bytes and len(self._kept) > 1:
            self._kept.popitem(last=False)
        return self._kept[key]


def place_patch(point: Sequence[float], shape: Shape, roi: Shape, existing: Sequence[Start] = ()) -> Start:
    """Return the start of the patch for a click.

    A patch that exists serves where the click lies in its central half, or beside a face that is the scan's own
    border: near clicks share a patch. Otherwise the patch is centred on the click, moved inward at the border, which
    is the official placement.

    Args:
        point: Position in voxels.
        shape: The whole grid, at least `roi` on every axis.
        roi: The patch.
        existing: Starts of patches to prefer; the most central one serves, the first at a tie.
    """
    found = central(point, existing, roi, shape)
    if found is not None:
        return found
    i, j, k = (min(max(int(np.floor(x)) - r // 2, 0), size - r) for x, r, size in zip(point, roi, shape, strict=True))
    return i, j, k


def central(point: Sequence[float], existing: Sequence[Start], roi: Shape, shape: Shape | None = None) -> Start | None:
    """Return the patch in whose central half a position lies, the most central one, the first at a tie; or None.

    Args:
        point: Position in voxels.
        existing: Starts of patches.
        roi: The patch.
        shape: The grid, where patches end at its border: beside a face that is the border itself, any place is central.
    """
    serving = [
        (max(abs(x - s - (r - 1) / 2) / r for x, s, r in zip(point, start, roi, strict=True)), n)
        for n, start in enumerate(existing)
        if all(_serves(x, s, r, size) for x, s, r, size in zip(point, start, roi, shape or (None,) * 3, strict=True))
    ]
    return existing[min(serving)[1]] if serving else None


def _serves(x: float, start: int, roi: int, size: int | None) -> bool:
    """Return whether a patch sees enough around a position along one axis."""
    after_start = (size is not None and start == 0) or x >= start + roi / 4
    before_stop = (size is not None and start + roi == size) or x <= start + roi - 1 - roi / 4
    return after_start and before_stop


class ClickResponder:
    """Answers clicks on one scan.

    Args:
        case: The scan made ready, not cropped: a click may lie anywhere.
        network: Answers clicks on a patch.
        plan: How the case is padded to hold a patch; its `roi` is the patch.
        padding: What it is padded with.
        feature_bytes: Budget for what is remembered of patches.
    """

    def __init__(
        self, case: Case, network: PointNetwork, plan: WindowPlan, padding: Padding, feature_bytes: int = FEATURE_BYTES
    ) -> None:
        self._case, self._network, self._plan = case, network, plan
        self._image = pad_volume(case.image, plan, padding)
        self.features: Remembered[Tensor] = Remembered(feature_bytes)
        self.answers: Remembered[Tensor] = Remembered(ANSWER_BYTES)

    def place(self, position_ras: Sequence[float], existing: Sequence[Start]) -> Start:
        """Return the patch for a click, as its start on the padded network grid; see `place_patch`.

        Raises:
            PromptError: The position lies outside the scan.
        """
        return place_patch(self._position(position_ras).tolist(), self._plan.padded, self._plan.roi, existing)

    def box(self, patch: Start) -> Box:
        """Return the box of the scan's voxels that a patch covers."""
        return patch_box(self._case, self._on_grid(patch), self._plan.roi)

    def extent(self, patches: Sequence[Start], clicks: Sequence[LabelledClick], zero_shot: bool) -> Box:
        """Return the box of the scan's voxels that the answer to clicks covers: that of their patches."""
        box = EMPTY
        for patch in set(patches):
            box |= self.box(patch)
        return box

    def sees(self, patch: Start, position_ras: Sequence[float]) -> bool:
        """Return whether a position lies in a patch; its outermost voxels count, index 0 too."""
        point = self._position(position_ras) - patch
        return bool(((point >= -0.5) & (point <= np.asarray(self._plan.roi) - 0.5)).all())

    @torch.inference_mode()
    def propose(
        self, patches: Sequence[Start], clicks: Sequence[LabelledClick], zero_shot: bool, box: Box
    ) -> tuple[Mask, Mask]:
        """Return where in a box the network was asked, and where it says yes, both (i j k) as the scan is stored.

        Each patch answers the clicks that it sees. Where patches overlap their logits are averaged with weights that
        fall off towards the faces, so the order of patches and clicks does not matter, except that of clicks to a
        network that builds on its answer before. Differs from the official code, which adds them up.
        """
        ordered = dict.fromkeys(clicks if self._network.sequential else sorted(clicks))
        seen = {
            self._on_grid(patch): (patch, clicks_seen)
            for patch in sorted(set(patches))
            if (clicks_seen := tuple(each for each in ordered if self.sees(patch, each.position_ras)))
        }
        return patches_in_box(
            self._case, list(seen), self._plan.roi, lambda start: self._answer(*seen[start], zero_shot), box
        )

    def _answer(self, patch: Start, clicks: tuple[LabelledClick, ...], zero_shot: bool) -> Tensor:
        """Return the logits (i j k) of a patch."""
        answer: Tensor | None = None
        for count in range(1 if self._network.sequential else len(clicks), len(clicks) + 1):
            some = clicks[:count]
            answer = self.answers.get((patch, some, zero_shot), partial(self._ask, patch, some, zero_shot, answer))
        assert answer is not None  # a patch that sees no click is not asked
        return answer

    def _ask(self, patch: Start, clicks: tuple[LabelledClick, ...], zero_shot: bool, previous: Tensor | None) -> Tensor:
        features = self.features.get(patch, lambda: self._network.interactive_features(self._window(patch)))
        points = np.stack([self._position(click.position_ras) - patch for click in clicks])
        where = features.device
        return self._network.point_logits(
            features,
            torch.tensor(points[None], dtype=torch.float32, device=where),
            torch.tensor([[click.label for click in clicks]], device=where),
            torch.tensor([zero_shot], device=where),
            None if previous is None else previous[None, None],
        )[0, 0].float()

    def _window(self, patch: Start) -> Tensor:
        i, j, k = (slice(s, s + n) for s, n in zip(patch, self._plan.roi, strict=True))
        return self._image[:, :, i, j, k].contiguous()

    def _position(self, position_ras: Sequence[float]) -> NDArray[np.float64]:
        """Return a position on the padded network grid, free of rounding on the way through millimetres.

        Half a voxel of a coarse scan may reach beyond the finer network grid; there the nearest place on it is taken.
        """
        point = self._case.to_network(np.asarray([position_ras], dtype=np.float64))[0].round(6)
        return np.asarray(np.clip(point, -0.5, np.asarray(self._plan.shape) - 0.5) + self._plan.pad_before)

    def _on_grid(self, patch: Start) -> Start:
        """Return the start of a patch on the network grid before padding."""
        i, j, k = (s - p for s, p in zip(patch, self._plan.pad_before, strict=True))
        return i, j, k
