"""The models of a server: one answers clicks, every one that finds structures may draft."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prosect.errors import CheckpointError
from prosect.labelmap import LabelLayers, LabelMap
from prosect.models.protocols import Finds, LoadedModel, TakesClicks, require_clicks, require_finds
from prosect.progress import Watch
from prosect.volume import Volume

__all__ = ["Shelf", "Source"]

Loader = Callable[[str | None, Path | None], LoadedModel]


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        key: What clients call it.
        name: Name in the catalogue, or None where the weights say it.
        weights: Its file, or None where it is installed.
    """

    key: str
    name: str | None
    weights: Path | None = None


class Shelf:
    """Models, loaded when first needed. State: those that are loaded.

    Args:
        load: Loads a model by name and weights.
        sources: The models; the first answers clicks.
    """

    def __init__(self, load: Loader, sources: list[Source]) -> None:
        self._load = load
        self._sources = {source.key: source for source in sources}
        self._main = sources[0].key
        self._loaded: dict[str, LoadedModel] = {}
        self._lock = threading.Lock()

    @property
    def keys(self) -> tuple[str, ...]:
        """What clients call the models; the first answers clicks."""
        return tuple(self._sources)

    @property
    def licence(self) -> str:
        """The licence of the model that answers clicks."""
        return self.model(self._main).spec.licence

    def clicker(self) -> TakesClicks:
        """Return the model that answers clicks.

        Raises:
            CheckpointError: It cannot be loaded, or takes no clicks (`MODEL_NO_CLICKS`).
        """
        return require_clicks(self.model(self._main))

    def model(self, key: str) -> LoadedModel:
        """Return a model, loaded where it is not yet.

        Raises:
            CheckpointError: There is no such model here (`MODEL_UNKNOWN`), or it cannot be loaded.
        """
        source = self._sources.get(key)
        if source is None:
            raise CheckpointError(
                f"There is no model '{key:.60}' here; there are: {', '.join(self._sources)}.", code="MODEL_UNKNOWN"
            )
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = self._load(source.name, source.weights)
            return self._loaded[key]

    def add(self, source: Source) -> None:
        """Offer one more model; it is loaded at once, so that a bad file is refused here.

        Raises:
            CheckpointError: It cannot be loaded.
        """
        model = self._load(source.name, source.weights)
        with self._lock:
            self._sources[source.key] = source
            self._loaded[source.key] = model

    def offer(self, source: Source) -> None:
        """Offer one more model that was loaded at an earlier start; it is loaded when it is needed."""
        with self._lock:
            self._sources.setdefault(source.key, source)

    def withdraw(self, key: str) -> None:
        """Offer a model no longer."""
        with self._lock:
            self._sources.pop(key, None)
            self._loaded.pop(key, None)

    def drafters(self) -> list[str]:
        """Return the models that find structures by themselves; one whose file is gone since is no longer offered."""
        found = []
        for key in self.keys:
            try:
                if isinstance(self.model(key), Finds):
                    found.append(key)
            except CheckpointError:
                if key == self._main:
                    raise
                self.withdraw(key)
        return found

    def draft(self, key: str, volume: Volume, names: list[str] | None, watch: Watch) -> LabelMap | LabelLayers:
        """Return what a model finds in a scan.

        Args:
            key: Which model.
            volume: The scan.
            names: Structures; None for everything it knows.
            watch: Told of each window; see `Watch`.

        Raises:
            CheckpointError: It finds nothing by itself (`MODEL_NO_AUTOMATIC`).
        """
        return require_finds(self.model(key)).segment(volume, names, watch=watch)
