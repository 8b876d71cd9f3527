"""The pixels of a DICOM file, opened once for all of its frames."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.io.dicom.files import Member
from prosect.io.dicom.header import Slice
from prosect.io.dicom.pixels import parse, rescaled, slice_values

__all__ = ["OpenFile", "are_equal", "intensities", "open_file"]


@dataclass(frozen=True, eq=False)
class OpenFile:
    """One DICOM file, parsed: frames of a multi-frame image share it."""

    member: Member
    dataset: Any
    sha256: str


def open_file(member: Member) -> OpenFile:
    """Return a file, read and parsed."""
    raw = member.read()
    return OpenFile(member, parse(member.name, raw), hashlib.sha256(raw).hexdigest())


def intensities(opened: OpenFile, item: Slice) -> NDArray[np.float32]:
    """Return the intensities of one slice (i j)."""
    stored = slice_values(opened.member.name, opened.dataset, opened.member.size, item.frame)
    with np.errstate(over="ignore"):
        return rescaled(stored, *(item.rescale or (1.0, 0.0))).T.astype(np.float32)


def are_equal(one: Slice, other: Slice) -> bool:
    """Return whether two slices hold the same intensities.

    Raises:
        FormatError: Either is damaged.
    """
    opened = open_file(one.member)
    second = opened if other.member is one.member else open_file(other.member)
    return bool(np.array_equal(intensities(opened, one), intensities(second, other)))
