"""The one table of file formats: what each is called, how its files end, what it can hold, and which module knows it.

Readers, writers, messages, help texts and the search for scans take their endings from here, so that a new format is
a row and a module. Only names stand here: the modules bring third parties with them and are loaded on first use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "DATA_ENDINGS",
    "FORMATS",
    "LABEL_OBJECT_ENDINGS",
    "OUTPUT_TYPES",
    "PROMISING_ENDINGS",
    "SCAN_ENDINGS",
    "WRITTEN_ENDINGS",
    "Format",
    "content_endings",
    "format_for",
    "format_named",
    "label_stem",
    "reading_module",
    "scan_stem",
    "written_ending",
]


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes:
        name: What it is called where results are asked for (`-ot nrrd`).
        title: What messages call it.
        content: What its bytes are (`prosect.io.sniff`); two formats may differ in their use alone.
        module: The module that reads it (`load`) and writes it (`encode`).
        written: Endings under which it is written, the usual one first; empty where it is only read.
        read_only: Endings under which it is read and never written.
        gzipped: Those of its endings that promise a gzip stream around the content.
        holds_all: Whether one file always holds all structures, so that there are no files of single masks.
        layers: Whether it can hold structures that overlap.
        shear: Whether readers place a sheared grid, as a tilted gantry makes it.
        needs_source: Whether a result cannot be written without the headers of the scan it belongs to. Its module then
            also says what it refuses of a scan (`refuse`), and what readers may get wrong (`doubts`).
    """

    name: str
    title: str
    content: str
    module: str
    written: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    gzipped: tuple[str, ...] = ()
    holds_all: bool = False
    layers: bool = True
    shear: bool = True
    needs_source: bool = False

    @property
    def ending(self) -> str:
        """The usual ending of a result."""
        return self.written[0]

    @property
    def endings(self) -> tuple[str, ...]:
        """Every ending."""
        return self.written + self.read_only


FORMATS = (
    Format("nifti", "NIfTI", "nifti", "prosect.io.nifti", written=(".nii.gz", ".nii"), gzipped=(".nii.gz",)),
    Format("nrrd", "NRRD", "nrrd", "prosect.io.nrrd", written=(".nrrd",), read_only=(".nhdr",)),
    Format("seg.nrrd", "Slicer segmentation", "nrrd", "prosect.io.nrrd", written=(".seg.nrrd",), holds_all=True),
    Format(
        "mha", "MetaImage", "metaimage", "prosect.io.metaimage", written=(".mha",), read_only=(".mhd",), layers=False,
        shear=False,
    ),
    Format("nifti pair", "NIfTI pair", "nifti pair", "prosect.io.pair", read_only=(".hdr", ".hdr.gz"),
           gzipped=(".hdr.gz",)),
    Format("mgh", "FreeSurfer volume", "mgh", "prosect.io.mgh", read_only=(".mgz", ".mgh"), gzipped=(".mgz",)),
    Format("dicom", "DICOM", "dicom", "prosect.io.dicom.series", read_only=(".dcm", ".ima", ".dicom", ".dcm.gz"),
           gzipped=(".dcm.gz",)),
    Format(
        "dicom_seg", "DICOM segmentation", "dicom_seg", "prosect.io.dicom.seg", written=(".seg.dcm",), holds_all=True,
        needs_source=True,
    ),
    Format(
        "dicom_rtstruct", "DICOM structure set", "dicom_rtstruct", "prosect.io.dicom.rtstruct",
        written=(".rtstruct.dcm",), holds_all=True, needs_source=True,
    ),
    Format(
        "dicom_sr", "DICOM measurement report", "dicom_sr", "prosect.io.dicom.sr", written=(".sr.dcm",),
        holds_all=True, needs_source=True,
    ),
    Format("zip", "DICOM zip", "zip", "prosect.io.dicom.series", read_only=(".zip",)),
    Format("tar", "DICOM tar archive", "tar", "prosect.io.dicom.series", read_only=(".tar", ".tar.gz", ".tgz"),
           gzipped=(".tar.gz", ".tgz")),
)  # fmt: skip
OUTPUT_TYPES = tuple(row.name for row in FORMATS if row.written)
WRITTEN_ENDINGS: tuple[str, ...] = sum((row.written for row in FORMATS), ())
# Of a scan in one file. A Slicer segmentation is labels: `a.seg.nrrd` is no scan named `a`.
_SERIES = ("dicom", "zip", "tar")
_SCAN_FORMATS = tuple(row for row in FORMATS if row.content not in _SERIES and not row.holds_all)
SCAN_ENDINGS: tuple[str, ...] = sum((row.endings for row in _SCAN_FORMATS), ())
# DICOM that holds labels: as results are called, and as a PACS calls every file.
LABEL_OBJECT_ENDINGS = (".seg.dcm", ".rtstruct.dcm", ".dcm", ".dcm.gz")
# Of formats that are not read; the refusal names them.
UNREAD_ENDINGS = (".mnc",)
_FURTHER_ENDINGS: tuple[str, ...] = sum((row.read_only for row in FORMATS if row.content in _SERIES), ())
# Names that promise an image.
PROMISING_ENDINGS = SCAN_ENDINGS + _FURTHER_ENDINGS + UNREAD_ENDINGS
# Voxels that belong to a header beside them; as bare numbers they could look like anything.
DATA_ENDINGS = (".raw", ".zraw", ".raw.gz", ".img", ".img.gz")


def format_named(name: str) -> Format:
    """Return the format of this name.

    Raises:
        KeyError: There is none.
    """
    for row in FORMATS:
        if row.name == name:
            return row
    raise KeyError(name)


def format_for(file: str) -> Format | None:
    """Return the format that a file of this name is written in, None where its ending is none of ours."""
    ending = written_ending(file)
    # An ending alone, such as `.nii.gz`, names a hidden file without any.
    if not ending or len(file) == len(ending):
        return None
    return next(row for row in FORMATS if ending in row.written)


def written_ending(file: str) -> str:
    """Return the ending of a file name by which its format is known for writing, empty where there is none."""
    return longest_ending(file, WRITTEN_ENDINGS)


def scan_stem(file: str, endings: Iterable[str] = SCAN_ENDINGS) -> str:
    """Return a file name without the ending of an image."""
    return file[: len(file) - len(longest_ending(file, endings))]


def label_stem(file: str) -> str:
    """Return the name of a label file without its ending; 3D Slicer calls the labels of `a.nrrd` `a.seg.nrrd`."""
    stem = scan_stem(file, (*SCAN_ENDINGS, *LABEL_OBJECT_ENDINGS))
    is_slicers = stem.lower().endswith(".seg") and len(stem) > len(".seg")
    if is_slicers:
        return stem[: -len(".seg")]
    return stem


def longest_ending(file: str, endings: Iterable[str]) -> str:
    """Return the longest of `endings` that a file name has in any spelling, empty where it has none."""
    lowered = file.lower()
    return max((ending for ending in endings if lowered.endswith(ending)), key=len, default="")


def reading_module(content: str) -> str | None:
    """Return the module that reads such bytes, None where nothing does."""
    return next((row.module for row in FORMATS if row.content == content), None)


def content_endings(content: str, gzipped: bool) -> tuple[str, ...]:
    """Return the endings that promise such bytes, in a gzip stream or plain."""
    found: list[str] = []
    for row in FORMATS:
        if row.content == content and not row.holds_all:
            found += [ending for ending in row.endings if (ending in row.gzipped) == gzipped]
    return tuple(found)
