"""Where the voxels of a grid lie in a body: coordinates, boxes around what is painted, textures, and rods at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.geometry import Grid
from prosect.phantom import rods
from prosect.phantom.anatomy import WAVELENGTHS_MM, Anatomy, Part, random_waves
from prosect.phantom.bending import Bend, random_bend
from prosect.phantom.grain import Grain, random_grain
from prosect.phantom.rods import paint_rods
from prosect.phantom.scanner import covering_grid, open_to, soft_cover
from prosect.phantom.shapes import Both, Capsule, Ellipsoid, HalfSpace, Shape
from prosect.phantom.view import View, coordinates, texture

OBLIQUE = np.array([[1.8, 0.4, 0.0, -22.0], [-0.4, 1.8, 0.3, -20.0], [0.0, -0.3, 2.4, -19.0], [0.0, 0.0, 0.0, 1.0]])
FLIPPED = np.array([[-2.0, 0, 0, 23.0], [0, 2.0, 0, -21.0], [0, 0, -2.5, 19.0], [0, 0, 0, 1.0]])
GRIDS = {
    "ras": covering_grid((-22.0, -20.0, -18.0), (22.0, 20.0, 18.0), (2.0, 2.0, 2.5), None),
    "oblique": Grid((24, 22, 16), OBLIQUE),
    "flipped": Grid((24, 22, 16), FLIPPED),
}
grids = pytest.mark.parametrize("name", list(GRIDS))


def world(grid: Grid) -> np.ndarray:
    """Return the world position of every voxel (i j k 3)."""
    return grid.to_world(np.argwhere(np.ones(grid.shape, dtype=bool))).reshape(*grid.shape, 3)


def whole(grid: Grid) -> tuple[slice, slice, slice]:
    a, b, c = grid.shape
    return slice(0, a), slice(0, b), slice(0, c)


@grids
def test_coordinates_are_world_positions_in_a_body_of_unit_scale(name: str) -> None:
    grid, scale = GRIDS[name], (1.25, 0.8, 1.1)
    found = coordinates(Anatomy((), scale), grid, whole(grid))
    expected = world(grid) / scale
    for axis, array in enumerate(found):
        np.testing.assert_allclose(np.broadcast_to(array, grid.shape), expected[..., axis], atol=1e-4)


def test_axes_along_which_a_coordinate_stays_the_same_have_length_one() -> None:
    x, y, z = coordinates(Anatomy(()), GRIDS["ras"], whole(GRIDS["ras"]))
    assert [array.shape for array in (x, y, z)] == [(22, 1, 1), (1, 20, 1), (1, 1, 15)]
    assert all(array.dtype == np.float32 for array in (x, y, z))


@grids
def test_a_part_of_the_grid_has_the_coordinates_of_the_part(name: str) -> None:
    grid = GRIDS[name]
    box = (slice(3, 9), slice(5, 12), slice(2, 8))
    view = View(Anatomy((), (1.1, 0.9, 1.0), bend=random_bend(np.random.default_rng(2))), grid)
    for part, every in zip(view.points(box), view.points(view.whole), strict=True):
        np.testing.assert_array_equal(np.broadcast_to(every, grid.shape)[box], part)


@grids
@pytest.mark.parametrize("bent", [False, True])
def test_a_box_holds_every_voxel_that_the_solid_can_touch(name: str, bent: bool) -> None:
    grid = GRIDS[name]
    bend = random_bend(np.random.default_rng(7)) if bent else None
    view = View(Anatomy((), (1.1, 0.95, 1.0), bend=bend), grid)
    solid = Ellipsoid((3.0, -4.0, 2.0), (8.0, 6.0, 7.0), turn_z=30.0)
    box = view.reach(solid, view.edge_mm)
    assert box is not None
    depth = np.broadcast_to(solid.depth_mm(*view.points(view.whole)), grid.shape)
    touched = depth > -view.edge_mm / 2
    assert touched.any()
    outside = np.ones(grid.shape, dtype=bool)
    outside[box] = False
    assert not (touched & outside).any()
    assert not bent or outside.mean() > 0.02, "a box of everything would show nothing"


def test_a_solid_off_the_grid_has_no_box_and_an_empty_one_neither() -> None:
    view = View(Anatomy(()), GRIDS["ras"])
    assert view.reach(Ellipsoid((500.0, 0.0, 0.0), (8.0, 6.0, 7.0)), 2.0) is None
    apart = Both(Ellipsoid((0.0, 0.0, 0.0), (5.0,) * 3), Ellipsoid((15.0, 0.0, 0.0), (5.0,) * 3))
    assert view.reach(apart, 2.0) is None


def test_a_half_space_reaches_over_the_whole_grid() -> None:
    view = View(Anatomy(()), GRIDS["oblique"])
    assert view.reach(HalfSpace((0.0, 0.0, 1.0), 0.0), 1.0) == view.whole


def test_what_lies_still_is_not_bent_nor_stretched() -> None:
    grid = GRIDS["ras"]
    anatomy = Anatomy((), (1.4, 0.7, 1.0), bend=random_bend(np.random.default_rng(3)))
    view = View(anatomy, grid)
    for axis, array in enumerate(view.points(view.whole, still=True)):
        np.testing.assert_allclose(np.broadcast_to(array, grid.shape), world(grid)[..., axis], atol=1e-4)
    assert not view.is_bent(Part(None, 0.0, (), still=True))
    assert view.is_bent(Part(None, 0.0, ()))
    assert not View(Anatomy(()), grid).is_bent(Part(None, 0.0, ()))


def test_the_edge_is_the_mean_voxel() -> None:
    assert View(Anatomy(()), GRIDS["ras"]).edge_mm == pytest.approx((2.0 + 2.0 + 2.5) / 3)


@pytest.mark.parametrize("seed", range(3))
def test_waves_have_the_lengths_they_are_said_to_have_and_every_length_twice(seed: int) -> None:
    waves = random_waves(np.random.default_rng(seed))
    assert waves.shape == (8, 4)
    lengths = 2 * np.pi / np.linalg.norm(waves[:, :3], axis=1)
    np.testing.assert_allclose(sorted(lengths), sorted(WAVELENGTHS_MM * 2), rtol=1e-5)
    assert bool(((waves[:, 3] >= 0) & (waves[:, 3] < 2 * np.pi)).all())


def test_the_texture_of_tissue_is_fixed_in_the_world_and_has_unit_variance() -> None:
    anatomy = Anatomy((), waves=random_waves(np.random.default_rng(0)))
    large = covering_grid((-150.0,) * 3, (150.0,) * 3, (5.0,) * 3, None)
    pattern = texture(anatomy, large)
    assert pattern.std() == pytest.approx(1.0, abs=0.15)
    assert abs(float(pattern.mean())) < 0.1
    start, stop = (4, 10, 20), (14, 25, 31)
    part = texture(anatomy, large.crop(start, stop))
    np.testing.assert_allclose(part, pattern[4:14, 10:25, 20:31], atol=1e-4)
    assert not texture(Anatomy(()), GRIDS["ras"]).any(), "without waves there is none"


def test_a_texture_is_a_sum_of_sines() -> None:
    waves = np.array([[0.2, -0.1, 0.05, 0.4], [0.0, 0.3, 0.1, 1.2]], dtype=np.float32)
    at = world(GRIDS["oblique"])
    expected = np.sin(at @ waves[0, :3] + 0.4) + np.sin(at @ waves[1, :3] + 1.2)
    np.testing.assert_allclose(texture(Anatomy((), waves=waves), GRIDS["oblique"]), expected, atol=1e-3)


def test_a_view_chooses_the_texture_of_a_part_and_works_it_out_once() -> None:
    grains = tuple(random_grain(np.random.default_rng(seed), pitch) for seed, pitch in ((0, 4.0), (1, 9.0)))
    anatomy = Anatomy((), waves=random_waves(np.random.default_rng(2)), grains=grains)
    view = View(anatomy, GRIDS["ras"])
    np.testing.assert_array_equal(view.pattern(None), texture(anatomy, GRIDS["ras"]))
    points = np.broadcast_arrays(*view.points(view.whole))
    np.testing.assert_allclose(view.pattern(1), grains[1](*points), atol=1e-5)
    assert view.pattern(0) is view.pattern(0)
    assert view.pattern(None) is view.pattern(None)
    assert np.abs(view.pattern(0) - view.pattern(1)).mean() > 0.3


def test_a_grain_takes_its_lattice_values_at_the_lattice_and_the_mean_between() -> None:
    values = np.random.default_rng(4).standard_normal((5, 5, 5)).astype(np.float32)
    grain = Grain(values, 3.0)
    at = np.arange(5, dtype=np.float32) * 3.0
    x, y, z = np.meshgrid(at, at, at, indexing="ij")
    gain = (2 / 3) ** -1.5
    np.testing.assert_allclose(grain(x, y, z), values * gain, atol=1e-4)
    half = np.float32(1.5)
    between = (values + np.roll(values, -1, axis=0)) / 2
    np.testing.assert_allclose(grain(x + half, y, z), between * gain, atol=1e-4)


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_flat_places_of_boxes_are_those_of_plain_loops(seed: int) -> None:
    g = np.random.default_rng(seed)
    shape = (6, 5, 4)
    start = np.array([[g.integers(0, n) for n in shape] for _ in range(3)])
    sizes = np.array([[g.integers(1, n - s + 1) for n, s in zip(shape, row, strict=True)] for row in start])
    which, place = rods.voxels(start, sizes, shape)
    expected = []
    for number, (corner, size) in enumerate(zip(start, sizes, strict=True)):
        for i in range(corner[0], corner[0] + size[0]):
            for j in range(corner[1], corner[1] + size[1]):
                for k in range(corner[2], corner[2] + size[2]):
                    expected.append((number, int(np.ravel_multi_index((i, j, k), shape))))
    assert list(zip(which.tolist(), place.tolist(), strict=True)) == expected


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(0, 1, width=32), st.floats(-2, 5, width=32)), max_size=30))
@settings(max_examples=30, deadline=None)
def test_the_fullest_of_a_place_is_its_greatest_cover_and_its_greatest_depth(
    rows: list[tuple[int, float, float]],
) -> None:
    place = np.array([row[0] for row in rows], dtype=np.intp)
    cover = np.array([row[1] for row in rows], dtype=np.float32)
    depth = np.array([row[2] for row in rows], dtype=np.float32)
    found, covers, depths = rods.fullest(place, cover, depth)
    assert found.tolist() == sorted({row[0] for row in rows})
    for at, most, deepest in zip(found, covers, depths, strict=True):
        assert most == max(c for p, c, _ in rows if p == at)
        assert deepest == max(d for p, _, d in rows if p == at)


STICKS = (
    Capsule((-14.0, -10.0, -8.0), (12.0, 9.0, 7.0), 2.0, 4.0),
    Capsule((-10.0, 12.0, 0.0), (-10.0, 12.0, 0.0), 3.0, 3.0),
    Capsule((10.0, -12.0, 4.0), (14.0, -2.0, -6.0), 0.6, 0.9),
)


def bent_view(name: str = "ras") -> View:
    """Return a view of a body that a bend turns and moves a little."""
    return View(Anatomy((), bend=random_bend(np.random.default_rng(1), 0.5)), GRIDS[name])


@grids
def test_depths_of_many_rods_are_those_of_each(name: str) -> None:
    view = bent_view(name)
    place = np.arange(np.prod(view.grid.shape))
    x, y, z = view.points(view.whole)
    table = rods.rod_table(STICKS).astype(np.float32)
    for number, stick in enumerate(STICKS):
        found = rods.rod_depth(table, np.full(len(place), number), place, view)
        np.testing.assert_allclose(found, np.ravel(stick.depth_mm(x, y, z)), atol=1e-3)


@pytest.mark.parametrize("chunk", [200, 1 << 20])
def test_rods_in_pieces_are_painted_as_in_one(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(rods, "CHUNK_VOXELS", chunk)
    view = bent_view()
    hu = np.full(view.grid.shape, -1000.0, dtype=np.float32)
    labels = np.zeros(view.grid.shape, dtype=np.uint16)
    paint_rods(Part("aorta", 200.0, ()), STICKS, view, hu, labels, 6, None)
    every = np.max([np.broadcast_to(s.depth_mm(*view.points(view.whole)), hu.shape) for s in STICKS], axis=0)
    np.testing.assert_array_equal(labels == 6, every >= 0)
    deep = every > view.edge_mm
    assert deep.any()
    np.testing.assert_allclose(hu[every < -view.edge_mm], -1000.0)
    assert hu[deep].min() > 150.0


def test_rods_off_the_grid_paint_nothing() -> None:
    view = bent_view()
    hu, labels = np.zeros(view.grid.shape, np.float32), np.zeros(view.grid.shape, np.uint16)
    far = tuple(Capsule((900.0, 0, n), (905.0, 0, n), 2.0, 2.0) for n in range(3))
    paint_rods(Part("aorta", 200.0, ()), far, view, hu, labels, 6, None)
    assert not hu.any()
    assert not labels.any()


def test_rods_cover_only_what_they_may_and_may_name_without_painting_and_paint_without_naming() -> None:
    view = bent_view()
    shape = view.grid.shape
    labels = np.zeros(shape, dtype=np.uint16)
    labels[: shape[0] // 2] = 1
    before = labels.copy()
    hu = np.zeros(shape, dtype=np.float32)
    paint_rods(Part("aorta", None, ()), STICKS, view, hu, labels, 6, np.array([False, True]))
    assert not hu.any(), "no attenuation of its own"
    assert set(np.unique(before[labels == 6])) == {1}
    paint_rods(Part(None, 300.0, ()), STICKS, view, hu, named := labels.copy(), None, None)
    np.testing.assert_array_equal(named, labels)
    assert hu.max() > 200


def test_blood_sinks_towards_the_back_by_the_stated_slope() -> None:
    view = View(Anatomy((), bend=Bend(np.eye(3), np.zeros(3), np.zeros((0, 7), np.float32))), GRIDS["ras"])
    hu, labels = np.zeros(view.grid.shape, np.float32), np.zeros(view.grid.shape, np.uint16)
    thick = (Capsule((0.0, -12.0, 0.0), (0.0, 12.0, 0.0), 7.0, 7.0),)
    paint_rods(Part("aorta", 100.0, (), slope_hu_mm=2.0), thick, view, hu, labels, 6, None)
    column = hu[11, :, 7]
    y = world(GRIDS["ras"])[11, :, 7, 1]
    inner = np.abs(y) < 12
    share = thick[0].share(view.edge_mm)
    np.testing.assert_allclose(column[inner], share * (100.0 - 2.0 * y[inner]), rtol=1e-4)


@pytest.mark.parametrize("radius", [0.2, 0.8, 1.0, 3.0, 20.0])
def test_a_faded_rod_keeps_the_mass_of_its_cross_section(radius: float) -> None:
    """The twin integrates the soft ramp over the cross-section."""
    edge_mm = 2.0
    r = np.linspace(0, radius + edge_mm, 200001)
    cover = np.clip((radius - r) / edge_mm + 0.5, 0, 1)
    mass = np.trapezoid(cover * 2 * np.pi * r, r)
    share = Capsule((0, 0, 0), (0, 0, 9), radius, radius).share(edge_mm)
    assert share * mass == pytest.approx(np.pi * radius**2, rel=1e-3)
    assert 0 < share <= 1


def test_only_rods_that_are_to_fade_do() -> None:
    thin = Capsule((0.0, 0.0, 0.0), (0.0, 0.0, 9.0), 0.5, 0.5)
    depth = np.array([-3.0, -0.5, 0.0, 0.5, 3.0])
    plain = soft_cover(thin, depth, 2.0, fade=False)
    np.testing.assert_allclose(plain, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(soft_cover(thin, depth, 2.0, fade=True), plain * thin.share(2.0))
    ball: Shape = Ellipsoid((0, 0, 0), (1.0, 1.0, 1.0))
    np.testing.assert_allclose(soft_cover(ball, depth, 2.0, fade=True), plain)


def test_what_a_part_may_cover_is_looked_up_by_label_value() -> None:
    values = {"liver": 1, "spleen": 3, "aorta": 6}
    assert open_to(Part("aorta", 0.0, ()), values) is None
    table = open_to(Part("aorta", 0.0, (), over=("liver", "aorta")), values)
    assert table is not None
    assert table.tolist() == [False, True, False, False, False, False, True]
