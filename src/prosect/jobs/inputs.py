"""What a job works on: one scan, and the model that is asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import prosect
from prosect import vocabulary
from prosect.checkpoints import catalog, file_metadata, offers
from prosect.lazy import lazy_module
from prosect.volume import Volume

if TYPE_CHECKING:
    from prosect import phantom
    from prosect.models import LoadedModel
else:
    phantom = lazy_module("prosect.phantom")

__all__ = ["ModelChoice", "ScanInput"]

PHANTOM_SEED = 0


@dataclass(frozen=True)
class ScanInput:
    """One scan.

    Attributes:
        path: A file, a DICOM folder or a zip; None for a synthetic person.
        series: Which DICOM series, by its UID or the end of it.
        volume: Which volume of a 4D file or DICOM series, from 0.
        phantom: Which synthetic person, `torso` or `head-neck`.
        modality: What kind of scan it is, for formats that do not say.
        nan_as: Intensity of voxels that are NaN; None refuses them.
        assume_orientation: Where the voxel axes of a file point that does not say, such as `RAS`.
        regularise: Whether DICOM slices whose distance changes are resampled to the smallest one.
    """

    path: Path | None = None
    series: str | None = None
    volume: int | None = None
    phantom: str | None = None
    modality: str | None = None
    nan_as: float | None = None
    assume_orientation: str | None = None
    regularise: bool = False

    def read(self) -> Volume:
        """Return the scan.

        Raises:
            ProsectError: See `prosect.read`.
        """
        if self.phantom is None:
            assert self.path is not None
            return prosect.read(
                self.path,
                series=self.series,
                volume=self.volume,
                modality=self.modality,
                nan_as=self.nan_as,
                assume_orientation=self.assume_orientation,
                regularise=self.regularise,
            )
        if self.phantom == "torso":
            draw = phantom.torso
        else:
            draw = phantom.head_neck
        return draw(np.random.default_rng(PHANTOM_SEED))[0]


@dataclass(frozen=True)
class ModelChoice:
    """Which model is asked, and where it runs.

    Attributes:
        name: Model name; None for all that ship, answering as one.
        weights: A weights file; None for the installed ones.
        profile: How scans are prepared and swept.
        device: As in `prosect.load`.
        fast: Whether it runs on a coarser grid.
        keep_all: Whether what cannot be in a scan is kept.
        engine: As in `prosect.load`.
        precision: As in `prosect.load`.
    """

    name: str | None = None
    weights: Path | None = None
    profile: str = "prosect"
    device: str = "auto"
    fast: bool = False
    keep_all: bool = False
    engine: str = "auto"
    precision: str = "auto"

    def load(self) -> LoadedModel:
        """Return the model.

        Raises:
            ProsectError: See `prosect.load`.
        """
        options: dict[str, Any] = {}
        for name in ("fast", "keep_all"):
            if getattr(self, name):
                options[name] = True
        for name in ("engine", "precision"):
            if getattr(self, name) != "auto":
                options[name] = getattr(self, name)
        return prosect.load(self.name, weights=self.weights, device=self.device, profile=self.profile, **options)

    def load_one(self) -> LoadedModel:
        """Return one network: of the models that ship, where none is named, the one that trainings begin with.

        Raises:
            ProsectError: See `prosect.load`.
        """
        if self.name is None and self.weights is None:
            return replace(self, name=catalog.entry(None).name).load()
        return self.load()

    def refuse_unknown(self, names: Iterable[str]) -> None:
        """Refuse structures that a model does not offer, without loading it; of official weights, that nobody knows.

        Raises:
            VocabularyError: A name is unknown, with the nearest (`STRUCTURE_UNKNOWN`), or the model was not trained
                for it (`STRUCTURE_UNSUPPORTED`).
            CheckpointError: The model is unknown.
        """
        wanted = list(names)
        if self.weights is None or file_metadata.read_metadata(self.weights):
            offers.offer(self.name, self.weights).resolve(wanted)
            return
        # Official files do not say which vocabulary is theirs, so any will do until they are loaded.
        known = [vocabulary.load(name) for name in vocabulary.NAMES]
        for name in wanted:
            if not any(name in words for words in known):
                known[0].find(name)
