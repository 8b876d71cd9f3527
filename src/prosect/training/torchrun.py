"""The processes that `torchrun` has started, joined for the time of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed

from prosect.errors import ResourceError
from prosect.training.parallel import GIVEN_UP_SECONDS, Ranks, ranks_here

__all__ = ["is_launched", "join_launched", "own_device"]

TIMEOUT = timedelta(seconds=GIVEN_UP_SECONDS)


def is_launched() -> bool:
    """Return whether `torchrun` has started this process."""
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def own_device(device: torch.device) -> torch.device:
    """Return the GPU of this process where several train together and none is named: one each, as torchrun counts."""
    if device.type != "cuda" or device.index is not None or not is_launched():
        return device
    device = torch.device("cuda", torch.distributed.get_node_local_rank())
    torch.cuda.set_device(device)
    return device


@contextmanager
def join_launched(device: torch.device) -> Iterator[Ranks]:
    """Yield this process among those that `torchrun` has started, or alone where it has started none.

    Args:
        device: Where this process trains: NCCL joins GPUs, Gloo everything else.

    Raises:
        ResourceError: The processes do not find each other (`RANKS_APART`).
    """
    if not is_launched():
        yield ranks_here(str(device))
        return
    backend = "gloo"
    if device.type == "cuda":
        backend = "nccl"
    try:
        torch.distributed.init_process_group(backend, timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise ResourceError(f"The processes do not find each other: {error}", code="RANKS_APART") from error
    try:
        yield ranks_here(str(device))
    finally:
        torch.distributed.destroy_process_group()
