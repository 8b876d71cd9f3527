"""What goes over the wire: labels of a box, and errors.

A delta carries the labels of a box *after* an action, not a difference: painting it twice does no harm, and one that
was lost is repaired by asking for the box again.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.errors import CheckpointError, ProsectError, ResourceError
from prosect.io.atomic import output_error

__all__ = ["DELTA_TYPE", "pack_delta", "problem_of", "problem_text", "refusal_of", "status_of", "unpack_delta"]

MAGIC = b"PDL1"
DELTA_TYPE = "application/vnd.prosect.delta"

STATUS = {
    "SCAN_UNKNOWN": 404,
    "SESSION_UNKNOWN": 404,
    "JOB_UNKNOWN": 404,
    "ROOT_UNKNOWN": 404,
    "INPUT_NOT_FOUND": 404,
    "STRUCTURE_ABSENT": 404,
    "STRUCTURE_LOCKED": 409,
    "NOTHING_TO_UNDO": 409,
    "NOTHING_TO_REDO": 409,
    "REVISION_OLD": 409,
    "SESSION_BUSY": 409,
    "SCAN_IN_USE": 409,
    "IMAGE_EXISTS": 409,
    "JOURNAL_EXISTS": 409,
    "STRUCTURES_TOO_MANY": 409,
    "STRUCTURES_DIFFER": 409,
    "STRUCTURE_EXISTS": 409,
    "DICOM_SEVERAL_SERIES": 409,
    "PATH_FORBIDDEN": 403,
    "READ_ONLY": 403,
    "PATH_INVALID": 400,
    "REQUEST_INVALID": 400,
    "INPUT_TOO_LARGE": 413,
    "INPUT_NOT_AN_IMAGE": 415,
    "QUEUE_FULL": 429,
    "GPU_MEMORY": 503,
    "SERVER_STOPPING": 503,
    "MODEL_SLOW": 503,
    "OUTPUT_UNWRITABLE": 507,
}


def status_of(error: ProsectError) -> int:
    """Return the HTTP status of an error."""
    if error.code in STATUS:
        return STATUS[error.code]
    if isinstance(error, ResourceError):
        return 507
    if isinstance(error, CheckpointError):
        return 503
    return 422


def refusal_of(error: OSError) -> ProsectError | None:
    """Return what a disk that refuses is for clients, without the path of the file; None where it was no disk."""
    if error.errno is None:
        return None
    return output_error(Path(str(error.filename or "work folder")), error)


def problem_of(error: ProsectError, status: int | None = None) -> dict[str, Any]:
    """Return an error as problem+json (RFC 9457): the same sentence and code that the command line gives."""
    number = status_of(error) if status is None else status
    return {
        "type": "about:blank",
        "title": type(error).__name__,
        "status": number,
        "detail": str(error),
        "code": error.code,
    }


def problem_text(error: BaseException) -> dict[str, str]:
    """Return an error for a page: its sentence and code."""
    if isinstance(error, ProsectError):
        return {"detail": str(error), "code": error.code}
    return {"detail": f"This is a bug of the server ({type(error).__name__}).", "code": "INTERNAL"}


def pack_delta(header: Mapping[str, Any], labels: NDArray[np.uint8] | None, box: Box | None) -> bytes:
    """Return a delta.

    Args:
        header: What it says besides; `box` is added.
        labels: Slots of the box (i j k along the display copy's axes), or None where nothing changed.
        box: Where, in voxels of the display copy.
    """
    if labels is None or box is None or not box.size:
        where, payload = None, np.empty(0, np.uint8)
    else:
        where = {"start": list(box.start), "stop": list(box.stop)}
        payload = turn(labels)
    text = json.dumps({**header, "box": where}, separators=(",", ":"), allow_nan=False).encode()
    return b"".join((MAGIC, struct.pack("<I", len(text)), text, payload.data))


def turn(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return labels (i j k) as (k j i) in one piece of memory, so that the first axis runs fastest.

    Plane by plane, because a plane fits into the processor's cache: at once it takes twice as long.
    """
    i, j, k = labels.shape
    turned = np.empty((k, j, i), dtype=np.uint8)
    for row in range(j):
        turned[:, row, :] = labels[:, row, :].T
    return turned


def unpack_delta(data: bytes) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
    """Return the header of a delta and the slots of its box (i j k), or None where nothing changed.

    Raises:
        ValueError: These bytes are no delta.
    """
    if data[:4] != MAGIC or len(data) < 8:
        raise ValueError("These bytes are no delta of prosect.")
    length = struct.unpack_from("<I", data, 4)[0]
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    if header["box"] is None:
        return header, None
    start, stop = header["box"]["start"], header["box"]["stop"]
    shape = tuple(high - low for low, high in zip(start, stop, strict=True))
    labels = np.frombuffer(data, dtype=np.uint8, offset=8 + length)
    return header, labels.reshape(shape, order="F")
