"""What finetuning on a list will do, settled and checked before its first step."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from prosect import vocabulary as vocabularies
from prosect.case import Intensity
from prosect.data.datalist import DataList
from prosect.data.labels import read_manual
from prosect.display import millilitres
from prosect.errors import ProsectWarning, RecipeError
from prosect.geometry import Grid
from prosect.io import read
from prosect.label_values import distinct_values
from prosect.models import Learns
from prosect.models.checks import not_hounsfield
from prosect.models.spec import ModelSpec
from prosect.resample import respaced_grid
from prosect.training.export import added_to, spec_of
from prosect.training.finetuning.recipe_of import before_of, recipe_of, shape_of
from prosect.training.finetuning.settings import FinetuneSettings
from prosect.training.recipe import Recipe, Triple
from prosect.training.scans import Numbering, numbering_of
from prosect.vocabulary import Structure, Vocabulary

__all__ = ["FinetunePlan", "plan_finetuning", "words_of"]

# What the official code of the CVPR 2025 challenge gives scans other than CT.
PERCENTILES = Intensity("percentile", 1.0, 99.0)
FEWEST_TO_HOLD_OUT = 5
# Strides of a patch: an instance norm needs two voxels, and mixed precision a third; see `vista3d.mixed_is_sound`.
FEWEST_STRIDES = (3, 2, 2)
FEW_VOXELS = 100  # at the working spacing; of smaller structures little is left to learn
# A structure shall fill so many: half a hippocampus fills 190 at 2 mm, where five scans taught it with Dice 0.70.
ENOUGH_VOXELS = 180
SPACINGS_MM = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)


@dataclass(frozen=True, eq=False)
class FinetunePlan:
    """What will be trained, on what, and what the result will be.

    Attributes:
        recipe: The stages, and how scans are seen.
        spec: Of the result.
        numbering: How structures are numbered in training.
        training: Scans that train.
        validation: Scans that choose; those that train where there are too few to hold some out.
        held_out: Whether the latter were kept from training.
        added: Structures that the result's vocabulary has beside those of the named one, or in their place.
        notes: What a person should know before it begins.
    """

    recipe: Recipe
    spec: ModelSpec
    numbering: Numbering
    training: DataList
    validation: DataList
    held_out: bool
    added: tuple[Structure, ...]
    notes: tuple[str, ...]


def words_of(model: Learns) -> Vocabulary:
    """Return a model's vocabulary with nothing marked as unknown to it: what labels for it may speak of."""
    words = vocabularies.load(model.vocabulary.name)
    return words.extend(words.name, added_to(words, model.vocabulary))


def plan_finetuning(
    model: Learns,
    datalist: DataList,
    settings: FinetuneSettings,
    name: str = "",
    classes: Sequence[str | int] | None = None,
) -> FinetunePlan:
    """Return what finetuning will do.

    Args:
        model: Where it starts.
        datalist: Scans with manual labels; its vocabulary must be that of `words_of`, or extend it.
        settings: See `FinetuneSettings`.
        name: Of the result.
        classes: Structures to learn; by default all that the list teaches.

    Raises:
        RecipeError: A class occurs in no scan (`CLASS_UNTAUGHT`), the model has no row left (`CLASSES_TOO_MANY`), a
            scan has no labels (`LABEL_MISSING`), or a setting cannot be (`RECIPE_INVALID`).
        VocabularyError: A structure is unknown.
    """
    refuse_unlabelled(datalist)
    refuse_click_training(model, settings)
    numbering = numbering_of(datalist, classes)
    refuse_classes(model, numbering)
    training, validation, held_out = split(datalist, settings)
    coarsest = spacing_of(model.spec, settings)
    seen = look(training, numbering, model, settings.tolerance_mm)
    refuse_unseen(numbering, seen)
    spacing, finer = spacing_by_size(numbering, seen, coarsest, settings)
    intensity, why = intensity_of(model.spec, settings, seen)
    name = name or f"{model.spec.name} finetuned"
    shape = shape_of(model, settings, spacing, patch_of(model, settings, seen, spacing), intensity)
    recipe = recipe_of(model, settings, shape, name)
    spec, added = spec_of(recipe, numbering, before_of(model, settings), largest_of(seen), model.spec.one_piece)
    spec = replace(spec, label_values=label_values_of(training, numbering, spec))
    notes = [*finer, *why, *tiny(numbering, seen, spacing)]
    if not held_out:
        notes.append("few scans: validated on the training scans themselves, not on others")
    return FinetunePlan(recipe, spec, numbering, training, validation, held_out, tuple(added), tuple(notes))


