"""Several models as one: each structure from the model that knows it best, merged into one label map."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import numpy as np
import torch

from prosect.checkpoints.catalog import JOIN
from prosect.checkpoints.offers import offering
from prosect.errors import CheckpointError
from prosect.geometry import Grid
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.memory import MemoryPlan
from prosect.inference.probabilities import Probabilities
from prosect.labelmap import LabelArray, LabelLayers, LabelMap, smallest_container
from prosect.models.protocols import (
    FindsAndTakesClicks,
    RunsEngines,
    Withholds,
    require_batches,
    require_coarser,
    require_engines,
    require_weighs,
)
from prosect.models.set_clicks import SetResponder
from prosect.models.set_labels import judgements_of, merge_flat, merge_layers, merging_bytes, unsaid_by_all
from prosect.models.shown import ShownModel
from prosect.models.spec import ModelSpec
from prosect.models.withheld import single_sentence
from prosect.models.withholding import take_turns
from prosect.progress import Watch, part_of
from prosect.session import Session
from prosect.session.protocols import Responder
from prosect.vocabulary import Resolution, Vocabulary
from prosect.vocabulary import load as load_vocabulary
from prosect.volume import Volume, require_volume

__all__ = ["ModelSet", "set_of"]

# Asks one of the models, by its number, for structures.
Ask: TypeAlias = Callable[[int, list[int], Watch | None], LabelMap | LabelLayers]


@dataclass(frozen=True, eq=False, repr=False)
class ModelSet(ShownModel):
    """Models of one vocabulary that answer as one.

    A structure has one owner in a scan: of the models that find it there, the one with the highest Dice on validation.
    So the oesophagus of a neck, in which a model of the abdomen finds nothing, comes from the model of the neck. Where
    structures of two owners claim a voxel of a flat map, what lies inside another covers it; of equals, the one with
    the higher Dice does.

    Clicks are answered by the first model that takes them. A structure that it does not know is to it an object
    without a name.

    Attributes:
        members: The models.
        offers: The members that know a structure, the best first, by the structure's index.
        dice: What the best reaches on validation, by the structure's index.
        spec: What the set is called and offers; spacing, window and intensities are those of the first member.
    """

    members: tuple[FindsAndTakesClicks, ...]
    offers: Mapping[int, tuple[int, ...]]
    dice: Mapping[int, float]
    spec: ModelSpec

    @property
    def vocabulary(self) -> Vocabulary:
        """The structures that any of the models finds; others are marked unsupported."""
        return self.spec.vocabulary

    @property
    def device(self) -> torch.device:
        """Where the networks run."""
        return self.members[0].device

    @property
    def identity(self) -> dict[str, str]:
        """What decides its answers: the names joined, one hash over those of all weights, profile and grid."""
        shared = {**self.members[0].identity}
        return {**shared, "model": self.spec.name, "weights_sha256": self.spec.weights_sha256}

    @property
    def engine_used(self) -> str:
        """The engine of all models, or that of each, joined as their names are."""
        return _joined([member.engine_used for member in self.members if isinstance(member, RunsEngines)])

    @property
    def precision_used(self) -> str:
        """In what all models multiply, or each."""
        return _joined([member.precision_used for member in self.members if isinstance(member, RunsEngines)])

    def running(self, engine: str = "auto", precision: str = "auto") -> ModelSet:
        """Return the models, each as an engine runs it.

        Args:
            engine: One name for all, or one for each, joined as their names are.
            precision: Likewise.

        Raises:
            ProsectError: See `Vista3DModel.running`.
        """
        count = len(self.members)
        engines, precisions = _for_each(engine, count), _for_each(precision, count)
        members = []
        for member, named, exact in zip(self.members, engines, precisions, strict=True):
            members.append(cast(FindsAndTakesClicks, require_engines(member).running(named, exact)))
        return replace(self, members=tuple(members))

    def coarser(self) -> ModelSet:
        """Return the models, each with a coarser grid.

        Raises:
            CheckpointError: One of them has none.
        """
        members = [cast(FindsAndTakesClicks, require_coarser(member).coarser()) for member in self.members]
        return replace(self, members=tuple(members), spec=replace(self.spec, spacing_mm=members[0].spec.spacing_mm))

    def keeping_all(self) -> ModelSet:
        """Return the models, none of which withholds what cannot be in a scan."""
        members = [self._keeping(member) for member in self.members]
        return replace(self, members=tuple(members))

    def batching(self) -> ModelSet:
        """Return the models for threads that segment scans at once: windows of their scans share batches.

        Raises:
            ProsectError: One of them computes one scan at a time, or the device does; see `Vista3DModel.batching`.
        """
        members = [cast(FindsAndTakesClicks, require_batches(member).batching()) for member in self.members]
        return replace(self, members=tuple(members))

    def plan(
        self, volume: Volume | Grid, classes: Sequence[str | int] | None = None, overlap: bool = False
    ) -> MemoryPlan:
        """Return the memory a run needs: that of the neediest model, beside the labels of all and what they merge into.

        Raises:
            VocabularyError: See `segment`.
        """
        shares = self._shares(self._resolve(classes))
        plans = [self.members[number].plan(volume, indices, overlap) for number, indices in shares.items()]
        neediest = max(plans, key=lambda each: each.peak)
        labels = merging_bytes([each.parts["labels"] for each in plans], overlap)
        parts = {**neediest.parts, "labels": labels}
        return replace(neediest, windows=sum(each.windows for each in plans), parts=parts)

    def segment(
        self,
        volume: Volume,
        classes: Sequence[str | int] | None = None,
        overlap: bool = False,
        watch: Watch | None = None,
    ) -> LabelMap | LabelLayers:
        """Return labels on the scan's own grid, of all models asked.

        Args:
            volume: The scan.
            classes: Names or indices; groups expand to their parts. None segments everything that is known. Models
                that know none of them are not asked.
            overlap: Return one layer per class, nothing erased, instead of one flat map.
            watch: Told of each window; the models share the total evenly.

        Raises:
            ProsectError: See `Vista3DModel.segment`.
        """

        def ask(number: int, indices: list[int], part: Watch | None) -> LabelMap | LabelLayers:
            return self.members[number].segment(volume, indices, overlap=overlap, watch=part)

        labels, _ = self._merged(volume, classes, overlap, watch, ask)
        return labels

    def weigh(
        self,
        volume: Volume,
        classes: Sequence[str | int] | None = None,
        overlap: bool = False,
        watch: Watch | None = None,
    ) -> tuple[LabelMap | LabelLayers, Probabilities]:
        """Return labels, and the probabilities of each structure from the model that it was taken from; else as
        `segment`.

        Raises:
            ProsectError: See `segment`; or a model gives none (`MODEL_WRONG_NETWORK`).
        """
        weighed: dict[int, Probabilities] = {}

        def ask(number: int, indices: list[int], part: Watch | None) -> LabelMap | LabelLayers:
            member = require_weighs(self.members[number])
            labels, weighed[number] = member.weigh(volume, indices, overlap=overlap, watch=part)
            return labels

        merged, owners = self._merged(volume, classes, overlap, watch, ask)
        makers = {index: weighed[number].makers[index] for index, number in owners.items()}
        return merged, Probabilities(volume.grid, makers)

    def _merged(
        self, volume: Volume, classes: Sequence[str | int] | None, overlap: bool, watch: Watch | None, ask: Ask
    ) -> tuple[LabelMap | LabelLayers, dict[int, int]]:
        """Return the labels of all models asked, and the model from which each structure is taken."""
        require_volume(volume)
        resolution = self._resolve(classes)
        shares = self._shares(resolution)
        found: dict[int, LabelMap | LabelLayers] = {}
        for place, (number, indices) in enumerate(shares.items()):
            found[number] = ask(number, indices, part_of(watch, place, len(shares)))
        owners = self._owners(resolution.indices, found)
        provenance = self._provenance(resolution, found, owners)
        if overlap:
            layers = {number: cast(LabelLayers, each) for number, each in found.items()}
            return merge_layers(layers, owners, volume.grid, self.vocabulary, provenance), owners
        arrays = [cast(LabelMap, each).array for each in found.values()]
        tables = [self._own_table(number, cast(LabelMap, each), owners) for number, each in found.items()]
        merged = merge_flat(arrays, self._ascending(owners), tables)
        return LabelMap(merged, volume.grid, self.vocabulary, provenance), owners

    def draft(
        self, volume: Volume, indices: Sequence[int], overlap: bool, watch: Watch | None = None
    ) -> LabelMap | LabelLayers:
        """Return the automatic segmentation for a session."""
        return self.segment(volume, indices, overlap=overlap, watch=watch)

    def session(self, volume: Volume, **options: Any) -> Session:
        """Return a session in which a person edits this scan by clicks; drafts come from each structure's owner.

        Args:
            volume: The scan.
            options: See `Session`.

        Raises:
            CheckpointError: No model takes clicks (`MODEL_NO_CLICKS`).
        """
        # The model itself says what it thinks of the scan; its own session is not used.
        self._clicker.session(volume)
        return Session(volume, self, **options)

    def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> Responder:
        """Return what answers clicks on a scan.

        Args:
            volume: The scan.
            kept: Memory for what is remembered; by default the one that the whole process shares.

        Raises:
            CheckpointError: No model takes clicks (`MODEL_NO_CLICKS`).
        """
        clicker = self._clicker
        known = frozenset(structure.index for structure in clicker.vocabulary if structure.supported)
        return SetResponder(clicker.responder(volume, kept), known)

    @property
    def _clicker(self) -> FindsAndTakesClicks:
        """The first model whose clicks may be offered; where none has any, the first one says why."""
        for member in self.members:
            if not member.spec.automatic_only:
                return member
        return self.members[0]

    def _resolve(self, classes: Sequence[str | int] | None) -> Resolution:
        if classes is None:
            classes = self.vocabulary.everything(self.spec.everything)
        return self.vocabulary.resolve(classes)

    def _shares(self, resolution: Resolution) -> dict[int, list[int]]:
        """Return the structures that each member is asked for, in the members' order; no share is empty."""
        shares: dict[int, list[int]] = {}
        for index in resolution.indices:
            for number in self.offers[index]:
                shares.setdefault(number, []).append(index)
        return dict(sorted(shares.items()))

    def _owners(self, indices: Sequence[int], found: Mapping[int, LabelMap | LabelLayers]) -> dict[int, int]:
        """Return the member from which each structure is taken: the best that found it, or the best where none did."""
        present = {number: set(labels.present) for number, labels in found.items()}
        owners: dict[int, int] = {}
        for index in indices:
            finders = [number for number in self.offers[index] if index in present[number]]
            owners[index] = (finders or self.offers[index])[0]
        return owners

    def _own_table(self, number: int, labels: LabelMap, owners: Mapping[int, int]) -> LabelArray | None:
        """Return what each of a member's labels stands for where another owns structures: what contains them."""
        own = [index for index, owner in owners.items() if owner == number]
        others = [index for index in labels.present if index not in own]
        if not others:
            return None
        table = np.arange(np.iinfo(labels.array.dtype).max + 1, dtype=labels.array.dtype)
        for index in others:
            table[index] = smallest_container(index, own, self)
        return cast(LabelArray, table)

    def _ascending(self, owners: Mapping[int, int]) -> list[int]:
        """Return structures from the one that any other covers to the one that covers every other."""
        indices = tuple(owners)
        tiers = dict(zip(indices, self.vocabulary.tiers(indices), strict=True))

        def height(index: int) -> tuple[int, float, int, int]:
            # The last two only decide between equal figures.
            return tiers[index], self.dice.get(index, 0.0), -owners[index], -index

        return sorted(indices, key=height)

    @staticmethod
    def _keeping(member: FindsAndTakesClicks) -> FindsAndTakesClicks:
        """Return a member that withholds nothing."""
        return cast(FindsAndTakesClicks, member.keeping_all()) if isinstance(member, Withholds) else member

    def _provenance(
        self, resolution: Resolution, found: Mapping[int, LabelMap | LabelLayers], owners: Mapping[int, int]
    ) -> dict[str, object]:
        """Return what made a result: sums over the models, and what was taken from which."""
        said: dict[int, Mapping[str, Any]] = {number: each.provenance for number, each in found.items()}
        notes = list(resolution.notes)
        seconds: dict[str, float] = {}
        models = []
        for number, each in said.items():
            notes += each["notes"]
            for stage, spent in each["seconds"].items():
                seconds[stage] = seconds.get(stage, 0.0) + spent
            own = [index for index, owner in owners.items() if owner == number]
            facts = {key: each[key] for key in ("model", "weights_sha256", "windows")}
            models.append({**facts, "classes": own})
        shown = {index for index, number in owners.items() if index in found[number].present}
        notes += single_sentence(unsaid_by_all(said, shown), self)
        return {
            **self.identity,
            "device": str(self.device),
            "engine": self.engine_used,
            "precision": self.precision_used,
            "windows": sum(each["windows"] for each in said.values()),
            "classes": list(resolution.indices),
            "expansions": {name: list(parts) for name, parts in resolution.expansions.items()},
            "notes": list(dict.fromkeys(notes)),
            "seconds": seconds,
            "models": models,
            **judgements_of(said, owners),
        }


