"""Pairs of a label value and a structure, as people type them and lists hold them: `3=left kidney`, `9=`, `*=`."""

from __future__ import annotations

import re
from typing import Any

from prosect.errors import RecipeError
from prosect.vocabulary.matching import spelling

__all__ = [
    "NEW",
    "REST",
    "is_region",
    "is_rest",
    "means_nothing",
    "parse_pair",
    "refuse_two_spellings",
    "refuse_zero",
    "split_pair",
]

LARGEST = 65535
# What stands for "no structure". 0 is the background of every label file, and other values may be called so, too.
NOTHING = ("", "-", "none", "null", "background", "unlabeled", "unlabelled", "clear label")
REGION = re.compile(r"\d+( *, *\d+)+")
NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?")
NEW = "+"  # begins the name of a structure that no vocabulary has
REST = "*"  # stands for every label value that is not listed


def parse_pair(text: str) -> tuple[str | list[str], str]:
    """Return label value and structure of a typed pair: `3=left kidney`, `3=` for nothing, `*=` for all others.

    Several values make a region: `1,2,3=whole tumor`.

    A name stands for the value that a file gives it: `liver`, or `Leber=liver` where the files say so.

    Raises:
        RecipeError: A value without a structure (`MAPPING_INVALID`).
    """
    value, found, structure = text.partition("=")
    if not found and NUMBER.fullmatch(text.strip() or "0"):
        raise RecipeError(
            f"{text!r:.60}: write VALUE=STRUCTURE, such as 3=liver, or a name that the files give their values.",
            code="MAPPING_INVALID",
        )
    if not found:
        return text.strip(), text.strip()
    if REGION.fullmatch(value.strip()):
        return [part.strip() for part in value.split(",")], structure.strip()
    return value.strip(), structure.strip()


def split_pair(pair: Any) -> tuple[int | str, Any]:
    """Return label value, or the name that files give it, and structure of one pair; of a region its first value.

    Raises:
        RecipeError: It is not a pair that begins with a label value or a name (`MAPPING_INVALID`).
    """
    try:
        value, structure = pair
        if is_region(pair):
            value = value[0]
        if not isinstance(pair, str) and isinstance(value, str) and not NUMBER.fullmatch(value.strip()):
            name = value.strip().removeprefix(NEW).strip()
            if not spelling(name) and name != REST:
                raise ValueError
            return name, structure
        number = int(value)
        if isinstance(pair, str) or isinstance(value, bool) or number != float(value) or not 0 <= number <= LARGEST:
            raise ValueError
    except (TypeError, ValueError):
        raise RecipeError(
            f"{pair!r:.60} is no pair of a label value (0 to {LARGEST}) or a name, and a structure.",
            code="MAPPING_INVALID",
        ) from None
    return number, structure


def is_region(pair: Any) -> bool:
    """Return whether a pair gives a structure several label values."""
    return not isinstance(pair, str) and len(pair) == 2 and isinstance(pair[0], list | tuple)


def is_rest(pair: Any) -> bool:
    """Return whether a pair speaks of all values that are not listed.

    Raises:
        RecipeError: It says that they are a structure (`MAPPING_INVALID`).
    """
    if is_region(pair) or split_pair(pair)[0] != REST:
        return False
    if not means_nothing(pair[1]):
        raise RecipeError(
            f"`*={pair[1]}`: values that are not listed cannot all be one structure; write `*=`, which says that they "
            "are nothing you want, or list their values.",
            code="MAPPING_INVALID",
        )
    return True


def means_nothing(structure: Any) -> bool:
    """Return whether what stands for a structure says that there is none."""
    return structure is None or (isinstance(structure, str) and structure.strip().lower() in NOTHING)


def refuse_zero(structure: Any) -> None:
    """Refuse a structure for the label value 0, which would teach nothing.

    Raises:
        RecipeError: `MAPPING_INVALID`.
    """
    if not means_nothing(structure) and structure != 0:
        raise RecipeError(
            f"The label value 0 is mapped to {structure!r:.60}, but 0 is the background in label files. "
            "Give the structure a value from 1.",
            code="MAPPING_INVALID",
        )


def refuse_two_spellings(first: str, second: str) -> None:
    """Refuse a new structure that is written in two ways: one of them may be meant as another structure.

    Raises:
        RecipeError: `MAPPING_INVALID`.
    """
    if first.strip() != second.strip():
        raise RecipeError(
            f"'{first}' and '{second}' are one name: capitals, spaces, underscores and hyphens between words do not "
            "count. Write the same name twice, or two that differ in more.",
            code="MAPPING_INVALID",
        )
