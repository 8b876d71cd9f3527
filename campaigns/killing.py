"""What the kill campaigns share: a tiny model, small scans, and a command that dies at a chosen moment.

The command runs in a fork of a process that has loaded the libraries already: a kill then hits the work and not the
seconds of importing, and a thousand trials take minutes.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

import prosect
from prosect.checkpoints.files import write_weights
from prosect.cli.main import main
from prosect.geometry import Grid
from prosect.networks.vista3d import Architecture, vista3d
from prosect.volume import Volume

LOADED = (
    "prosect.cli.commands.segment",
    "prosect.cli.commands.segment_folder",
    "prosect.models",
    "prosect.io.nifti",
    "prosect.results.environment",
)
STEP_S = 0.0005


def prepare() -> None:
    """Load what the command needs, before the first fork."""
    for name in LOADED:
        importlib.import_module(name)


def tiny_weights(folder: Path) -> Path:
    """Write a random model of two structures."""
    torch.manual_seed(0)
    network = vista3d(Architecture(width=8, blocks=(1, 1), interactive=False))
    described = {
        "model": "prosect-small", "vocabulary": "prosect", "classes": [1, 3],
        "preprocessing": {"spacing_mm": [3, 3, 3], "patch": [16, 16, 16]},
    }  # fmt: skip
    return write_weights(folder / "tiny.safetensors", network.state_dict(), described)


def noise_scan(path: Path, rng: np.random.Generator, size: int, spacing_mm: float = 3.0) -> Path:
    """Write a scan of noise, whose labels compress badly; a fine spacing makes much to write and little to compute."""
    shape = tuple(int(n) for n in rng.integers(size // 2, size + 1, 3))
    values = rng.normal(0, 300, shape).astype(np.float32)
    return prosect.write(Volume(values, Grid(shape, np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])), "CT"), path)


def fork(words: Sequence[object]) -> int:
    """Start a command and return its process id; it says nothing."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        torch.set_num_threads(1)
        status = main([str(word) for word in words])
    finally:
        os._exit(status)


def finish(words: Sequence[object]) -> tuple[int, float]:
    """Run a command to its end and return its status and its seconds."""
    begin = time.perf_counter()
    _, state = os.waitpid(fork(words), 0)
    return os.waitstatus_to_exitcode(state), time.perf_counter() - begin


def kill_when(words: Sequence[object], ready: Callable[[], bool], delay_s: float) -> bool:
    """Run a command, kill it (SIGKILL) `delay_s` after `ready`, and return whether it was still at work."""
    process = fork(words)
    while True:
        ended, state = os.waitpid(process, os.WNOHANG)
        if ended:
            return False
        if ready():
            break
        time.sleep(STEP_S)
    time.sleep(delay_s)
    os.kill(process, signal.SIGKILL)
    _, state = os.waitpid(process, 0)
    return os.WIFSIGNALED(state)


def is_leftover(path: Path) -> bool:
    """Return whether a file is a temporary one, or lies in a temporary folder."""
    return any(part.startswith(".") and ".tmp-" in part for part in path.parts)


def contents(folder: Path, skip: Sequence[str] = ()) -> dict[str, str]:
    """Return the hash of each finished file below a folder by its relative name."""
    found = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.as_posix(): hashlib.sha256((folder / path).read_bytes()).hexdigest()
        for path in found
        if not is_leftover(path) and path.name not in skip
    }


def leftovers(folder: Path) -> int:
    """Return how many temporary files and folders lie in a folder."""
    return sum(is_leftover(Path(path.name)) for path in folder.rglob("*"))
