"""The modules of training that need packages of the `training` extra, loaded when a recipe asks for them."""

from __future__ import annotations

from typing import Any

from prosect.errors import ResourceError
from prosect.lazy import load_module

__all__ = ["load_extra"]


def load_extra(module: str) -> Any:
    """Return a module of `lazy.MODULES` that needs packages of the `training` extra.

    Raises:
        ResourceError: One of them is not installed (`EXTRA_MISSING`).
    """
    try:
        return load_module(module)
    except ModuleNotFoundError as missing:
        raise ResourceError(
            f"This needs {missing.name}, which is not installed. Install it with pip install 'prosect[training]'.",
            code="EXTRA_MISSING",
        ) from missing
