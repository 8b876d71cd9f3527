"""Training on several processes: each takes some patches of a step, and all take the same step (torchrun)."""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.distributed
from torch import Tensor, nn

from prosect.data.datalist import DataList

__all__ = ["ALONE", "GIVEN_UP_SECONDS", "Ranks", "ranks_here"]

GIVEN_UP_SECONDS = 600  # how long a process waits for the others


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: Its number; 0 saves, logs and validates.
        world: How many there are.
        device: Where what they exchange must lie.
    """

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    def patches(self, count: int) -> range:
        """Return which of the patches of a step are this process's."""
        return range(self.rank, count, self.world)

    def share(self, datalist: DataList) -> DataList:
        """Return the scans of a list that this process looks after."""
        return replace(datalist, entries=datalist.entries[self.rank :: self.world])

    def add_up(self, value: float) -> float:
        """Return the sum of a number over all processes."""
        if self.world == 1:
            return value
        total = torch.tensor([value], dtype=torch.float64, device=self.device)
        with watch_exchange():
            torch.distributed.all_reduce(total)
        return float(total)

    def broadcast(self, value: float) -> float:
        """Return the number that the first process has."""
        if self.world == 1:
            return value
        sent = torch.tensor([value], dtype=torch.float64, device=self.device)
        with watch_exchange():
            torch.distributed.broadcast(sent, 0)
        return float(sent)

    def barrier(self) -> None:
        """Wait until all processes have come here."""
        self.broadcast(0.0)

    def add_up_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes, in one exchange.

        A parameter that has a gradient nowhere keeps none, so that the optimiser leaves it alone as it would on one
        process.
        """
        if self.world == 1:
            return
        there = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32, device=self.device)
        with watch_exchange():
            torch.distributed.all_reduce(there)
        used = []
        for p, count in zip(parameters, there.tolist(), strict=True):
            if count:
                used.append(p)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in used]
        joint = torch.cat([gradient.flatten() for gradient in gradients])
        with watch_exchange():
            torch.distributed.all_reduce(joint)
        for parameter, part in zip(used, _cut(joint, used), strict=True):
            parameter.grad = part


@contextmanager
def watch_exchange() -> Iterator[None]:
    """Tell where every thread of this process stands, shortly before an exchange in the block is given up."""
    if sys.__stderr__ is None:  # no console to tell it to
        yield
        return
    faulthandler.dump_traceback_later(GIVEN_UP_SECONDS - 30, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


ALONE = Ranks()


def ranks_here(device: str) -> Ranks:
    """Return this process's place in the group that it has joined, or alone."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return ALONE
    return Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size(), device)


def _cut(joint: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    parts = torch.split(joint, [p.numel() for p in parameters])
    found: list[Tensor] = []
    for part, p in zip(parts, parameters, strict=True):
        found.append(part.view_as(p))
    return found