def _joined(names: Sequence[str]) -> str:
    """Return the one name of all, or the names joined."""
    if len(set(names)) == 1:
        return names[0]
    return JOIN.join(names)


def _for_each(names: str, count: int) -> list[str]:
    """Return the name for each of so many models, of one for all or several joined."""
    if JOIN in names:
        return names.split(JOIN)
    return [names] * count


def set_of(members: Sequence[FindsAndTakesClicks], figures: Sequence[Mapping[str, float]]) -> ModelSet:
    """Return models as one.

    Args:
        members: The models, of one vocabulary; between equal figures the earlier one finds a structure.
        figures: For each model the Dice it reaches on validation, by structure; 0 where none is given.

    Raises:
        CheckpointError: Their vocabularies differ (`MODEL_WRONG_NETWORK`).
    """
    names = [member.spec.name for member in members]
    words = {member.vocabulary.name for member in members}
    if len(words) > 1:
        raise CheckpointError(
            f"{JOIN.join(names)}: these models name structures by different vocabularies ({', '.join(sorted(words))}), "
            "so their results cannot be merged. Ask them one by one.",
            code="MODEL_WRONG_NETWORK",
        )
    known: dict[int, dict[int, float]] = {}
    for number, (member, scores) in enumerate(zip(members, figures, strict=True)):
        by_index = {member.vocabulary[name].index: value for name, value in scores.items()}
        for structure in member.vocabulary:
            if structure.supported:
                known.setdefault(structure.index, {})[number] = by_index.get(structure.index, 0.0)
    # Sorting keeps the order of members whose figures are equal.
    offers = {index: tuple(sorted(row, key=row.__getitem__, reverse=True)) for index, row in known.items()}
    vocabulary = offering(load_vocabulary(words.pop()), sorted(offers))
    hashes = "\n".join(member.spec.weights_sha256 for member in members)
    spec = replace(
        members[0].spec,
        name=JOIN.join(names),
        vocabulary=vocabulary,
        everything=vocabulary.default_list,
        licence="; ".join(f"{member.spec.name}: {member.spec.licence}" for member in members),
        weights_sha256=hashlib.sha256(hashes.encode()).hexdigest(),
        label_values={},
    )
    shared = [index for index, row in known.items() if len(row) > 1]
    best = {index: max(row.values()) for index, row in known.items()}
    return ModelSet(take_turns(members, shared), offers, best, spec)
