"""Between the labels of TotalSegmentator and ours, where both mean the same."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, SupportsIndex

from prosect.errors import VocabularyError
from prosect.vocabulary.matching import spelling
from prosect.vocabulary.tables import read_rows

__all__ = ["SCHEMES", "Crosswalk", "Entry", "crosswalk"]

SCHEMES = ("totalsegmentator-v2", "totalsegmentator-v1")


@dataclass(frozen=True, slots=True)
class Entry:
    """One label of another scheme.

    Attributes:
        value: Its label value there.
        name: Its name there, such as `kidney_left`.
        index: Our index, or None where we have nothing like it.
        relation: `same`; `broader` where theirs covers more than ours (the sacrum of v1 includes vertebra S1); `none`.
    """

    value: int
    name: str
    index: int | None
    relation: Literal["same", "broader", "none"]


@dataclass(frozen=True)
class Crosswalk:
    """The labels of another scheme and what they are in the vocabularies `vista3d-ctmr` and `prosect`.

    Indices up to 132 are those of `vista3d-ct` too. Only entries that mean the same are translated.
    """

    scheme: str
    entries: tuple[Entry, ...] = field(repr=False)

    def find(self, label: str | SupportsIndex) -> Entry:
        """Return a label of the other scheme by its value or name.

        Raises:
            VocabularyError: The scheme has no such label (`STRUCTURE_UNKNOWN`).
        """
        wanted = spelling(label) if isinstance(label, str) else label.__index__()
        for entry in self.entries:
            if wanted in (entry.value, spelling(entry.name)):
                return entry
        raise VocabularyError(f"'{label}' is not a label of {self.scheme}.", code="STRUCTURE_UNKNOWN")

    def ours(self, label: str | SupportsIndex) -> int | None:
        """Return our index of a label of the other scheme (value or name); None where nothing means the same.

        Raises:
            VocabularyError: The scheme has no such label (`STRUCTURE_UNKNOWN`).
        """
        entry = self.find(label)
        if entry.relation == "same":
            return entry.index
        return None

    def theirs(self, index: int) -> Entry | None:
        """Return the label of the other scheme that means the same as our index, or None."""
        return next((e for e in self.entries if e.index == index and e.relation == "same"), None)

    def indices(self) -> Mapping[int, int]:
        """Return our index by their label value, for what means the same."""
        found = {}
        for e in self.entries:
            if e.index is not None and e.relation == "same":
                found[e.value] = e.index
        return found


@functools.cache
def crosswalk(scheme: str) -> Crosswalk:
    """Return a crosswalk.

    Args:
        scheme: `totalsegmentator-v2` (task `total`, 117 labels) or `totalsegmentator-v1` (104 labels).

    Raises:
        VocabularyError: There is no such scheme (`VOCABULARY_UNKNOWN`).
    """
    if scheme not in SCHEMES:
        raise VocabularyError(
            f"There is no crosswalk to '{scheme}'; choose one of {', '.join(SCHEMES)}.", code="VOCABULARY_UNKNOWN"
        )
    return Crosswalk(scheme, tuple(entry(row) for row in read_rows(scheme)))


def entry(row: Mapping[str, str]) -> Entry:
    """Return the entry of a table row."""
    index = None
    if row["index"]:
        index = int(row["index"])
    return Entry(int(row["value"]), row["name"], index, row["relation"] or "none")  # type: ignore[arg-type]
