"""What a model can do. Ask once, by a function `require_...`, and use what it returns; nobody asks a model's class.

A new network becomes a model by having these methods. It needs no base class and no entry in a list of classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch

from prosect.errors import CheckpointError
from prosect.geometry import Grid
from prosect.inference.accumulate import Slab
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.memory import MemoryPlan
from prosect.inference.probabilities import Probabilities
from prosect.labelmap import LabelLayers, LabelMap
from prosect.models.spec import ModelSpec, Profile
from prosect.networks.vista3d import Vista3D
from prosect.progress import Watch
from prosect.session import Session
from prosect.session.protocols import Responder, refuse_automatic
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

__all__ = [
    "Batches",
    "Finds",
    "FindsAndTakesClicks",
    "GivesFeatures",
    "Learns",
    "LoadedModel",
    "Model",
    "RunsCoarser",
    "RunsEngines",
    "TakesClicks",
    "Weighs",
    "Withholds",
    "require_batches",
    "require_both",
    "require_clicks",
    "require_coarser",
    "require_engines",
    "require_features",
    "require_finds",
    "require_learns",
    "require_weighs",
]


class Model(Protocol):
    """Any model."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The structures it knows by name; those it was not trained for are marked unsupported."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What decides its answers: name, hash of the weights, profile."""


class LoadedModel(Model, Protocol):
    """A model that one weights file makes."""

    @property
    def spec(self) -> ModelSpec:
        """What it was trained with."""

    @property
    def device(self) -> torch.device:
        """Where its network runs."""


@runtime_checkable
class Finds(LoadedModel, Protocol):
    """A model that finds structures by itself."""

    def plan(
        self, volume: Volume | Grid, classes: Sequence[str | int] | None = None, overlap: bool = False
    ) -> MemoryPlan:
        """Return the memory a run needs, from the scan's geometry alone."""

    def segment(
        self,
        volume: Volume,
        classes: Sequence[str | int] | None = None,
        overlap: bool = False,
        watch: Watch | None = None,
    ) -> LabelMap | LabelLayers:
        """Return labels on the scan's own grid; with `overlap`, one layer per class."""


@runtime_checkable
class TakesClicks(Model, Protocol):
    """A model that a person can correct by clicks.

    Whether the weights in hand can answer is said by `session` and `responder`, which refuse (`MODEL_NO_CLICKS`).
    """

    def session(self, volume: Volume, **options: Any) -> Session:
        """Return a session in which a person edits a scan; options are those of `Session`."""

    def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> Responder:
        """Return what answers clicks on a scan, remembering what a budget allows."""


@runtime_checkable
class FindsAndTakesClicks(Finds, TakesClicks, Protocol):
    """A model that does both."""


@runtime_checkable
class GivesFeatures(Finds, Protocol):
    """A model that shows on which features its classes are decided."""

    @property
    def channels(self) -> int:
        """Number of features of a voxel."""

    def features(self, volume: Volume, watch: Watch | None = None) -> tuple[Grid, int, Iterator[Slab]]:
        """Return the grid of the features, the axis along which they come, and their slabs."""


@runtime_checkable
class Weighs(Finds, Protocol):
    """A model that says how probable each structure is."""

    def weigh(
        self,
        volume: Volume,
        classes: Sequence[str | int] | None = None,
        overlap: bool = False,
        watch: Watch | None = None,
    ) -> tuple[LabelMap | LabelLayers, Probabilities]:
        """Return labels as `segment` does, and the probabilities that they were decided from."""


@runtime_checkable
class RunsCoarser(LoadedModel, Protocol):
    """A model that also runs on larger voxels than those it was trained on."""

    def coarser(self) -> LoadedModel:
        """Return the model with a coarser grid: several times as fast, and less exact."""


@runtime_checkable
class Withholds(LoadedModel, Protocol):
    """A model that withholds what cannot be in a scan, unless it is told to keep all."""

    def keeping_all(self) -> LoadedModel:
        """Return the model that withholds nothing."""

    def beside(self, others: Iterable[int], speaks_first: bool) -> LoadedModel:
        """Return the model as one of several, which leaves unsaid what it withholds of structures that others find."""


@runtime_checkable
class RunsEngines(LoadedModel, Protocol):
    """A model that runs in several ways, of which the fastest depends on the machine."""

    @property
    def engine_used(self) -> str:
        """The engine that runs it."""

    @property
    def precision_used(self) -> str:
        """In what it multiplies."""

    def running(self, engine: str = "auto", precision: str = "auto") -> LoadedModel:
        """Return the model as an engine runs it."""


