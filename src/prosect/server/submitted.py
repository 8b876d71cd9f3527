"""Labels that MONAI Label's clients submit: Slicer sends a file, OHIF nothing but the voxels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prosect.errors import FormatError
from prosect.io.reading import read_labels
from prosect.io.stored import Label, Outgoing
from prosect.io.writing import store
from prosect.server.scans import OpenScan

__all__ = ["read_submitted"]

GREY = (128, 128, 128)
MOST_NAMES = 1000


def read_submitted(scan: OpenScan, path: Path, said: Mapping[str, Any]) -> tuple[Path, tuple[Mapping[str, Any], ...]]:
    """Return a file of labels that can be read again, and the names of its values as the client told them.

    Voxels without a header lie as the scan's own do, i running fastest; they get a header.

    Args:
        scan: The image that they belong to.
        path: What was sent.
        said: What the client says beside it: `label_info`.

    Raises:
        ProsectError: These are no labels, or not of this image (`LABEL_SHAPE`).
    """
    info = told_names(said.get("label_info"))
    grid = scan.volume.grid
    if path.suffix != ".bin":
        shape = read_labels(path).grid.shape
        if shape != grid.shape:
            raise FormatError(f"The labels have shape {shape}, the image {grid.shape}.", code="LABEL_SHAPE")
        return path, info
    size = path.stat().st_size
    if size != grid.voxel_count:
        raise FormatError(f"{size} bytes for {grid.voxel_count} voxels of the image.", code="LABEL_SHAPE")
    array = np.fromfile(path, dtype=np.uint8).reshape(grid.shape, order="F")
    labels = []
    for row in sorted(info, key=lambda each: int(each["idx"])):
        labels.append(Label(int(row["idx"]), str(row["name"]), GREY))
    named = path.with_name("label.nii.gz")
    store(Outgoing(array, grid, tuple(labels), is_labels=True, header=scan.volume.source.header), named)
    return named, info


def told_names(rows: Any) -> tuple[Mapping[str, Any], ...]:
    """Return name and value of each structure, as far as a client told them in a way that can be read."""
    found = []
    for row in rows[:MOST_NAMES] if isinstance(rows, list) else ():
        good = isinstance(row, dict) and isinstance(row.get("name"), str) and isinstance(row.get("idx"), int)
        if good and 0 < row["idx"] < 65536:
            found.append({"name": row["name"][:200], "idx": row["idx"]})
    return tuple(found)
