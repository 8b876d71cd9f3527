"""Siemens mosaics: all slices of a volume as tiles of one image, row by row, in a square that is filled up with black.

The public header describes the image as if it were one large slice. How many tiles there are and where the stack grows
to stands in private elements alone: in the CSA header of (0029,xx10), the number of tiles in (0019,xx0A) as well.
Image Type says MOSAIC, until a program between writes it anew; then the number of tiles and the acquisition matrix,
which is that of one tile, give it away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prosect.errors import FormatError
from prosect.geometry import FloatArray
from prosect.io.dicom.csa import csa_values

__all__ = ["EVIDENCE", "Tile", "is_mosaic", "tiles"]

IMAGE_GROUP, CSA_GROUP = 0x0019, 0x0029
TILE_COUNT = 0x0A
# Read of every header, since they tell a mosaic whose Image Type does not: two public elements, and the private ones at
# the place where scanners put them.
EVIDENCE: tuple[str | int, ...] = ("AcquisitionMatrix", "Manufacturer", 0x0019100A, 0x00291010)
FEWEST_TILES = 2
# Scanners interpolate a picture to twice the acquisition matrix; those of Siemens not further.
MOST_INTERPOLATION = 2
# How far the private normal may be from the axis that the public orientation gives (the sine of the angle).
SAME_AXIS = 1e-2


@dataclass(frozen=True)
class Tile:
    """Where the pixels of one slice lie in a mosaic.

    Attributes:
        top: First row.
        left: First column.
        is_assumed: Whether the header does not say to which side the stack grows.
    """

    top: int
    left: int
    is_assumed: bool


def is_mosaic(name: str, dataset: Any, frame: Mapping[str, Any]) -> bool:
    """Return whether an image is a mosaic, by its Image Type or by the number of its tiles.

    Args:
        name: File name for messages.
        dataset: The elements of the image, with those of `EVIDENCE`.
        frame: Attributes of its only frame.

    Raises:
        FormatError: It may be one, and nothing says for certain (`DICOM_MOSAIC`).
    """
    words = frame.get("ImageType") or ()
    if "MOSAIC" in [str(word).upper() for word in words]:
        return True
    whole = (int(frame["Rows"]), int(frame["Columns"]))
    largest = acquired_size(dataset)
    # Every mosaic has two tiles a side at least, so most slices are none before their private headers are taken apart.
    if largest and max(whole) < FEWEST_TILES * largest:
        return False
    counts = stated_counts(dataset, list(csa_headers(dataset)))
    count = max(counts, default=1)
    if count > 1 and not largest:
        raise refusal(name, f"{count} tiles are named, but neither Image Type nor Acquisition Matrix confirms them")
    if count > 1:
        # Programs that unpack mosaics keep the private elements; their slices are as large as the matrix.
        return max(whole) >= math.ceil(math.sqrt(count)) * largest
    is_siemens = str(dataset.get("Manufacturer") or "").upper().startswith("SIEMENS")
    if is_siemens and largest and min(whole) > MOST_INTERPOLATION * largest:
        raise refusal(name, f"it seems so: {whole[1]} x {whole[0]} pixels of a matrix of {largest}, nothing says more")
    return False


def acquired_size(dataset: Any) -> int:
    """Return the larger side of the acquisition matrix, 0 where none is given."""
    # Rows and columns of frequency and of phase; two of the four are 0.
    sides = dataset.get("AcquisitionMatrix") or [0]
    if isinstance(sides, int):
        return sides
    return max(int(side or 0) for side in sides)


def tiles(name: str, dataset: Any, frame: Mapping[str, Any], step_mm: float) -> list[Mapping[str, Any]]:
    """Return the attributes of each slice in a mosaic, with its `Tile`.

    The position that the header gives is the corner of a slice as large as the mosaic, about the same centre as the
    tiles. So the first tile begins half of the difference further along the rows and columns.

    Args:
        name: File name for messages.
        dataset: The whole data set.
        frame: Attributes of the mosaic, with its position, orientation (LPS mm) and pixel spacing.
        step_mm: Distance between slices.

    Raises:
        FormatError: The private elements are missing or contradict the image (`DICOM_MOSAIC`).
    """
    stated = list(csa_headers(dataset))
    count = tile_count(name, dataset, stated)
    across = math.ceil(math.sqrt(count))
    whole = (int(frame["Rows"]), int(frame["Columns"]))
    if whole[0] % across or whole[1] % across:
        raise refusal(name, f"{count} tiles do not fit into {whole[1]} x {whole[0]} pixels")
    if not step_mm > 0:
        raise refusal(name, "neither Spacing Between Slices nor Slice Thickness says how far apart its slices are")
    rows, columns = whole[0] // across, whole[1] // across
    directions = np.array([float(value) for value in frame["ImageOrientationPatient"]]).reshape(2, 3)
    between_rows, between_columns = (float(value) for value in frame["PixelSpacing"])
    step, is_assumed = slice_axis(name, directions, stated)
    corner = np.array([float(value) for value in frame["ImagePositionPatient"]])
    corner += directions[0] * between_columns * (whole[1] - columns) / 2
    corner += directions[1] * between_rows * (whole[0] - rows) / 2
    found: list[Mapping[str, Any]] = []
    for n in range(count):
        tile = Tile(n // across * rows, n % across * columns, is_assumed)
        position = (corner + n * step_mm * step).tolist()
        found.append({**frame, "Rows": rows, "Columns": columns, "ImagePositionPatient": position, "Tile": tile})
    return found


def csa_headers(dataset: Any) -> Iterator[dict[str, list[str]]]:
    """Yield the private headers of a data set, whatever an anonymiser did to the name of their block."""
    for element in dataset:
        if element.tag.group == CSA_GROUP and isinstance(element.value, bytes):
            try:
                yield csa_values(element.value)
            except ValueError:
                continue


def tile_count(name: str, dataset: Any, stated: list[dict[str, list[str]]]) -> int:
    """Return how many tiles a mosaic has.

    Raises:
        FormatError: The header does not say, or says two numbers.
    """
    counts = stated_counts(dataset, stated)
    if len(counts) != 1 or min(counts) < 1:
        listed = " and ".join(map(str, sorted(counts))) or "nothing"
        raise refusal(name, f"its private elements (0029,xx10) and (0019,xx0A) give {listed} as the number of tiles")
    return counts.pop()


def stated_counts(dataset: Any, stated: list[dict[str, list[str]]]) -> set[int]:
    """Return every number of tiles that the private elements of a data set give."""
    texts: list[Any] = []
    for header in stated:
        texts += header.get("NumberOfImagesInMosaic", [])[:1]
    for element in dataset:
        if element.tag.group == IMAGE_GROUP and element.tag.element > 0xFF and element.tag.element & 0xFF == TILE_COUNT:
            texts.append(element.value)
    counts: set[int] = set()
    for text in texts:
        try:
            counts.add(int(float(text)))
        except (TypeError, ValueError):  # an anonymiser wrote a word over it
            continue
    return counts


def slice_axis(name: str, directions: FloatArray, stated: list[dict[str, list[str]]]) -> tuple[FloatArray, bool]:
    """Return the unit vector (LPS) along which the slices of a mosaic follow, and whether that is not said.

    Where it is not said, Siemens lets coronal stacks grow to the back and axial ones to the head.

    Raises:
        FormatError: It is not said of a sagittal stack or of one that tradition and orientation turn to two sides, or
            what is said contradicts the orientation.
    """
    normal = np.cross(directions[0], directions[1])
    for header in stated:
        texts = header.get("SliceNormalVector", [])
        if len(texts) < 3:
            continue
        vector = np.array([float(text) for text in texts[:3]])
        length = float(np.linalg.norm(vector))
        if not length > 0 or np.linalg.norm(np.cross(vector / length, normal)) > SAME_AXIS:
            raise refusal(name, f"its private slice normal {vector.tolist()} is not that of its Image Orientation")
        return np.asarray(np.copysign(1.0, vector @ normal) * normal), False
    main = int(np.argmax(np.abs(normal)))
    if main == 0 or normal[main] < 0:
        raise refusal(name, "its private elements are gone, so nothing says to which side its slices follow")
    return np.asarray(normal), True


def refusal(name: str, reason: str) -> FormatError:
    """Return the refusal of a mosaic that cannot be unpacked."""
    return FormatError(
        f"{name}: this is a Siemens mosaic, all slices in one image, and {reason}. Convert the original series with "
        "its private elements, by dcm2niix or on the scanner.",
        code="DICOM_MOSAIC",
    )
