"""How the branches of a VISTA3D run on a device: decided here and nowhere else.

An engine is a way to run the same weights. A further one is one function and one row of `ENGINES`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor, nn

from prosect.errors import ResourceError
from prosect.lazy import lazy_module
from prosect.networks.direct import HAS_ONEDNN
from prosect.networks.vista3d.cpu import CpuBranches
from prosect.networks.vista3d.cpu_head import CpuPointHead
from prosect.networks.vista3d.network import Vista3D
from prosect.networks.vista3d.point_head import PointHead

if TYPE_CHECKING:
    from prosect.networks.vista3d import openvino_branches
else:
    openvino_branches = lazy_module("prosect.networks.vista3d.openvino_branches")

__all__ = ["Branches", "Engine", "PointLogits", "Precision", "branches_of", "refuse_engine"]

Engine = Literal["auto", "modules", "fast", "openvino", "gpu", "compiled"]
Precision = Literal["auto", "float32", "bfloat16"]

# Below this many channels nothing is gained by another arrangement than the modules'.
LEAST_WIDTH = 16
# A processor gains nothing from several windows at a time; a GPU too small for these takes fewer.
GPU_BATCH = 4
# Full-resolution feature maps alive at once inside one window; measured by benches/memory.py.
MODULE_MAPS, FAST_MAPS = 8.0, 7.0


class PointLogits(Protocol):
    """What answers clicks on a patch; see `Vista3D.point_logits`."""

    def __call__(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return mask logits (q 1 i j k)."""


def keep() -> None:
    """Return no memory, because none is kept."""


def by_itself(_window: tuple[int, int, int]) -> AbstractContextManager[None]:
    """Wait for no other sweep, and let none wait."""
    return nullcontext()


@dataclass(frozen=True, eq=False)
class Branches:
    """The branches of one network as one engine runs them.

    Attributes:
        engine: Which one does.
        precision: In what it multiplies, `float32` or `bfloat16`.
        automatic_features: Maps windows (b 1 i j k) to features (b c i j k), in which class logits are linear.
        interactive_features: Maps a patch (1 1 i j k) to what every click on it shares, float32.
        point_logits: Answers clicks.
        sequential: Whether an answer to clicks builds on the answer before the last of them.
        first_batch: Windows per batch to begin with.
        maps_alive: Full-resolution feature maps alive at once inside one window, for the memory plan.
        weights_alive: Bytes of the weights as an engine arranges them for itself, beside those of the network.
        release: Returns memory that is kept between windows to the system.
        taking_part: Held by a sweep as long as it asks for features of windows of a shape (i j k); see
            `inference.shared_batches`.
    """

    engine: Engine
    precision: Precision
    automatic_features: Callable[[Tensor], Tensor]
    interactive_features: Callable[[Tensor], Tensor]
    point_logits: PointLogits
    sequential: bool
    first_batch: int
    maps_alive: float
    weights_alive: int = 0
    release: Callable[[], None] = keep
    taking_part: Callable[[tuple[int, int, int]], AbstractContextManager[None]] = by_itself


def branches_of(
    network: Vista3D, device: torch.device, engine: Engine = "auto", precision: Precision = "auto"
) -> Branches:
    """Return the branches of a network in the fastest way its device has, or in the way that is named.

    Args:
        network: In evaluation mode on `device`; its weights are read when they are first used.
        device: Where it runs.
        engine: `modules` runs the modules as they are, the slow twin of the others; `fast` the arrangement for
            processors; `openvino` that library; `gpu` the modules with what a GPU gains from; `compiled` these,
            compiled for each shape of windows.
        precision: `float32` or `bfloat16`; `auto` is bfloat16 on a GPU and float32 elsewhere.

    Raises:
        ResourceError: See `refuse_engine`.
    """
    refuse_engine(engine, precision, device)
    if engine == "auto":
        engine = _fastest(network, device)
    if precision == "auto":
        precision = "float32"
        if device.type == "cuda":
            precision = "bfloat16"
    return ENGINES[engine](network, device, precision)


