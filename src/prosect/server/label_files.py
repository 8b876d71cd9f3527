"""Label files for viewers that number structures in ways of their own, and the multipart answer that carries one."""

from __future__ import annotations

import json
import secrets
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from prosect.errors import FormatError
from prosect.geometry import Grid
from prosect.io.lps import affine_in_lps
from prosect.io.stored import Label, Outgoing
from prosect.io.writing import store

__all__ = ["ENDINGS", "encode_labels", "form_reply", "plain_nrrd"]

ENDINGS = (".nrrd", ".nii", ".nii.gz", ".seg.nrrd")
TYPES = {"|u1": "uint8", "<u2": "uint16"}
GREY = (128, 128, 128)
GZIP = 31  # zlib's word for a gzip stream with the largest window


def encode_labels(
    array: NDArray[Any], grid: Grid, names: Mapping[str, int], ending: str, compress: bool = True, header: Any = None
) -> bytes:
    """Return labels as the bytes of a file.

    Args:
        array: Values (i j k).
        grid: Where they lie.
        names: The value of each structure.
        ending: One of `ENDINGS`.
        compress: Whether an NRRD file is gzipped.
        header: Of the scan, whose geometry is repeated where the format is the same.

    Raises:
        FormatError: There is no such format (`OUTPUT_FORMAT`).
    """
    if ending not in ENDINGS:
        raise FormatError(
            f"'{ending:.20}' is no format for labels here; use {', '.join(ENDINGS)}.", code="OUTPUT_FORMAT"
        )
    if ending == ".nrrd":
        return plain_nrrd(array, grid, compress)
    labels = tuple(Label(value, name, GREY) for name, value in sorted(names.items(), key=lambda pair: pair[1]))
    with tempfile.TemporaryDirectory(prefix="prosect-labels-") as folder:
        path = Path(folder) / f"label{ending}"
        store(Outgoing(array, grid, labels, is_labels=True, header=header), path)
        return path.read_bytes()


def plain_nrrd(array: NDArray[Any], grid: Grid, compress: bool) -> bytes:
    """Return values (i j k) as an NRRD file in LPS with nothing but the geometry, i running fastest."""
    lps = affine_in_lps(grid)
    vectors = ["(" + ",".join(repr(float(number)) for number in lps[:3, column]) + ")" for column in range(4)]
    kind = array.dtype.newbyteorder("<")
    lines = [
        "NRRD0004",
        f"type: {TYPES[kind.str]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {array.shape[0]} {array.shape[1]} {array.shape[2]}",
        f"space directions: {vectors[0]} {vectors[1]} {vectors[2]}",
        "kinds: domain domain domain",
        "endian: little",
        f"encoding: {'gzip' if compress else 'raw'}",
        f"space origin: {vectors[3]}",
    ]
    payload = array.astype(kind, copy=False).tobytes(order="F")
    if compress:
        deflate = zlib.compressobj(1, wbits=GZIP)
        payload = deflate.compress(payload) + deflate.flush()
    return ("\n".join(lines) + "\n\n").encode("ascii") + payload


def form_reply(params: Mapping[str, Any], name: str, content: bytes) -> tuple[bytes, str]:
    """Return a multipart body with `params` and one file, and its content type.

    Args:
        params: What is said beside the file.
        name: The client saves the file by this name.
        content: The file.
    """
    boundary = secrets.token_hex(16)
    said = json.dumps(params, allow_nan=False).encode()
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\n'.encode(),
        b"Content-Type: application/json\r\n\r\n" + said + b"\r\n",
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'.encode(),
        b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n",
        f"--{boundary}--\r\n".encode(),
    ]
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"