def refuse_unlabelled(datalist: DataList) -> None:
    """Refuse a list of which a scan has no manual labels.

    Raises:
        RecipeError: `LABEL_MISSING`.
    """
    bare = []
    for entry in datalist:
        if entry.label is None:
            bare.append(entry.name)
    if bare:
        raise RecipeError(
            f"{len(bare)} scans have no manual labels to learn from, such as {bare[0]}.", code="LABEL_MISSING"
        )


def refuse_click_training(model: Learns, settings: FinetuneSettings) -> None:
    """Refuse to teach clicks what cannot learn, or must not.

    Raises:
        RecipeError: There is no click branch, or it is to stay as it is (`RECIPE_INVALID`).
    """
    if not settings.clicks:
        return
    if not model.network.architecture.interactive or model.spec.automatic_only or settings.from_scratch:
        raise RecipeError(
            f"--clicks is given, but {why_without_clicks(model, settings)}. Leave --clicks out; the structures are "
            "then found without clicks.",
            code="RECIPE_INVALID",
        )
    if settings.freeze_encoder:
        raise RecipeError(
            "Clicks cannot both learn and stay as they are; give one of --clicks and --freeze-encoder.",
            code="RECIPE_INVALID",
        )


def why_without_clicks(model: Learns, settings: FinetuneSettings) -> str:
    """Return why clicks cannot be taught."""
    if settings.from_scratch:
        return "a training from scratch makes a network without a click branch"
    if not model.network.architecture.interactive:
        return f"the weights of '{model.spec.name}' have no click branch"
    return f"the click branch of '{model.spec.name}' was not trained together with its encoder"


def refuse_classes(model: Learns, numbering: Numbering) -> None:
    """Refuse classes that the model has no row for, or that nothing may be called any more.

    Raises:
        RecipeError: `CLASS_UNTAUGHT` where there is no class, `CLASSES_TOO_MANY`, or `CLASS_UNFIT` for a retired
            structure or a group.
    """
    if not numbering.classes:
        raise RecipeError(
            "No label value means a structure, so there is nothing to learn. Name the structure of at least one value, "
            "such as 1=liver.",
            code="CLASS_UNTAUGHT",
        )
    rows = model.network.architecture.classes
    beyond = []
    for i in numbering.classes:
        if i >= rows:
            beyond.append(numbering.vocabulary[i].name)
    if beyond:
        raise RecipeError(
            f"The model has {rows} rows for classes, and none is left for {', '.join(beyond[:3])}.",
            code="CLASSES_TOO_MANY",
        )
    for index in numbering.classes:
        structure = numbering.vocabulary[index]
        if structure.status in ("retired", "group"):
            raise RecipeError(
                f"'{structure.name}' is {'a group' if structure.status == 'group' else 'no longer used'} and cannot be "
                "trained; give the structure another name.",
                code="CLASS_UNFIT",
            )


def split(datalist: DataList, settings: FinetuneSettings) -> tuple[DataList, DataList, bool]:
    """Return the scans that train, those that choose, and whether the latter were held out."""
    train = datalist.part("training")
    if any(entry.split == "validation" for entry in datalist):
        return train, datalist.part("validation"), True
    count = round(len(train) * settings.validation)
    if len(train) < FEWEST_TO_HOLD_OUT or not count or not settings.validate_every:
        return train, train, False
    order = np.random.default_rng(settings.seed).permutation(len(train))
    chosen = set(order[:count].tolist())
    learnt = tuple(entry for n, entry in enumerate(train) if n not in chosen)
    judged = tuple(entry for n, entry in enumerate(train) if n in chosen)
    return replace(train, entries=learnt), replace(train, entries=judged), True