def refuse_engine(engine: str, precision: str, device: torch.device) -> None:
    """Refuse what this machine cannot do.

    Raises:
        ResourceError: The engine is not installed or not for this device (`ENGINE_MISSING`), or the processor has no
            bfloat16 arithmetic (`PRECISION_MISSING`).
    """
    on_gpu = device.type != "cpu"
    homes = {"fast": "cpu", "openvino": "cpu", "gpu": "cuda", "compiled": "cuda"}
    if homes.get(engine, device.type) != device.type:
        raise ResourceError(
            f"The engine '{engine}' does not run on the device '{device.type}'. Use --engine auto.",
            code="ENGINE_MISSING",
        )
    if engine == "openvino" and find_spec("openvino") is None:
        raise ResourceError(
            "OpenVINO is not installed. Install it with: pip install 'prosect[openvino]', or use --engine fast.",
            code="ENGINE_MISSING",
        )
    if precision == "bfloat16" and not on_gpu and not multiplies_bfloat16():
        raise ResourceError(
            "This processor has no bfloat16 arithmetic (AMX or AVX512-BF16), so it would only be slower. "
            "Use --precision float32.",
            code="PRECISION_MISSING",
        )


def multiplies_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 itself."""
    return bool(HAS_ONEDNN and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _fastest(network: Vista3D, device: torch.device) -> Engine:
    """Return the engine that is fastest on a device."""
    if device.type == "cuda":
        return "gpu"
    if device.type == "cpu" and network.architecture.width >= LEAST_WIDTH:
        return "fast"
    return "modules"


def _modules(network: Vista3D, device: torch.device, precision: Precision) -> Branches:
    """Return the modules as they are, clicks answered in float32."""
    low = precision == "bfloat16"

    def automatic_features(windows: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=low):
            return network.automatic_features(windows)

    def interactive_features(image: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=low):
            return network.interactive_features(image).float()

    return Branches(
        "modules",
        precision,
        automatic_features,
        interactive_features,
        network.point_logits,
        network.sequential,
        first_batch=1 if device.type == "cpu" else GPU_BATCH,
        maps_alive=MODULE_MAPS,
    )


def _fast(network: Vista3D, device: torch.device, precision: Precision) -> Branches:
    """Return the arrangement for processors, channels-last; of the click heads only the published one has one."""
    arranged = CpuBranches(network, getattr(torch, precision))
    modules = _modules(network, device, precision)
    fast = replace(
        modules,
        engine="fast",
        automatic_features=arranged.automatic_features,
        maps_alive=FAST_MAPS,
        release=arranged.release,
    )
    if not network.architecture.interactive:
        return fast
    fast = replace(fast, interactive_features=arranged.interactive_features)
    if not isinstance(network.point_head, PointHead):
        return fast
    head = CpuPointHead(network.point_head)

    def point_logits(
        features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        return head(features, points, labels, zero_shot)

    return replace(fast, point_logits=point_logits)


def _openvino(network: Vista3D, device: torch.device, precision: Precision) -> Branches:
    """Return OpenVINO's graphs of encoder and decoders; clicks are answered as in the arrangement for processors."""
    graphs = openvino_branches.OpenVinoBranches(network, getattr(torch, precision))
    return replace(
        _fast(network, device, "float32"),
        engine="openvino",
        precision=precision,
        automatic_features=graphs.automatic_features,
        interactive_features=graphs.interactive_features,
        maps_alive=MODULE_MAPS,
        weights_alive=graphs.weights_alive,
        release=graphs.release,
    )


def _gpu(network: Vista3D, device: torch.device, precision: Precision) -> Branches:
    """Return the modules with kernels in channels-last memory, which a GPU's matrix units read without a copy."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.weight.data = module.weight.detach().contiguous(memory_format=torch.channels_last_3d)
    return replace(_modules(network, device, precision), engine="gpu")


def _compiled(network: Vista3D, device: torch.device, precision: Precision) -> Branches:
    """Return what `_gpu` does, its sweep compiled once for each shape of windows and replayed as one CUDA graph.

    The first window of a shape takes minutes, so that it is for those who ask for it. Clicks stay as they are: their
    number of points changes.
    """
    modules = _gpu(network, device, precision)
    run = torch.compile(modules.automatic_features, mode="reduce-overhead", dynamic=False)

    def automatic_features(windows: Tensor) -> Tensor:
        # A graph writes to the same memory each time, and the features of air are kept for later windows.
        features: Tensor = run(windows)
        return features.clone(memory_format=torch.preserve_format)

    return replace(modules, engine="compiled", automatic_features=automatic_features)


ENGINES: dict[str, Callable[[Vista3D, torch.device, Precision], Branches]] = {
    "modules": _modules,
    "fast": _fast,
    "openvino": _openvino,
    "gpu": _gpu,
    "compiled": _compiled,
}
