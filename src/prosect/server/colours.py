"""Colours of a session's structures on the page: the vocabulary's, but no two that look alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

from prosect.session.changes import StructureState
from prosect.vocabulary import Vocabulary

__all__ = ["colours_of"]

Colour: TypeAlias = tuple[int, int, int]

# Twenty colours that stay apart on grey and for colour-blind eyes, for structures that bring none.
PALETTE = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#88ccee", "#44aa99", "#117733",
    "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#6699cc", "#ee8866", "#bbcc33", "#ffaabb", "#77aadd",
)  # fmt: skip
DEEP = 200
ALIKE = 75.0  # anatomical tables give neighbours such as liver and kidney nearly the same brown


def colours_of(states: Iterable[StructureState], vocabulary: Vocabulary) -> dict[str, str]:
    """Return the colour of each structure as `#rrggbb`.

    A structure keeps its colour while others come after it: only those before it are looked at.
    """
    names: list[str] = []
    wanted: list[Colour | None] = []
    for state in states:
        structure = vocabulary.get(state.index)
        known = structure is not None and structure.status == "supported"
        names.append(state.name)
        wanted.append(structure.color if structure is not None and known else None)
    for count in range(DEEP, len(wanted), DEEP):
        choose(tuple(wanted[:count]))  # Python follows no chain of thousands
    chosen = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in choose(tuple(wanted))]
    return dict(zip(names, chosen, strict=True))


@lru_cache(maxsize=512)  # asked at every click; where one structure came, those before it are known
def choose(wanted: tuple[Colour | None, ...]) -> tuple[Colour, ...]:
    """Return a colour for each structure: the one that is wanted, unless one before it looks like it."""
    if not wanted:
        return ()
    used, colour = choose(wanted[:-1]), wanted[-1]
    if colour is None or nearest(colour, used) < ALIKE:
        colour = farthest(used)
    return (*used, colour)


def farthest(used: Sequence[Colour]) -> Colour:
    """Return the colour of the row that is least like those that are used."""
    different = set(used)
    row = [parse(text) for text in PALETTE]
    if different.issuperset(row):
        return row[0]
    # Of equals the first in the row is taken, as `max` does.
    return max(row, key=lambda colour: nearest(colour, different))


def nearest(colour: Colour, used: Iterable[Colour]) -> float:
    """Return how far the most similar of some colours is."""
    return min((distance(colour, each) for each in used), default=float("inf"))


def distance(one: Colour, other: Colour) -> float:
    """Return how different two colours look, from 0 to about 765: red and blue weigh by how red both are."""
    red = (one[0] + other[0]) / 2
    by_red, by_green, by_blue = (a - b for a, b in zip(one, other, strict=True))
    square = (2 + red / 256) * by_red**2 + 4 * by_green**2 + (2 + (255 - red) / 256) * by_blue**2
    return float(square**0.5)


def parse(text: str) -> Colour:
    """Return the numbers of `#rrggbb`."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
