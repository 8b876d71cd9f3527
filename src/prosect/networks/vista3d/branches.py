"""How the branches of a VISTA3D run on a device: decided here and nowhere else.

An engine is a way to run the same weights. A further one is one function and one row of `ENGINES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from prosect.networks.vista3d.cpu import CpuBranches
from prosect.networks.vista3d.cpu_head import CpuPointHead
from prosect.networks.vista3d.network import Vista3D
from prosect.networks.vista3d.point_head import PointHead

__all__ = ["Branches", "Engine", "PointLogits", "branches_of"]

Engine = Literal["auto", "modules", "processor", "gpu"]

# Below this many channels torch's own convolutions are faster than the arrangement for processors.
LEAST_WIDTH = 32
# A processor gains nothing from several windows at a time; a GPU too small for these takes fewer.
GPU_BATCH = 4
# Full-resolution feature maps alive at once inside one window; measured by benches/memory.py.
MODULE_MAPS, PROCESSOR_MAPS = 8.0, 7.0


class PointLogits(Protocol):
    """What answers clicks on a patch; see `Vista3D.point_logits`."""

    def __call__(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return mask logits (q 1 i j k)."""


@dataclass(frozen=True, eq=False)
class Branches:
    """The branches of one network as one engine runs them.

    Attributes:
        automatic_features: Maps windows (b 1 i j k) to features (b c i j k), in which class logits are linear.
        interactive_features: Maps a patch (1 1 i j k) to what every click on it shares, float32.
        point_logits: Answers clicks.
        sequential: Whether an answer to clicks builds on the answer before the last of them.
        first_batch: Windows per batch to begin with.
        maps_alive: Full-resolution feature maps alive at once inside one window, for the memory plan.
    """

    automatic_features: Callable[[Tensor], Tensor]
    interactive_features: Callable[[Tensor], Tensor]
    point_logits: PointLogits
    sequential: bool
    first_batch: int
    maps_alive: float


def branches_of(network: Vista3D, device: torch.device, engine: Engine = "auto") -> Branches:
    """Return the branches of a network in the fastest way its device has, or in the way that is named.

    Args:
        network: In evaluation mode on `device`; its weights are read now.
        device: Where it runs.
        engine: `modules` runs the modules as they are, the slow twin of the others; `processor` the arrangement for
            processors; `gpu` the modules in mixed precision.
    """
    if engine == "auto":
        engine = _fastest(network, device)
    return ENGINES[engine](network, device)


def _fastest(network: Vista3D, device: torch.device) -> Engine:
    """Return the engine that is fastest on a device."""
    if device.type == "cuda":
        return "gpu"
    if device.type == "cpu" and network.architecture.width >= LEAST_WIDTH:
        return "processor"
    return "modules"


def _modules(network: Vista3D, device: torch.device) -> Branches:
    """Return the modules as they are."""
    return Branches(
        network.automatic_features,
        network.interactive_features,
        network.point_logits,
        network.sequential,
        first_batch=1 if device.type == "cpu" else GPU_BATCH,
        maps_alive=MODULE_MAPS,
    )


def _processor(network: Vista3D, device: torch.device) -> Branches:
    """Return the arrangement for processors, channels-last; of the click heads only the published one has one."""
    arranged = CpuBranches(network)
    modules = _modules(network, device)
    fast = replace(modules, automatic_features=arranged.automatic_features, first_batch=1, maps_alive=PROCESSOR_MAPS)
    if not network.architecture.interactive or not isinstance(network.point_head, PointHead):
        return fast
    head = CpuPointHead(network.point_head)

    def point_logits(
        features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        return head(features, points, labels, zero_shot)

    return replace(fast, interactive_features=arranged.interactive_features, point_logits=point_logits)


def _gpu(network: Vista3D, device: torch.device) -> Branches:
    """Return the modules in bfloat16 where that loses nothing; clicks are answered in float32."""

    def automatic_features(windows: Tensor) -> Tensor:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            return network.automatic_features(windows)

    def interactive_features(image: Tensor) -> Tensor:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            return network.interactive_features(image).float()

    return Branches(
        automatic_features,
        interactive_features,
        network.point_logits,
        network.sequential,
        first_batch=GPU_BATCH,
        maps_alive=MODULE_MAPS,
    )


ENGINES: dict[str, Callable[[Vista3D, torch.device], Branches]] = {
    "modules": _modules,
    "processor": _processor,
    "gpu": _gpu,
}
