"""The devices of this machine, by the names users of other tools know."""

from __future__ import annotations

import torch

from prosect.errors import ResourceError

__all__ = ["device_named"]


def device_named(name: str) -> torch.device:
    """Return a device by name: `auto`, `cpu`, `gpu`, `cuda`, `cuda:N`, `gpu:N` or `mps`.

    Raises:
        ResourceError: The device is not on this machine (`DEVICE_MISSING`).
    """
    name = str(name)  # a torch.device says its own name
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name.replace("gpu", "cuda"))
    except RuntimeError as error:
        raise ResourceError(f"'{name}' is no device; use cpu, gpu, gpu:N or mps.", code="DEVICE_MISSING") from error
    if not _is_present(device):
        raise ResourceError(f"This machine has no device '{name}'. Use --device cpu.", code="DEVICE_MISSING")
    return device


def _is_present(device: torch.device) -> bool:
    """Return whether this machine has a device."""
    if device.type == "cpu":
        return True
    if device.type == "mps":
        return torch.backends.mps.is_available()
    if device.type == "cuda" and torch.cuda.is_available():
        return (device.index or 0) < torch.cuda.device_count()
    return False
