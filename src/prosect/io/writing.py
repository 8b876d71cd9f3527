"""One writer for every format: the suffix decides, the file appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prosect.errors import GeometryError, OutputError, ProsectWarning, UsageError
from prosect.geometry import Grid
from prosect.io.atomic import gzip_chunks, probe, write_atomically
from prosect.io.dicom.choices import DicomChoices
from prosect.io.formats import WRITTEN_ENDINGS, format_for, written_ending
from prosect.io.paths import file_name
from prosect.io.stored import Label, Outgoing
from prosect.label_values import own_values
from prosect.labelmap import LabelArray, LabelLayers, LabelMap
from prosect.lazy import load_module
from prosect.vocabulary import Structure, Vocabulary
from prosect.volume import Volume

__all__ = ["Writable", "check_writable", "labels_of", "store", "store_checked", "write", "write_mask"]

Writable: TypeAlias = LabelMap | LabelLayers | Volume


def write(
    thing: Writable,
    path: str | os.PathLike[str],
    *,
    like: Volume | None = None,
    overwrite: bool = True,
    dicom: DicomChoices | None = None,
    values: Mapping[int, int] | None = None,
) -> Path:
    """Write labels or a scan to `path` in the format of its suffix, and return the path.

    The file appears whole or not at all, and the same input gives the same bytes.

    Args:
        thing: A label map, layered labels, or a scan.
        path: Ends as a format that is written does: `.nii.gz`, `.nii`, `.nrrd`, `.seg.nrrd`, `.mha`, and for
            labels `.seg.dcm`, `.rtstruct.dcm` or `.sr.dcm`.
        like: The scan that the labels belong to. Where it came from a file of the same format and its grid equals
            that of `thing`, the geometry in its header is repeated bit for bit. A scan is like itself by default.
            DICOM results need the DICOM series here that they refer to.
        overwrite: Whether a file that exists may be replaced.
        dicom: How DICOM results are written.
        values: Label value in the file by the structure's index; by default the index itself, or what a finetuned
            model's labels say. DICOM counts its segments by itself.

    Raises:
        OutputError: Unknown suffix (`OUTPUT_FORMAT_UNKNOWN`), a place that cannot be written, the file of the scan
            itself (`OUTPUT_IS_INPUT`), or a file that exists without `overwrite` (`OUTPUT_EXISTS`).
            DICOM results are refused where no series can be referred to; see `prosect.io.dicom.source`.
        GeometryError: `like` has another shape.
        ResourceError: The disk is full, or the memory is not sufficient.
    """
    writer(Path(path))  # an unknown ending is refused before anything is done
    if not isinstance(thing, Writable):
        raise UsageError(f"Labels or a scan can be written, not {type(thing).__name__}.")
    refuse_source(thing, Path(path), like)
    if not overwrite:
        refuse_existing(Path(path))
    choices = dicom or DicomChoices()
    refuse_unreferable(thing, Path(path), like, choices)
    if values is None and not isinstance(thing, Volume):
        values = own_values(thing.provenance)
    return store_checked(thing, Path(path), like, choices, values)


def store_checked(
    thing: Writable,
    path: Path,
    like: Volume | None,
    dicom: DicomChoices,
    values: Mapping[int, int] | None = None,
) -> Path:
    """Write what was refused and warned of before the work, and return the path; else as `write`."""
    row = format_for(path.name)
    counts_itself = row is not None and row.needs_source
    return store(outgoing(thing, like, dicom, {} if counts_itself else values or {}), path)


def refuse_unreferable(thing: Writable, path: Path, like: Volume | None, dicom: DicomChoices) -> None:
    """Refuse a DICOM result that cannot refer to a series, and warn of what readers may get wrong.

    Raises:
        OutputError: A scan is to be written, or see `prosect.io.dicom.source`.
    """
    row = format_for(path.name)
    if row is None or not row.needs_source:
        return
    if isinstance(thing, Volume):
        raise OutputError(
            f"{file_name(path)}: a {row.title} holds labels, not a scan. Write the scan as NIfTI, NRRD or MetaImage.",
            code="OUTPUT_UNSUPPORTED",
        )
    module = load_module(row.module)
    header = header_of(thing, like)
    module.refuse(header, thing.grid, dicom)
    for doubt in module.doubts(header, thing.grid):
        warnings.warn(f"{file_name(path)}: {doubt}", ProsectWarning, stacklevel=3)


def write_mask(
    mask: NDArray[np.bool_],
    grid: Grid,
    structure: Structure,
    path: str | os.PathLike[str],
    *,
    like: Volume | None = None,
) -> Path:
    """Write the mask of one structure (i j k) as uint8 of 0 and 1, and return the path; else as `write`.

    Raises:
        OutputError: Unknown suffix (`OUTPUT_FORMAT_UNKNOWN`), or a place that cannot be written.
        ResourceError: The disk is full.
    """
    header = None
    if like is not None and like.grid == grid:
        header = like.source.header
    label = Label(1, structure.name, structure.color, structure)
    return store(Outgoing(mask.view(np.uint8), grid, (label,), is_labels=True, header=header), Path(path))


def store(image: Outgoing, target: Path) -> Path:
    """Write an image in the format of the suffix, and return the path."""
    module, gzipped = writer(target)
    chunks: Iterator[bytes] = load_module(module).encode(image)
    write_atomically(target, gzip_chunks(chunks) if gzipped else chunks)
    return target


def refuse_existing(path: Path) -> None:
    """Refuse a name that is taken, by a link that leads nowhere too.

    Raises:
        OutputError: `OUTPUT_EXISTS`.
    """
    if os.path.lexists(path):
        raise OutputError(
            f"{file_name(path)}: the file exists. Choose another name, or replace it with `overwrite=True`.",
            code="OUTPUT_EXISTS",
        )


def refuse_source(thing: Writable, path: Path, like: Volume | None) -> None:
    """Refuse labels that would replace the scan they belong to, or do not belong to it.

    Raises:
        FormatError: The file holds the scan (`OUTPUT_IS_INPUT`).
        GeometryError: The scan has another shape.
    """
    if like is None:
        return
    if like.grid.shape != thing.grid.shape:
        raise GeometryError(f"The labels have shape {thing.grid.shape} but the scan they are like {like.grid.shape}.")
    if isinstance(thing, Volume) or not like.source.sha256 or not path.is_file():
        return
    with path.open("rb") as handle:
        same = hashlib.file_digest(handle, "sha256").hexdigest() == like.source.sha256
    if same:
        raise OutputError(
            f"{file_name(path)}: this is the scan itself, which the labels would destroy. Choose another name.",
            code="OUTPUT_IS_INPUT",
        )


def check_writable(path: str | os.PathLike[str], need_bytes: int = 0) -> None:
    """Check, before hours of work, that a result could be written to `path`.

    Args:
        path: The output to come.
        need_bytes: How large it may become; twice that must be free.

    Raises:
        OutputError: Unknown suffix (`OUTPUT_FORMAT_UNKNOWN`); folder missing or read-only (`OUTPUT_UNWRITABLE`).
        ResourceError: Too little disk space (`DISK_FULL`).
    """
    target = Path(path)
    writer(target)
    probe(target, need_bytes)


def writer(path: Path) -> tuple[str, bool]:
    """Return the module that encodes for this suffix, and whether its stream is gzipped.

    Raises:
        FormatError: No format has this suffix.
    """
    row = format_for(path.name)
    if row is None:
        raise OutputError(
            f"{file_name(path)}: no format is known by this ending. End the name in {', '.join(WRITTEN_ENDINGS)}.",
            code="OUTPUT_FORMAT_UNKNOWN",
        )
    return row.module, written_ending(path.name) in row.gzipped


def outgoing(thing: Writable, like: Volume | None, dicom: DicomChoices, values: Mapping[int, int]) -> Outgoing:
    """Return what the formats need to know of `thing`; a structure has its index where `values` has nothing else."""
    if isinstance(thing, Volume):
        return Outgoing(thing.array, thing.grid, header=header_of(thing, like or thing))
    scan = None
    if like is not None and like.grid == thing.grid:
        scan = like
    about: dict[str, Any] = {
        "is_labels": True, "header": header_of(thing, like), "scan": scan, "provenance": thing.provenance,
        "dicom": dicom,
    }  # fmt: skip
    if isinstance(thing, LabelLayers):
        labels = labels_of(thing.vocabulary, thing.indices, values)
        return Outgoing(thing.masks, thing.grid, labels, layered=True, **about)
    labels = labels_of(thing.vocabulary, thing.sought, values)
    if values:
        array = renumbered(thing.array, values)
    else:
        array = thing.array
    return Outgoing(array, thing.grid, labels, **about)


def renumbered(array: LabelArray, values: Mapping[int, int]) -> LabelArray:
    """Return label values (i j k) as a file has them; those without an entry stay."""
    table = np.arange(np.iinfo(np.uint16).max + 1, dtype=np.uint16)
    table[list(values)] = list(values.values())
    moved: LabelArray = table[array]
    if moved.max(initial=0) < 256:
        return moved.astype(np.uint8)
    return moved


def header_of(thing: Writable, like: Volume | None) -> Any:
    """Return the header whose geometry can be repeated, or None."""
    if like is not None and like.grid == thing.grid:
        return like.source.header
    return None


def labels_of(
    vocabulary: Vocabulary, indices: Iterable[int], values: Mapping[int, int] | None = None
) -> tuple[Label, ...]:
    """Return value, name and colour of each structure; a value that the vocabulary does not know goes unnamed."""
    labels: list[Label] = []
    for index in indices:
        structure = vocabulary.get(index)
        if structure is not None:
            value = (values or {}).get(index, index)
            labels.append(Label(value, structure.name, structure.color, structure))
    return tuple(labels)
