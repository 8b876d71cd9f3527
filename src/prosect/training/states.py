"""The files of a training's states: written in one step, and read only where every byte is the one that was written."""

from __future__ import annotations

import errno
import zipfile
from pathlib import Path
from typing import Any

import torch

from prosect.io.atomic import atomic_file

__all__ = ["read_state", "write_state"]


def write_state(path: Path, state: dict[str, Any], previous: Path | None = None) -> None:
    """Write a state in one atomic step; what was there before takes the name of `previous`.

    Raises:
        FormatError: It cannot be written (`OUTPUT_UNWRITABLE`); what was there stays.
        ResourceError: The disk is full (`DISK_FULL`); what was there stays.
    """
    with atomic_file(path, previous=previous) as handle:
        try:
            torch.save(state, handle)
        except RuntimeError as error:  # torch's own word for a disk that is full
            raise OSError(errno.EIO, str(error)) from error


def read_state(path: Path) -> dict[str, Any] | None:
    """Return a state; None where there is none or it is damaged."""
    try:
        # torch reads tensors without a look at their checksums, and a single flipped bit would be learnt from.
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        return None
    except Exception:  # a damaged archive surfaces as almost any error; the state before may be whole
        return None
    return state
