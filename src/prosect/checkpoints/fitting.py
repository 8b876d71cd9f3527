"""Which network weights belong to: one row per network, with how its weights are recognised and fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from prosect.checkpoints.files import RawWeights
from prosect.checkpoints.fit import FitReport, fit
from prosect.checkpoints.fit_sam import fit_sam
from prosect.checkpoints.fit_sam_med3d import fit_sam_med3d, is_sam_med3d
from prosect.checkpoints.layouts import canonical

__all__ = ["FITTINGS", "Fitting", "Report", "network_of"]

Report = FitReport[Any]


@dataclass(frozen=True)
class Fitting:
    """How weights meet their network.

    Attributes:
        fit: Puts weights into a new network, strictly; returns it with a report.
        recognises: Whether tensors, under keys without prefix, are this network's. None is never recognised by its
            keys: one has to ask for it by name.
    """

    fit: Callable[[RawWeights], tuple[nn.Module, Report]]
    recognises: Callable[[Mapping[str, Tensor]], bool] | None = None


# What nothing else recognises is taken for a VISTA3D, whose fitting says what is wrong with it. So that row is last.
FITTINGS: dict[str, Fitting] = {
    "sam": Fitting(fit_sam),
    "sam-med3d": Fitting(fit_sam_med3d, is_sam_med3d),
    "vista3d": Fitting(fit, lambda _: True),
}


def network_of(weights: RawWeights) -> str:
    """Return the name of the network that weights belong to which do not say so."""
    tensors = canonical(weights.tensors).tensors
    for name, fitting in FITTINGS.items():
        if fitting.recognises is not None and fitting.recognises(tensors):
            return name
    raise AssertionError("the last row recognises everything")
