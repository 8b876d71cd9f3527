"""What a result depends on beside its input: the versions of the libraries, and the number of threads."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from prosect import __version__

__all__ = ["libraries", "set_threads", "threads"]

# Those that compute or decode a value of a result, and those that write its files.
LIBRARIES = (
    "torch", "numpy", "scipy", "scikit-image", "nibabel", "pydicom", "highdicom", "pylibjpeg-openjpeg", "pyjpegls",
    "safetensors", "matplotlib",
)  # fmt: skip


def libraries() -> dict[str, str]:
    """Return the version of Python, of this package and of each library that a result can depend on."""
    found = {"prosect": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def threads() -> int:
    """Return how many threads one operation of torch may use."""
    return torch.get_num_threads()


def set_threads(count: int) -> None:
    """Let one operation of torch use this many threads."""
    torch.set_num_threads(count)
