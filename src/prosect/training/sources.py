"""The lists of a recipe: what is learnt from, what is judged by, and that the two stay apart."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prosect.data.datalist import DataList, Roots, read_datalist
from prosect.data.list_files import read_written
from prosect.data.mapping_pairs import parse_pair
from prosect.errors import ProsectWarning, RecipeError
from prosect.io.paths import file_name
from prosect.training.recipe import Data, Recipe, Stage
from prosect.vocabulary import Vocabulary

__all__ = ["Source", "judged_by", "read_sources", "refuse_unjudged"]


@dataclass(frozen=True)
class Source:
    """A list of a recipe, read.

    Attributes:
        data: What the recipe says of it.
        training: Its training scans.
        validation: Its validation scans; None where there are none.
    """

    data: Data
    training: DataList
    validation: DataList | None


def read_sources(recipe: Recipe) -> tuple[Source, ...]:
    """Return the lists of a recipe. New structures of one are known to all.

    Raises:
        FormatError: A list is missing.
        RecipeError: It is no list, has no training scans, nothing says what its labels mean, or it is written in
            another vocabulary than those before it.
        VocabularyError: A structure is unknown.
    """
    words: Vocabulary | None = None
    read: list[tuple[Data, DataList]] = []
    for data in recipe.data:
        mappings = {}
        if data.map:
            mappings = {"default": [parse_pair(text) for text in data.map]}
        roots = Roots(data.root, data.pseudo_root, data.supervoxel_root)
        refuse_other_vocabulary(data.list, words)
        found = read_datalist(data.list, roots, data.dataset, mappings, words)
        words = found.vocabulary
        read.append((data, found))
    if any(stage.pseudo for stage in recipe.stages):
        warn_of_unexplained(read)
    return tuple(_parts(data, replace(found, vocabulary=words)) for data, found in read if words is not None)


def warn_of_unexplained(read: Sequence[tuple[Data, DataList]]) -> None:
    """Say that little is learnt from pseudo-labels where nothing says what they were made for."""
    for data, found in read:
        if found.pseudo_classes is None and any(e.pseudo_label is not None and e.reliability for e in found):
            warnings.warn(
                f"{data.list.name}: nothing says what the pseudo-labels were made for, so only structures that "
                "a mapping names are learnt from them, and only where they occur. Give `pseudo_classes` in the list; "
                "prosect pseudo-label writes it.",
                ProsectWarning,
                stacklevel=3,
            )


def refuse_other_vocabulary(path: Path, words: Vocabulary | None) -> None:
    """Refuse a list that says it names structures of another vocabulary than the lists before it.

    Raises:
        RecipeError: `MAPPING_INVALID`.
    """
    named = read_written(path).about.get("vocabulary")
    if words is not None and named is not None and named != words.name:
        raise RecipeError(
            f"{file_name(path)}: this list names structures of {named}, those before it of {words.name}. Write them "
            "in one vocabulary.",
            code="MAPPING_INVALID",
        )


def _parts(data: Data, found: DataList) -> Source:
    training = found.part("training", data.fold)
    try:
        validation = found.part("validation", data.fold)
    except RecipeError:
        validation = None
    return Source(data, training, validation)


def refuse_unjudged(recipe: Recipe, sources: Sequence[Source]) -> None:
    """Refuse validation scans that are also learnt from, and stages that validate without any.

    Raises:
        RecipeError: `DATALIST_UNFIT` or `RECIPE_INVALID`.
    """
    taught = {entry.image.resolve() for source in sources for entry in source.training}
    for source in sources:
        leaked = []
        for entry in source.validation or ():
            if entry.image.resolve() in taught:
                leaked.append(entry.name)
        if leaked:
            raise RecipeError(
                f"{source.data.list.name}: {len(leaked)} validation scans, such as {leaked[0]}, are among the training "
                "scans; the model would be judged on what it was taught.",
                code="DATALIST_UNFIT",
            )
    for stage in recipe.stages:
        judged = [entry for found in judged_by(sources, stage) for entry in found if entry.label is not None]
        if 0 < stage.validate_every <= stage.steps and not judged:
            raise RecipeError(
                f"Stage {stage.name} validates, but no list has labelled validation scans for it. Keep a fold for it "
                "(`fold = 0` of a [[data]]), or set validate_every = 0."
            )


def judged_by(sources: Sequence[Source], stage: Stage) -> tuple[DataList, ...]:
    """Return the validation scans of the lists that a stage uses."""
    own = []
    for source in sources:
        if not source.data.stages or stage.name in source.data.stages:
            own.append(source)
    return tuple(source.validation for source in own if source.validation is not None)
