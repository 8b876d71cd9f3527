"""The structures that weights offer, known without loading them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prosect.checkpoints.catalog import Entry, entry, locate, members
from prosect.checkpoints.file_metadata import read_metadata
from prosect.vocabulary import Structure, Vocabulary
from prosect.vocabulary import load as load_vocabulary
from prosect.vocabulary.rows import structure_of

__all__ = ["names_in", "offer", "offer_of", "offering", "with_structures"]

HINT = "this model was not trained for it, or not well enough to offer it; load official VISTA3D weights with -w"


def offer(name: str | None, weights: Path | None = None) -> Vocabulary:
    """Return the structures of a model, or of all models that ship together where none is named.

    What models of ours were trained for is written in their weights; official models know their whole vocabulary.

    Args:
        name: The model.
        weights: A weights file in the place of the installed ones; it may say which model it is of.

    Raises:
        CheckpointError: There is no such model, or the shipped weights are missing.
    """
    if weights is not None:
        stated = read_metadata(weights)
        return offer_of(entry(name or stated.get("base") or "vista3d"), stated)
    rows = members(name)
    found: list[Vocabulary] = []
    for row in rows:
        stated = {}
        if row.shipped:
            stated = read_metadata(locate(row.name))
        found.append(offer_of(row, stated))
    if len(found) == 1:
        return found[0]
    indices = {structure.index for words in found for structure in words if structure.supported}
    return offering(load_vocabulary(rows[0].vocabulary), sorted(indices))


def offer_of(base: Entry, metadata: Mapping[str, Any]) -> Vocabulary:
    """Return the structures that one weights file offers.

    Args:
        base: The catalogue's entry.
        metadata: What the file says of itself; official files say nothing.

    Raises:
        VocabularyError: The file says of a structure what cannot be.
    """
    words = load_vocabulary(str(metadata.get("vocabulary", base.vocabulary)))
    words = with_structures(words, [structure_of(row) for row in metadata.get("structures", ())])
    if base.no_classes:
        return words.restrict((), base.no_classes)
    trained = metadata.get("classes")
    if trained is None:
        return words
    return offering(words, trained)


def names_in(weights: Path | None) -> Vocabulary | None:
    """Return the vocabulary of a weights file with the structures of its own, all of them as names; None where it has
    none of its own.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    stated = {} if weights is None else read_metadata(weights)
    if not stated.get("structures"):
        return None
    words = load_vocabulary(str(stated["vocabulary"]))
    return with_structures(words, [structure_of(row) for row in stated["structures"]])


def offering(words: Vocabulary, classes: Sequence[int]) -> Vocabulary:
    """Return a vocabulary in which only some classes can be segmented; without a name, all of them are.

    Raises:
        VocabularyError: A class is unknown or unsupported, a group lacks a part, or all classes lie in others.
    """
    return words.restrict(classes, HINT, everything="TRAINED" if classes else None)


def with_structures(vocabulary: Vocabulary, own: Iterable[Structure]) -> Vocabulary:
    """Return a vocabulary in which a model's own structures are added, or stand in the place of those of their index.

    Raises:
        VocabularyError: A name is taken (`VOCABULARY_INVALID`).
    """
    by_index = {}
    for structure in (*vocabulary, *own):
        by_index[structure.index] = structure
    return Vocabulary(vocabulary.name, tuple(by_index.values()), vocabulary.default_list)
