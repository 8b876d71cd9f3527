"""A recipe read from TOML, with the stages that come with the package."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from prosect.errors import RecipeError
from prosect.io.paths import require_file
from prosect.plain_data import from_plain, read_value, refuse_unknown_keys
from prosect.training.recipe import CHAINED, KEYS, PUBLISHED, SHIPPED, Data, Recipe, SamMed3dShape, Shape, Stage
from prosect.training.recipe_checks import check_recipe

__all__ = ["published_stages", "read_recipe", "shipped_recipe"]


def published_stages() -> dict[str, dict[str, Any]]:
    """Return what differs from the defaults in each of the four published stages."""
    found: dict[str, dict[str, Any]] = {}
    for name in PUBLISHED:
        found[name] = shipped_recipe(name)
    return found


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
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name}: this is no TOML ({error}).") from error
    refuse_unknown_keys(tables, KEYS, path.name, RecipeError)

    def text_of(key: str, usual: str) -> str:
        return str(read_value(str, tables.get(key, usual), f"{path.name}, {key}", RecipeError))

    network = None
    if "sam_med3d" in tables:
        network = from_plain(SamMed3dShape, tables["sam_med3d"], f"{path.name}, sam_med3d", RecipeError, path.parent)
    recipe = Recipe(
        name=text_of("name", path.stem),
        data=data_of(tables, path),
        shape=from_plain(Shape, tables.get("shape", {}), f"{path.name}, shape", RecipeError, path.parent),
        stages=stages_of(tables, path),
        sam_med3d=network,
        seed=read_value(int, tables.get("seed", 0), f"{path.name}, seed", RecipeError),
        licence=text_of("licence", ""),
    )
    return check_recipe(recipe, path.name)


def data_of(tables: Mapping[str, Any], path: Path) -> tuple[Data, ...]:
    """Return the `[[data]]` tables.

    Raises:
        RecipeError: There is none (`RECIPE_INVALID`).
    """
    found = tables.get("data")
    if not isinstance(found, list) or not found:
        raise RecipeError(f"{path.name}: there is no [[data]] to learn from.")
    lists = []
    for number, table in enumerate(found):
        lists.append(from_plain(Data, table, f"{path.name}, data {number}", RecipeError, path.parent))
    return tuple(lists)


def stages_of(tables: Mapping[str, Any], path: Path) -> tuple[Stage, ...]:
    """Return the stages of a recipe: the shipped values, then the recipe's defaults, then what it says of each."""
    own, defaults = tables.get("stage", {}), tables.get("defaults", {})
    described = [own, defaults]
    if isinstance(own, Mapping):
        described += own.values()
    if not all(isinstance(table, Mapping) for table in described):
        raise RecipeError(f"{path.name}: [defaults] and every [stage.NAME] must be tables.")
    usual: tuple[str, ...] = PUBLISHED
    if "sam_med3d" in tables:
        usual = CHAINED
    names = read_value(tuple[str, ...], tables.get("stages", list(usual)), f"{path.name}, stages", RecipeError)
    unknown = [name for name in own if name not in names]
    if unknown:
        raise RecipeError(f"{path.name}: stage '{unknown[0]}' is described, but `stages` has only {', '.join(names)}.")
    stages = []
    for name in names:
        shipped = {}
        if name in (*PUBLISHED, *SHIPPED):
            shipped = shipped_recipe(name)
        values = {**shipped, **defaults, **own.get(name, {}), "name": name}
        stages.append(from_plain(Stage, values, f"{path.name}, stage {name}", RecipeError, path.parent))
    return tuple(stages)
