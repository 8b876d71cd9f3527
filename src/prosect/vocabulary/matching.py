"""When two spellings mean the same name, and which names are near a misspelt one."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping

__all__ = ["can_be_name", "is_background", "nearest", "spelling"]

WORD = re.compile(r"[^\W_]+")
TOKEN = re.compile(r"[^\W_]+|[^\w\s]")  # a word, or one sign
DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-") | {"_": " "})
# A hyphen joins words where a word or a bracket, or a space, is on either side; elsewhere it is a sign: `HER2- tumor`.
JOINT = re.compile(r"(?:(?<=[^\W_])|(?<=[)\]]))-+(?=[^\W_]|[(\[])|(?<=\s)-+(?=\s)")
ASIDE = re.compile(r"[(\[,]?\s*\b(left|right)\b\s*[)\]]?")
SPACE_NOT_BETWEEN_DIGITS = re.compile(r"(?<!\d) | (?!\d)")
SIDE_WORDS = ("left", "right")
NEARLY = 0.85  # of a word with one letter too many or too few; `eight` has 0.8


def spelling(text: str) -> str:
    """Return what stays of a name when case, spaces, underscores and hyphens between words do not count.

    The side may stand anywhere: `kidney_left`, `Left kidney`, `left-kidney` and `kidney (left)` are one name. Digits
    that stood apart stay apart, so `rib 1 2` is not rib 12. Every other sign counts, because names that people give may
    differ in nothing else: `HER2+` and `HER2-`, `<1cm` and `>1cm`, `node (1)` and `node [1]`.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().translate(DASHES)
    tokens = TOKEN.findall(ASIDE.sub(r" \1 ", JOINT.sub(" ", folded)))
    tokens.sort(key=lambda token: token not in SIDE_WORDS)
    return SPACE_NOT_BETWEEN_DIGITS.sub("", " ".join(tokens))


def is_background(structure: object) -> bool:
    """Return whether what stands for a structure is the background."""
    return isinstance(structure, str) and spelling(structure) == "background"


def can_be_name(text: str) -> bool:
    """Return whether a text has a letter or digit that people can say, and is no mere number such as `#1`."""
    words = WORD.findall(unicodedata.normalize("NFKC", text))
    return bool(words) and not (len(words) == 1 and words[0].isdecimal())


def nearest(text: str, names: Mapping[str, str], count: int = 3) -> tuple[str, ...]:
    """Return up to `count` names whose spelling is nearest to `text`, best first.

    Args:
        text: What was typed.
        names: Name by spelling; several spellings (aliases) may lead to one name.
        count: How many to return.
    """
    found: list[tuple[float, str]] = []
    # A side that is misspelt is not moved to the front, where the names have it: `cheek rigth`.
    for wanted in unique((spelling(text), spelling(with_sides(text)))):
        for key in difflib.get_close_matches(wanted, names, n=4 * count, cutoff=0.0):
            found.append((difflib.SequenceMatcher(None, key, wanted).ratio(), key))
    found.sort(key=lambda pair: -pair[0])
    return tuple(unique(names[key] for _, key in found))[:count]


def with_sides(text: str) -> str:
    """Return a text with words that are nearly `left` or `right` put right."""

    def mended(word: re.Match[str]) -> str:
        near = difflib.get_close_matches(word[0].casefold(), SIDE_WORDS, n=1, cutoff=NEARLY)
        return near[0] if near else word[0]

    return WORD.sub(mended, text)


def unique(values: Iterable[str]) -> list[str]:
    """Return values without repeats, order kept."""
    return list(dict.fromkeys(values))
