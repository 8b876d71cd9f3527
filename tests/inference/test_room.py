"""The room around a body is known from what lies in the body, however the scan cuts it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from prosect.geometry import Grid
from prosect.inference.room import room_around

SHAPE = (60, 50, 12)
SPACING = (4.0, 4.0, 5.0)
AIR, FOAM, LUNG, TISSUE = -1000, -920, -860, 40
Mask = NDArray[np.bool_]


def ellipse(centre: tuple[float, float], axes: tuple[float, float]) -> Mask:
    """Return an ellipse in each axial plane, by voxels."""
    i, j, _ = np.indices(SHAPE)
    return np.asarray(((i - centre[0]) / axes[0]) ** 2 + ((j - centre[1]) / axes[1]) ** 2 <= 1)


BODY = ellipse((30, 28), (26, 18))
LUNGS = ellipse((18, 28), (9, 13)) | ellipse((42, 28), (9, 13))
TABLE = np.zeros(SHAPE, dtype=np.bool_)
TABLE[8:52, 2:8] = True


def chest() -> NDArray[np.float32]:
    """Return a chest on a table: foam in a shell that is denser than air, which has the noise of a scanner."""
    scan = AIR + np.random.default_rng(0).normal(0, 8, SHAPE).astype(np.float32)
    scan[8:52, 1:9] = -100
    scan[TABLE] = FOAM
    scan[BODY] = TISSUE
    scan[LUNGS] = LUNG
    return scan


def rooms(scan: NDArray[np.float32], affine: NDArray[np.float64] | None = None) -> Mask:
    """Return the room on the voxels of a scan."""
    if affine is None:
        affine = np.diag([*SPACING, 1])
    return room_around(scan, Grid(scan.shape, affine)).at([np.arange(length) for length in scan.shape])


def test_foam_of_a_table_is_of_the_room_and_lung_is_not() -> None:
    room = rooms(chest())
    assert room[TABLE].all()
    assert not room[BODY].any()
    assert room[~BODY].all()


@pytest.mark.parametrize("axes", [(2, 0, 1), (1, 2, 0), (0, 2, 1)])
def test_planes_are_axial_however_the_scan_is_stored(axes: tuple[int, int, int]) -> None:
    stored = np.diag([*SPACING, 1.0])
    stored[:3, :3] = stored[:3, :3][:, axes]
    np.testing.assert_array_equal(rooms(chest().transpose(axes), stored), rooms(chest()).transpose(axes))


def test_fine_voxels_are_taken_in_blocks() -> None:
    fine = np.repeat(np.repeat(chest(), 4, axis=0), 4, axis=1)
    room = room_around(fine, Grid(fine.shape, np.diag([1.0, 1.0, 5.0, 1.0])))
    assert room.blocks.shape == SHAPE
    inside = room.at([np.arange(0, length, step) for length, step in zip(fine.shape, (4, 4, 1), strict=True)])
    np.testing.assert_array_equal(inside, rooms(chest()))


@pytest.mark.parametrize("cut", [np.s_[20:, :, :], np.s_[:, 30:, :], np.s_[14:22, 22:34, :]])
def test_a_lung_that_the_scan_cuts_is_not_of_the_room(cut: tuple[slice, ...]) -> None:
    assert not rooms(chest()[cut])[LUNGS[cut]].any()


@pytest.mark.parametrize("padding", [-1024, -3024])
def test_a_lung_that_a_circle_of_padding_cuts_is_not_of_the_room(padding: int) -> None:
    scan = chest()
    circle = ellipse((30, 28), (17, 17))
    scan[~circle] = padding
    for edge in (0, 13):
        cut = np.s_[edge : 60 - edge, edge : 50 - edge]
        assert not rooms(scan[cut])[(LUNGS & circle)[cut]].any()


def test_a_gap_of_one_voxel_in_a_chest_wall_is_no_way_out() -> None:
    scan = chest()
    scan[18, 40:] = AIR
    assert not rooms(scan)[LUNGS].any()


@pytest.mark.parametrize("scan", [np.full(SHAPE, AIR), chest().clip(-125, 275), np.full(SHAPE, TISSUE)])
def test_where_no_body_or_no_air_is_seen_nothing_is_of_the_room(scan: NDArray[np.float32]) -> None:
    assert not rooms(scan).any()
