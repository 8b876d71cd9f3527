"""What was withheld, in words: short sentences, each said once, whatever number of models answered."""

from __future__ import annotations

import warnings
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

from prosect.display import millilitres
from prosect.errors import ProsectWarning
from prosect.labelmap import HasVocabulary

if TYPE_CHECKING:
    from prosect.models.plausibility import Judgement
    from prosect.models.spec import ModelSpec

__all__ = ["NOT_SHOWN", "is_of_region", "left_unsaid", "sentences", "single_sentence"]

# How many of the withheld structures a warning names, and how a reason begins that is not the structure's own.
NAMED, NOT_SHOWN = 2, "the scan does not show"
# Of less nobody is warned: some voxels of a larynx are found in nearly every abdomen. Results and notes name them.
LEAST_WARNED_ML = 0.5


def is_of_region(reason: str) -> bool:
    """Return whether a structure was withheld because the scan does not show its region."""
    return reason.startswith(NOT_SHOWN)


def left_unsaid(judgement: Judgement, taken_ml: Mapping[int, float], spec: ModelSpec) -> dict[int, float]:
    """Return what was withheld of structures that models beside this one find, too, and that it does not say.

    That a scan shows no neck is said once, by the first model. Of a structure that is withheld for itself another model
    may show a better one.

    Args:
        judgement: What cannot be there.
        taken_ml: The volume of each structure that was taken out.
        spec: The model.
    """
    unsaid: dict[int, float] = {}
    if judgement.doubt:
        return unsaid
    for index, volume_ml in taken_ml.items():
        speaks = is_of_region(judgement.withheld[index]) and spec.speaks_first
        if index in spec.found_by_others and not speaks:
            unsaid[index] = volume_ml
    return unsaid


def sentences(
    judgement: Judgement, taken_ml: Mapping[int, float], names: HasVocabulary, unsaid: Container[int] = ()
) -> list[str]:
    """Return, and warn of, what was withheld: a sentence on regions that are not there, one on single structures.

    Of a few voxels there is no warning.

    Args:
        judgement: What cannot be there.
        taken_ml: The volume of each structure that was taken out.
        names: Their names.
        unsaid: Structures of which nothing is said.
    """
    elsewhere: dict[int, float] = {}
    single: dict[int, float] = {}
    for index, volume_ml in taken_ml.items():
        if index in unsaid:
            continue
        if judgement.doubt or is_of_region(judgement.withheld[index]):
            elsewhere[index] = volume_ml
        else:
            single[index] = volume_ml
    said: list[str] = []
    if elsewhere:
        if judgement.doubt:
            why = "The scan is hardly CT"
        else:
            why = f"The scan shows no {' and no '.join(judgement.missing)}"
        said.append(f"{why}: withheld {brief(elsewhere, names)}")
        if judgement.doubt or sum(elsewhere.values()) >= LEAST_WARNED_ML:
            warnings.warn(f"{said[0]}. --all shows it.", ProsectWarning, stacklevel=2)
    return [*said, *single_sentence(single, names)]


def single_sentence(taken_ml: Mapping[int, float], names: HasVocabulary) -> list[str]:
    """Return, and warn of, structures that were withheld each for itself; nothing where there are none.

    Args:
        taken_ml: The volume of each.
        names: Their names.
    """
    if not taken_ml:
        return []
    sentence = f"Withheld, as too little speaks for it: {brief(taken_ml, names)}"
    if sum(taken_ml.values()) >= LEAST_WARNED_ML:
        warnings.warn(f"{sentence}. --all shows it.", ProsectWarning, stacklevel=3)
    return [sentence]


def brief(taken_ml: Mapping[int, float], names: HasVocabulary) -> str:
    """Return the largest of the structures by name, and how much all of them are."""
    largest = sorted(taken_ml, key=taken_ml.__getitem__, reverse=True)
    named = ", ".join(names.vocabulary[index].name for index in largest[:NAMED])
    more = ""
    if len(largest) > NAMED:
        more = f" and {len(largest) - NAMED} more"
    return f"{named}{more} ({millilitres(sum(taken_ml.values()))})"
