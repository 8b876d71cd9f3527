"""Results of a session as files, made by the same code as those of the command line."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from starlette.background import BackgroundTask

from prosect import results
from prosect.errors import FormatError, OutputError
from prosect.io.dicom.choices import DicomChoices
from prosect.io.formats import format_named
from prosect.io.writing import write, write_mask
from prosect.labelmap import LabelLayers
from prosect.lazy import load_module
from prosect.measure import measure
from prosect.results.request import request_for, structure_keys
from prosect.results.statistics import as_csv
from prosect.server.live import LiveSession
from prosect.session import Session
from prosect.volume import Volume

__all__ = ["FORMATS", "Export", "export", "formats_for", "refuse_dicom", "require_ending", "segmentation_of"]

FORMATS = (
    "nii.gz", "nrrd", "seg.nrrd", "mha", "masks.zip", "label_tables.zip", "statistics.csv", "session.json",
)  # fmt: skip
# Of scans that are DICOM series, by what files they are made of; a measurement report refers to its segmentation.
DICOM_FORMATS = {
    "dicom_seg": ("dicom_seg",),
    "dicom_rtstruct": ("dicom_rtstruct",),
    "dicom_sr": ("dicom_seg", "dicom_sr"),
}
LONG_ENDINGS = ("nii.gz", "seg.nrrd")  # readers go by both parts of these
MEDIA = {"zip": "application/zip", "csv": "text/csv", "json": "application/json", "dcm": "application/dicom"}


@dataclass(frozen=True)
class Export:
    """A file that was made for a client.

    Attributes:
        path: Where it lies.
        name: What the client's file is called.
        clean_up: Removes it after it was sent.
    """

    path: Path
    name: str
    clean_up: BackgroundTask

    @property
    def media_type(self) -> str:
        """Its type for HTTP."""
        return MEDIA.get(self.name.rsplit(".", 1)[-1], "application/octet-stream")


def formats_for(volume: Volume) -> tuple[str, ...]:
    """Return the formats in which labels of a scan are exported: DICOM only where it is a DICOM series."""
    return (*FORMATS, *DICOM_FORMATS) if volume.source.format == "dicom" else FORMATS


def export(live: LiveSession, kind: str) -> Export:
    """Return the labels of a session as a file.

    Args:
        live: The session.
        kind: One of `formats_for` its scan.

    Raises:
        FormatError: There is no such format (`OUTPUT_FORMAT`), or DICOM that cannot be made of the scan; see
            `refuse_dicom`.
        ResourceError: The disk is full (`DISK_FULL`).
    """
    require_known(kind)
    folder = Path(tempfile.mkdtemp(prefix="prosect-export-"))
    try:
        with live.hold() as session:
            stem = Path(live.scan.entry.name).name.split(".")[0] or "scan"
            path = folder / f"{stem}_labels.{ending_of(kind)}"
            write_session(session, live.scan.volume, kind, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Export(path, path.name, BackgroundTask(shutil.rmtree, folder, ignore_errors=True))


def require_ending(name: str, kind: str) -> None:
    """Refuse a name that would say that a file is of another format than it is.

    Raises:
        FormatError: It does not end as files of the format do (`OUTPUT_FORMAT`), or there is no such format.
    """
    require_known(kind)
    # A zip of masks is a zip, and a table is a CSV file, whatever stands before.
    ending = "." + (ending_of(kind) if kind in LONG_ENDINGS else ending_of(kind).rsplit(".", 1)[-1])
    if not name.lower().endswith(ending):
        raise FormatError(f"The name of a file in {kind} ends in {ending}; found {name!r:.60}.", code="OUTPUT_FORMAT")


def require_known(kind: str) -> None:
    """Refuse a format that nothing is exported in.

    Raises:
        FormatError: It is none (`OUTPUT_FORMAT`).
    """
    if kind not in FORMATS and kind not in DICOM_FORMATS:
        known = ", ".join((*FORMATS, *DICOM_FORMATS))
        raise FormatError(f"'{kind:.30}' is no format of ours; use {known}.", code="OUTPUT_FORMAT")


def ending_of(kind: str) -> str:
    """Return how the name of a file ends, without the dot."""
    made_of = DICOM_FORMATS.get(kind)
    if made_of is None:
        return kind
    ending = format_named(made_of[-1]).ending.removeprefix(".")
    return ending if len(made_of) == 1 else f"{kind}.zip"


def write_session(session: Session, volume: Volume, kind: str, path: Path) -> None:
    """Write a session's labels in one of the formats."""
    if kind in DICOM_FORMATS:
        write_dicom(session, volume, kind, path)
    elif kind == "session.json":
        session.save(path)
    elif kind == "masks.zip":
        write_masks(session, path)
    elif kind == "label_tables.zip":
        write_named(session, volume, path)
    elif kind == "statistics.csv":
        labels = session.labels
        path.write_bytes(as_csv(labels, measure(labels, volume), path.name.removesuffix("_labels.statistics.csv")))
    else:
        write(session.labels, path, like=volume)


