"""DICOM label objects (SEG, RTSTRUCT) as label values on a grid: that of a scan, or for a SEG its own.

Frames and outlines are placed by the slice that they name, and where a scan has no such slice by their position.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.filereader import read_partial

from prosect.errors import FormatError, GeometryError
from prosect.geometry import FloatArray, Grid
from prosect.io.dicom.deflated import inflate_beginning
from prosect.io.dicom.files import members
from prosect.io.dicom.header import HEADER_BYTES
from prosect.io.dicom.label_target import LPS_TO_RAS, NEAR, Pieces, Target, off_by, target_of
from prosect.io.dicom.member import Member, file_member
from prosect.io.dicom.outline_planes import on_planes, pieces_of
from prosect.io.dicom.pixels import PARSE_ERRORS, parse
from prosect.io.dicom.seg_file import SegFile, SegFrame, frame_masks, names_by_label, seg_file
from prosect.io.dicom.structures import regions_of
from prosect.io.paths import file_name
from prosect.io.payload import check_extent, check_memory
from prosect.io.sniff import sniff_bytes
from prosect.io.stored import StoredLabels
from prosect.volume import Volume

__all__ = ["load_labels", "read_object"]

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
SOP_CLASS_TAG = 0x00080016
# Positions this near, in parts of a slice distance, are evenly spaced.
EVEN = 0.1
# How far the directions of a frame may be from those of the slice that it names (cosine).
SAME_DIRECTION = 0.999


def load_labels(path: Path, like: Volume | Grid | None) -> tuple[StoredLabels, tuple[str, ...]]:
    """Return the labels in a DICOM object, and what was repaired or assumed.

    Args:
        path: A SEG or RTSTRUCT file, or a folder or zip that holds one of them.
        like: The scan that they belong to, or its grid; None for the grid of a SEG itself.

    Raises:
        FormatError: There is no such object or there are several (`LABELS_UNSUPPORTED`), it is damaged, or outlines are
            to be read without a scan (`LABELS_NEED_SCAN`).
        GeometryError: It lies elsewhere than the scan (`LABELS_ELSEWHERE`), or has no even grid of its own.
    """
    raw, name = read_object(path)
    dataset = parse(name, raw)
    target = None if like is None else target_of(like)
    if class_of(dataset) == RTSTRUCT_CLASS:
        if target is None:
            raise FormatError(
                f"{name}: outlines have no voxels of their own; the scan that they were drawn on is needed. Give it "
                "by `like`, or give a segmentation.",
                code="LABELS_NEED_SCAN",
            )
        return of_structures(name, dataset, target, raw)
    return of_segmentation(seg_file(name, len(raw), dataset), target, raw)


def of_structures(name: str, dataset: Any, target: Target, raw: bytes) -> tuple[StoredLabels, tuple[str, ...]]:
    """Return the labels of an RTSTRUCT on a target; errors as in `load_labels`."""
    regions, repairs = regions_of(name, dataset)
    planes, doubts = on_planes(name, regions, target)
    values: list[int] = []
    names: dict[int, str] = {}
    for region in regions:
        values.append(region.label)
        if region.name:
            names[region.label] = region.name
    stored = gather(lambda: pieces_of(planes, target), target.grid, values, names)
    return with_hash(stored, raw), repairs + doubts


def of_segmentation(file: SegFile, target: Target | None, raw: bytes) -> tuple[StoredLabels, tuple[str, ...]]:
    """Return the labels of a SEG on a target, or on its own grid; errors as in `load_labels`."""
    place = target or Target(own_grid(file), {})
    doubted = names_doubted(file, place)
    if doubted:
        place = Target(place.grid, {})
    values = [segment.label for segment in file.segments]
    strangers: set[int] = set()
    stored = gather(lambda: frame_pieces(file, place, strangers), place.grid, values, names_by_label(file.segments))
    repairs = doubted + stray_warning(file, place) + shift_warning(file, place)
    if strangers:
        listed = ", ".join(map(str, sorted(strangers)[:10]))
        repairs = (f"Segments that the file does not describe were left out: {listed}.", *repairs)
    if file.kind == "FRACTIONAL":
        repairs = ("Fractions of a voxel were taken as labels from one half on.", *repairs)
    return with_hash(stored, raw), repairs


def with_hash(stored: StoredLabels, raw: bytes) -> StoredLabels:
    """Return labels with the hash of their file."""
    return StoredLabels(stored.array, stored.grid, stored.names, stored.layers, hashlib.sha256(raw).hexdigest())


def read_object(path: Path) -> tuple[bytes, str]:
    """Return bytes and name of the one label object at a place.

    Raises:
        FormatError: There is none, or several (`LABELS_UNSUPPORTED`).
    """
    if not path.is_dir() and sniff_bytes(file_member(path).head(1024)) == "dicom":
        member = file_member(path)
        if not is_label_object(member):
            raise FormatError(
                f"{file_name(path)}: this DICOM file holds no labels. Give a SEG or an RTSTRUCT.",
                code="LABELS_UNSUPPORTED",
            )
        return member.read(), member.name
    with members(path) as files:
        found = [member for member in files if is_label_object(member)]
        if len(found) == 1:
            return found[0].read(), found[0].name
    names = ", ".join(member.name for member in found[:8]) or "none"
    raise FormatError(
        f"{file_name(path)}: one SEG or RTSTRUCT is needed; {len(found)} are here ({names}). Give the file.",
        code="LABELS_UNSUPPORTED",
    )


def is_label_object(member: Member) -> bool:
    """Return whether a file is a SEG or an RTSTRUCT."""
    beginning = inflate_beginning(member.head(HEADER_BYTES))
    if sniff_bytes(beginning[:1024]) != "dicom":
        return False
    try:
        # Not further than the class: the outlines that follow can be cut off in the middle.
        dataset = read_partial(BytesIO(beginning), stop_when=is_after_class, force=True)
    except PARSE_ERRORS:
        return False
    return class_of(dataset) in (*SEG_CLASSES, RTSTRUCT_CLASS)


def is_after_class(tag: int, _representation: str | None, _length: int) -> bool:
    """Return whether an element comes after the SOP Class UID."""
    return tag > SOP_CLASS_TAG


def class_of(dataset: Any) -> str:
    """Return the SOP Class UID of an object."""
    return str(dataset.get("SOPClassUID") or getattr(dataset.file_meta, "MediaStorageSOPClassUID", ""))


def gather(pieces: Callable[[], Pieces], grid: Grid, values: Sequence[int], names: Mapping[int, str]) -> StoredLabels:
    """Return labels put together from their pieces: one value per voxel, or layers where structures overlap.

    Args:
        pieces: Yields them, as often as it is called.
        grid: Where they lie.
        values: Every label value.
        names: Names by label value.

    Raises:
        ResourceError: Larger than the free memory.
    """
    kind = np.uint8 if max(values, default=0) < 256 else np.uint16
    check_memory("The labels", grid.voxel_count * np.dtype(kind).itemsize)
    flat = np.zeros(grid.shape, kind)
    for value, voxels in pieces():
        where = tuple(voxels.T)
        there = flat[where]
        if np.any((there != 0) & (there != value)):
            return gather_layers(pieces, grid, values, names)
        flat[where] = value
    return StoredLabels(flat, grid, dict(names))


def gather_layers(
    pieces: Callable[[], Pieces], grid: Grid, values: Sequence[int], names: Mapping[int, str]
) -> StoredLabels:
    """Return one mask per label value; see `gather`."""
    order = tuple(dict.fromkeys(values))
    check_memory("The masks of structures that overlap", grid.voxel_count * len(order))
    masks = np.zeros((len(order), *grid.shape), np.bool_)
    for value, voxels in pieces():
        masks[order.index(value)][tuple(voxels.T)] = True
    return StoredLabels(masks, grid, dict(names), order)


def frame_pieces(file: SegFile, target: Target, strangers: set[int]) -> Pieces:
    """Yield the voxels of each segment in each frame, and add the numbers that no segment has to `strangers`.

    Raises:
        GeometryError: They lie elsewhere (`LABELS_ELSEWHERE`).
    """
    labels = {segment.number: segment.label for segment in file.segments}
    for frame in file.frames:
        for number, mask in frame_masks(file, frame):
            rows, columns = np.nonzero(mask)
            if not len(rows):
                continue
            if number in labels:
                yield labels[number], voxels_of(file, frame, target, rows, columns)
            else:
                strangers.add(number)


def voxels_of(
    file: SegFile, frame: SegFrame, target: Target, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Return the voxels (n, 3) of pixels of a frame: on the slice that it names, else at their position.

    Raises:
        GeometryError: They lie between voxels or outside (`LABELS_ELSEWHERE`).
    """
    k = named_slice(file, frame, target)
    if k is not None:
        return np.stack([columns, rows, np.full_like(rows, k)], axis=1)
    places = target.grid.to_voxel(frame.points_lps(rows, columns) * LPS_TO_RAS)
    voxels = np.rint(places)
    off = float(np.abs(places - voxels).max())
    outside = int(np.count_nonzero(~target.grid.contains(voxels)))
    if off > NEAR or outside:
        what = f"{outside} of {len(rows)} pixels lie outside" if outside else f"pixels lie {off:.2f} voxels off"
        raise GeometryError(
            f"{file.name}: the segmentation lies elsewhere than the scan (frame {frame.number + 1}: {what}). "
            "Is it of another scan?",
            code="LABELS_ELSEWHERE",
        )
    return voxels.astype(np.intp)


