"""The pixels of a DICOM file, opened once for all of its frames."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.io.dicom.header import Slice
from prosect.io.dicom.member import Member
from prosect.io.dicom.pixels import parse, rescale, slice_values

__all__ = ["OpenFile", "are_equal", "intensities", "open_file"]


@dataclass(frozen=True, eq=False)
class OpenFile:
    """One DICOM file, parsed: frames of a multi-frame image and tiles of a mosaic share it.

    Attributes:
        member: Where its bytes are.
        dataset: What pydicom read.
        sha256: Hash of its bytes.
        mosaic: Stored values of a mosaic once it was decoded, since its tiles are asked for one by one; else empty.
    """

    member: Member
    dataset: Any
    sha256: str
    mosaic: list[NDArray[Any]] = field(default_factory=list)


def open_file(member: Member) -> OpenFile:
    """Return a file, read and parsed."""
    raw = member.read()
    return OpenFile(member, parse(member.name, raw), hashlib.sha256(raw).hexdigest())


def intensities(opened: OpenFile, item: Slice) -> NDArray[np.float32]:
    """Return the intensities of one slice (i j)."""
    if item.tile:
        stored = tile_values(opened, item)
    else:
        stored = frame_values(opened, item)
    with np.errstate(over="ignore"):
        return rescale(stored, *(item.rescale or (1.0, 0.0))).T.astype(np.float32)


def frame_values(opened: OpenFile, item: Slice) -> NDArray[Any]:
    """Return the stored values (row, column) of a frame."""
    return slice_values(opened.member.name, opened.dataset, opened.member.size, item.frame)


def tile_values(opened: OpenFile, item: Slice) -> NDArray[Any]:
    """Return the stored values (row, column) of one tile of a mosaic."""
    if not opened.mosaic:
        opened.mosaic.append(frame_values(opened, item))
    if item.tile:
        top, left = (item.tile.top, item.tile.left)
    else:
        top, left = (0, 0)
    return opened.mosaic[0][top : top + item.rows, left : left + item.columns]


def are_equal(one: Slice, other: Slice) -> bool:
    """Return whether two slices hold the same intensities.

    Raises:
        FormatError: Either is damaged.
    """
    opened = open_file(one.member)
    if other.member is one.member:
        second = opened
    else:
        second = open_file(other.member)
    return bool(np.array_equal(intensities(opened, one), intensities(second, other)))
