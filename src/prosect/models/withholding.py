"""How a model that withholds what cannot be in a scan is told to withhold less, or to say less of it."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from prosect.models.spec import ModelSpec, Profile

__all__ = ["WithholdsByFacts"]


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

    def beside(self, others: Iterable[int]) -> Self:
        """Return the model as one of several, which does not say what it withholds of a region that is another's.

        Args:
            others: The structures that others find, too.
        """
        found = copy(self)
        object.__setattr__(found, "spec", replace(self.spec, found_by_others=tuple(others)))
        return found
