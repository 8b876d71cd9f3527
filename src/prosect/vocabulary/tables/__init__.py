"""The vocabularies that come with the package; the `.tsv` files beside this one are their source of truth."""

from __future__ import annotations

import csv
import functools
from importlib import resources

from prosect.errors import VocabularyError
from prosect.vocabulary.rows import structure_of
from prosect.vocabulary.structure import Structure
from prosect.vocabulary.vocabulary import Vocabulary

__all__ = ["NAMES", "load", "read_rows"]

NAMES = ("vista3d-ct", "vista3d-ctmr", "prosect")


@functools.cache
def load(name: str) -> Vocabulary:
    """Return a vocabulary by name.

    Args:
        name: `vista3d-ct` (VISTA3D and NV-Segment-CT, 132 structures), `vista3d-ctmr` (NV-Segment-CTMR, 345), or
            `prosect` (those 345 and the extension that our own models add).

    Raises:
        VocabularyError: There is no such vocabulary (`VOCABULARY_UNKNOWN`).
    """
    if name not in NAMES:
        raise VocabularyError(
            f"There is no vocabulary '{name}'; choose one of {', '.join(NAMES)}.", code="VOCABULARY_UNKNOWN"
        )
    if name == "prosect":
        return load("vista3d-ctmr").extend(name, structures(name))
    return Vocabulary(name, structures(name))


def structures(table: str) -> tuple[Structure, ...]:
    """Return the structures of a packaged table."""
    return tuple(structure_of(row) for row in read_rows(table))


def read_rows(table: str) -> list[dict[str, str]]:
    """Return the rows of a packaged table by column."""
    text = resources.files(__package__).joinpath(f"{table}.tsv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE, strict=True))
