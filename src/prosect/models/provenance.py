"""What a result says of how it came about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from prosect.inference.windows import WindowPlan
from prosect.models.spec import ModelSpec, Profile
from prosect.stopwatch import Stopwatch
from prosect.vocabulary import Resolution
from prosect.volume import Volume

__all__ = ["identity_of", "provenance_of"]


class Asked(Protocol):
    """Who found the structures."""

    @property
    def spec(self) -> ModelSpec:
        """What it was trained with."""

    @property
    def profile(self) -> Profile:
        """How scans are prepared, swept and restored."""

    @property
    def device(self) -> torch.device:
        """Where its network runs."""

    @property
    def engine_used(self) -> str:
        """The engine that runs it."""

    @property
    def precision_used(self) -> str:
        """In what it multiplies."""


def identity_of(spec: ModelSpec, profile: Profile) -> dict[str, str]:
    """Return what decides the answers of a model, as plain data."""
    said = {"model": spec.name, "weights_sha256": spec.weights_sha256, "profile": profile.name}
    # Only where it is so, because earlier records do not say it.
    if spec.fast:
        said["fast"] = "yes"
    return said


def provenance_of(
    model: Asked, volume: Volume, resolution: Resolution, windows: WindowPlan, clock: Stopwatch, notes: Sequence[str]
) -> dict[str, object]:
    """Return what made a result, for people and for a later check.

    Args:
        model: Who was asked.
        volume: The scan.
        resolution: For which structures.
        windows: Where the network looked.
        clock: The stages `prepare`, `network` and `restore`.
        notes: What there is to say of it.
    """
    network = clock.seconds.get("network", 0.0)  # none where the scan shows nothing
    restore = clock.seconds["restore"] - network  # the sweep alternates between the two
    # Only where there are any, so that results of other models stay as they were.
    values = {"label_values": dict(model.spec.label_values)} if model.spec.label_values else {}
    seconds = {"prepare": clock.seconds["prepare"], "network": network, "restore": restore}
    return {
        "model": model.spec.name,
        "weights_sha256": model.spec.weights_sha256,
        "profile": model.profile.name,
        "device": str(model.device),
        "engine": model.engine_used,
        "precision": model.precision_used,
        "windows": windows.count,
        "classes": list(resolution.indices),
        "expansions": {group: list(parts) for group, parts in resolution.expansions.items()},
        "notes": [*volume.source.notes, *resolution.notes, *notes],
        "seconds": seconds,
        **values,
    }
