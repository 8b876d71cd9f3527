"""What DICOM tags say as numbers and text, or which tag says nothing that can be used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from prosect.errors import FormatError, GeometryError
from prosect.geometry import FloatArray
from prosect.io.payload import corrupt

__all__ = ["number", "rescale_of", "text", "vector"]


def rescale_of(name: str, frame: Mapping[str, Any]) -> tuple[tuple[float, float] | None, str]:
    """Return Rescale Slope and Intercept, None where both are absent, and which of them alone is missing.

    Both are optional to readers: without a slope values are not stretched, without an intercept not shifted.

    Raises:
        FormatError: Either is no number, or the slope is 0, which would leave nothing of the scan.
    """
    slope = number(name, frame, "RescaleSlope")
    intercept = number(name, frame, "RescaleIntercept")
    if slope is None and intercept is None:
        return None, ""
    if slope is None:
        return (1.0, intercept or 0.0), "Slope"
    if slope == 0:
        raise FormatError(
            f"{name}: Rescale Slope is 0, so every voxel would be {intercept}. Export the series again.",
            code="INPUT_HEADER_INVALID",
        )
    return (slope, intercept or 0.0), "Intercept" if intercept is None else ""


def vector(name: str, frame: Mapping[str, Any], tag: str, count: int) -> FloatArray:
    """Return the numbers of a tag.

    Raises:
        GeometryError: Missing, not `count` of them, or not finite.
    """
    values = np.array(numbers(name, tag, frame.get(tag)), dtype=np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise GeometryError(
            f"{name}: {tag} holds {values.size} usable numbers; {count} are needed. Export the series again."
        )
    return values


def number(name: str, frame: Mapping[str, Any], tag: str) -> float | None:
    """Return the number of a tag, None where it is absent or empty.

    Raises:
        FormatError: It is not a finite number.
    """
    raw = frame.get(tag)
    if raw is None or raw == "":
        return None
    value = numbers(name, tag, raw)[0]
    if not math.isfinite(value):
        raise corrupt(name, f"{tag} is not a number")
    return value


def numbers(name: str, tag: str, raw: Any) -> list[float]:
    """Return the numbers that a tag holds, also where they are text of another type, such as UT.

    Raises:
        FormatError: It holds something else (`INPUT_HEADER_INVALID`), such as a decimal comma.
    """
    parts = raw
    if raw is None:
        parts = []
    if isinstance(raw, str):
        parts = raw.split("\\")
    elif isinstance(raw, int | float):
        parts = [raw]
    try:
        return [float(part) for part in parts]
    except (TypeError, ValueError):
        written = "\\".join(map(str, parts))[:64]
        raise FormatError(
            f"{name}: {tag} is {written!r}; numbers with a decimal point are needed. Export the series again.",
            code="INPUT_HEADER_INVALID",
        ) from None


def text(dataset: Any, tag: str) -> str:
    """Return a tag as text, empty where absent."""
    raw = dataset.get(tag)
    if raw is None:
        return ""
    return str(raw).strip()
