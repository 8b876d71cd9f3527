"""What a stage is scored by: the model that its weights make, on whole validation scans, as a user would meet it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from prosect import models
from prosect.data.labelled import LabelledScan
from prosect.data.labels import read_labelled
from prosect.errors import ProsectWarning, RecipeError
from prosect.evaluation.protocols import Rules, auto, automatic_targets, clicked_targets, clicks
from prosect.evaluation.scores import Row
from prosect.preview import render
from prosect.training.course import Course
from prosect.training.export import export
from prosect.training.families import family_of
from prosect.training.recipe import Recipe, Stage
from prosect.training.sources import judged_by

__all__ = ["Validator"]

CLICKS = 3
CANDIDATE, PICTURE = "candidate.safetensors", "validation.png"


@dataclass(frozen=True)
class Validator:
    """Scores averaged weights by mean Dice over structures.

    Automatic stages are scored by what the model finds by itself, interactive ones by the last of three clicks. A
    picture of the first scan is kept from every validation of a recipe's own weights.

    Attributes:
        course: What is carried out.
        stage: The stage, which says how many scans are looked at.
    """

    course: Course
    stage: Stage

    def __call__(self, average: dict[str, Tensor]) -> float:
        """Return the mean Dice of the model that these weights make; not a number where no scan shows anything.

        Raises:
            FormatError: A validation scan cannot be read.
            RecipeError: No validation scan of a recipe shows anything that the model could find (`RECIPE_INVALID`).
        """
        model = self._model(average)
        found: dict[str, list[float]] = {}
        with warnings.catch_warnings():
            # Weights in the making do find odd things, and the warnings are for those who use a finished model.
            warnings.simplefilter("ignore", ProsectWarning)
            for number, scan in enumerate(self._scans()):
                for row in self._rows(model, scan):
                    if row.dice is not None:
                        found.setdefault(row.structure, []).append(row.dice)
                if number == 0 and self.course.beginning.model_of is None:
                    self._picture(model, scan)
        if found:
            return float(np.mean([np.mean(dice) for dice in found.values()]))
        if self.course.beginning.model_of is not None:
            return math.nan  # the scans were held out by chance, and the last weights are as good as any
        raise RecipeError(
            f"Stage {self.stage.name}: no validation scan shows a structure that the model finds, so nothing tells "
            "better weights from worse. List other scans, or set validate_every = 0."
        )

    def _model(self, average: dict[str, Tensor]) -> models.Model:
        """Return the model that weights make: from a file as a user would load it, or as the caller makes it."""
        course = self.course
        if course.beginning.model_of is not None:
            return course.beginning.model_of(average)
        path = course.folder / self.stage.name / CANDIDATE
        recipe = self._until_now()
        export(average, family_of(recipe).describe(recipe, course.numbering, {}, {}, ()), path)
        return models.load(weights=path, device=course.device)

    def _until_now(self) -> Recipe:
        """Return the recipe without the stages to come, which may train classes in another way; all are judged."""
        recipe = self.course.recipe
        names, shape = [stage.name for stage in recipe.stages], replace(recipe.shape, offered=None)
        return replace(recipe, stages=recipe.stages[: names.index(self.stage.name) + 1], shape=shape)

    def _scans(self) -> Iterator[LabelledScan]:
        """Yield the first labelled validation scans, in turns from every list."""
        lists = judged_by(self.course.sources, self.stage)
        labelled = []
        for found in lists:
            labelled.append([(entry, found) for entry in found if entry.label is not None])
        # In turns, so that of several lists none fills the first scans by itself.
        longest = max(map(len, labelled), default=0)
        turns = []
        for n in range(longest):
            turns += [each[n] for each in labelled if n < len(each)]
        for entry, found in turns[: self.stage.validate_on]:
            yield read_labelled(entry, found, self.course.tolerance_mm)

    def _rows(self, model: models.Model, scan: LabelledScan) -> list[Row]:
        if self.stage.finds:
            targets, _ = automatic_targets(scan, model.vocabulary)
            return auto(scan, models.require_finds(model), targets, Rules())
        targets = clicked_targets(scan, model.vocabulary, None, False)
        rules = replace(Rules(), count=CLICKS)
        rows = clicks(scan, models.require_clicks(model), targets, rules, np.random.default_rng(0))
        last = {}
        for row in rows:
            last[row.structure] = row
        return list(last.values())

    def _picture(self, model: models.Model, scan: LabelledScan) -> None:
        if self.stage.finds:
            place = self.course.folder / self.stage.name / PICTURE
            labels = models.require_finds(model).segment(scan.volume)
            render(scan.volume, labels, place, title=scan.name)
