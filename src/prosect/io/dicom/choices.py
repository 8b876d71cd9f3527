"""What can be chosen of DICOM results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

__all__ = ["SEG_COMPRESSIONS", "SEG_ENCODINGS", "DicomChoices", "SegCompression", "SegEncoding"]

SegEncoding: TypeAlias = Literal["binary", "labelmap"]
SEG_ENCODINGS: tuple[str, ...] = get_args(SegEncoding)
SegCompression: TypeAlias = Literal["none", "rle", "deflate"]
SEG_COMPRESSIONS: tuple[str, ...] = get_args(SegCompression)


@dataclass(frozen=True)
class DicomChoices:
    """How DICOM results are written.

    Attributes:
        seg_encoding: `binary` has one frame per structure and slice, which every viewer reads; `labelmap` has one frame
            per slice and is much smaller, but only viewers of 2025 and later read it.
        deidentify: Leave out patient and study, and replace every identifier.
        seg_compression: How the pixels of a SEG are packed; by default not at all in `binary`, whose frames of single
            bits have no other packing that is read everywhere, and by run lengths (`rle`) in `labelmap`. `deflate`
            packs the whole file, which many a PACS refuses.
        rt_tolerance_mm: How far an outline of an RTSTRUCT may leave the pixels' edges, in mm, to have fewer points;
            0 keeps every voxel.
    """

    seg_encoding: SegEncoding = "binary"
    deidentify: bool = False
    seg_compression: SegCompression | None = None
    rt_tolerance_mm: float = 0.0

    @property
    def packing(self) -> SegCompression:
        """How the pixels of a SEG are packed."""
        return self.seg_compression or ("rle" if self.seg_encoding == "labelmap" else "none")

    def stated(self) -> dict[str, str | float]:
        """Return what was chosen otherwise than by default, beside encoding and patient."""
        found: dict[str, str | float] = {}
        if self.seg_compression is not None:
            found["seg_compression"] = self.seg_compression
        if self.rt_tolerance_mm:
            found["rt_tolerance_mm"] = self.rt_tolerance_mm
        return found
