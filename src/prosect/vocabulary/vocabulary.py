"""The structures a model knows: found by name, checked before any work, never exchanged silently."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any, SupportsIndex

from prosect.errors import VocabularyError
from prosect.vocabulary.matching import can_be_name, nearest, spelling
from prosect.vocabulary.rows import invalid, row_of, structure_of
from prosect.vocabulary.structure import BACKGROUND, Structure

__all__ = ["Resolution", "Vocabulary"]

INTEGER = re.compile(r"\s*[-+]?\d{1,9}\s*")


@dataclass(frozen=True)
class Resolution:
    """What a list of requests comes to.

    Attributes:
        indices: Supported structures in the order of the requests, each once.
        expansions: For each group asked for, the names of its parts.
        notes: What was left out because it was asked for twice.
    """

    indices: tuple[int, ...]
    expansions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vocabulary:
    """An immutable set of structures, found by index or name. Iteration is in index order.

    Args:
        name: Shown to people, such as `vista3d-ct`.
        structures: Its structures, in any order.
        default_list: Everything list used when none is named; by default the first that occurs.

    Raises:
        VocabularyError: Two structures share an index or a spelling, a part is missing, or the default list is
            empty (`VOCABULARY_INVALID`).
    """

    name: str
    structures: tuple[Structure, ...] = field(repr=False)
    default_list: str | None = None
    _by_index: dict[int, Structure] = field(init=False, repr=False, compare=False)
    _by_spelling: dict[str, Structure] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.structures, key=lambda structure: structure.index))
        object.__setattr__(self, "structures", ordered)
        object.__setattr__(self, "_by_index", {structure.index: structure for structure in ordered})
        object.__setattr__(self, "_by_spelling", by_spelling(ordered))
        if len(self._by_index) != len(ordered):
            raise invalid(f"The vocabulary '{self.name}' gives one index to several structures.")
        for structure in ordered:
            missing = self._inside(structure.index) - self._by_index.keys()
            if missing:
                raise invalid(f"'{structure.name}' of '{self.name}' has parts that do not exist: {sorted(missing)}.")
        self._inside_first(self._by_index.keys())
        if self.default_list is not None and self.default_list not in self.lists:
            raise invalid(f"No structure of '{self.name}' is in its default list '{self.default_list}'.")

    def __len__(self) -> int:
        return len(self.structures)

    def __iter__(self) -> Iterator[Structure]:
        return iter(self.structures)

    def __contains__(self, request: object) -> bool:
        return self.get(request) is not None

    def __getitem__(self, request: str | SupportsIndex) -> Structure:
        return self.find(request)

    def get(self, request: object) -> Structure | None:
        """Return what `find` returns, or None where it would refuse."""
        number = as_index(request)
        if number is not None:
            return self._by_index.get(number)
        if isinstance(request, str):
            return self._by_spelling.get(spelling(request))
        return None

    def find(self, request: str | SupportsIndex) -> Structure:
        """Return a structure by official name, alias, TotalSegmentator name or index (a number or its digits).

        Case, spaces, underscores, hyphens between words and the place of `left` or `right` do not count; nothing else
        is forgiven, see `spelling`.
        The structure may be one that cannot be asked for; `resolve` checks that.

        Raises:
            VocabularyError: Nothing has this name; the message names the three nearest (`STRUCTURE_UNKNOWN`).
        """
        structure = self.get(request)
        if structure is None:
            raise VocabularyError(self._unknown(request), code="STRUCTURE_UNKNOWN")
        return structure

    def nearest(self, text: str, count: int = 3) -> tuple[str, ...]:
        """Return the names nearest to a misspelt one, best first."""
        return nearest(text, {key: structure.name for key, structure in self._by_spelling.items()}, count)

    def resolve(self, requests: Sequence[str | SupportsIndex]) -> Resolution:
        """Return the supported structures that a list of names and indices comes to.

        Groups expand to their parts. The order of the requests stays; what is asked for twice is listed once, with a
        note.

        Raises:
            VocabularyError: Nothing asked for (`PROMPT_EMPTY`), an unknown structure (`STRUCTURE_UNKNOWN`), or one
                that cannot be segmented, with the reason (`STRUCTURE_UNSUPPORTED`).
        """
        if isinstance(requests, str):
            raise VocabularyError(f"Give a list of structures, such as ['{requests}'], not one text.")
        if len(requests) == 0:
            raise VocabularyError("No structure is asked for; name at least one.", code="PROMPT_EMPTY")
        indices: list[int] = []
        expansions: dict[str, tuple[str, ...]] = {}
        notes: list[str] = []
        for request in requests:
            structure = self.find(request)
            members = self._members(structure)
            fresh = []
            for member in members:
                if member.index not in indices:
                    fresh.append(member)
            if structure.status == "group":
                expansions[structure.name] = tuple(member.name for member in members)
            if len(fresh) < len(members):
                notes.append(repetition_note(structure, [m.name for m in members if m not in fresh]))
            indices += [member.index for member in fresh]
        return Resolution(tuple(indices), expansions, tuple(dict.fromkeys(notes)))

    @property
    def lists(self) -> tuple[str, ...]:
        """Names of the everything lists, in order of their first structure."""
        names: dict[str, None] = {}
        for structure in self:
            names.update(dict.fromkeys(sorted(structure.everything)))
        return tuple(names)

    def everything(self, kind: str | None = None) -> tuple[int, ...]:
        """Return the structures to segment when none is named, in index order.

        A whole is left out where the list holds all its parts: a flat map would have no voxel left for it.

        Args:
            kind: Name of the list, such as `CT_BODY`; None takes the default.

        Raises:
            VocabularyError: There is no such list (`EVERYTHING_UNKNOWN`).
        """
        kind = kind or self.default_list or next(iter(self.lists), "")
        members = set()
        for s in self:
            if kind in s.everything and s.supported and not s.overlapping:
                members.add(s.index)
        if not members:
            known = ", ".join(self.lists) or "none"
            raise VocabularyError(
                f"The vocabulary '{self.name}' has no everything list '{kind}'; it has: {known}.",
                code="EVERYTHING_UNKNOWN",
            )
        kept: list[int] = []
        for index in sorted(members):
            parts = self[index].parts
            if not parts or not members.issuperset(parts):
                kept.append(index)
        return tuple(kept)

    def tiers(self, indices: Sequence[int]) -> tuple[int, ...]:
        """Return for each structure where it lies in a flat map of these: a higher tier covers a lower one.

        1 for what overlaps others (vessels, tumours), 0 for ordinary structures, and for a container one below the
        lowest that it contains: beside its lobes the lung lies at -1, and the body at -2.
        """
        tier: dict[int, int] = {}
        for index in self._inside_first(set(indices)):
            if self[index].overlapping:
                tier[index] = 1
                continue
            inside = []
            for i in self._inside(index):
                if i in tier and not self[i].overlapping:
                    inside.append(tier[i])
            # What contains nothing here lies at 0.
            tier[index] = min(inside, default=1) - 1
        return tuple(tier[index] for index in indices)

    def restrict(
        self, indices: Iterable[str | SupportsIndex], reason: str, everything: str | None = None
    ) -> Vocabulary:
        """Return this vocabulary for a model that knows only some of it.

        The others stay known by name, so that asking for one is answered with the reason. A group stays where all its
        parts do. Nothing that is unsupported becomes supported.

        Args:
            indices: What the model knows.
            reason: Why the others cannot be had, and what to do, such as "the model was not trained for it; use -w".
            everything: Gathers all that is kept and does not overlap in a list of this name, the new default.

        Raises:
            VocabularyError: Something to keep is unknown (`STRUCTURE_UNKNOWN`) or unsupported
                (`STRUCTURE_UNSUPPORTED`).
        """
        kept = set()
        for structure in map(self.find, indices):
            kept.add(structure.index)
        for index in kept:
            if not kept.issuperset(member.index for member in self._members(self[index])):
                raise invalid(f"The group '{self[index].name}' can only be kept with all its parts.")
        kept |= {s.index for s in self if s.status == "group" and kept.issuperset(s.parts)}
        structures = tuple(restricted(structure, kept, reason, everything) for structure in self)
        return Vocabulary(self.name, structures, everything)

    def extend(self, name: str, structures: Iterable[Structure]) -> Vocabulary:
        """Return a vocabulary that has further structures.

        Raises:
            VocabularyError: An index or a name is taken (`VOCABULARY_INVALID`).
        """
        return Vocabulary(name, (*self.structures, *structures), self.default_list)

    def to_dict(self) -> dict[str, Any]:
        """Return the vocabulary as plain text, lists and dicts, for JSON."""
        return {"name": self.name, "default_list": self.default_list, "structures": [row_of(s) for s in self]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Vocabulary:
        """Return the vocabulary that `to_dict` wrote.

        Raises:
            VocabularyError: It is damaged or has unknown entries (`VOCABULARY_INVALID`).
        """
        if not isinstance(plain, Mapping) or set(plain) != {"name", "default_list", "structures"}:
            raise invalid("A stored vocabulary needs exactly: name, default_list, structures.")
        name, default, rows = plain["name"], plain["default_list"], plain["structures"]
        if not isinstance(name, str) or not isinstance(default, str | None) or not isinstance(rows, list):
            raise invalid("A stored vocabulary needs a text as name and default_list, and a list of structures.")
        if not all(isinstance(row, Mapping) for row in rows):
            raise invalid("Every structure of a stored vocabulary must be a set of named columns.")
        return cls(name, tuple(structure_of(row) for row in rows), default)

    def _inside(self, index: int) -> set[int]:
        structure = self._by_index[index]
        return {*structure.parts, *structure.contains}

    def _inside_first(self, indices: Set[int]) -> list[int]:
        """Return indices so that each comes after those it contains."""
        try:
            return list(TopologicalSorter({i: self._inside(i) & indices for i in sorted(indices)}).static_order())
        except CycleError as error:
            raise invalid(f"Structures of '{self.name}' contain each other: {error.args[1]}.") from error

    def _members(self, structure: Structure) -> list[Structure]:
        """Return the structure itself, or the parts of a group; refuse what cannot be segmented."""
        if structure.status == "group":
            members = [self[i] for i in structure.parts]
        else:
            members = [structure]
        for member in members:
            if not member.supported:
                raise VocabularyError(
                    f"'{member.name}' ({member.index}) is known but cannot be segmented: "
                    f"{member.reason or 'it is ' + member.status}.",
                    code="STRUCTURE_UNSUPPORTED",
                )
        return members

    def _unknown(self, request: object) -> str:
        number = as_index(request)
        if number == BACKGROUND:
            return "0 is the background, not a structure."
        if number is not None:
            first, last = self.structures[0].index, self.structures[-1].index
            return f"{number} is not an index of '{self.name}', which has {first} to {last}."
        if not isinstance(request, str):
            return f"{printable(repr(request))} is neither the name nor the index of a structure."
        names = ", ".join(f"'{name}'" for name in self.nearest(request[:200]))
        return f"'{printable(request)}' is not a structure of '{self.name}'. Nearest: {names}."


def as_index(request: object) -> int | None:
    """Return the number that a request is or spells, or None."""
    if isinstance(request, str):
        if INTEGER.fullmatch(request):
            return int(request)
        return None
    if isinstance(request, bool) or not isinstance(request, SupportsIndex):
        return None
    try:
        return operator.index(request)
    except TypeError:  # an array of several numbers
        return None


def by_spelling(structures: Iterable[Structure]) -> dict[str, Structure]:
    """Return structures by every spelling of their names and aliases; an ambiguous spelling is refused."""
    found: dict[str, Structure] = {}
    texts: dict[str, str] = {}
    for structure in structures:
        for text in (structure.name, *structure.aliases):
            key = spelling(text)
            if not can_be_name(text):
                raise invalid(f"'{text}' cannot name {structure.index}; a name needs a letter.")
            if found.setdefault(key, structure) is not structure:
                raise invalid(
                    f"'{text}' cannot name {structure.index}: it is spelled as '{texts[key]}', which names "
                    f"{found[key].index}. Capitals, spaces, underscores and hyphens between words do not count."
                )
            texts.setdefault(key, text)
    return found


def restricted(structure: Structure, kept: set[int], reason: str, everything: str | None) -> Structure:
    """Return a structure as a model that knows only `kept` sees it."""
    if structure.index not in kept:
        if structure.status in ("supported", "group"):
            return replace(structure, status="unsupported", reason=reason, everything=frozenset())
        return structure
    lists = structure.everything
    if everything and structure.supported and not structure.overlapping:
        lists |= {everything}
    # A part that is gone must not be missed: the whole then stands for itself.
    parts: tuple[int, ...] = ()
    if kept.issuperset(structure.parts):
        parts = structure.parts
    contains = tuple(index for index in structure.contains if index in kept and index not in structure.parts)
    return replace(structure, parts=parts, contains=contains, everything=lists)


def repetition_note(structure: Structure, names: Sequence[str]) -> str:
    """Return the note on structures that were asked for before."""
    more = ""
    if len(names) > 3:
        more = f" and {len(names) - 3} more"
    listed = ", ".join(f"'{name}'" for name in names[:3]) + more
    by = ""
    if structure.status == "group":
        by = f" by '{structure.name}'"
    return f"{listed} asked for again{by}; listed once."


def printable(text: str) -> str:
    """Return a user's text fit for a message."""
    clean = "".join(character if character.isprintable() else "?" for character in text)
    if len(clean) <= 60:
        return clean
    return clean[:57] + "..."