def write_masks(session: Session, path: Path) -> None:
    """Write one NIfTI mask per structure into a zip, under the names that `prosect segment` gives them.

    Each structure is whole there, also where another one covers it in a map of one label per voxel.
    """
    volume = session.volume
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        keys = structure_keys([session.vocabulary[state.index] for state in session.states])
        for state in session.states:
            structure = session.vocabulary[state.index]
            mask = session.mask(state.name)
            if mask.any():
                single = path.with_name(f"{keys[state.index]}.nii.gz")
                write_mask(mask, volume.grid, structure, single, like=volume)
                archive.write(single, single.name)
                single.unlink()


def write_named(session: Session, volume: Volume, path: Path) -> None:
    """Write a NIfTI label map into a zip, with its names for other programs: what `segment --label-tables` writes."""
    request = request_for(path.with_name("labels.nii.gz"), label_tables=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in results.write(session.labels, volume, request):
            archive.write(file, file.name)
            file.unlink()


def refuse_dicom(volume: Volume, kind: str) -> None:
    """Refuse DICOM results that cannot be made of a scan.

    Args:
        volume: The scan.
        kind: One of `DICOM_FORMATS`.

    Raises:
        FormatError: The scan is no DICOM series, or lacks identifiers (see `prosect.io.dicom.source`), or the extra
            `dicom` is not installed (`OUTPUT_UNSUPPORTED`).
    """
    for name in DICOM_FORMATS[kind]:
        try:
            module = load_module(format_named(name).module)
        except ImportError as error:
            raise OutputError(
                f"{kind} needs what the extra `dicom` brings ({error.name}), which this server lacks. Export NIfTI or "
                "NRRD.",
                code="OUTPUT_UNSUPPORTED",
            ) from error
        module.refuse(volume.source.header, volume.grid, DicomChoices())


def write_dicom(session: Session, volume: Volume, kind: str, path: Path) -> None:
    """Write a session's labels as DICOM that refers to the slices of its scan; several files lie in a zip."""
    refuse_dicom(volume, kind)
    labels = session.labels
    if len(DICOM_FORMATS[kind]) == 1:
        write(labels, path, like=volume)
        return
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in DICOM_FORMATS[kind]:
            single = path.with_name(f"labels{format_named(name).ending}")
            write(labels, single, like=volume)
            archive.write(single, single.name)
            single.unlink()


def segmentation_of(session: Session, names: Sequence[str]) -> bytes:
    """Return some structures of a session as the bytes of a DICOM segmentation.

    Raises:
        FormatError: As in `refuse_dicom`; or none of them has a voxel (`DICOM_NOTHING_FOUND`).
    """
    volume = session.volume
    refuse_dicom(volume, "dicom_seg")
    there = [name for name in names if name in session.structures]
    masks = np.zeros((len(there), *volume.grid.shape), dtype=np.bool_)
    for mask, name in zip(masks, there, strict=True):
        mask[...] = session.mask(name)
    indices = tuple(session.vocabulary[name].index for name in there)
    labels = LabelLayers(masks, indices, volume.grid, session.vocabulary, session.labels.provenance)
    with tempfile.TemporaryDirectory(prefix="prosect-export-") as folder:
        return write(labels, Path(folder) / "labels.seg.dcm", like=volume).read_bytes()
