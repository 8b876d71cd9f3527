"""How a model that withholds what cannot be in a scan is told to withhold less, or to say less of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Self, cast

from prosect.models.protocols import FindsAndTakesClicks, Withholds

if TYPE_CHECKING:
    from prosect.models.spec import ModelSpec, Profile

__all__ = ["WithholdsByFacts", "take_turns"]


class WithholdsByFacts:
    """A model that withholds by what is known of its training scans.

    Attributes:
        spec: What it was trained with.
        profile: How results are made.
    """

    spec: ModelSpec
    profile: Profile

    def keeping_all(self) -> Self:
        """Return the model that keeps what cannot be in a scan, too."""
        found = copy(self)
        object.__setattr__(found, "profile", replace(self.profile, withholds=False))
        return found

    def beside(self, others: Iterable[int], speaks_first: bool) -> Self:
        """Return the model as one of several, which does not say what it withholds where another may show it.

        Args:
            others: The structures that others find, too.
            speaks_first: Whether it says which regions a scan does not show, of those structures, too.
        """
        found = copy(self)
        spec = replace(self.spec, found_by_others=tuple(others), speaks_first=speaks_first)
        object.__setattr__(found, "spec", spec)
        return found


def take_turns(members: Sequence[FindsAndTakesClicks], shared: Sequence[int]) -> tuple[FindsAndTakesClicks, ...]:
    """Return the models of a set, none of which misses aloud what another may show.

    An oesophagus of a neck is no news to an abdomen.

    Args:
        members: The models.
        shared: The structures that more than one of them finds.
    """
    turns: list[FindsAndTakesClicks] = []
    for number, member in enumerate(members):
        if isinstance(member, Withholds):
            turns.append(cast(FindsAndTakesClicks, member.beside(shared, number == 0)))
        else:
            turns.append(member)
    return tuple(turns)
