"""`prosect doctor`: what this machine offers and what is missing; it reports, and never fails with a traceback."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from prosect.checkpoints import catalog
from prosect.cli.console import open_console, plain_table
from prosect.errors import CheckpointError, ResourceError
from prosect.lazy import lazy_module

if TYPE_CHECKING:
    import psutil
    import torch

    from prosect.checkpoints import keeping
    from prosect.io.dicom import pixels
else:
    psutil = lazy_module("psutil")
    torch = lazy_module("torch")
    keeping = lazy_module("prosect.checkpoints.keeping")
    pixels = lazy_module("prosect.io.dicom.pixels")

__all__ = ["run"]

GOOD, NOTE, BAD = "ok", "note", "bad"
STYLES = {GOOD: "green", NOTE: "yellow", BAD: "bold red"}
# The dependencies of pyproject.toml; a contract test holds the two together.
NEEDED = (
    "torch", "numpy", "scipy", "scikit-image", "nibabel", "pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls",
    "safetensors", "matplotlib", "psutil", "rich",
)  # fmt: skip
LITTLE_MEMORY = 4 << 30

Row = tuple[str, str, str]


def run(args: argparse.Namespace) -> int:
    """Print one line per check.

    Returns:
        0; 5 where a library is missing; 6 where the shipped weights are missing or damaged.
    """
    table = plain_table(header=False)
    status = 0
    for check, failure in CHECKS:
        for name, state, detail in guarded(check):
            table.add_row(name, f"[{STYLES[state]}]{state}[/]", detail.replace("[", r"\["))
            status = max(status, failure if state == BAD else 0)
    open_console(markup=True).print(table)
    return status


def guarded(check: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """Yield the rows of a check; a check that breaks becomes a row that says how."""
    try:
        yield from check()
    except Exception as error:  # a doctor that dies of the illness is of no use
        yield check.__name__.replace("_", " "), BAD, f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def python() -> Iterator[Row]:
    """Yield interpreter and system."""
    recent = sys.version_info >= (3, 11)
    yield "python", GOOD if recent else BAD, f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def libraries() -> Iterator[Row]:
    """Yield the versions of what is needed."""
    found, missing = [], []
    for name in NEEDED:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    yield "libraries", GOOD, ", ".join(found)
    if missing:
        yield "missing", BAD, f"{', '.join(missing)}; install prosect again with pip"


def devices() -> Iterator[Row]:
    """Yield processor threads and every accelerator."""
    yield "processor", GOOD, f"{torch.get_num_threads()} threads for {os.cpu_count()} cores"
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        yield "accelerator", NOTE, "none; everything runs on the processor"
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        card = torch.cuda.get_device_properties(number)
        yield f"cuda:{number}", GOOD, f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        yield "mps", GOOD, "Apple GPU"


def memory() -> Iterator[Row]:
    """Yield what is free."""
    free = psutil.virtual_memory()
    state = NOTE
    if free.available > LITTLE_MEMORY:
        state = GOOD
    yield "memory", state, f"{free.available / 2**30:.1f} of {free.total / 2**30:.1f} GiB free"


def decoders() -> Iterator[Row]:
    """Yield which compressed DICOM can be read."""
    for name, package in pixels.compressions().items():
        if package:
            yield f"DICOM {name}", NOTE, f"cannot be decoded; install {package}"
        else:
            yield f"DICOM {name}", GOOD, "can be decoded"


def shipped_weights() -> Iterator[Row]:
    """Yield whether the models that ship are there and unharmed, and which others are here."""
    others = [name for name in catalog.installed() if not catalog.entry(name).shipped]
    yield "other weights", GOOD, ", ".join(others) or "none; `prosect weights list` shows what there is"
    for entry in catalog.members(None):
        try:
            yield entry.name, GOOD, str(keeping.verify(entry.name))
        except (CheckpointError, ResourceError) as error:
            yield entry.name, BAD, f"[{error.code}] {error}"


CHECKS: tuple[tuple[Callable[[], Iterator[Row]], int], ...] = (
    (python, 5), (libraries, 5), (devices, 5), (memory, 5), (decoders, 0), (shipped_weights, 6),
)  # fmt: skip
