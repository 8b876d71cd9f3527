"""VISTA3D ready for use: the one file where its network meets inference."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prosect.case import Case
from prosect.errors import ResourceError
from prosect.geometry import Grid
from prosect.inference.accumulate import sweep
from prosect.inference.automatic import Classes, NativePainter, NearestPainter
from prosect.inference.memory import MemoryPlan, available_bytes, plan_memory
from prosect.inference.windows import Shape, WindowPlan, plan_windows
from prosect.labelmap import LabelLayers, LabelMap
from prosect.models.spec import ModelSpec, Profile
from prosect.networks.vista3d import Vista3D
from prosect.networks.vista3d.cpu import CpuAutomaticBranch
from prosect.resample import respaced_grid
from prosect.vocabulary import Resolution, Vocabulary
from prosect.volume import Volume

__all__ = ["Vista3DModel"]

OnWindow = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Vista3DModel:
    """A loaded VISTA3D.

    Attributes:
        network: The network, in evaluation mode on `device`.
        spec: What it was trained with.
        profile: How scans are prepared, swept and restored.
        device: Where the network runs.
    """

    network: Vista3D
    spec: ModelSpec
    profile: Profile
    device: torch.device
    _fast: CpuAutomaticBranch | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        fast = CpuAutomaticBranch(self.network) if self.device.type == "cpu" and self._pays else None
        object.__setattr__(self, "_fast", fast)

    @property
    def _pays(self) -> bool:
        """Whether the arrangement for processors is faster: below 32 channels torch's own convolutions win."""
        return self.network.architecture.width >= 32

    @property
    def vocabulary(self) -> Vocabulary:
        """The structures it knows by name; those it was not trained for are marked unsupported."""
        return self.spec.vocabulary

    def plan(
        self, volume: Volume | Grid, classes: Sequence[str | int] | None = None, overlap: bool = False
    ) -> MemoryPlan:
        """Return the memory a run needs, from the scan's geometry alone.

        The crop to content is not known yet, so for a scan with much air around the patient this is an upper bound.
        """
        grid = volume.grid if isinstance(volume, Volume) else volume
        prepared = self._prepared_shape(grid)
        layers = len(self._resolve(classes).indices) if overlap else 1
        return self._memory(grid.shape, self._windows(prepared), layers)

    @torch.inference_mode()
    def segment(
        self,
        volume: Volume,
        classes: Sequence[str | int] | None = None,
        overlap: bool = False,
        on_window: OnWindow | None = None,
    ) -> LabelMap | LabelLayers:
        """Return labels on the scan's own grid.

        Args:
            volume: The scan.
            classes: Names or indices; groups expand to their parts. None segments everything the model knows.
            overlap: Return one layer per class, nothing erased, instead of one flat map.
            on_window: Called with the number of windows done.

        Raises:
            VocabularyError: A class is unknown, or the model was not trained for it.
            ResourceError: The run does not fit in memory.
        """
        started = time.perf_counter()
        resolution = self._resolve(classes)
        self._require_memory(volume.grid, len(resolution.indices) if overlap else 1)
        case = Case.prepare(volume, self.spec.preparation(self.profile))
        prepared = time.perf_counter()
        painters = self._painters(case, resolution.indices, overlap)
        axis_plan = self._windows(case.grid.shape)
        swept = self._sweep(case, axis_plan, painters, on_window)
        arrays = [painter.result() for painter in painters]
        provenance = {
            "model": self.spec.name,
            "weights_sha256": self.spec.weights_sha256,
            "profile": self.profile.name,
            "device": str(self.device),
            "windows": axis_plan.count,
            "classes": list(resolution.indices),
            "expansions": {k: list(v) for k, v in resolution.expansions.items()},
            "notes": [*volume.source.notes, *resolution.notes],
            "seconds": {
                "prepare": prepared - started,
                "network": swept,
                "restore": time.perf_counter() - prepared - swept,
            },
        }
        if overlap:
            return LabelLayers(np.stack(arrays), resolution.indices, volume.grid, self.vocabulary, provenance)
        return LabelMap(arrays[0], volume.grid, self.vocabulary, provenance)

    def _require_memory(self, grid: Grid, layers: int) -> None:
        """Refuse a run that cannot fit, before anything is allocated; the scan itself is in memory already."""
        if self.device.type == "cpu":
            plan = self._memory(grid.shape, self._windows(self._prepared_shape(grid)), layers)
            plan.require(available_bytes() + plan.parts["scan"])

    def _resolve(self, classes: Sequence[str | int] | None) -> Resolution:
        if classes is None:
            classes = self.vocabulary.everything(self.spec.everything)
        return self.vocabulary.resolve(classes)

    def _prepared_shape(self, grid: Grid) -> Shape:
        order = grid.to_ras()
        source = grid.reorder(order) if self.profile.preparation.reorient_first else grid
        shape = respaced_grid(source, self.spec.spacing_mm).shape
        if self.profile.preparation.reorient_first:
            return shape
        a, b, c = (shape[axis] for axis in order.axes)
        return a, b, c

    def _windows(self, shape: Shape) -> WindowPlan:
        roi = self.spec.patch
        if self.profile.fit_windows:
            divisor = self.network.architecture.divisor
            a, b, c = (min(p, -(-n // divisor) * divisor) for p, n in zip(roi, shape, strict=True))
            roi = (a, b, c)
        return plan_windows(shape, roi, self.profile.overlap)

    def _memory(self, native: Shape, plan: WindowPlan, layers: int) -> MemoryPlan:
        highest = max(s.index for s in self.vocabulary)
        return plan_memory(native, plan, self.network.architecture.width, layers, 1 if highest < 256 else 2)

    def _painters(self, case: Case, indices: Sequence[int], overlap: bool) -> Sequence[NativePainter | NearestPainter]:
        axis = self._windows(case.grid.shape).sweep_axis
        kind = NativePainter if self.profile.interpolation == "linear" and case.is_separable else NearestPainter
        vectors = self.network.class_vectors(indices).float()
        if overlap:
            return [kind(case, axis, Classes(v[None], (1,), (0,)), np.uint8) for v in vectors]
        dtype = np.uint8 if max(indices) < 256 else np.uint16
        return [kind(case, axis, Classes(vectors, tuple(indices), self._tiers(indices)), dtype)]

    def _tiers(self, indices: Sequence[int]) -> tuple[int, ...]:
        """Return the precedence of each class: what lies inside another covers it, what contains others lies below."""
        if not self.profile.tiers:
            return tuple(0 for _ in indices)
        return self.vocabulary.tiers(indices)

    def _sweep(self, case: Case, plan: WindowPlan, painters: Sequence[Any], on_window: OnWindow | None) -> float:
        """Feed every painter; return the seconds spent in the network. Out of GPU memory halves the window batch."""
        batch = 1 if self.device.type == "cpu" else 4
        clock = _Clock(self._features, self.device)
        while True:
            try:
                for slab in sweep(
                    case.image.to(self.device), plan, clock, self.network.architecture.width,
                    blending=self.profile.blending, padding=self.profile.padding, batch=batch, on_window=on_window,
                ):  # fmt: skip
                    for painter in painters:
                        painter.add(slab)
                return clock.seconds
            except torch.OutOfMemoryError as error:
                if batch == 1:
                    raise ResourceError(
                        "The GPU ran out of memory with one window at a time; use --device cpu.", code="GPU_MEMORY"
                    ) from error
                batch = max(1, batch // 2)

    def _features(self, windows: Tensor) -> Tensor:
        if self.device.type == "cuda":
            with torch.autocast("cuda", dtype=torch.bfloat16):
                return self.network.automatic_features(windows)
        if self._fast is not None:
            return self._fast(windows)
        return self.network.automatic_features(windows)


class _Clock:
    """Count the seconds spent inside a function on a device."""

    def __init__(self, function: Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._function, self._device = function, device
        self.seconds = 0.0

    def __call__(self, windows: Tensor) -> Tensor:
        started = time.perf_counter()
        out = self._function(windows)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.seconds += time.perf_counter() - started
        return out
