"""Frozen dataclasses as plain data (what JSON and TOML can hold), and back.

A field becomes what its type says: a path becomes text, a tuple a list, a dataclass a table of its fields. On the way
back each value is checked against the type of its field, and a key that no field has is refused with the nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from prosect.errors import ProsectError
from prosect.vocabulary.matching import nearest

__all__ = ["from_plain", "read_value", "refuse_unknown_keys", "to_plain"]

T = TypeVar("T")
Refusal = Callable[[str], ProsectError]


def to_plain(value: Any) -> Any:
    """Return a value as plain data: dataclasses as dictionaries, paths as text, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {}
        for each in fields(value):
            found[each.name] = to_plain(getattr(value, each.name))
        return found
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [to_plain(each) for each in value]
    if isinstance(value, Mapping):
        found = {}
        for key, each in value.items():
            found[str(key)] = to_plain(each)
        return found
    return value


def from_plain(kind: type[T], table: Any, where: str, refusal: Refusal, folder: Path = Path()) -> T:
    """Return a dataclass with the values of a table.

    Args:
        kind: A dataclass.
        table: What `to_plain` gives of one; fields that have a default may be absent.
        where: What the table is, for messages.
        refusal: Makes the error that is raised.
        folder: Where relative paths start; by default they stay as they are.

    Raises:
        ProsectError: It is no table, lacks a field, has an unknown key, or a value of the wrong type.
    """
    if not isinstance(table, Mapping):
        raise refusal(f"{where} is {table!r:.40}; it must be a table of its fields.")
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    refuse_unknown_keys(table, [each.name for each in fields(kind)], where, refusal)
    values = {}
    for key, value in table.items():
        values[key] = read_value(hints[key], value, f"{where}, {key}", refusal, folder)
    try:
        return kind(**values)
    except TypeError as error:
        raise refusal(f"{where}: {str(error).split('()')[-1].strip()}.") from error


def refuse_unknown_keys(keys: Iterable[str], known: Iterable[str], where: str, refusal: Refusal) -> None:
    """Refuse a key that nothing reads.

    Raises:
        ProsectError: The message names the nearest known keys.
    """
    names = {}
    for each in known:
        names[each] = each
    for key in keys:
        if key not in names:
            raise refusal(f"{where}: '{key}' is unknown; nearest: {', '.join(nearest(key, names, 2))}.")


def read_value(kind: Any, value: Any, where: str, refusal: Refusal, folder: Path = Path()) -> Any:
    """Return a plain value as a field of type `kind` wants it.

    Raises:
        ProsectError: It is of another type.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return read_value(alternative(inner, value), value, where, refusal, folder)
    if origin is Literal:
        if value not in inner:
            raise refusal(f"{where} is {value!r:.60}; it can be {', '.join(map(repr, inner))}.")
        return value
    if origin is tuple:
        return read_tuple(inner, value, where, refusal, folder)
    if isinstance(kind, type) and is_dataclass(kind):
        return from_plain(kind, value, where, refusal, folder)
    if kind is Path and isinstance(value, str):
        return folder / value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # In Python a bool is an int; in JSON it is not.
    is_flag = isinstance(value, bool)
    if not isinstance(value, kind) or (is_flag and kind is not bool):
        if kind is NoneType:
            name = "null"
        else:
            name = kind.__name__
        raise refusal(f"{where} is {value!r:.60}; it must be of type {name}.")
    return value


def alternative(kinds: tuple[Any, ...], value: Any) -> Any:
    """Return which of several types a plain value is meant as: the one it has, else the first that is written out."""
    for kind in kinds:
        if type(value) is kind:
            return kind
    return next(kind for kind in kinds if kind not in (NoneType, bool))


def read_tuple(inner: tuple[Any, ...], value: Any, where: str, refusal: Refusal, folder: Path) -> tuple[Any, ...]:
    """Return a list as a tuple whose items have the types `inner`.

    Raises:
        ProsectError: It is no list, or one of another length or other items.
    """
    any_length = inner[-1] is Ellipsis
    if not isinstance(value, list) or (not any_length and len(value) != len(inner)):
        length = ""
        if not any_length:
            length = f" of {len(inner)}"
        raise refusal(f"{where} is {value!r:.60}; it must be a list{length}.")
    kinds = list(inner)
    if any_length:
        kinds = [inner[0]] * len(value)
    items = []
    for kind, item in zip(kinds, value, strict=True):
        items.append(read_value(kind, item, where, refusal, folder))
    return tuple(items)
