"""What the label values of a data set mean, and of which structures the set says anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.data.mapping_pairs import (
    NEW,
    REST,
    is_region,
    is_rest,
    means_nothing,
    refuse_two_spellings,
    refuse_zero,
    split_pair,
)
from prosect.errors import RecipeError, VocabularyError
from prosect.prompts import extend_vocabulary, target_of
from prosect.vocabulary import Vocabulary
from prosect.vocabulary.matching import spelling

__all__ = [
    "LabelMapping",
    "mapping_by_names",
    "mapping_of",
    "mark_new",
    "with_new",
]

SHOWN = 8


@dataclass(frozen=True)
class LabelMapping:
    """Label values of one data set in a vocabulary.

    Attributes:
        values: Vocabulary index by label value of the set; None where the vocabulary has nothing like it. Several
            values may mean the same. 0 is the background and is not listed.
        absent: Structures that no scan of the set shows, so that finding one there is a mistake.
        by_name: Vocabulary index by a name that files give their values, None where it means nothing here: what value
            has the name may differ from file to file, as Slicer writes them.
        regions: Label values by vocabulary index, where a structure is made of several values and shares some of them
            with another, as a whole tumor and its core do. Where there are any, every structure is one, and `values`
            mean nothing by themselves.
        rest_is_nothing: Whether label values that are not listed mean nothing; otherwise they are refused, because they
            may have been forgotten.
    """

    values: Mapping[int, int | None]
    absent: tuple[int, ...] = field(default=())
    by_name: Mapping[str, int | None] = field(default_factory=dict)
    regions: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    rest_is_nothing: bool = False

    @property
    def taught(self) -> tuple[int, ...]:
        """The structures that the labels may show, ascending."""
        meanings = {*self.values.values(), *self.by_name.values(), *self.regions}
        return tuple(sorted(index for index in meanings if index is not None))

    @property
    def labels(self) -> list[int | str]:
        """The label values and the names in files that are mapped."""
        return [*self.values, *self.by_name]

    def meaning(self, label: int | str) -> int | None:
        """Return the structure of a label value, or of a name in the files; None where it means nothing here."""
        if isinstance(label, str):
            return self.by_name.get(label)
        return self.values.get(label)

    def in_file(
        self, names: Mapping[int, str], present: Iterable[int], vocabulary: Vocabulary, file: str
    ) -> LabelMapping:
        """Return the mapping by value that holds in one file.

        Args:
            names: The names that the file gives its label values.
            present: The values that occur in it.
            vocabulary: Finds the structures that are meant by names.
            file: Its name, for messages.

        Raises:
            RecipeError: A name in the file is that of another structure than the mapping says (`LABELS_CONTRADICTED`).
        """
        known = {spelling(name): index for name, index in self.by_name.items()}
        values = dict(self.values)
        for value in present:
            name = names.get(value, "")
            key = spelling(name)
            structure = None
            if name:
                structure = vocabulary.get(name)
            if structure is None:
                own = None
            else:
                own = structure.index
            if name and key in known:
                values.setdefault(value, known[key])
            elif own in known.values():
                # Another spelling or alias of a structure that is mapped by name.
                values.setdefault(value, own)
            meant = values.get(value)
            # What the user maps to nothing, and a name that nobody knows, contradict nothing.
            if meant is not None and own not in (None, meant) and key not in known:
                raise RecipeError(
                    f"{file}: the file names its label value {value} '{name}', but the mapping says "
                    f"'{vocabulary[meant].name}'. Correct the mapping or the names in the file; or map by the names in "
                    f"each file: give '{name}' without a value.",
                    code="LABELS_CONTRADICTED",
                )
        if self.rest_is_nothing:
            for value in present:
                values.setdefault(value, None)
        return LabelMapping(values, self.absent, regions=self.regions)

    def known(self, labelled: Iterable[int | str] | None = None) -> tuple[int, ...]:
        """Return the structures that a scan says something about, ascending.

        Args:
            labelled: Label values, or names in the files, that this scan was labelled for; all of the set by default.
        """
        labels: Iterable[int | str] = self.labels
        if labelled is not None:
            labels = labelled
        found = {self.meaning(label) for label in labels} | set(self.absent)
        if labelled is None:
            found |= self.regions.keys()
        return tuple(sorted(index for index in found if index is not None))

    def translate(self, array: NDArray[Any], present: Sequence[int], name: str) -> NDArray[np.uint16]:
        """Return label values as vocabulary indices (same shape); values that mean nothing become 0.

        Args:
            array: Label values, unsigned.
            present: The values that occur, without 0.
            name: The file, for messages.

        Raises:
            RecipeError: A value is not in the mapping (`LABELS_UNMAPPED`).
        """
        self.require(present, name)
        table = np.zeros(max(present, default=0) + 1, dtype=np.uint16)
        for value in present:
            table[value] = self.values[value] or 0
        return np.asarray(table[array])

    def require(self, present: Iterable[int], name: str) -> None:
        """Refuse label values that the mapping does not list.

        Raises:
            RecipeError: `LABELS_UNMAPPED`.
        """
        strange = sorted(set(present) - set(self.values))
        if strange:
            first = strange[0]
            raise RecipeError(
                f"{name}: the label values {several(strange)} are not in the mapping, which has "
                f"{several(sorted(self.values)) or 'none of the names in this file'}. Say what {first} is "
                f"(`{first}=NAME`), or that it is nothing you want (`{first}=`, or `*=` for all that are not listed).",
                code="LABELS_UNMAPPED",
            )

    def to_json(self, vocabulary: Vocabulary, base: Vocabulary) -> list[list[Any]]:
        """Return pairs of label value and name, or null, for a file; what is not in `base` is written as new."""
        pairs: list[list[Any]] = []
        for label, index in (*self.values.items(), *self.by_name.items()):
            if index is None:
                name = None
            else:
                name = vocabulary[index].name
            if name is not None and name not in base:
                name = NEW + name
            # The values of regions mean nothing by themselves, and are listed with them.
            if not self.regions or name is not None:
                pairs.append([label, name])
        for index, values in self.regions.items():
            name = vocabulary[index].name
            pairs.append([list(values), name if name in base else NEW + name])
        if self.rest_is_nothing:
            pairs.append([REST, None])
        return pairs


def several(values: Sequence[int]) -> str:
    """Return the first few numbers for a message."""
    more = ""
    if len(values) > SHOWN:
        more = f" and {len(values) - SHOWN} more"
    return ", ".join(map(str, values[:SHOWN])) + more


def mapping_of(
    pairs: Iterable[Sequence[Any]], vocabulary: Vocabulary, absent: Iterable[str | int] = (), known: Iterable[int] = ()
) -> LabelMapping:
    """Return the mapping of pairs of a label value and a structure.

    Args:
        pairs: Label value (a whole number or its digits), or the name that the files give it, or the list of values of
            a region, and name or index of the structure; None, an empty text, `-` or `background` where the vocabulary
            has nothing like it. 0 may only mean the background. A name that begins with `+` is new; see `with_new`.
            `*` stands for every value that is not listed, and may only mean nothing.
        vocabulary: Finds the structures, new ones too.
        absent: Structures that no scan shows.
        known: Further label values that occur and mean nothing here.

    Raises:
        RecipeError: Not such pairs, or one value means two things (`MAPPING_INVALID`).
        VocabularyError: A structure is unknown (`STRUCTURE_UNKNOWN`).
    """
    given = list(pairs)
    listed = [pair for pair in given if not is_rest(pair)]
    rest = len(listed) < len(given)
    if any(is_region(pair) for pair in listed):
        return replace(regions_of(listed, vocabulary, absent, known), rest_is_nothing=rest)
    values: dict[int, int | None] = {}
    by_name: dict[str, int | None] = {}
    texts: dict[int, str] = {}
    for pair in listed:
        value, structure = split_pair(pair)
        if value == 0:
            refuse_zero(structure)
            continue
        index = None if means_nothing(structure) else vocabulary[plain_name(structure)].index
        if index is not None and isinstance(structure, str) and structure.startswith(NEW):
            refuse_two_spellings(texts.setdefault(index, structure), structure)
        if isinstance(value, str):
            kept = by_name.setdefault(value, index)
        else:
            kept = values.setdefault(value, index)
        if kept != index:
            raise RecipeError(f"The label value {value} is mapped to two structures.", code="MAPPING_INVALID")
    for value in known:
        values.setdefault(value, None)
    values.pop(0, None)
    missing = tuple(sorted(vocabulary[each].index for each in absent))
    return LabelMapping(values, missing, by_name, rest_is_nothing=rest)


def regions_of(
    pairs: Iterable[Sequence[Any]], vocabulary: Vocabulary, absent: Iterable[str | int], known: Iterable[int]
) -> LabelMapping:
    """Return the mapping of structures that are made of several label values; see `mapping_of`.

    Raises:
        RecipeError: Not such pairs (`MAPPING_INVALID`).
        VocabularyError: A structure is unknown (`STRUCTURE_UNKNOWN`).
    """
    regions: dict[int, tuple[int, ...]] = {}
    values: set[int] = set(known)
    for pair in pairs:
        if is_region(pair):
            numbers = pair[0]
        else:
            numbers = [pair[0]]
        split = []
        for number in numbers:
            split.append(split_pair((number, pair[1])))
        own = tuple(sorted({value for value, _ in split if isinstance(value, int) and value}))
        values |= set(own)
        structure = pair[1]
        if means_nothing(structure) or not own:
            continue
        index = vocabulary[plain_name(structure)].index
        if regions.setdefault(index, own) != own:
            raise RecipeError(f"The structure {structure!r:.60} is two regions.", code="MAPPING_INVALID")
    nothing = dict.fromkeys(sorted(values - {0}))
    return LabelMapping(nothing, tuple(sorted(vocabulary[each].index for each in absent)), regions=regions)


def plain_name(structure: Any) -> Any:
    """Return the name of a structure without the sign that it is new."""
    if isinstance(structure, str) and structure.startswith(NEW):
        return structure[len(NEW) :].strip()
    return structure


def with_new(vocabulary: Vocabulary, pairs: Iterable[Sequence[Any]]) -> Vocabulary:
    """Return a vocabulary that knows the new structures of a mapping too, such as `+anterior hippocampus`.

    The sign is asked for because without it a misspelt name would silently become a structure of its own.

    Raises:
        RecipeError: Not pairs (`MAPPING_INVALID`).
        PromptError: A name that cannot be one (`STRUCTURE_NAME`).
    """
    for _, structure in map(split_pair, pairs):
        name = plain_name(structure)
        if name is not structure and name not in vocabulary:
            vocabulary = extend_vocabulary(vocabulary, target_of(name, vocabulary))
    return vocabulary


def mark_new(pairs: Iterable[Sequence[Any]], vocabulary: Vocabulary) -> list[tuple[Any, Any]]:
    """Return pairs in which a name that the vocabulary does not know is marked as new."""
    marked: list[tuple[Any, Any]] = []
    for pair in pairs:
        value, name = split_pair(pair)
        if isinstance(name, str) and is_new(name, vocabulary):
            name = f"{NEW}{name.strip()}"
        marked.append((pair[0] if is_region(pair) else value, name))
    return marked


def is_new(name: str, vocabulary: Vocabulary) -> bool:
    """Return whether a name is that of a structure which the vocabulary lacks, and not marked so yet."""
    return not means_nothing(name) and not name.startswith(NEW) and name not in vocabulary


def mapping_by_names(names: Mapping[Any, Any], vocabulary: Vocabulary) -> LabelMapping | None:
    """Return the mapping by the names a list gives its label values; None where one is unknown to the vocabulary."""
    try:
        return mapping_of([pair for pair in names.items() if str(pair[0]) != "0"], vocabulary)
    except (RecipeError, VocabularyError):
        return None
