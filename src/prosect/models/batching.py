"""Whether and how windows of several scans share the batches of a network."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import torch

from prosect.errors import ResourceError
from prosect.inference.shared_batches import SharedBatches
from prosect.inference.windows import Shape
from prosect.networks.vista3d.branches import Branches

if TYPE_CHECKING:
    from prosect.models.spec import ModelSpec

__all__ = ["SharesBatches", "share_batches"]


def share_batches(branches: Branches, window: Shape, device: torch.device) -> Branches:
    """Return the branches of a network for threads that each sweep a scan of their own.

    Args:
        branches: As they run one scan.
        window: Shape (i j k) of the windows that are shared.
        device: Where the network runs.

    Raises:
        ResourceError: A batch holds one window on this device, so there is nothing to share (`BATCH_OF_ONE`).
    """
    size = branches.first_batch
    if size == 1:
        raise ResourceError(
            f"On the device '{device.type}' a batch holds one window, so several scans gain nothing from sharing it. "
            "Leave out --batch-scans.",
            code="BATCH_OF_ONE",
        )
    shared = SharedBatches(branches.automatic_features, window, size, branches.release)
    return replace(branches, automatic_features=shared, release=shared.release, taking_part=shared.taking_part)


class SharesBatches:
    """A model whose network runs by branches, for threads that segment scans at once.

    Attributes:
        spec: What it was trained with.
        device: Where the network runs.
        branches: The network's branches as they run.
    """

    spec: ModelSpec
    device: torch.device
    branches: Branches

    def batching(self) -> Self:
        """Return the model with batches that windows of several scans share.

        Raises:
            ResourceError: A batch holds one window here, so there is nothing to share (`BATCH_OF_ONE`).
        """
        found = copy(self)
        # Made from these branches and not anew, because an engine holds the weights in an arrangement of its own.
        object.__setattr__(found, "branches", share_batches(self.branches, self.spec.window, self.device))
        return found
