"""What no type can check of a recipe: numbers that a training would fail at, and parts that do not go together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prosect.errors import RecipeError
from prosect.plain_data import refuse_unknown_keys
from prosect.training.recipe import FOLDERS, Recipe, Shape, Stage

__all__ = ["check_recipe", "refuse_unknown_stages"]


def check_recipe(recipe: Recipe, name: str) -> Recipe:
    """Return a recipe after looking at the values that no type can check.

    Raises:
        RecipeError: `RECIPE_INVALID`.
    """
    if not recipe.shape.blocks:
        raise RecipeError(f"{name}, shape: blocks is empty.")
    check_branches(recipe, name)
    if recipe.sam_med3d is not None:
        divisor = 1
    else:
        divisor = 2 ** (len(recipe.shape.blocks) - 1)
    shapes = {"window": recipe.shape.window, "click_patch": recipe.shape.click_patch or recipe.shape.window}
    for stage in recipe.stages:
        shapes[f"patch of {stage.name}"] = stage.patch
    for what, shape in shapes.items():
        if any(n <= 0 or n % divisor for n in shape):
            raise RecipeError(f"{name}: the {what} is {list(shape)}; each side must be a multiple of {divisor}.")
    stage_names = [stage.name for stage in recipe.stages]
    if not stage_names or len(set(stage_names)) < len(stage_names):
        raise RecipeError(f"{name}: there is no stage, or two have one name.")
    for word in (recipe.name, *stage_names):
        if not word or word != Path(word).name or "\\" in word or word.startswith(".") or word in FOLDERS:
            raise RecipeError(f"{name}: {word!r} cannot be a name: it becomes a file or folder of the work folder.")
    check_shape(recipe.shape, name)
    for stage in recipe.stages:
        check_stage(stage, f"{name}, stage {stage.name}")
    for source in recipe.data:
        if source.weight <= 0:
            raise RecipeError(f"{name}: a [[data]] has a weight that is not above 0; leave the list out instead.")
        for key in ("warp", "synthesis"):
            if not 0 <= getattr(source, key) <= 1:
                raise RecipeError(
                    f"{name}: {key} of {source.list.name} is {getattr(source, key)}; it must lie in 0 to 1."
                )
        refuse_unknown_keys(source.stages, stage_names, f"{name}, stages of {source.list.name}", RecipeError)
    return recipe


def check_branches(recipe: Recipe, name: str) -> None:
    """Refuse stages that are not of the recipe's network.

    Raises:
        RecipeError: `RECIPE_INVALID`.
    """
    chained = recipe.sam_med3d is not None
    known: tuple[str, ...] = ("encoder", "automatic", "interactive", "class_vectors")
    if chained:
        known = ("encoder", "decoder")
    for stage in recipe.stages:
        if (stage.branch == "chained") != chained:
            need = "another, or the recipe [sam_med3d]"
            if chained:
                need = '"chained", because the recipe has [sam_med3d]'
            raise RecipeError(f'{name}, stage {stage.name}: branch is "{stage.branch}"; it must be {need}.')
        others = []
        for part in stage.train:
            if part not in known:
                others.append(part)
        if others:
            raise RecipeError(
                f"{name}, stage {stage.name}: train names {others[0]}, which this network does not have. Its parts are "
                f"{', '.join(known)}."
            )
        if recipe.shape.click_head == "none" and (stage.branch != "automatic" or "interactive" in stage.train):
            raise RecipeError(
                f'{name}, stage {stage.name}: click_head is "none", so no click can be learnt. Give branch = '
                '"automatic" and train = ["encoder", "automatic"], or the network a click head.'
            )
        if chained and stage.unasked and stage.rounds < 3:
            raise RecipeError(
                f"{name}, stage {stage.name}: rounds is {stage.rounds}; with unasked rounds it must be 3 or more. Give "
                "more, or unasked = false."
            )


def check_shape(shape: Shape, name: str) -> None:
    """Refuse numbers of which no network or intensities can be made.

    Raises:
        RecipeError: `RECIPE_INVALID`.
    """
    if shape.spacing_mm <= 0 or min(shape.width, shape.rows, *shape.blocks) < 1:
        raise RecipeError(f"{name}, shape: spacing_mm, width, rows and blocks must be above 0.")
    if shape.scans_mm is not None and shape.scans_mm <= 0:
        raise RecipeError(f"{name}, shape: scans_mm is {shape.scans_mm}; it must be above 0.")
    if shape.low >= shape.high or (shape.intensity == "percentile" and not 0 <= shape.low < shape.high <= 100):
        raise RecipeError(
            f"{name}, shape: low is {shape.low} and high {shape.high}; low must be less, and percentiles lie in 0 to "
            "100 (such as low = 0.5, high = 99.5)."
        )


def check_stage(stage: Stage, where: str) -> None:
    """Refuse numbers that a stage would fail at, or never end at.

    Raises:
        RecipeError: `RECIPE_INVALID`.
    """
    least = {"steps": 1, "patches_per_step": 1, "rounds": 2, "objects": 1, "save_every": 1}
    for name, few in least.items():
        if getattr(stage, name) < few:
            raise RecipeError(f"{where}: {name} is {getattr(stage, name)}; it must be {few} or more.")
    for name in ("learning_rate", "max_gradient_norm"):
        if not getattr(stage, name) > 0:
            raise RecipeError(f"{where}: {name} is {getattr(stage, name)}; it must be above 0.")
    if min(stage.zoom) <= 0:
        raise RecipeError(f"{where}: zoom is {list(stage.zoom)}; both numbers must be above 0.")
    for name in ("scales", "apparent_mm"):
        low, high = getattr(stage, name)
        if not 0 < low <= high:
            raise RecipeError(f"{where}: {name} is {[low, high]}; give the smaller first, above 0.")
    check_parts(stage, where)
    counts = (
        "cached_patches",
        "warmup_steps",
        "validate_every",
        "validate_on",
        "patience",
        "foreground_classes",
        "background_classes",
    )
    if any(getattr(stage, each) < 0 for each in counts):
        raise RecipeError(f"{where}: none of {', '.join(counts)} can be negative.")
    shares = ("ema", "foreground", "turned", "remap", "own_scale")
    if not all(0 <= getattr(stage, each) <= 1 for each in shares):
        raise RecipeError(f"{where}: {', '.join(shares)} must lie in 0 to 1.")


def check_parts(stage: Stage, where: str) -> None:
    """Refuse parts that do not go together.

    Raises:
        RecipeError: `RECIPE_INVALID`.
    """
    if not stage.train:
        raise RecipeError(f"{where}: train is empty, so nothing would learn. Name parts of the network.")
    if stage.shares and len(stage.shares) != len(stage.train):
        raise RecipeError(
            f"{where}: shares has {len(stage.shares)} numbers and train {len(stage.train)} parts. Give one number for "
            "each part."
        )
    if stage.cached_patches and stage.train != ("class_vectors",):
        raise RecipeError(
            f"{where}: cached_patches is {stage.cached_patches}, but the features of a patch stay the same only where "
            'train = ["class_vectors"]. Set cached_patches = 0, or train these alone.'
        )
    if "class_vectors" in stage.train and "automatic" in stage.train:
        raise RecipeError(f"{where}: train names class_vectors, which are a part of automatic. Name one of the two.")


def refuse_unknown_stages(recipe: Recipe, wanted: Sequence[str] | None) -> None:
    """Refuse stages that a recipe does not have; None asks for all that it has.

    Raises:
        RecipeError: `RECIPE_INVALID`.
    """
    names = [stage.name for stage in recipe.stages]
    for name in wanted or ():
        if name not in names:
            raise RecipeError(f"The recipe has no stage '{name}'; it has: {', '.join(names)}.")