def named_slice(file: SegFile, frame: SegFrame, target: Target) -> int | None:
    """Return the slice that a frame names, where the scan has it with as many pixels in the same directions."""
    if (file.columns, file.rows) != target.grid.shape[:2]:
        return None
    # A series that was written anew, mirrored, under its old identifiers: the pixels are others, the places are not.
    sides = target.grid.affine[:3, :2] / np.linalg.norm(target.grid.affine[:3, :2], axis=0)
    frame_sides = np.stack([frame.row_direction, frame.column_direction], axis=1) * LPS_TO_RAS[:, np.newaxis]
    if (sides * frame_sides).sum(axis=0).min() < SAME_DIRECTION:
        return None
    return target.slices.get(frame.source)


def stray_warning(file: SegFile, target: Target) -> tuple[str, ...]:
    """Return a sentence where frames say another position than the slices that they name."""
    worst = 0.0
    for frame in file.frames:
        k = named_slice(file, frame, target)
        if k is not None:
            expected = target.grid.to_world([[0, 0, k]])[0]
            worst = max(worst, float(np.linalg.norm(frame.position * LPS_TO_RAS - expected)))
    if worst <= NEAR * min(target.grid.spacing_mm):
        return ()
    return (f"Frames lie up to {worst:.2f} mm from the slices that they name; they were put on these slices.",)


