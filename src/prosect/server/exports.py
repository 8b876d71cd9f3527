"""Results of a session as files, made by the same code as those of the command line."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from starlette.background import BackgroundTask

from prosect.errors import FormatError
from prosect.io.writing import write, write_mask
from prosect.measure import measure
from prosect.results.request import structure_keys
from prosect.results.statistics import as_csv
from prosect.server.live import LiveSession
from prosect.session import Session
from prosect.volume import Volume

__all__ = ["FORMATS", "Export", "export"]

FORMATS = ("nii.gz", "nrrd", "seg.nrrd", "mha", "masks.zip", "statistics.csv", "session.json")
MEDIA = {"zip": "application/zip", "csv": "text/csv", "json": "application/json"}


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


def export(live: LiveSession, kind: str) -> Export:
    """Return the labels of a session as a file.

    Args:
        live: The session.
        kind: One of `FORMATS`.

    Raises:
        FormatError: There is no such format (`OUTPUT_FORMAT`).
        ResourceError: The disk is full (`DISK_FULL`).
    """
    if kind not in FORMATS:
        raise FormatError(f"'{kind:.30}' is no format of ours; use {', '.join(FORMATS)}.", code="OUTPUT_FORMAT")
    folder = Path(tempfile.mkdtemp(prefix="prosect-export-"))
    try:
        with live.hold() as session:
            stem = Path(live.scan.entry.name).name.split(".")[0] or "scan"
            path = folder / f"{stem}_labels.{kind}"
            write_session(session, live.scan.volume, kind, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Export(path, path.name, BackgroundTask(shutil.rmtree, folder, ignore_errors=True))


def write_session(session: Session, volume: Volume, kind: str, path: Path) -> None:
    """Write a session's labels in one of the formats."""
    if kind == "session.json":
        session.save(path)
    elif kind == "masks.zip":
        write_masks(session, path)
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
