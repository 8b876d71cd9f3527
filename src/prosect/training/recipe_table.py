"""A TOML table read into a dataclass: every key is known, and every value is of its type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from prosect.errors import RecipeError
from prosect.vocabulary.matching import nearest

__all__ = ["read_into", "refuse_unknown", "valid"]

T = TypeVar("T")


def read_into(kind: type[T], table: Any, where: str, folder: Path) -> T:
    """Return a dataclass with the values of a TOML table.

    Raises:
        RecipeError: It is no table, or has an unknown key or a value of the wrong type (`RECIPE_INVALID`).
    """
    if not isinstance(table, Mapping):
        raise RecipeError(f"{where}: this must be a table, not {table!r:.40}.")
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    refuse_unknown(table, [each.name for each in fields(kind)], where)
    values = {key: valid(hints[key], value, f"{where}, {key}", folder) for key, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise RecipeError(f"{where}: {str(error).split('()')[-1].strip()}.") from error


def refuse_unknown(keys: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse a key that nothing reads.

    Raises:
        RecipeError: `RECIPE_INVALID`, with the nearest known key.
    """
    names = {each: each for each in known}
    for key in keys:
        if key not in names:
            raise RecipeError(f"{where}: '{key}' is unknown; nearest: {', '.join(nearest(key, names, 2))}.")


def valid(kind: Any, value: Any, where: str, folder: Path) -> Any:
    """Return a TOML value as a field's type wants it.

    Raises:
        RecipeError: It is of another type (`RECIPE_INVALID`).
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return valid(next(each for each in inner if each is not type(None)), value, where, folder)
    if origin is Literal:
        if value not in inner:
            raise RecipeError(f"{where} is {value!r}; it can be {', '.join(map(repr, inner))}.")
        return value
    if origin is tuple:
        many = inner[-1] is Ellipsis
        if not isinstance(value, list) or (not many and len(value) != len(inner)):
            raise RecipeError(f"{where} is {value!r:.60}; it must be a list{'' if many else f' of {len(inner)}'}.")
        kinds = [inner[0]] * len(value) if many else inner
        return tuple(valid(each, item, where, folder) for each, item in zip(kinds, value, strict=True))
    if kind is Path and isinstance(value, str):
        return folder / value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RecipeError(f"{where} is {value!r:.60}; it must be of type {kind.__name__}.")
    return value
