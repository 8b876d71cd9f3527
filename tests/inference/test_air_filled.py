"""The outline of a lung follows the air, a few millimetres at most, and takes nothing from its neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from prosect.geometry import Grid
from prosect.inference.air_filled import AIR_HU, REACH_MM, air_outline, follow_air
from prosect.inference.canvas import FlatCanvas, LayeredCanvas

LUNG, BODY, HEART = 20, 346, 115
SPACING = (2.0, 2.0, 2.0)
SHAPE = (40, 40, 40)
Mask = NDArray[np.bool_]


def ball(centre: tuple[float, float, float], radius_mm: float, spacing: tuple[float, ...] = SPACING) -> Mask:
    places = np.indices(SHAPE) * np.reshape(spacing, (3, 1, 1, 1))
    middle = np.reshape([c * s for c, s in zip(centre, spacing, strict=True)], (3, 1, 1, 1))
    return np.asarray(((places - middle) ** 2).sum(0) <= radius_mm**2)


# Distances are measured on every second voxel, so a corner may come out one voxel off.
FEW = 20


def scan_of(air: Mask) -> NDArray[np.float32]:
    return np.where(air, -850, 40).astype(np.float32)


LUNG_AIR = ball((20, 20, 20), 28)
# What a network with voxels of 4 mm made of it: shifted by one, and blocky.
FOUND = np.kron(ball((20.5, 20, 20), 27)[::2, ::2, ::2], np.ones((2, 2, 2), dtype=np.bool_)).astype(np.bool_)


def test_a_coarse_outline_becomes_that_of_the_air() -> None:
    assert (FOUND ^ LUNG_AIR).sum() > 1000
    assert (air_outline(FOUND, scan_of(LUNG_AIR), SPACING) ^ LUNG_AIR).sum() < FEW


def test_vessels_that_air_encloses_belong_to_it_and_a_heart_beside_it_does_not() -> None:
    vessel = np.zeros(SHAPE, dtype=np.bool_)
    vessel[18:21, 18:21, 8:32] = True
    heart = ball((20, 36, 20), 16)
    scan = scan_of(LUNG_AIR & ~vessel & ~heart)
    outline = air_outline(FOUND, scan, SPACING)
    inside = ndimage.binary_erosion(LUNG_AIR, iterations=3) & ~ndimage.binary_dilation(heart, iterations=2)
    assert outline[vessel & inside].all()
    # The network was wrong about the heart; deeper than the outline may move, its word stands.
    depth = ndimage.distance_transform_edt(FOUND, sampling=SPACING)
    assert outline[heart & (depth <= REACH_MM - 2)].mean() < 0.1
    assert outline[heart & (depth > REACH_MM + 2)].all()


def test_a_part_full_of_fluid_stays_where_the_network_is_deep_in_it() -> None:
    fluid = LUNG_AIR & (np.indices(SHAPE)[2] < 18)
    outline = air_outline(FOUND, scan_of(LUNG_AIR & ~fluid), SPACING)
    deep = ndimage.distance_transform_edt(FOUND, sampling=SPACING) > REACH_MM + 2
    assert outline[fluid & deep].all()
    assert (fluid & deep).sum() > 500


def test_no_voxel_moves_further_than_the_reach() -> None:
    """Air everywhere around, and none at all: the outline ends where it may go no further."""
    everywhere = air_outline(FOUND, np.full(SHAPE, -900, np.float32), SPACING)
    outside = ndimage.distance_transform_edt(~FOUND, sampling=SPACING)
    assert outside[everywhere].max() <= REACH_MM + 4
    nowhere = air_outline(FOUND, np.full(SHAPE, 40, np.float32), SPACING)
    depth = ndimage.distance_transform_edt(FOUND, sampling=SPACING)
    assert depth[FOUND & ~nowhere].max() <= REACH_MM + 4


def test_a_bubble_beside_it_that_the_network_did_not_touch_stays_outside() -> None:
    bubble = ball((20, 20, 37), 5)
    below = LUNG_AIR & (np.indices(SHAPE)[2] < 33)
    found = FOUND & (np.indices(SHAPE)[2] < 33)
    assert not (found & bubble).any()
    outline = air_outline(found, scan_of(below | bubble), SPACING)
    assert not (outline & bubble).any()
    assert (outline & below).sum() > 0.97 * below.sum()


def test_a_piece_of_bare_air_is_no_lung_and_emphysema_is() -> None:
    gut = ball((5, 5, 5), 9)
    found = FOUND | gut
    assert not (ndimage.binary_dilation(gut, iterations=2) & FOUND).any()
    scan = scan_of(LUNG_AIR | gut)
    scan[gut] = -1000
    outline = air_outline(found, scan, SPACING)
    assert not (outline & gut).any()
    assert (outline ^ LUNG_AIR).sum() < FEW
    scan[LUNG_AIR] = -940
    assert (air_outline(found, scan, SPACING) ^ LUNG_AIR).sum() < FEW


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 5.0), (4.0, 4.0, 4.0), (9.0, 1.0, 1.0)])
def test_any_spacing_gives_a_mask_near_the_air(spacing: tuple[float, float, float]) -> None:
    air = ball((20, 20, 20), 12, spacing)
    found = np.roll(air, 1, axis=1)
    outline = air_outline(found, scan_of(air), spacing)
    assert 2 * (outline & air).sum() > 0.9 * (outline.sum() + air.sum())


def test_what_the_edge_of_a_scan_cuts_is_not_eroded_there() -> None:
    air = np.zeros(SHAPE, dtype=np.bool_)
    air[:, 10:30, :] = True
    np.testing.assert_array_equal(air_outline(air, scan_of(air), SPACING), air)


def flat() -> NDArray[np.uint16]:
    array = np.full(SHAPE, BODY, np.uint16)
    array[ball((20, 36, 20), 14)] = HEART
    array[FOUND & (array != HEART)] = LUNG
    return array


def test_a_flat_map_gives_and_takes_the_body_alone() -> None:
    before = flat()
    after = before.copy()
    canvas = FlatCanvas(after, (LUNG, BODY, HEART))
    told = follow_air(canvas, scan_of(LUNG_AIR), Grid(SHAPE, np.diag([*SPACING, 1])), {LUNG: BODY})
    np.testing.assert_array_equal(after == HEART, before == HEART)
    assert (after == 0).sum() == 0
    gained, lost = (after == LUNG) & (before != LUNG), (before == LUNG) & (after != LUNG)
    assert told == {LUNG: (int(gained.sum()), int(lost.sum()))}
    assert (before[gained] == BODY).all()
    assert (after[lost] == BODY).all()
    assert min(told[LUNG]) > 100


def test_layers_change_each_for_itself() -> None:
    layers = [FOUND.copy(), np.ones(SHAPE, dtype=np.bool_)]
    canvas = LayeredCanvas.of(layers, (LUNG, BODY))
    follow_air(canvas, scan_of(LUNG_AIR), Grid(SHAPE, np.diag([*SPACING, 1])), {LUNG: 0})
    assert (layers[0] ^ LUNG_AIR).sum() < FEW
    assert layers[1].all()


def test_a_clipped_scan_an_empty_structure_and_others_stay_as_they_are() -> None:
    grid = Grid(SHAPE, np.diag([*SPACING, 1]))
    scan, array = scan_of(LUNG_AIR), flat()
    assert follow_air(FlatCanvas(array, (LUNG, BODY)), scan.clip(-125, 275), grid, {LUNG: BODY}) == {}
    assert follow_air(FlatCanvas(array, (BODY,)), scan, grid, {LUNG: BODY}) == {}
    assert follow_air(FlatCanvas(np.zeros(SHAPE, np.uint8), (LUNG,)), scan, grid, {LUNG: 0}) == {}
    np.testing.assert_array_equal(array, flat())
    assert scan.min() < AIR_HU


def test_the_padding_of_a_scanner_is_no_air() -> None:
    padding = np.indices(SHAPE)[0] < 12
    scan = scan_of(LUNG_AIR)
    scan[padding] = -3024
    # What the network found may lie deep in it.
    for found in (FOUND & ~padding, FOUND):
        assert not (air_outline(found, scan, SPACING) & padding).any()


@pytest.mark.parametrize("padding", [-2000, -1024])
def test_a_clipped_scan_within_padding_shows_no_air_of_a_lung(padding: int) -> None:
    scan, array = scan_of(LUNG_AIR).clip(-125, 275), flat()
    scan[:3] = padding
    assert follow_air(FlatCanvas(array, (LUNG, BODY)), scan, Grid(SHAPE, np.diag([*SPACING, 1])), {LUNG: BODY}) == {}


def test_a_lung_that_collapsed_in_bare_air_stays() -> None:
    rest = ball((20, 20, 20), 12)
    scan = scan_of(LUNG_AIR)
    scan[LUNG_AIR] = -1000
    scan[rest] = -600
    assert air_outline(rest, scan, SPACING)[rest].all()


def test_a_sliver_at_the_edge_of_a_scan_that_no_block_shows_stays() -> None:
    sliver = np.zeros(SHAPE, dtype=np.bool_)
    sliver[10:30, 10:30, 0] = True
    np.testing.assert_array_equal(air_outline(sliver, scan_of(sliver), (1.0, 1.0, 1.0)), sliver)


def test_foam_in_the_room_around_a_body_is_no_lung() -> None:
    table = np.zeros(SHAPE, dtype=np.bool_)
    table[4:36, :3, :] = True
    scan = scan_of(LUNG_AIR)
    outside = ~ball((20, 20, 20), 34)
    scan[outside] = -1000
    scan[outside & (np.indices(SHAPE).sum(0) % 2 == 0)] = -1010  # no scan has one value throughout but in its padding
    scan[table] = -900
    array = np.where(outside, 0, BODY).astype(np.uint16)
    array[LUNG_AIR | table] = LUNG
    # Of a body as wide as a head's.
    follow_air(FlatCanvas(array, (LUNG, BODY)), scan, Grid(SHAPE, np.diag([4.0, 4.0, 4.0, 1.0])), {LUNG: BODY})
    assert not (array[table] == LUNG).any()
    # In planes that show no body it is not known what is room.
    assert (array[table & (np.abs(np.indices(SHAPE)[2] - 20) < 12)] == 0).all()
    assert (array[LUNG_AIR] == LUNG).all()