@runtime_checkable
class Batches(Finds, Protocol):
    """A model that computes windows of several scans together, as a GPU likes them."""

    def batching(self) -> Finds:
        """Return the model for threads that segment scans at once: windows of their scans share batches."""


@runtime_checkable
class Learns(FindsAndTakesClicks, Protocol):
    """A model that can be taught classes: its network takes part in training, and can be asked window by window."""

    @property
    def network(self) -> Vista3D:
        """The network, in evaluation mode."""

    @property
    def profile(self) -> Profile:
        """How scans are prepared, swept and restored."""

    def with_network(self, network: Vista3D, spec: ModelSpec) -> Learns:
        """Return a model that runs another network, trained with `spec`, as this one runs its own."""


def require_finds(model: Model) -> Finds:
    """Return a model that finds structures by itself.

    Raises:
        CheckpointError: It answers clicks only (`MODEL_NO_AUTOMATIC`).
    """
    if isinstance(model, Finds):
        return model
    refuse_automatic(model.identity["model"])


def require_clicks(model: Model) -> TakesClicks:
    """Return a model that takes clicks.

    Raises:
        CheckpointError: It takes none (`MODEL_NO_CLICKS`).
    """
    if isinstance(model, TakesClicks):
        return model
    raise _takes_none(model)


def require_both(model: Model) -> FindsAndTakesClicks:
    """Return a model that finds structures by itself and takes clicks.

    Raises:
        CheckpointError: It lacks one of the two (`MODEL_NO_AUTOMATIC`, `MODEL_NO_CLICKS`).
    """
    if isinstance(model, FindsAndTakesClicks):
        return model
    if isinstance(model, Finds):
        raise _takes_none(model)
    refuse_automatic(model.identity["model"])


def require_coarser(model: LoadedModel) -> RunsCoarser:
    """Return a model that runs on a coarser grid.

    Raises:
        CheckpointError: It answers clicks only, at the scale that it was trained on (`MODEL_NO_AUTOMATIC`).
    """
    if isinstance(model, RunsCoarser):
        return model
    raise CheckpointError(
        f"The model '{model.spec.name}' has no coarser grid; leave out --fast.", code="MODEL_NO_AUTOMATIC"
    )


def require_engines(model: LoadedModel) -> RunsEngines:
    """Return a model that runs in several ways.

    Raises:
        CheckpointError: It runs in one (`MODEL_ONE_ENGINE`).
    """
    if isinstance(model, RunsEngines):
        return model
    raise CheckpointError(
        f"The model '{model.spec.name}' has one way to run; leave out --engine and --precision.",
        code="MODEL_ONE_ENGINE",
    )


def require_batches(model: Model) -> Batches:
    """Return a model that computes windows of several scans together.

    Raises:
        CheckpointError: It does one scan at a time (`MODEL_WRONG_NETWORK`).
    """
    if isinstance(model, Batches):
        return model
    raise CheckpointError(
        f"The model '{model.identity['model']}' computes one scan at a time; leave out --batch-scans.",
        code="MODEL_WRONG_NETWORK",
    )


def require_features(model: Model) -> GivesFeatures:
    """Return a model that shows its features.

    Raises:
        CheckpointError: It has none that belong to classes (`MODEL_WRONG_NETWORK`).
    """
    if isinstance(model, GivesFeatures):
        return model
    raise CheckpointError(
        "The encoder 'features' is that of a VISTA3D; these weights are another network's.", code="MODEL_WRONG_NETWORK"
    )


def require_weighs(model: Model) -> Weighs:
    """Return a model that says how probable each structure is.

    Raises:
        CheckpointError: It does not (`MODEL_WRONG_NETWORK`).
    """
    if isinstance(model, Weighs):
        return model
    raise CheckpointError(
        f"The model '{model.identity['model']}' gives no probabilities; leave out -sp.", code="MODEL_WRONG_NETWORK"
    )


def require_learns(model: Model) -> Learns:
    """Return a model that can be taught classes.

    Raises:
        CheckpointError: It answers clicks only (`MODEL_WRONG_NETWORK`).
    """
    if isinstance(model, Learns):
        return model
    raise CheckpointError(
        "Only VISTA3D models learn classes; this one answers clicks only.", code="MODEL_WRONG_NETWORK"
    )


def _takes_none(model: Model) -> CheckpointError:
    """Return the error of a model that takes no clicks."""
    return CheckpointError(
        f"The model '{model.identity['model']}' takes no clicks; use official VISTA3D weights for CT (model vista3d), "
        "or sam-med3d.",
        code="MODEL_NO_CLICKS",
    )
