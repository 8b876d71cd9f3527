"""The families of models: for each network, how its weights become a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from prosect.checkpoints.catalog import Entry
from prosect.checkpoints.files import RawWeights
from prosect.models import sam_med3d, vista3d_loading
from prosect.models.protocols import LoadedModel
from prosect.models.spec import profile

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True)
class Family:
    """One network with everything that makes a model of it.

    What a model of the family can do, it says itself; see `protocols`. How its weights are recognised and fitted is
    `checkpoints.fitting`'s to say, which the catalogue needs without any model.

    Attributes:
        network: Its name, as in the catalogue and in `checkpoints.fitting`.
        standard: The model of the catalogue that weights belong to which do not say so.
        check_profile: Refuses the name of a profile that the family has not.
        load: Makes a model of a catalogue entry, weights, a device and a profile.
    """

    network: str
    standard: str
    check_profile: Callable[[str], object]
    load: Callable[[Entry, RawWeights, torch.device, str], LoadedModel]


FAMILIES: dict[str, Family] = {
    family.network: family
    for family in (
        Family("vista3d", "vista3d", profile, vista3d_loading.load),
        Family("sam-med3d", "sam-med3d", sam_med3d.click_profile, sam_med3d.load),
    )
}
