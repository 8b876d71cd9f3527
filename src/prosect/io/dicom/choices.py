"""What can be chosen of DICOM results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

__all__ = ["SEG_ENCODINGS", "DicomChoices", "SegEncoding"]

SegEncoding: TypeAlias = Literal["binary", "labelmap"]
SEG_ENCODINGS: tuple[str, ...] = get_args(SegEncoding)


@dataclass(frozen=True)
class DicomChoices:
    """How DICOM results are written.

    Attributes:
        seg_encoding: `binary` has one frame per structure and slice, which every viewer reads; `labelmap` has one frame
            per slice and is much smaller, but only viewers of 2025 and later read it.
        deidentify: Leave out patient and study, and replace every identifier.
    """

    seg_encoding: SegEncoding = "binary"
    deidentify: bool = False
