"""What a stage is scored by: the model that its weights make, on whole validation scans, as a user would meet it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from prosect import models
from prosect.data.datalist import DataList
from prosect.data.labelled import LabelledScan
from prosect.data.labels import read_labelled
from prosect.errors import RecipeError
from prosect.evaluation.protocols import Rules, auto, automatic_targets, clicked_targets, clicks
from prosect.evaluation.scores import Row
from prosect.preview import render
from prosect.training.export import described, export
from prosect.training.recipe import Recipe, Stage
from prosect.training.scans import Numbering

__all__ = ["Validator"]

CLICKS = 3


@dataclass(frozen=True)
class Validator:
    """Scores averaged weights by mean Dice over structures.

    Automatic stages are scored by what the model finds by itself, interactive ones by the last of three clicks. A
    picture of the first scan is kept from every validation.

    Attributes:
        recipe: What is trained.
        stage: The stage, which says how many scans are looked at.
        numbering: How its structures are numbered.
        lists: Validation scans.
        folder: Of the whole run.
        device: Where the model runs.
    """

    recipe: Recipe
    stage: Stage
    numbering: Numbering
    lists: tuple[DataList, ...]
    folder: Path
    device: str = "cpu"

    def __call__(self, average: dict[str, Tensor]) -> float:
        """Return the mean Dice of the model that these weights make.

        Raises:
            FormatError: A validation scan cannot be read.
            RecipeError: No validation scan shows anything that the model could find (`RECIPE_INVALID`).
        """
        place = self.folder / self.stage.name
        path = place / "candidate.safetensors"
        export(average, described(self._until_now(), self.numbering, {}, {}), path)
        model = models.load(weights=path, device=self.device)
        found: dict[str, list[float]] = {}
        for number, scan in enumerate(self._scans()):
            for row in self._rows(model, scan):
                if row.dice is not None:
                    found.setdefault(row.structure, []).append(row.dice)
            if number == 0:
                self._picture(model, scan, place)
        if not found:
            raise RecipeError(
                f"Stage {self.stage.name}: no validation scan shows a structure that the model finds, so nothing tells "
                "better weights from worse. List other scans, or set validate_every = 0."
            )
        return float(np.mean([np.mean(dice) for dice in found.values()]))

    def _until_now(self) -> Recipe:
        """Return the recipe without the stages to come, which may train classes in another way; all are judged."""
        names, shape = [stage.name for stage in self.recipe.stages], replace(self.recipe.shape, offered=None)
        return replace(self.recipe, stages=self.recipe.stages[: names.index(self.stage.name) + 1], shape=shape)

    def _scans(self) -> Iterator[LabelledScan]:
        """Yield the first labelled validation scans, in turns from every list."""
        labelled = [[(entry, found) for entry in found if entry.label is not None] for found in self.lists]
        turns = [each[n] for n in range(max(map(len, labelled), default=0)) for each in labelled if n < len(each)]
        for entry, found in turns[: self.stage.validate_on]:
            yield read_labelled(entry, found)

    def _rows(self, model: Any, scan: LabelledScan) -> list[Row]:
        if self.stage.branch != "interactive":
            targets, _ = automatic_targets(scan, model.vocabulary)
            return auto(scan, model, targets, Rules())
        targets = clicked_targets(scan, model.vocabulary, None, False)
        rows = clicks(scan, model, targets, replace(Rules(), count=CLICKS), np.random.default_rng(0))
        last = {row.structure: row for row in rows}
        return list(last.values())

    def _picture(self, model: Any, scan: LabelledScan, place: Path) -> None:
        if self.stage.branch != "interactive":
            render(scan.volume, model.segment(scan.volume), place / "validation.png", title=scan.name)
