"""A model on a processor with the batches of a GPU, whose calls of the network are counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace

import pytest
from torch import Tensor

from prosect.inference.shared_batches import SharedBatches
from prosect.inference.windows import Shape
from prosect.models.vista3d import Vista3DModel

__all__ = ["as_on_a_gpu", "sweep_in_groups"]


def sweep_in_groups(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let sweeps that share batches begin `count` at a time, so that they do share some on the slowest machine."""
    before, inside = (threading.Barrier(count, timeout=30) for _ in range(2))
    taking_part = SharedBatches.taking_part

    @contextmanager
    def together(self: SharedBatches, window: Shape) -> Iterator[None]:
        # Whoever is inside is waited for by the others, so those of the group before must have left.
        before.wait()
        with taking_part(self, window):
            inside.wait()
            yield

    monkeypatch.setattr(SharedBatches, "taking_part", together)


def as_on_a_gpu(model: Vista3DModel, size: int) -> tuple[Vista3DModel, list[int]]:
    """Return a model that begins with batches of a size, and how many windows each call has, as it grows."""
    calls: list[int] = []

    def counted(windows: Tensor) -> Tensor:
        calls.append(len(windows))
        return model.branches.automatic_features(windows)

    found = copy(model)
    branches = replace(model.branches, automatic_features=counted, first_batch=size)
    object.__setattr__(found, "branches", branches)
    return found, calls