@dataclass(frozen=True)
class Seen:
    """What matters of one scan before it is prepared: its grid, doubts, volumes by structure."""

    grid: Grid
    doubt: str
    volumes_ml: Mapping[int, float]


def look(datalist: DataList, numbering: Numbering, model: Learns, tolerance_mm: float) -> list[Seen]:
    """Return what is seen in each scan."""
    seen = []
    for entry in datalist:
        volume = read(entry.image)
        own = read_manual(entry, datalist, volume.grid, tolerance_mm)
        sizes = {}
        for i in numbering.classes:
            sizes[i] = np.count_nonzero(own.mask(i, whole=True))
        volumes = {i: int(n) * volume.grid.voxel_volume_ml for i, n in sizes.items()}
        seen.append(Seen(volume.grid, not_hounsfield(volume, model.spec), volumes))
    return seen


def prepared_shape(grid: Grid, spacing: float) -> Triple:
    """Return the shape of a scan at the working spacing, axes nearest to RAS."""
    return respaced_grid(grid.reorder(grid.to_ras()), (spacing, spacing, spacing)).shape


def refuse_unseen(numbering: Numbering, seen: Sequence[Seen]) -> None:
    """Refuse classes that no scan shows.

    Raises:
        RecipeError: `CLASS_UNTAUGHT`.
    """
    found = largest_of(seen)
    unseen = []
    for i in numbering.classes:
        if not found.get(i):
            unseen.append(numbering.vocabulary[i].name)
    if unseen:
        raise RecipeError(
            f"No training scan shows {', '.join(unseen)}; is its label value right? Labels without it teach nothing.",
            code="CLASS_UNTAUGHT",
        )


def largest_of(seen: Sequence[Seen]) -> dict[int, float]:
    """Return the largest volume of each structure."""
    found = {}
    for i in seen[0].volumes_ml:
        found[i] = round(max(each.volumes_ml[i] for each in seen), 3)
    return found


def spacing_by_size(
    numbering: Numbering, seen: Sequence[Seen], coarsest: float, settings: FinetuneSettings
) -> tuple[float, tuple[str, ...]]:
    """Return a working spacing in mm at which the smallest structure has voxels enough, and why it is finer.

    It is never finer than the scans themselves, which have nothing to show there, nor coarser than the model's.

    Args:
        numbering: The structures.
        seen: The training scans.
        coarsest: The model's spacing in mm, or the one that was asked for, which stays.
        settings: What the user asks for.
    """
    if settings.spacing_mm is not None:
        return coarsest, ()
    sizes = {index: median_ml(seen, index) for index in numbering.classes}
    smallest = min(sizes, key=sizes.__getitem__)
    wanted = (sizes[smallest] * 1000 / ENOUGH_VOXELS) ** (1 / 3)
    own = float(np.median([each.grid.voxel_volume_ml * 1000 for each in seen])) ** (1 / 3)
    offered = [spacing for spacing in SPACINGS_MM if spacing <= wanted] or [SPACINGS_MM[0]]
    # Rounded, so that scans whose spacing differs in the third digit do not make another run.
    spacing = min(max(offered[-1], round(own, 2)), coarsest)
    if spacing == coarsest:
        return coarsest, ()
    name = numbering.vocabulary[smallest].name
    why = (
        f"{spacing:g} mm, finer than the model's {coarsest:g}, because {name} has only {millilitres(sizes[smallest])}; "
        "--spacing says otherwise"
    )
    return spacing, (why,)


def median_ml(seen: Sequence[Seen], index: int) -> float:
    """Return the median volume of a structure in the scans that show it."""
    return float(np.median([each.volumes_ml[index] for each in seen if each.volumes_ml[index] > 0]))


