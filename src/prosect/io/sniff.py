"""What a file is, told from its first bytes: names and suffixes lie, magic numbers seldom do."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from prosect.errors import FormatError
from prosect.io.paths import PAIR_VOXELS, file_name, require_file, unreadable

__all__ = ["Sniffed", "refuse_kind", "sniff", "sniff_bytes"]

HEAD_BYTES = 1024
UNKNOWN = "a file of unknown kind"
TAR_MAGIC = 257
NIFTI_SIZES = {348: "nifti", 540: "nifti"}

MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"NRRD00", "nrrd"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard stream"),
    (b"BZh", "a bzip2 stream"),
    (b"\xfd7zXZ\x00", "an xz stream"),
    (b"\x89HDF", "an HDF5 (or MINC 2) file"),
    (b"CDF\x01", "a NetCDF (or MINC 1) file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"%PDF", "a PDF document"),
    (b"\x93NUMPY", "a NumPy array, which has no geometry"),
    (b"version https://git-lfs", "a Git LFS pointer: the image itself was not downloaded"),
    (b"\x7fELF", "a program"),
    (b"\xd0\xcf\x11\xe0", "an Office document or a Windows picture cache"),
)

METAIMAGE_FIELDS = (b"objecttype", b"ndims", b"dimsize", b"elementdatafile")

TEXT_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "an HTML page, as a failed download leaves it"),
    (b"<html", "an HTML page, as a failed download leaves it"),
    (b"<?xml", "an XML document"),
    (b"{", "a JSON document"),
)


@dataclass(frozen=True)
class Sniffed:
    """What a file holds.

    Attributes:
        kind: One of `nifti`, `nifti pair`, `nrrd`, `metaimage`, `mgh`, `dicom`, `zip`, `tar`, or a phrase that names
            what else it is.
        gzipped: Whether the content lies in a gzip stream.
    """

    kind: str
    gzipped: bool = False


def sniff(path: Path) -> Sniffed:
    """Return what `path` holds, looking through one layer of gzip.

    Raises:
        FormatError: The file is missing or cannot be read, or is gzip that is damaged at its beginning.
    """
    require_file(path)
    try:
        with open(path, "rb") as handle:
            head = handle.read(HEAD_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    kind = sniff_bytes(head)
    if kind == "gzip":
        return Sniffed(sniff_bytes(inflated_head(head, path)), gzipped=True)
    return Sniffed(kind)


def inflated_head(head: bytes, path: Path) -> bytes:
    """Return the first bytes inside a gzip stream, as far as its own first bytes give them.

    Raises:
        FormatError: The stream is damaged, or ends before it tells anything.
    """
    stream = zlib.decompressobj(wbits=31)
    try:
        inside = stream.decompress(head, HEAD_BYTES)
    except zlib.error as error:
        raise FormatError(
            f"{file_name(path)}: the gzip stream is damaged ({error}). Copy or download the file again.",
            code="INPUT_CORRUPT",
        ) from error
    if len(inside) < 4 and len(head) < HEAD_BYTES and not stream.eof:
        raise FormatError(
            f"{file_name(path)}: the gzip stream ends after {len(head)} bytes. Copy or download the file again.",
            code="INPUT_TRUNCATED",
        )
    return inside


def sniff_bytes(head: bytes) -> str:
    """Return what a file beginning with `head` is: one of the kinds we read, or a phrase naming what else."""
    if not head:
        return "an empty file"
    if head[128:132] == b"DICM":
        return "dicom"
    if head[TAR_MAGIC : TAR_MAGIC + 5] == b"ustar":
        return "tar"
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    return nifti_kind(head) or text_kind(head) or bare_dicom_kind(head) or UNKNOWN


def nifti_kind(head: bytes) -> str | None:
    """Return `nifti`, a phrase naming a relative of it, or None."""
    size = next((s for order in ("little", "big") if (s := as_int(head[:4], order)) in NIFTI_SIZES), None)
    if size is None:
        if is_mgh(head):
            return "mgh"
        return None
    if size == 348:
        magic = head[344:348]
    else:
        magic = head[4:12]
    if len(head) < 348 or magic in (b"n+1\x00", b"n+2\x00\r\n\x1a\n"):
        return "nifti"
    is_pair = magic in (b"ni1\x00", b"ni2\x00\r\n\x1a\n")
    # An ANALYZE 7.5 header has the size alone.
    if is_pair or size == 348:
        return "nifti pair"
    return None


def is_mgh(head: bytes) -> bool:
    """Return whether bytes begin like a FreeSurfer volume: version 1, and four sizes above 0."""
    sizes = []
    for start in range(4, 20, 4):
        sizes.append(as_int(head[start : start + 4], "big"))
    return as_int(head[:4], "big") == 1 and len(head) >= 284 and 0 < min(sizes) <= max(sizes) < 2**31


def as_int(raw: bytes, order: str) -> int:
    """Return four bytes as an unsigned number in one byte order."""
    return int.from_bytes(raw, "little" if order == "little" else "big")


def text_kind(head: bytes) -> str | None:
    """Return `metaimage`, a phrase naming another text file, or None where the bytes are not text."""
    body = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    lowered = body.lower()
    # MetaImage headers may begin with any field, such as a comment.
    for line in lowered.split(b"\n"):
        key, mark, _ = line.partition(b"=")
        if line.strip() and not mark:
            break
        if key.strip() in METAIMAGE_FIELDS:
            return "metaimage"
    for start, kind in TEXT_STARTS:
        if lowered.startswith(start):
            return kind
    printable = sum(byte >= 32 or byte in (9, 10, 13) for byte in head)
    if printable == len(head) and b"\x00" not in head:
        return "a text file"
    return None


def bare_dicom_kind(head: bytes) -> str | None:
    """Return `dicom` for a data set stored without the 128-byte preamble, as some archives write it."""
    if len(head) < 16 or head[:2] not in (b"\x02\x00", b"\x08\x00") or head[3] != 0:
        return None
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    implicit = head[:2] == b"\x08\x00" and int.from_bytes(head[4:8], "little") <= 512
    if explicit or implicit:
        return "dicom"
    return None


def refuse_kind(path: Path, found: Sniffed) -> FormatError:
    """Return the refusal for a file that is not one of the images we read, saying what it is."""
    if found.kind == UNKNOWN and path.name.lower().endswith(PAIR_VOXELS):
        return FormatError(
            f"{file_name(path)}: these are the voxels of a pair, and their header (.hdr) is not beside them. Put both "
            "files into one folder.",
            code="INPUT_DETACHED",
        )
    inside = ""
    if found.gzipped:
        inside = " inside a gzip stream"
    return FormatError(
        f"{file_name(path)}: this is {found.kind}{inside}, not an image we read. "
        "Give NIfTI, NRRD, MetaImage, MGH, or DICOM (folder, file or archive)."
    )
