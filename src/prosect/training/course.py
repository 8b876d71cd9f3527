"""A recipe ready to be carried out: its lists read, its structures numbered, and what a caller decides beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from prosect.data.datalist import DataList
from prosect.data.labels import TOLERANCE_MM
from prosect.errors import RecipeError
from prosect.models import Model
from prosect.training.families import family_of
from prosect.training.parallel import ALONE, Ranks
from prosect.training.recipe import Recipe
from prosect.training.scans import Numbering, numbering_of
from prosect.training.sources import Source, read_sources, refuse_unjudged

__all__ = ["Beginning", "Course", "Watcher", "prepare_course"]

Watcher = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Beginning:
    """What a caller decides who begins with a model in memory, not with a recipe's file.

    Attributes:
        network: Returns the network that the first stage trains; by default it is made by the recipe.
        model_of: Returns the model that weights make, to validate it; by default they are written and loaded.
        scans: Where prepared scans are kept; by default in the course's folder.
    """

    network: Callable[[], nn.Module] | None = None
    model_of: Callable[[Mapping[str, Tensor]], Model] | None = None
    scans: Path | None = None


@dataclass(frozen=True)
class Course:
    """A recipe ready to be carried out.

    Attributes:
        recipe: What is to be done.
        sources: Its lists.
        numbering: How structures are numbered.
        folder: Where states, logs, prepared scans and weights live.
        device: Where the network is trained.
        threads: Threads that draw patches ahead.
        ranks: This process among those that train together.
        watchers: Called with every row of the logs, after the name of the stage.
        tolerance_mm: How far label voxels may lie from their scan's.
        beginning: What is decided outside the recipe.
    """

    recipe: Recipe
    sources: tuple[Source, ...]
    numbering: Numbering
    folder: Path
    device: str = "cpu"
    threads: int = 0
    ranks: Ranks = ALONE
    watchers: tuple[Watcher, ...] = ()
    tolerance_mm: float = TOLERANCE_MM
    beginning: Beginning = field(default_factory=Beginning)

    def log(self, stage: str, row: dict[str, Any]) -> None:
        """Show a row of a stage's log to all watchers."""
        for watcher in self.watchers:
            watcher(stage, row)


def prepare_course(recipe: Recipe, folder: Path, **settings: Any) -> Course:
    """Return a recipe with its lists read and its structures numbered; nothing is trained yet.

    Args:
        recipe: What is to be done.
        folder: Where everything of the run lives.
        settings: Further attributes of `Course`.

    Raises:
        RecipeError: See `read_sources`, `numbering_of` and `describe`.
    """
    sources = read_sources(recipe)
    # A SAM-Med3D has no classes: everything is clicked.
    classes: tuple[str, ...] | None = ()
    if recipe.sam_med3d is None:
        classes = recipe.shape.classes
    numbering = numbering_of(_every_list(sources), classes)
    if not numbering.order:
        raise RecipeError("The lists name no structure to learn. Give `map`, or `pseudo_classes` in a list.")
    if not numbering.classes and any(stage.finds for stage in recipe.stages):
        raise RecipeError("The automatic branch has no class to learn: `classes` of [shape] is empty.")
    refuse_unjudged(recipe, sources)
    largest = max(numbering.classes, default=0)
    if largest >= recipe.shape.rows:
        raise RecipeError(f"The class index {largest} needs more than {recipe.shape.rows} rows of [shape].")
    family_of(recipe).describe(recipe, numbering, {}, {}, ())  # what could not be offered afterwards is refused before
    return Course(recipe, sources, numbering, folder, **settings)


def _every_list(sources: tuple[Source, ...]) -> DataList:
    """Return a list without scans that teaches what all lists of a recipe teach."""
    mappings = {}
    pseudo: set[int] = set()
    for number, source in enumerate(sources):
        for name, mapping in source.training.mappings.items():
            mappings[f"{number} {name}"] = mapping
        pseudo.update(source.training.pseudo_classes or ())
    return DataList((), mappings, sources[0].training.vocabulary, tuple(sorted(pseudo)))