def label_values_of(datalist: DataList, numbering: Numbering, spec: ModelSpec) -> dict[int, int]:
    """Return the label values that the scans have, by structure, so that results have the same.

    There are none where values mean nothing by themselves (names, regions), or where a structure that the model keeps
    would share one.
    """
    mapping = datalist.mapping(datalist.entries[0])
    values: dict[int, int] = {}
    for value, index in sorted(mapping.values.items()):
        if index in numbering.classes:
            values.setdefault(index, value)
    offered = {structure.index for structure in spec.vocabulary if structure.supported}
    if mapping.regions or not offered & values.keys():
        return {}
    return distinct_values(values, offered)


def spacing_of(spec: ModelSpec, settings: FinetuneSettings) -> float:
    """Return the working spacing that was asked for, or the model's.

    Raises:
        RecipeError: It is not the same along all axes, or not above 0 (`RECIPE_INVALID`).
    """
    spacing = settings.spacing_mm or spec.spacing_mm[0]
    if settings.spacing_mm is None and len(set(spec.spacing_mm)) > 1:
        raise RecipeError(
            f"The model works at {spec.spacing_mm} mm, and training needs the same spacing along all axes. Give one "
            "number with --spacing.",
            code="RECIPE_INVALID",
        )
    if not 0.01 <= spacing <= 100:
        raise RecipeError(
            f"The working spacing is {spacing} mm; it must lie between 0.01 and 100 mm. Give another --spacing.",
            code="RECIPE_INVALID",
        )
    return float(spacing)


def patch_of(model: Learns, settings: FinetuneSettings, seen: Sequence[Seen], spacing: float) -> Triple:
    """Return the patch: as asked for, or the model's, shrunk on axes where no scan is as long at the working spacing.

    Raises:
        RecipeError: It is no multiple of the network's stride (`RECIPE_INVALID`).
    """
    step = model.network.architecture.divisor
    if settings.patch is not None:
        if any(n % step or n < 2 * step for n in settings.patch):
            raise RecipeError(
                f"The patch {settings.patch} must be multiples of {step}, and at least {2 * step}.",
                code="RECIPE_INVALID",
            )
        return settings.patch
    shapes = [prepared_shape(each.grid, spacing) for each in seen]
    longest = []
    for axis in range(3):
        longest.append(max(shape[axis] for shape in shapes))
    needed = (max(-(-n // step), few) * step for n, few in zip(longest, FEWEST_STRIDES, strict=True))
    a, b, c = (min(p, n) for p, n in zip(model.spec.window, needed, strict=True))
    return a, b, c


def intensity_of(
    spec: ModelSpec, settings: FinetuneSettings, seen: Sequence[Seen]
) -> tuple[Intensity, tuple[str, ...]]:
    """Return how intensities are scaled, and why where that was chosen here."""
    if settings.intensity == "percentile":
        return PERCENTILES, ()
    doubts = []
    for each in seen:
        if each.doubt:
            doubts.append(each.doubt)
    if settings.intensity == "model" or 2 * len(doubts) <= len(seen):
        return spec.intensity, ()
    why = f"{len(doubts)} of {len(seen)} scans are no CT ({doubts[0]}): intensities are taken between percentiles"
    return PERCENTILES, (why,)


def tiny(numbering: Numbering, seen: Sequence[Seen], spacing: float) -> tuple[str, ...]:
    """Return, and warn of, classes too small for the working spacing."""
    notes = []
    for index in numbering.classes:
        voxels = median_ml(seen, index) * 1000 / spacing**3
        if voxels < FEW_VOXELS:
            note = (
                f"{numbering.vocabulary[index].name} fills {voxels:.0f} voxels at {spacing:g} mm; give a finer spacing"
            )
            warnings.warn(f"{note}.", ProsectWarning, stacklevel=3)
            notes.append(note)
    return tuple(notes)
