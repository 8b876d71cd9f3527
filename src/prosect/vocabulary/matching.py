"""When two spellings mean the same name, and which names are near a misspelt one."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping

__all__ = ["nearest", "spelling"]

WORD = re.compile(r"[^\W_]+")
SPACE_NOT_BETWEEN_DIGITS = re.compile(r"(?<!\d) | (?!\d)")
SIDE_WORDS = ("left", "right")


def spelling(text: str) -> str:
    """Return what stays of a name when case, spaces, underscores and hyphens do not count.

    The side may stand anywhere: `kidney_left`, `Left kidney` and `left-kidney` are one name. Digits that stood apart
    stay apart, so `rib 1 2` is not rib 12.
    """
    words = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    words.sort(key=lambda word: word not in SIDE_WORDS)
    return SPACE_NOT_BETWEEN_DIGITS.sub("", " ".join(words))


def nearest(text: str, names: Mapping[str, str], count: int = 3) -> tuple[str, ...]:
    """Return up to `count` names whose spelling is nearest to `text`, best first.

    Args:
        text: What was typed.
        names: Name by spelling; several spellings (aliases) may lead to one name.
        count: How many to return.
    """
    wanted = spelling(text)
    close = difflib.get_close_matches(wanted, names, n=4 * count, cutoff=0.0)
    return tuple(unique(names[key] for key in close))[:count]


def unique(values: Iterable[str]) -> list[str]:
    """Return values without repeats, order kept."""
    return list(dict.fromkeys(values))
