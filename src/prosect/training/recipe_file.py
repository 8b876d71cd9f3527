"""A recipe read from TOML, with the stages that come with the package."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from prosect.errors import RecipeError
from prosect.io.paths import require_file
from prosect.training.recipe import CHAINED, KEYS, PUBLISHED, SHIPPED, Data, Recipe, SamMed3dShape, Shape, Stage
from prosect.training.recipe_checks import check_recipe
from prosect.training.recipe_table import read_into, refuse_unknown, valid

__all__ = ["published_stages", "read_recipe", "shipped_recipe"]


def published_stages() -> dict[str, dict[str, Any]]:
    """Return what differs from the defaults in each of the four published stages."""
    return {name: shipped_recipe(name) for name in PUBLISHED}


def shipped_recipe(name: str) -> dict[str, Any]:
    """Return the tables of a recipe that comes with the package."""
    text = (resources.files("prosect.training") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a TOML file. Paths in it start at its folder.

    Tables: `[[data]]`, `[shape]`, `[defaults]` for all stages, `[stage.NAME]` for what differs in one, and
    `[sam_med3d]` where the network is a SAM-Med3D. The order and choice of stages is
    `stages = [...]`, by default the four published ones, or the chain of clicks.

    Raises:
        FormatError: There is no such file, or it cannot be read.
        RecipeError: It is no TOML, has an unknown key, or a value of a wrong type or range (`RECIPE_INVALID`).
    """
    require_file(path)
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name}: this is no TOML ({error}).") from error
    refuse_unknown(told, KEYS, path.name)
    data = tuple(
        read_into(Data, each, f"{path.name}, data {n}", path.parent) for n, each in enumerate(listed(told, path))
    )
    network = None
    if "sam_med3d" in told:
        network = read_into(SamMed3dShape, told["sam_med3d"], f"{path.name}, sam_med3d", path.parent)
    recipe = Recipe(
        name=valid(str, told.get("name", path.stem), f"{path.name}, name", path.parent),
        data=data,
        shape=read_into(Shape, told.get("shape", {}), f"{path.name}, shape", path.parent),
        stages=stages_of(told, path),
        sam_med3d=network,
        seed=valid(int, told.get("seed", 0), f"{path.name}, seed", path.parent),
        licence=valid(str, told.get("licence", ""), f"{path.name}, licence", path.parent),
    )
    return check_recipe(recipe, path.name)


def listed(told: Mapping[str, Any], path: Path) -> list[Any]:
    """Return the `[[data]]` tables.

    Raises:
        RecipeError: There is none (`RECIPE_INVALID`).
    """
    found = told.get("data")
    if not isinstance(found, list) or not found:
        raise RecipeError(f"{path.name}: there is no [[data]] to learn from.")
    return found


def stages_of(told: Mapping[str, Any], path: Path) -> tuple[Stage, ...]:
    """Return the stages of a recipe: the shipped values, then the recipe's defaults, then what it says of each."""
    own, defaults = told.get("stage", {}), told.get("defaults", {})
    tables = [own, defaults]
    if isinstance(own, Mapping):
        tables += own.values()
    if not all(isinstance(table, Mapping) for table in tables):
        raise RecipeError(f"{path.name}: [defaults] and every [stage.NAME] must be tables.")
    usual = CHAINED if "sam_med3d" in told else PUBLISHED
    names = valid(tuple[str, ...], told.get("stages", list(usual)), f"{path.name}, stages", path.parent)
    unknown = [name for name in own if name not in names]
    if unknown:
        raise RecipeError(f"{path.name}: stage '{unknown[0]}' is described, but `stages` has only {', '.join(names)}.")
    stages = []
    for name in names:
        shipped = shipped_recipe(name) if name in (*PUBLISHED, *SHIPPED) else {}
        values = {**shipped, **defaults, **own.get(name, {}), "name": name}
        stages.append(read_into(Stage, values, f"{path.name}, stage {name}", path.parent))
    return tuple(stages)
