"""What a model of the catalogue is, for people who choose one: what it finds, how well, and in which scans.

Nothing is loaded but the head of a shipped file, so this answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prosect.checkpoints.catalog import CATALOG, Entry, place_of
from prosect.checkpoints.file_metadata import read_metadata
from prosect.checkpoints.model_facts import facts_of
from prosect.checkpoints.offers import offer_of

__all__ = ["ModelCard", "StructureCard", "card_of", "segmenters"]


@dataclass(frozen=True)
class StructureCard:
    """One structure of a model.

    Attributes:
        index: Its index in the model's vocabulary.
        name: Its name.
        dice: Mean Dice on validation; None where it was not measured here.
        regions: Parts of the body, one of which a scan must show for it to be there; empty where nothing is judged.
    """

    index: int
    name: str
    dice: float | None
    regions: tuple[str, ...]


@dataclass(frozen=True)
class ModelCard:
    """One model.

    Attributes:
        name: What `-m` takes.
        summary: One line on it.
        licence: Of its weights.
        spacing_mm: Working spacing.
        structures: What it finds by itself.
        takes_clicks: Whether a person can correct it by clicks.
        weights: Its weights file; None where it is not on this machine.
    """

    name: str
    summary: str
    licence: str
    spacing_mm: tuple[float, ...]
    structures: tuple[StructureCard, ...]
    takes_clicks: bool
    weights: Path | None

    @property
    def mean_dice(self) -> float | None:
        """The mean over the structures that were measured, None where none was."""
        known = []
        for each in self.structures:
            if each.dice is not None:
                known.append(each.dice)
        if known:
            return sum(known) / len(known)
        return None


def segmenters() -> tuple[Entry, ...]:
    """Return the catalogue's models that segment; encoders for supervoxels are none."""
    return tuple(entry for entry in CATALOG.values() if entry.vocabulary)


def card_of(entry: Entry) -> ModelCard:
    """Return what a model is.

    Raises:
        CheckpointError: Weights that came with the package are damaged.
    """
    weights = place_of(entry.name)
    stated: Mapping[str, object] = {}
    if entry.shipped and weights is not None:
        stated = read_metadata(weights)
    words, facts = offer_of(entry, stated), facts_of(entry.name)
    structures: list[StructureCard] = []
    for structure in words:
        if structure.supported:
            known = facts.structures.get(structure.index)
            regions = () if known is None else known.regions
            structures.append(StructureCard(structure.index, structure.name, entry.dice.get(structure.name), regions))
    return ModelCard(
        entry.name, entry.summary, entry.licence, spacing_of(entry, stated), tuple(structures),
        not entry.automatic_only, weights,
    )  # fmt: skip


def spacing_of(entry: Entry, stated: Mapping[str, object]) -> tuple[float, ...]:
    """Return the working spacing, which weights of ours state themselves."""
    preparation = stated.get("preprocessing")
    if isinstance(preparation, Mapping) and "spacing_mm" in preparation:
        return tuple(map(float, preparation["spacing_mm"]))
    return entry.spacing_mm