def names_doubted(file: SegFile, target: Target) -> tuple[str, ...]:
    """Return a sentence where frames of one segment at several positions name one slice, so that no name counts."""
    places: dict[tuple[int | None, int], FloatArray] = {}
    for frame in file.frames:
        k = named_slice(file, frame, target)
        if k is None:
            continue
        first = places.setdefault((frame.segment, k), frame.position)
        if np.linalg.norm(frame.position - first) > NEAR * min(target.grid.spacing_mm):
            return ("Frames at several positions name one slice; they were put where their positions say.",)
    return ()


def shift_warning(file: SegFile, target: Target) -> tuple[str, ...]:
    """Return a sentence where pixels that are placed by position lie a good way off the voxels that they become."""
    worst = 0.0
    corners = np.array([0, file.rows - 1]), np.array([0, file.columns - 1])
    for frame in file.frames:
        if named_slice(file, frame, target) is None:
            places = target.grid.to_voxel(frame.points_lps(*corners) * LPS_TO_RAS)
            worst = max(worst, off_by(places - np.rint(places), target.grid))
    if not worst:
        return ()
    return (
        f"The segmentation lies {worst:.2f} mm off the voxels of the scan; every pixel became the nearest voxel. "
        "Was it drawn on another series?",
    )


def own_grid(file: SegFile) -> Grid:
    """Return the grid of a segmentation's own frames, in RAS mm; slices without a frame between them are in it.

    Raises:
        GeometryError: Frames have several directions or spacings, or do not lie at multiples of one distance.
    """
    first = file.frames[0]
    same = all(
        np.allclose(frame.row_direction, first.row_direction, atol=1e-4)
        and np.allclose(frame.column_direction, first.column_direction, atol=1e-4)
        and np.allclose(frame.spacing, first.spacing, rtol=1e-4)
        for frame in file.frames
    )
    if not same:
        raise grid_refusal(file, "its frames have several directions or spacings")
    normal = np.cross(first.row_direction, first.column_direction)
    by_depth = {round(float(frame.position @ normal), 3): frame.position for frame in file.frames}
    depths = sorted(by_depth)
    start, stop = by_depth[depths[0]], by_depth[depths[-1]]
    distance = first.thickness_mm or 1.0
    count = 1
    step = normal * distance
    if len(depths) > 1:
        gaps = np.diff(depths)
        distance = slice_distance(gaps, first.thickness_mm)
        count = round((depths[-1] - depths[0]) / distance) + 1
        step = (stop - start) / (count - 1)
        steps = (np.array(depths) - depths[0]) / distance
        if np.abs(steps - np.rint(steps)).max() > EVEN:
            raise grid_refusal(file, f"its slices lie {gaps.min():.3f} to {gaps.max():.3f} mm apart")
    check_extent(file.name, (file.columns, file.rows, count), 1)
    affine = np.eye(4)
    affine[:3, 0] = first.row_direction * first.spacing[1]
    affine[:3, 1] = first.column_direction * first.spacing[0]
    affine[:3, 2], affine[:3, 3] = step, start
    affine[:3] *= LPS_TO_RAS[:, np.newaxis]
    return Grid((file.columns, file.rows, count), affine)


def slice_distance(gaps: FloatArray, declared: float) -> float:
    """Return the distance between slices in mm: the smallest gap, or the declared one that gaps are multiples of."""
    smallest = float(gaps.min())
    if not declared or math.isclose(smallest, declared, rel_tol=EVEN):
        return smallest
    times = gaps / declared
    fits = declared < smallest and np.abs(times - np.rint(times)).max() <= EVEN
    return declared if fits else smallest


def grid_refusal(file: SegFile, cause: str) -> GeometryError:
    """Return the refusal of frames that are no grid."""
    return GeometryError(
        f"{file.name}: the segmentation is no even grid by itself ({cause}). Give the scan that it belongs to.",
        code="LABELS_NEED_SCAN",
    )
