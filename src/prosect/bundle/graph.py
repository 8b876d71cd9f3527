"""The automatic branch as a graph for other runtimes: windows in, features out, and class vectors apart.

A class logit is the dot product of a feature with the vector of its class. So one graph serves every set of classes,
and what follows it is one matrix product: `einsum("qc,bcijk->bqijk", vectors, features)`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prosect.errors import CheckpointError, OutputError
from prosect.io.atomic import output_error, sync_file, sync_folder
from prosect.io.paths import file_name
from prosect.io.temporary import make_temporary_folder, sweep_beside
from prosect.models import Learns

__all__ = ["export_onnx", "export_torchscript"]

Shape = tuple[int, int, int]


class AutomaticBranch(nn.Module):
    """The encoder, the automatic decoder and the mapping behind it.

    Args:
        model: Whose branch it is.
    """

    def __init__(self, model: Learns) -> None:
        super().__init__()
        self.network = model.network

    def forward(self, windows: Tensor) -> Tensor:
        """Return features (b c i j k) of windows (b 1 i j k) that are scaled to [0, 1]."""
        return self.network.automatic_features(windows)


def export_onnx(model: Learns, path: Path, window: Shape | None = None) -> tuple[Path, ...]:
    """Write `path` (ONNX), and beside it the class vectors and what they are for; return the files.

    Args:
        model: A model that finds classes.
        path: A file whose name ends in `.onnx`.
        window: Shape (i j k) of a window; by default that of the model. It is fixed in the graph.

    Raises:
        CheckpointError: The network has no automatic branch (`MODEL_NO_AUTOMATIC`).
        OutputError: A file is there already (`OUTPUT_EXISTS`), or cannot be written; nothing is left then.
        ResourceError: The disk is full (`DISK_FULL`); nothing is left then.
    """
    branch, example = prepare(model, path, ".onnx", window)
    with torch.no_grad():
        program = torch.onnx.export(
            branch, (example,), dynamo=True, input_names=["windows"], output_names=["features"], verbose=False
        )
    assert program is not None
    with staged(path) as place:
        program.save(str(place))
        write_vectors(model, place, tuple(example.shape[2:]))
    return (path, *beside(path))


def export_torchscript(model: Learns, path: Path, window: Shape | None = None) -> tuple[Path, ...]:
    """Write `path` (TorchScript), and beside it the class vectors and what they are for; return the files.

    Args:
        model: A model that finds classes.
        path: A file whose name ends in `.pt` or `.ts`.
        window: Shape (i j k) of a window; by default that of the model.

    Raises:
        CheckpointError: The network has no automatic branch (`MODEL_NO_AUTOMATIC`).
        OutputError: A file is there already (`OUTPUT_EXISTS`), or cannot be written; nothing is left then.
        ResourceError: The disk is full (`DISK_FULL`); nothing is left then.
    """
    branch, example = prepare(model, path, (".pt", ".ts"), window)
    with torch.no_grad():
        jit: Any = torch.jit  # some of its functions state no types
        traced = jit.trace(branch, example, check_trace=False)
    with staged(path) as place:
        traced.save(str(place))
        write_vectors(model, place, tuple(example.shape[2:]))
    return (path, *beside(path))


def prepare(
    model: Learns, path: Path, endings: str | tuple[str, ...], window: Shape | None
) -> tuple[nn.Module, Tensor]:
    """Return the branch in evaluation mode, and windows (1 1 i j k) of zeros to follow through it."""
    if not model.network.architecture.automatic:
        raise CheckpointError(
            f"{model.spec.name}: this network takes clicks only; there is no automatic branch to export.",
            code="MODEL_NO_AUTOMATIC",
        )
    if not path.name.endswith(endings):
        raise OutputError(f"{file_name(path)}: end the name in {endings}.", code="OUTPUT_FORMAT_UNKNOWN")
    for place in (path, *beside(path)):
        if place.exists():
            raise OutputError(f"{file_name(place)}: this file exists. Give another name.", code="OUTPUT_EXISTS")
    shape = window or model.spec.window
    return AutomaticBranch(model).eval(), torch.zeros(1, 1, *shape)


def beside(path: Path) -> tuple[Path, Path]:
    """Return where the class vectors go, and the words about them."""
    return path.with_suffix(".vectors.npy"), path.with_suffix(".json")


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield where to write a graph; it and what is written beside it take their places when the block ends well.

    The libraries that write graphs take a path and write in place. So all is written in a temporary folder beside the
    place, brought to the disk and renamed, the graph last: where it is, the rest is too.

    Raises:
        OutputError: The place cannot be written (`OUTPUT_UNWRITABLE`).
        ResourceError: The disk is full (`DISK_FULL`).
    """
    folder: Path | None = None
    try:
        sweep_beside(path)
        folder = make_temporary_folder(path)
        yield folder / path.name
        for place in sorted(folder.iterdir(), key=lambda place: place.name == path.name):
            sync_file(place)
            os.replace(place, path.parent / place.name)
        sync_folder(path.parent)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def write_vectors(model: Learns, path: Path, window: tuple[int, ...]) -> None:
    """Write one vector (c) per supported class as the rows of an array, and which row is which."""
    vectors, words = beside(path)
    chosen = [structure for structure in model.vocabulary if structure.supported and structure.status != "group"]
    with torch.no_grad():
        table = model.network.class_vectors([structure.index for structure in chosen]).float().numpy()
    np.save(vectors, np.ascontiguousarray(table))
    intensity = model.spec.intensity
    about = {
        "model": model.spec.name,
        "weights_sha256": model.spec.weights_sha256,
        "window": list(window),
        "spacing_mm": list(model.spec.spacing_mm),
        "intensity": {"kind": intensity.kind, "low": intensity.low, "high": intensity.high},
        "input": "windows (1 1 i j k), axes to right, anterior, superior, intensities scaled to [0, 1]",
        "output": "features (1 c i j k); logits are einsum('qc,bcijk->bqijk', vectors, features)",
        "classes": [{"row": row, "index": s.index, "name": s.name} for row, s in enumerate(chosen)],
    }
    words.write_bytes(json.dumps(about, indent=2).encode("ascii") + b"\n")
