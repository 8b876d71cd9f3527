"""The scans in a folder, and the labels, each by the name of its case: a file, or for DICOM a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prosect.errors import FormatError
from prosect.io.formats import LABEL_OBJECT_ENDINGS, SCAN_ENDINGS, label_stem, scan_stem
from prosect.io.sniff import sniff

__all__ = ["labels_in", "scans_in"]

Cases = Iterator[tuple[str, Path]]

CHANNEL = "_0000"  # nnU-Net ends an image's name with the number of its channel, and a label's without
LABELS_NAME = "labels"  # of the file with all structures in a folder of results
OUTLINES = ".rtstruct.dcm"


def scans_in(folder: Path) -> Cases:
    """Yield the scans of a folder by case: image files, and folders that hold a DICOM series."""
    for path in visible(folder):
        if path.is_dir():
            if holds_dicom(path):
                yield path.name, path
        elif path.name.lower().endswith(SCAN_ENDINGS):
            yield scan_stem(path.name).removesuffix(CHANNEL), path


def labels_in(folder: Path) -> Cases:
    """Yield the labels of a folder by case: image files, DICOM SEG and RTSTRUCT, and a folder per case.

    The folder of a case holds a file `labels`, as results of several formats do, or one DICOM object.
    """
    for path in visible(folder):
        if path.is_dir():
            inside = labels_of_case(path)
            if inside is not None:
                yield path.name, inside
        elif path.name.lower().endswith((*SCAN_ENDINGS, *LABEL_OBJECT_ENDINGS)):
            yield label_stem(path.name).removesuffix(CHANNEL), path


def labels_of_case(folder: Path) -> Path | None:
    """Return the labels in the folder of one case, None where it holds none."""
    # Outlines come last: read back, they are labels only beside their scan.
    files = sorted(visible(folder), key=lambda path: (path.name.lower().endswith(OUTLINES), path.name))
    for path in files:
        is_labels = path.name.lower().endswith((*SCAN_ENDINGS, *LABEL_OBJECT_ENDINGS))
        if is_labels and path.is_file() and label_stem(path.name) == LABELS_NAME:
            return path
    if holds_dicom(folder):
        return folder
    return None


def holds_dicom(folder: Path) -> bool:
    """Return whether the first file of a folder is DICOM."""
    for path in visible(folder):
        if path.is_file():
            try:
                return sniff(path).kind == "dicom"
            except FormatError:
                return False
    return False


def visible(folder: Path) -> Iterator[Path]:
    """Yield what a folder holds in the order of names, hidden files left out."""
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            yield path
