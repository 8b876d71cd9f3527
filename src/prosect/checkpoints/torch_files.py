"""Open files of `torch.save` without running anything in them, and find the table of weights among what they hold."""

from __future__ import annotations

import argparse
import io
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prosect.checkpoints.exhaustion import ran_out
from prosect.errors import CheckpointError

__all__ = ["Table", "open_torch", "unwrap"]

# Under which names training codes put weights: MONAI, Lightning, SAM-Med3D, nnU-Net, BasicSR, DeepSpeed.
WRAPPERS = (
    "model", "state_dict", "model_state_dict", "network", "net", "network_weights", "params", "module", "weights",
)  # fmt: skip
# And under which the running average of them: timm, BasicSR and others.
AVERAGED = (
    "state_dict_ema", "model_ema", "ema_state_dict", "model_state_dict_ema", "model_ema_state_dict", "ema_model",
    "params_ema", "ema",
)  # fmt: skip
DEEPEST = 4


class Beside:
    """Stands for a numpy or path object that a training kept beside its weights.

    It takes whatever the file says and does nothing with it, so numpy's own functions, which trust what they are given,
    are never called.
    """

    def __init__(self, *given: object) -> None:
        """Take the arguments that the object was made with."""

    def __setstate__(self, state: object) -> None:
        """Take the state that the object had."""


# What training files keep beside the weights and what cannot run anything when it is rebuilt. SAM-Med3D's carry the
# options of their command line, many others a best score as a numpy number (numpy 1 and 2 name the makers differently).
STANDS_IN = (
    "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct", "numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer",
    "numpy.ndarray", "numpy.dtype", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath",
    "pathlib._local.PosixPath", "pathlib._local.WindowsPath", "datetime.datetime", "datetime.timedelta",
)  # fmt: skip
HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [argparse.Namespace]
HARMLESS += [(Beside, name) for name in STANDS_IN]


@dataclass(frozen=True, eq=False)
class Table:
    """The weights in a file.

    Attributes:
        tensors: Tensor by key.
        wrapper: Keys that led to them.
        twin: Key of the other set, where there are plain and averaged weights; empty where there is one.
    """

    tensors: dict[str, Tensor]
    wrapper: tuple[str, ...] = ()
    twin: str = ""


def open_torch(path: Path, data: bytes) -> Any:
    """Return what a file of `torch.save` holds, its archive checksums verified.

    Args:
        path: Its name, for messages. The ending is not believed.
        data: Its bytes.

    Raises:
        CheckpointError: It could run code (`MODEL_UNSAFE`), or is damaged (`MODEL_CORRUPT`).
    """
    try:
        if data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(damaged)
        with torch.serialization.safe_globals(HARMLESS):
            # Bytes, since torch reads a path that ends in .safetensors as one, whatever it holds.
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name}: the file holds more than weights and could run code when opened, so it stays closed. "
            "Ask its author for plain weights or safetensors.",
            code="MODEL_UNSAFE",
        ) from error
    # A damaged archive or pickle surfaces as almost any error of the reader; none of its content has been used.
    except Exception as error:
        if ran_out(error):
            raise
        raise CheckpointError(
            f"{path.name}: the file is damaged, cut short or no torch file. Download it again.", code="MODEL_CORRUPT"
        ) from error


def unwrap(path: Path, found: Any, averaged: bool = False) -> Table:
    """Return the table of weights among what a file holds.

    Args:
        path: The file, for messages.
        found: What it holds.
        averaged: Take the running average that a training kept beside its weights, not the weights.

    Raises:
        CheckpointError: There is none (`MODEL_WRONG_NETWORK`), or no average (`MODEL_NO_AVERAGE`).
    """
    wrapper: list[str] = []
    twin = ""
    for _ in range(DEEPEST):
        if not isinstance(found, Mapping):
            break
        plain, mean = _first_table(found, WRAPPERS), _first_table(found, AVERAGED)
        if plain and mean:
            twin = plain if averaged else mean
        chosen = mean if averaged and mean else plain or mean or _only_table(found)
        if chosen is None:
            break
        wrapper.append(chosen)
        found = found[chosen]
    tensors = _require_table(path, found)
    if averaged and not any(key in AVERAGED for key in wrapper):
        raise CheckpointError(
            f"{path.name}: averaged weights were asked for, and the file has none beside its weights. Load it without "
            "asking for them.",
            code="MODEL_NO_AVERAGE",
        )
    return Table(tensors, tuple(wrapper), twin)


def _require_table(path: Path, found: Any) -> dict[str, Tensor]:
    if not isinstance(found, Mapping) or not found:
        cause = "no table of tensors was found in it"
    elif others := [key for key, value in found.items() if not isinstance(value, Tensor)]:
        cause = f"no table of tensors alone was found in it ({others[0]!r} is another thing)"
    else:
        rows: dict[str, Tensor] = {}
        for key, value in found.items():
            rows[str(key)] = value
        return rows
    raise CheckpointError(
        f"{path.name}: {cause}. Save the network's state_dict alone.",
        code="MODEL_WRONG_NETWORK",
    )


def _first_table(found: Mapping[Any, Any], names: Iterable[str]) -> str | None:
    """Return the first of these keys that leads to tensors; a configuration may have such a name, too."""
    return next((name for name in names if _leads_to_tensors(found.get(name), DEEPEST)), None)


def _leads_to_tensors(value: object, depth: int) -> bool:
    if not isinstance(value, Mapping) or depth == 0:
        return False
    if any(isinstance(inner, Tensor) for inner in value.values()):
        return True
    return any(_leads_to_tensors(inner, depth - 1) for inner in value.values())


def _only_table(found: Mapping[Any, Any]) -> str | None:
    """Return the key of the one table of tensors in a file whose author named it in a way of his own."""
    tables = []
    for key, value in found.items():
        if isinstance(value, Tensor):
            return None
        if isinstance(value, Mapping) and value and all(isinstance(inner, Tensor) for inner in value.values()):
            tables.append(key)
    if len(tables) == 1 and isinstance(tables[0], str):
        return str(tables[0])
    return None
