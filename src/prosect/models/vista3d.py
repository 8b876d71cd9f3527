"""VISTA3D ready for use: the one file where its network meets inference."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, cast, overload

import torch

from prosect.case import Case, Preparation, preparing_bytes
from prosect.errors import ResourceError
from prosect.geometry import Grid
from prosect.inference.accumulate import Slab, releasing, sweep
from prosect.inference.canvas import FlatCanvas, LayeredCanvas, Painting
from prosect.inference.clicks import ClickResponder
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.gauge import Gauge
from prosect.inference.memory import MemoryPlan, attempts, available_bytes, plan_memory, refuse_exhaustion
from prosect.inference.probabilities import Probabilities, ProbabilityPainter
from prosect.inference.windows import Shape, WindowPlan, fit_window, plan_windows
from prosect.labelmap import LabelLayers, LabelMap
from prosect.models.batching import SharesBatches
from prosect.models.checks import blank, implausible, unlike_training, volumes_ml
from prosect.models.decisions import Decisions
from prosect.models.engine_choice import choose_engine
from prosect.models.mending import mend
from prosect.models.plausibility import take_out_implausible
from prosect.models.provenance import identity_of, provenance_of
from prosect.models.shown import ShownModel
from prosect.models.spec import ModelSpec, Profile
from prosect.models.vista3d_clicks import PointBranch, answer_clicks, refuse_clicks, warn_of_scaling
from prosect.models.withholding import WithholdsByFacts
from prosect.networks.vista3d import Vista3D
from prosect.networks.vista3d.branches import Branches, Engine, Precision, branches_of, refuse_engine
from prosect.progress import Watch
from prosect.session import Session
from prosect.stopwatch import Stopwatch
from prosect.vocabulary import Resolution, Vocabulary
from prosect.volume import Volume, require_volume

__all__ = ["Vista3DModel"]

# How much larger voxels are where a model runs fast.
FAST = 1.5


@dataclass(frozen=True, eq=False, repr=False)
class Vista3DModel(SharesBatches, WithholdsByFacts, ShownModel):
    """A loaded VISTA3D.

    Attributes:
        network: The network, in evaluation mode on `device`.
        spec: What it was trained with.
        profile: How scans are prepared, swept and restored.
        device: Where the network runs.
        engine: In which way it runs there; see `branches_of`.
        precision: In what it multiplies there; see `branches_of`.
        clock: Seconds, for the times in a result's provenance.
        branches: The network's branches as they run.
    """

    network: Vista3D
    spec: ModelSpec
    profile: Profile
    device: torch.device
    engine: Engine = "auto"
    precision: Precision = "auto"
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False)
    branches: Branches = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "branches", branches_of(self.network, self.device, self.engine, self.precision))

    @property
    def vocabulary(self) -> Vocabulary:
        """The structures it knows by name; those it was not trained for are marked unsupported."""
        return self.spec.vocabulary

    @property
    def channels(self) -> int:
        """Number of features of a voxel, on which classes are decided."""
        return self.network.architecture.width

    @property
    def engine_used(self) -> str:
        """The engine that runs it."""
        return self.branches.engine

    @property
    def precision_used(self) -> str:
        """In what it multiplies."""
        return self.branches.precision

    def running(self, engine: str = "auto", precision: str = "auto") -> Vista3DModel:
        """Return the model as an engine runs it; `auto` is the fastest that is installed, found by trying them once.

        Args:
            engine: See `branches_of`.
            precision: See `branches_of`.

        Raises:
            ResourceError: See `branches_of`.
        """
        named, exact = cast(Engine, engine), cast(Precision, precision)
        refuse_engine(named, exact, self.device)
        if named == "auto":
            named = choose_engine(self.network, self.device, self.spec.window, exact)
        return replace(self, engine=named, precision=exact)

    def coarser(self) -> Vista3DModel:
        """Return the model on voxels 1.5 times as large: a third of the windows."""
        a, b, c = (FAST * spacing for spacing in self.spec.spacing_mm)
        return replace(self, spec=replace(self.spec, spacing_mm=(a, b, c), fast=True))

    @property
    def _preparation(self) -> Preparation:
        """How a scan is prepared for the sweep."""
        return self.spec.preparation(self.profile)

    def with_network(self, network: Vista3D, spec: ModelSpec) -> Vista3DModel:
        """Return a model that runs another network, trained with `spec`, as this one runs its own.

        Args:
            network: In evaluation mode, on this model's device.
            spec: What it was trained with.
        """
        return replace(self, network=network, spec=spec)

    def plan(
        self, volume: Volume | Grid, classes: Sequence[str | int] | None = None, overlap: bool = False
    ) -> MemoryPlan:
        """Return the memory a run needs, from the scan's geometry alone.

        The crop to content is not known yet, so for a scan with much air around the patient this is an upper bound.
        """
        grid = volume.grid if isinstance(volume, Volume) else volume
        prepared = Case.shape_for(grid, self._preparation)
        layers = len(self._resolve(classes).indices) if overlap else 1
        return self._memory(grid, self._windows(prepared), layers)

    @overload
    def segment(
        self,
        volume: Volume,
        classes: Sequence[str | int] | None = None,
        overlap: Literal[False] = False,
        watch: Watch | None = None,
    ) -> LabelMap: ...

    @overload
    def segment(
        self,
        volume: Volume,
        classes: Sequence[str | int] | None,
        overlap: Literal[True],
        watch: Watch | None = None,
    ) -> LabelLayers: ...

    @overload
    def segment(
        self,
        volume: Volume,
        classes: Sequence[str | int] | None = None,
        *,
        overlap: bool,
        watch: Watch | None = None,
    ) -> LabelMap | LabelLayers: ...

    @refuse_exhaustion()
    @torch.inference_mode()
    def segment(
        self,
        volume: Volume,
        classes: Sequence[str | int] | None = None,
        overlap: bool = False,
        watch: Watch | None = None,
    ) -> LabelMap | LabelLayers:
        """Return labels on the scan's own grid.

        Args:
            volume: The scan.
            classes: Names or indices; groups expand to their parts. None segments everything the model knows.
            overlap: Return one layer per class, nothing erased, instead of one flat map.
            watch: Told of each window; what it raises ends the run, such as `CancelledError`.

        Raises:
            FormatError: It is not a scan that was read (`USAGE`).
            VocabularyError: A class is unknown, or the model was not trained for it.
            ResourceError: The run does not fit in memory.
        """
        return self._segment(volume, classes, overlap, watch)

    @refuse_exhaustion()
    @torch.inference_mode()
    def weigh(
        self,
        volume: Volume,
        classes: Sequence[str | int] | None = None,
        overlap: bool = False,
        watch: Watch | None = None,
    ) -> tuple[LabelMap | LabelLayers, Probabilities]:
        """Return labels, and the probabilities that they were decided from; else as `segment`."""
        weighers: list[ProbabilityPainter] = []
        labels = self._segment(volume, classes, overlap, watch, weighers)
        if weighers:
            return labels, weighers[0].result()
        return labels, Probabilities.zero(self._resolve(classes).indices, volume.grid)

    def _segment(
        self,
        volume: Volume,
        classes: Sequence[str | int] | None,
        overlap: bool,
        watch: Watch | None,
        weighers: list[ProbabilityPainter] | None = None,
    ) -> LabelMap | LabelLayers:
        """Return labels; `weighers`, where given, is filled with what has the probabilities of a scan not blank."""
        require_volume(volume)
        resolution = self._resolve(classes)
        doubts = unlike_training(volume, self.spec)
        self._require_memory(volume.grid, len(resolution.indices) if overlap else 1)
        settle = partial(torch.cuda.synchronize, self.device) if self.device.type == "cuda" else None
        clock = Stopwatch(self.clock, settle)
        with clock.stage("prepare"):
            case = Case.prepare(volume, self._preparation)
            case = replace(case, image=case.image.to(self.device))
        windows = self._windows(case.grid.shape)
        nothing = blank(case.image)
        fallbacks: list[str] = []
        gauges: list[Gauge] = []
        kind: type[FlatCanvas] | type[LayeredCanvas] = LayeredCanvas if overlap else FlatCanvas
        paintings = kind.paintings(resolution.indices)
        with clock.stage("restore"):
            if nothing:
                painters = self._decisions.painters(case, windows.sweep_axis, paintings, self.device)
                arrays: list[Any] = [painter.result() for painter in painters]
            else:
                arrays, fallbacks = self._label(case, windows, paintings, clock, watch, gauges, weighers)
        canvas = kind.of(arrays, resolution.indices)
        mended = mend(canvas, volume, self.spec, self.profile)
        judged, withheld = take_out_implausible(canvas, volume, case.grid, gauges, self.spec)
        large = implausible(volumes_ml(canvas, volume.grid, self.spec), self.spec)
        notes = [*doubts, *nothing, *fallbacks, *mended, *withheld, *large]
        provenance = {**provenance_of(self, volume, resolution, windows, clock, notes), **judged}
        return canvas.finish(volume.grid, self.vocabulary, provenance)

    def features(self, volume: Volume, watch: Watch | None = None) -> tuple[Grid, int, Iterator[Slab]]:
        """Return the automatic decoder's features over a whole scan: their grid, the axis along which they come, and
        the slabs of them, computed as they are asked for.

        Nothing is cropped, unlike for labels: the grid covers the scan, air included.

        Args:
            volume: The scan.
            watch: Told of each window.
        """
        case = Case.prepare(volume, replace(self._preparation, crop_above=None))
        windows = self._windows(case.grid.shape)
        slabs = sweep(
            case.image.to(self.device),
            windows,
            self.branches.automatic_features,
            self.channels,
            blending=self.profile.blending,
            padding=self.profile.padding,
            watch=watch,
        )
        return case.grid, windows.sweep_axis, releasing(slabs, self.branches.release)

    def session(self, volume: Volume, **options: Any) -> Session:
        """Return a session in which a person edits this scan by clicks.

        Args:
            volume: The scan.
            options: See `Session`: `overlap`, `near_miss_mm`, `compat`, `journal`, `clock`.

        Raises:
            CheckpointError: The weights have no interactive branch, or none that may be offered (`MODEL_NO_CLICKS`).
        """
        require_volume(volume)
        refuse_clicks(self.network, self.spec)
        warn_of_scaling(volume, self.spec, self.profile)
        return Session(volume, self, **options)

    @property
    def identity(self) -> dict[str, str]:
        """What decides its answers."""
        return identity_of(self.spec, self.profile)

    @property
    def label_values(self) -> Mapping[int, int]:
        """Label value in files by structure, where it is not the structure's index."""
        return self.spec.label_values

    def draft(
        self, volume: Volume, indices: Sequence[int], overlap: bool, watch: Watch | None = None
    ) -> LabelMap | LabelLayers:
        """Return the automatic segmentation for a session."""
        return self.segment(volume, indices, overlap=overlap, watch=watch)

    def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> ClickResponder:
        """Return what answers clicks on a scan; sessions of that scan may share it.

        Args:
            volume: The scan.
            kept: Memory for what is remembered; by default the one that the whole process shares.

        Raises:
            CheckpointError: The model takes no clicks (`MODEL_NO_CLICKS`).
        """
        refuse_clicks(self.network, self.spec)
        branch = PointBranch(self.branches)
        return answer_clicks(volume, self.spec, self.profile, branch, self.device, self._click_windows, kept)

    def _click_windows(self, shape: Shape) -> WindowPlan:
        """Return how a grid is padded to hold a patch that answers clicks."""
        return self._windows(shape, self.spec.click_patch)

    def _require_memory(self, grid: Grid, layers: int) -> None:
        """Refuse a run that cannot fit, before anything is allocated; the scan itself is in memory already."""
        if self.device.type == "cpu":
            plan = self._memory(grid, self._windows(Case.shape_for(grid, self._preparation)), layers)
            plan.require(available_bytes() + plan.parts["scan"])

    def _resolve(self, classes: Sequence[str | int] | None) -> Resolution:
        if classes is None:
            classes = self.vocabulary.everything(self.spec.everything)
        return self.vocabulary.resolve(classes)

    def _windows(self, shape: Shape, wanted: Shape | None = None) -> WindowPlan:
        """Return how a grid is covered: by windows of the automatic sweep, or by patches of a wanted shape."""
        window, overlap = wanted or self.spec.window, self.profile.overlap
        if self.profile.fit_windows:
            least = window if wanted else self.spec.least_window or window
            window = fit_window(shape, window, least, self.network.architecture.divisor, overlap)
        return plan_windows(shape, window, overlap)

    def _memory(self, grid: Grid, plan: WindowPlan, layers: int) -> MemoryPlan:
        highest = max(s.index for s in self.vocabulary)
        preparing = preparing_bytes(grid, plan.shape, self._preparation)
        label_bytes = 1 if highest < 256 else 2
        needs = (layers, label_bytes, preparing, self.branches.weights_alive)
        return plan_memory(grid.shape, plan, self.channels, self.branches.maps_alive, *needs)

    @property
    def _decisions(self) -> Decisions:
        """Between which classes it decides."""
        return Decisions(self.network, self.spec, self.profile)

    def _label(
        self,
        case: Case,
        windows: WindowPlan,
        paintings: Sequence[Painting],
        clock: Stopwatch,
        watch: Watch | None,
        gauges: list[Gauge],
        weighers: list[ProbabilityPainter] | None,
    ) -> tuple[list[Any], list[str]]:
        """Return the painted arrays, and what was given up for want of memory.

        `gauges` is filled with what tells how sure the network was, where facts of the model are known, and
        `weighers`, where given, with what has the probabilities.

        Raises:
            ResourceError: Nothing is left to give up.
        """
        features = clock.timed("network", self.branches.automatic_features)
        width, profile = self.channels, self.profile
        blend: dict[str, Any] = {"blending": profile.blending, "padding": profile.padding, "watch": watch}
        fallbacks: list[str] = []
        for batch, where in attempts(self.branches.first_batch, self.device):
            decisions, axis = self._decisions, windows.sweep_axis
            painters = decisions.painters(case, axis, paintings, where)
            gauges[:] = decisions.gauges(paintings, where)
            if weighers is not None:
                shown = list(dict.fromkeys(index for painting in paintings for index in painting.shown))
                weighers[:] = [decisions.probabilities(case, axis, shown, where)]
            try:
                with self.branches.taking_part(windows.window):
                    for slab in sweep(case.image, windows, features, width, batch=batch, accumulate_on=where, **blend):
                        for taker in (*painters, *gauges, *(weighers or ())):
                            taker.add(slab)
                return [painter.result() for painter in painters], fallbacks
            except torch.OutOfMemoryError:
                fallbacks.append(f"out of memory with {batch} windows per batch, blended on {where.type}: started over")
            finally:
                # After a cancelled sweep, too: a server lives on, and has no other use for this memory.
                self.branches.release()
        raise ResourceError(
            f"The {self.device.type} device ran out of memory with one window at a time; use --device cpu.",
            code="GPU_MEMORY",
        )
