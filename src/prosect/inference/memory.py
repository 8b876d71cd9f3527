"""How much memory a run needs, told before anything is allocated; and what the machine has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from prosect.errors import ResourceError
from prosect.inference.accumulate import PLANES
from prosect.inference.windows import Shape, WindowPlan

__all__ = [
    "MemoryPlan",
    "attempts",
    "available_bytes",
    "plan_memory",
    "refuse_exhaustion",
    "refuse_exhaustion_of_click",
]

# What torch and its kernels keep for themselves; measured.
LIBRARIES = 64 * 2**20
# Address space that threads, allocators and code loaded on first use take beside memory. Under a limit of it, compiled
# libraries that cannot get a few kilobytes abort the process, so it is kept free.
ADDRESSES = 96 * 2**20
GIB = 2**30


@dataclass(frozen=True)
class MemoryPlan:
    """The peak of a run above the loaded model, in bytes, by part.

    Attributes:
        native: The scan's shape.
        prepared: The shape the network sees.
        windows: Number of windows.
        parts: Bytes by part; those of a phase are alive together.
    """

    native: Shape
    prepared: Shape
    windows: int
    parts: dict[str, int]

    @property
    def peak(self) -> int:
        """Bytes at the peak: the largest of preparing, sweeping and writing."""
        p = self.parts
        preparing = p["scan"] + max(p["preparing"], p["prepared"])
        sweeping = p["scan"] + p["prepared"] + p["slab"] + p["window"] + p["labels"] + p.get("engine", 0)
        return max(preparing, sweeping) + p["libraries"]

    def __str__(self) -> str:
        shape = " x ".join(str(n) for n in self.native)
        prepared = " x ".join(str(n) for n in self.prepared)
        lines = [f"scan {shape}, network grid {prepared}, {self.windows} windows"]
        lines += [f"  {name:<12}{size / GIB:8.3f} GiB" for name, size in self.parts.items()]
        lines.append(f"  {'peak':<12}{self.peak / GIB:8.3f} GiB above the loaded model")
        return "\n".join(lines)

    def require(self, available: int) -> None:
        """Refuse a run that does not fit.

        Raises:
            ResourceError: The peak exceeds `available` bytes.
        """
        if self.peak > available:
            raise ResourceError(
                f"This run needs {self.peak / GIB:.2f} GiB and {available / GIB:.2f} GiB are free. Crop the scan, name "
                "fewer classes with overlap, or use a machine with more memory.",
                code="MEMORY_INSUFFICIENT",
            )


def plan_memory(
    native: Shape,
    plan: WindowPlan,
    channels: int,
    window_maps: float,
    layers: int,
    label_bytes: int,
    preparing: int,
    weights: int = 0,
) -> MemoryPlan:
    """Return the memory plan of one automatic run.

    Args:
        native: The scan's shape.
        plan: Window placement on the network grid.
        channels: Feature channels.
        window_maps: Full-resolution feature maps alive at once inside one window of the network, scratch included.
        layers: Label arrays on the scan's grid: 1, or one per class with overlap.
        label_bytes: Bytes per label.
        preparing: Most bytes held beside the scan while it is prepared.
        weights: Bytes of the weights as an engine has them for itself, beside those of the model.
    """
    voxels = _count(native)
    prepared = _count(plan.padded)
    depth = plan.window[plan.sweep_axis]
    cross_section = prepared // plan.padded[plan.sweep_axis]
    # The ring, and the few planes handed out with the decisions made on them.
    slab = (depth * (channels + 1) + (PLANES + 1) * (channels + 8)) * cross_section * 4
    copies = 2
    if plan.padded == plan.shape:
        copies = 1
    parts = {
        "scan": voxels * 4,
        "preparing": preparing,
        "prepared": prepared * 4 * copies,
        "slab": slab,
        "window": int(_count(plan.window) * channels * 4 * window_maps),
        "labels": voxels * layers * label_bytes,
        "libraries": LIBRARIES,
    }
    if weights:
        parts["engine"] = weights
    return MemoryPlan(native, plan.shape, plan.count, parts)


@contextmanager
def refuse_exhaustion() -> Iterator[None]:
    """Turn every way in which memory runs out inside the block into one typed error.

    Raises:
        ResourceError: An allocation failed, in numpy or in torch.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise ResourceError(
            "The memory ran out; nothing was written. Other programs may hold it: see the need with --dry-run, close "
            "them, crop the scan, or use a machine with more memory.",
            code="MEMORY_EXHAUSTED",
        ) from error


@contextmanager
def refuse_exhaustion_of_click() -> Iterator[None]:
    """Turn every way in which memory runs out over one click, a GPU's too, into one typed error.

    A sweep tries with less before it gives up, so it does not use this.

    Raises:
        ResourceError: An allocation failed, on the processor (`MEMORY_EXHAUSTED`) or the GPU (`GPU_MEMORY`).
    """
    try:
        with refuse_exhaustion():
            yield
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            "The GPU ran out of memory over one click; nothing has changed. Close what else uses it, or use "
            "--device cpu.",
            code="GPU_MEMORY",
        ) from error


def attempts(first_batch: int, device: torch.device) -> list[tuple[int, torch.device]]:
    """Return what to try in turn when memory runs out: windows per batch, and where they are blended."""
    tries: list[tuple[int, torch.device]] = []
    batch = first_batch
    while batch >= 1:
        tries.append((batch, device))
        batch //= 2
    if device.type != "cpu":
        tries.append((1, torch.device("cpu")))
    return tries


def _count(shape: Shape) -> int:
    return int(shape[0]) * int(shape[1]) * int(shape[2])


def available_bytes() -> int:
    """Return free memory in bytes, no more than a container's limit or the process's own leaves."""
    free = int(psutil.virtual_memory().available)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists():
        text = limit.read_text().strip()
        if text.isdigit():
            # In a container the machine may have more than the container may take.
            free = min(free, int(text) - int(used.read_text()))
    return min(free, _address_space())


def _address_space() -> int:
    """Return how far this process may grow under its own limit (`ulimit -v`), where there are such limits."""
    if not hasattr(psutil, "RLIMIT_AS"):
        return sys.maxsize
    process = psutil.Process()
    limit = int(process.rlimit(psutil.RLIMIT_AS)[0])
    if limit == psutil.RLIM_INFINITY:
        return sys.maxsize
    return max(limit - int(process.memory_info().vms) - ADDRESSES, 0)
