"""Read weights without running anything in them, and write ours so that one flipped bit is noticed."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from prosect.checkpoints.contents import refuse_content, refuse_other_zip, weights_file
from prosect.checkpoints.exhaustion import ran_out, refuse_exhaustion_of_loading
from prosect.checkpoints.file_metadata import KEY
from prosect.checkpoints.torch_files import Table, open_torch, unwrap
from prosect.errors import CheckpointError, ProsectWarning
from prosect.io.atomic import write_atomically

__all__ = ["RawWeights", "content_sha256", "read_weights", "write_weights"]

SPARE_BYTES = 32 << 20
CONTENT = "content_sha256"
# A tensor that only our files hold: where it is, the metadata must be too, so that damage to them cannot go unnoticed.
MARKER = "prosect.format"


@dataclass(frozen=True, eq=False)
class RawWeights:
    """Tensors as a file holds them.

    Attributes:
        tensors: Tensor by key, on the CPU.
        sha256: Hash of the file; of the file and the choice where its average was taken, not its weights, so that
            results of the two are not mistaken for one another.
        format: `safetensors` or `torch`.
        metadata: What our own files say about themselves; empty for others.
        wrapper: Keys that were unwrapped to reach the tensors.
    """

    tensors: dict[str, Tensor]
    sha256: str
    format: str
    metadata: dict[str, Any] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()


@refuse_exhaustion_of_loading()
def read_weights(path: str | Path, ema: bool = False) -> RawWeights:
    """Return the weights in a safetensors or torch file.

    A torch file is opened with `weights_only=True` and never otherwise, so what a training kept beside its weights is
    left out where it is plain data and refused where it is not; its archive checksums are verified, and so is the
    content hash that our own files carry. Where a training kept a running average of its weights beside them, a
    warning says which of the two was taken.

    Args:
        path: The file, or a bundle's or hub's folder with one in it.
        ema: Take the average, not the weights of the last step.

    Raises:
        CheckpointError: `MODEL_MISSING`, `MODEL_SEVERAL`, `MODEL_UNSAFE`, `MODEL_CORRUPT`,
            `MODEL_NUMBER_TYPE`, `MODEL_NONFINITE` or `MODEL_NO_AVERAGE`.
        ResourceError: The memory is not sufficient (`MEMORY_EXHAUSTED`).
    """
    path = weights_file(Path(path))
    found = _read_content(path, _bytes_of(path), ema)
    _require_dense(path, found.tensors)
    _require_finite(path, found.tensors)
    return found


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        if ran_out(error):
            raise
        raise CheckpointError(
            f"{path.name}: the weights cannot be read ({error.strerror}). Check the path.", code="MODEL_MISSING"
        ) from error


def _read_content(path: Path, data: bytes, ema: bool) -> RawWeights:
    """Return the weights in the bytes of a file, by what they begin with; its ending is not believed."""
    sha256 = hashlib.sha256(data).hexdigest()
    if data[8:9] == b"{":  # asked first: a header's length can begin with a pickle's first byte
        if ema:
            raise CheckpointError(
                f"{path.name}: averaged weights were asked for; a safetensors file holds one set. Load it without "
                "asking for them.",
                code="MODEL_NO_AVERAGE",
            )
        return _read_safetensors(path, data, sha256)
    is_zip = data[:2] == b"PK"
    if is_zip and (other := refuse_other_zip(path, data)):
        raise other
    if not is_zip and data[:1] != b"\x80":
        raise refuse_content(path, data)
    table = unwrap(path, open_torch(path, data), ema)
    _tell_choice(path, table)
    return RawWeights(table.tensors, _hash_of_choice(sha256, table, ema), "torch", {}, table.wrapper)


def _read_safetensors(path: Path, data: bytes, sha256: str) -> RawWeights:
    # The library copies every tensor, and panics where it gets no memory for that: so the memory is asked for first.
    bytearray(len(data) + SPARE_BYTES)
    try:
        tensors = load_safetensors(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        metadata = dict(json.loads(header.get("__metadata__", {}).get(KEY, "{}")))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path.name}: the file is damaged or cut short. Download it again.", code="MODEL_CORRUPT"
        ) from error
    ours = tensors.pop(MARKER, None) is not None
    if ours != bool(metadata) or (ours and metadata.get(CONTENT) != content_sha256(tensors, metadata)):
        raise CheckpointError(
            f"{path.name}: its content does not match the hash it carries; it was damaged. Download it again.",
            code="MODEL_CORRUPT",
        )
    return RawWeights(tensors, sha256, "safetensors", metadata)


def _hash_of_choice(sha256: str, table: Table, ema: bool) -> str:
    if not (ema and table.twin):
        return sha256
    return hashlib.sha256(f"{sha256} {'.'.join(table.wrapper)}".encode()).hexdigest()


def _tell_choice(path: Path, table: Table) -> None:
    """Warn that a file holds two sets of weights, and say which was taken."""
    if table.twin:
        warnings.warn(
            f"{path.name} holds two sets of weights: {'.'.join(table.wrapper)} was taken, {table.twin} was not. A "
            "running average is taken with `ema=True` in Python, or by `prosect weights import FILE MODEL --ema`.",
            ProsectWarning,
            stacklevel=3,
        )


def _require_dense(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that do not hold one number for each of their places."""
    for key, value in tensors.items():
        if value.is_meta:
            kind = "has a shape but no numbers"
        elif value.layout != torch.strided or value.is_nested:
            kind = f"is packed ({str(value.layout).removeprefix('torch.')})"
        else:
            continue
        raise CheckpointError(
            f"{path.name}: the tensor {key} {kind}. Plain tensors are needed: save the weights as they were before "
            "they were packed, or unpack them with to_dense().",
            code="MODEL_NUMBER_TYPE",
        )


def _require_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not finite as the float32 that networks run in; double precision holds larger ones."""
    bad = []
    for k, v in tensors.items():
        if v.is_floating_point() and not bool(torch.isfinite(v.float()).all()):
            bad.append(k)
    if bad:
        raise CheckpointError(
            f"{path.name}: {len(bad)} tensors hold NaN or infinite weights, the first is {bad[0]}. The training that "
            "made this file failed; use an earlier checkpoint.",
            code="MODEL_NONFINITE",
        )


def content_sha256(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Return the hash of tensors and metadata, the hash's own entry left out."""
    digest = hashlib.sha256()
    rest = {}
    for k, v in metadata.items():
        if k != CONTENT:
            rest[k] = v
    digest.update(json.dumps(rest, sort_keys=True).encode())
    for key in sorted(tensors):
        value = tensors[key].contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_weights(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], dtype: torch.dtype | None = None
) -> Path:
    """Write safetensors atomically, with metadata and a content hash; the same input gives the same bytes.

    Args:
        path: Where to.
        tensors: Weights by key.
        metadata: JSON-able description.
        dtype: Floating-point type to store; None keeps each tensor's own.

    Raises:
        CheckpointError: A weight is not finite after conversion.
        ResourceError: The disk is full.
    """
    path = Path(path)
    kept = {}
    for k, v in tensors.items():
        kept[k] = (v.to(dtype) if dtype and v.is_floating_point() else v).contiguous()
    _require_finite(path, kept)
    plain = json.loads(json.dumps(dict(metadata)))  # as a reader finds it: keys that are numbers become words
    described = {**plain, CONTENT: content_sha256(kept, plain)}
    data = save_safetensors(
        {**kept, MARKER: torch.ones(1, dtype=torch.uint8)}, {KEY: json.dumps(described, sort_keys=True)}
    )
    write_atomically(path, [data])
    return path
