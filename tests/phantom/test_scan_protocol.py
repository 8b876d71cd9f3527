"""How a person is scanned: grids, tube voltage, kernels, noise, tables and what lies outside the field of view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect import vocabulary
from prosect.geometry import Grid
from prosect.phantom import protocol as scanning
from prosect.phantom.anatomy import Anatomy, Part
from prosect.phantom.protocol import REGIONS, Protocol, acquire, draw_protocol, label_values
from prosect.phantom.scanner import LOWEST_HU
from prosect.phantom.shapes import Ellipsoid

LOW, HIGH = (-40.0, -30.0, -20.0), (40.0, 30.0, 20.0)
PLAIN = Protocol(LOW, HIGH, (4.0, 4.0, 5.0))
WORDS = vocabulary.load("prosect")
LIVER = WORDS["liver"].index
BALL = Ellipsoid((0.0, 0.0, 0.0), (18.0, 18.0, 14.0))
BODY = Anatomy((Part("body", 20.0, (Ellipsoid((0, 0, 0), (34, 26, 60)),)), Part("liver", 105.0, (BALL,))))
spacings = st.tuples(*[st.floats(0.7, 6.0)] * 3)


@given(spacings, st.floats(-20, 20))
@settings(max_examples=40, deadline=None)
def test_a_grid_covers_the_field_of_view_about_its_middle(spacing: tuple[float, float, float], tilt: float) -> None:
    grid = Protocol(LOW, HIGH, spacing, tilt_deg=tilt).grid()
    np.testing.assert_allclose(grid.to_world((np.array(grid.shape) - 1) / 2), (0.0, 0.0, 0.0), atol=1e-6)
    np.testing.assert_allclose(grid.spacing_mm, spacing, rtol=1e-9)
    extent = np.subtract(HIGH, LOW)
    covered = np.array(grid.shape) * spacing
    assert bool((covered >= extent - 1e-6).all())
    assert bool((covered < extent + np.array(spacing) + 1e-6).all())


def test_an_upright_gantry_has_straight_axes_and_a_leaning_one_shears_the_stack() -> None:
    straight, leaning = PLAIN.grid(), replace(PLAIN, tilt_deg=12.0).grid()
    np.testing.assert_allclose(straight.affine[:3, :3], np.diag(PLAIN.spacing_mm), atol=1e-12)
    angle = np.deg2rad(12.0)
    np.testing.assert_allclose(leaning.affine[:3, 1], (0, 4 * np.cos(angle), 4 * np.sin(angle)))
    np.testing.assert_allclose(leaning.affine[:3, 2], (0, 0, 5.0))
    columns = leaning.affine[:3, :3] / leaning.spacing_mm
    assert columns[:, 1] @ columns[:, 2] == pytest.approx(np.sin(angle)), "slices are not square to the stack"
    assert columns[:, 0] @ columns[:, 1] == pytest.approx(0)


def test_a_field_thinner_than_a_voxel_is_one_voxel() -> None:
    assert Protocol((0, 0, 0), (1, 1, 1), (5.0, 5.0, 5.0)).grid().shape == (1, 1, 1)


@pytest.mark.parametrize("seed", range(12))
def test_drawn_settings_stay_within_what_scanners_do(seed: int) -> None:
    drawn = draw_protocol(np.random.default_rng(seed), LOW, HIGH)
    assert drawn.spacing_mm[0] == drawn.spacing_mm[1]
    assert 1.2 <= drawn.spacing_mm[0] <= 2.2
    assert drawn.spacing_mm[2] in (1.5, 2.0, 2.5, 3.0, 3.75, 5.0)
    assert -1 <= drawn.kernel <= 1
    assert 2 <= drawn.noise_hu <= 60
    assert 0.75 <= drawn.iodine <= 1.6
    assert 0.85 <= drawn.bone <= 1.25
    assert drawn.padding_hu in (None, -1024.0, -1000.0, -2000.0, -3024.0)
    for low, high in zip(drawn.low_ras, drawn.high_ras, strict=True):
        assert low < high
    wide = (drawn.high_ras[0] - drawn.low_ras[0]) / (HIGH[0] - LOW[0])
    assert 0.68 - 1e-9 <= wide <= 1.25 + 1e-9
    assert abs(drawn.low_ras[2] - LOW[2]) <= 15
    assert abs(drawn.high_ras[2] - HIGH[2]) <= 15


def test_a_stated_voxel_size_is_kept_and_changes_no_other_draw_of_its_kind() -> None:
    drawn = draw_protocol(np.random.default_rng(3), LOW, HIGH, (2.0, 3.0, 4.0))
    assert drawn.spacing_mm == (2.0, 3.0, 4.0)


def test_protocols_vary_as_hospitals_do() -> None:
    drawn = [draw_protocol(np.random.default_rng(seed), LOW, HIGH) for seed in range(200)]
    tilted = np.mean([each.tilt_deg != 0 for each in drawn])
    padded = np.mean([each.padding_hu is not None for each in drawn])
    tables = np.mean([each.table is not None for each in drawn])
    assert 0.01 < tilted < 0.14
    assert 0.25 < padded < 0.45
    assert 0.8 < tables < 0.97
    assert np.corrcoef([each.kernel for each in drawn], [np.log(each.noise_hu) for each in drawn])[0, 1] > 0.3


def test_regions_are_intervals_of_the_body_and_their_shares_are_all_of_them() -> None:
    assert sum(share for *_, share in REGIONS.values()) == pytest.approx(1)
    for name, (low, high, share) in REGIONS.items():
        assert low < high, name
        assert share > 0, name
    assert REGIONS["trunk"][0] == min(REGIONS["abdomen and pelvis"][0], REGIONS["trunk"][0])
    assert REGIONS["trunk"][1] == REGIONS["chest"][1]


def test_label_values_are_those_of_the_vocabulary_with_what_parts_may_cover() -> None:
    anatomy = Anatomy((Part("liver", 1.0, ()), Part(None, 2.0, ()), Part("spleen", 3.0, (), over=("aorta",))))
    assert label_values(anatomy) == {name: WORDS[name].index for name in ("aorta", "liver", "spleen")}


@pytest.mark.parametrize(
    ("hu", "expected"), [(None, None), (-100.0, -100.0), (65.0, 65.0), (165.0, 215.0), (330.0, 462.5), (465.0, 385.0)]
)
def test_another_voltage_changes_iodine_and_bone_and_nothing_softer(hu: float | None, expected: float | None) -> None:
    other = replace(PLAIN, iodine=1.5, bone=0.8)
    (part,) = scanning.expose(Anatomy((Part("liver", hu, (BALL,), 4.0),)), other)
    assert part.hu == (None if expected is None else pytest.approx(expected))
    assert (part.structure, part.shapes, part.texture_hu) == ("liver", (BALL,), 4.0)


def test_the_reference_voltage_changes_nothing_and_makes_no_new_parts() -> None:
    exposed = scanning.expose(BODY, PLAIN)
    assert [id(part) for part in exposed] == [id(part) for part in BODY.parts]


@pytest.mark.parametrize("seed", range(5))
def test_furniture_has_no_name_lies_still_and_the_table_lies_behind_the_back(seed: int) -> None:
    parts = scanning.furniture(replace(PLAIN, table=8.0), np.random.default_rng(seed), back_mm=-26.0)
    assert all(part.structure is None and part.still for part in parts)
    table = parts[0]
    assert len(table.shapes) == 2, "two sheets"
    x, z = np.zeros((1, 1, 1)), np.zeros((1, 1, 1))
    y = np.linspace(-140, 40, 1801).reshape(1, -1, 1)
    for sheet in table.shapes:
        solid = y[np.broadcast_to(sheet.depth_mm(x, y, z), y.shape) > 0]
        assert solid.size
        assert solid.max() <= -26.0 - 8.0 + 1e-3


def test_without_a_table_only_wires_may_lie_about() -> None:
    bare = [scanning.furniture(PLAIN, np.random.default_rng(seed), -26.0) for seed in range(30)]
    counts = [len(parts) for parts in bare]
    assert min(counts) == 0
    assert 0.6 < np.mean(counts) < 2.0
    assert all(100 <= (part.hu or 0) <= 2500 for parts in bare for part in parts)


def edge(kernel: float) -> np.ndarray:
    """Return a profile across a step of 1000 HU as a kernel shows it, far from the borders."""
    hu = np.zeros((40, 5, 5), dtype=np.float32)
    hu[20:] = 1000.0
    return np.asarray(scanning.reconstruct(hu, Protocol(LOW, HIGH, (1.0, 1.0, 1.0), kernel=kernel))[:, 2, 2])


def test_a_flat_region_keeps_its_value_whatever_the_kernel() -> None:
    for kernel in (-1.0, 0.0, 1.0):
        flat = scanning.reconstruct(np.full((9, 9, 5), 37.0, dtype=np.float32), replace(PLAIN, kernel=kernel))
        np.testing.assert_allclose(flat, 37.0, atol=1e-3)


def test_a_sharper_kernel_has_steeper_edges_and_only_a_sharp_one_overshoots() -> None:
    steepness = [float(np.diff(edge(kernel)).max()) for kernel in (-1.0, 0.0, 1.0)]
    assert steepness == sorted(steepness)
    assert steepness[2] > 1.2 * steepness[0]
    assert edge(0.0).max() <= 1000.0 + 1e-2
    assert edge(1.0).max() > 1010.0
    assert edge(1.0).min() < -10.0
    for kernel in (-1.0, 0.0, 0.7):
        profile = edge(kernel)
        np.testing.assert_allclose(profile + profile[::-1], 1000.0, atol=0.01, err_msg="a kernel leans to no side")


@pytest.fixture(scope="module")
def water() -> np.ndarray:
    """Return a round body of water in air, 200 mm across."""
    i, j = np.ogrid[:64, :64]
    inside = (i - 31.5) ** 2 + (j - 31.5) ** 2 < 25**2
    return np.where(inside, 0.0, -1000.0).astype(np.float32)[..., None].repeat(6, axis=2)


def test_noise_is_as_strong_as_it_is_said_and_has_no_bias(water: np.ndarray) -> None:
    settings_ = Protocol(LOW, HIGH, (4.0, 4.0, 4.0), noise_hu=10.0)
    drawn = [scanning.noise(np.random.default_rng(seed), water, settings_) for seed in range(6)]
    stack = np.stack(drawn)
    middle = stack[:, 26:38, 26:38]
    assert abs(float(middle.mean())) < 0.5
    assert 4.0 < float(middle.std()) < 12.0
    twice = scanning.noise(np.random.default_rng(0), water, replace(settings_, noise_hu=20.0))
    np.testing.assert_allclose(twice, 2 * drawn[0], rtol=1e-4, atol=1e-3)


def test_there_is_more_noise_in_the_middle_of_a_body_than_in_the_air(water: np.ndarray) -> None:
    settings_ = Protocol(LOW, HIGH, (4.0, 4.0, 4.0), noise_hu=10.0)
    noise = np.stack([scanning.noise(np.random.default_rng(seed), water, settings_) for seed in range(4)])
    assert noise[:, 28:36, 28:36].std() > 1.3 * noise[:, :5, :5].std()


def test_a_wider_body_is_noisier() -> None:
    settings_ = Protocol(LOW, HIGH, (4.0, 4.0, 4.0), noise_hu=10.0)
    thin, thick = (np.full((n, 24, 4), 0.0, dtype=np.float32) for n in (40, 110))
    first = scanning.noise(np.random.default_rng(0), thin, settings_)
    second = scanning.noise(np.random.default_rng(0), thick, settings_)
    assert second.std() > 1.4 * first.std()


def test_grain_is_coarser_with_a_soft_kernel(water: np.ndarray) -> None:
    shares = []
    for kernel in (-1.0, 1.0):
        made = Protocol(LOW, HIGH, (1.0, 1.0, 4.0), noise_hu=10.0, kernel=kernel)
        noise = scanning.noise(np.random.default_rng(1), water, made)[20:44, 20:44]
        near = noise[:-1] * noise[1:]
        shares.append(float(near.mean() / noise.var()))
    assert shares[0] > shares[1] + 0.1


@pytest.mark.parametrize("shape", [(20, 20, 3), (21, 21, 2)])
def test_a_square_field_loses_its_corners_and_nothing_of_its_circle(shape: tuple[int, int, int]) -> None:
    outside = scanning.beyond_circle(Grid(shape, np.diag([2.0, 2.0, 3.0, 1.0])))
    assert outside.shape == shape
    for i, j in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert outside[i, j].all()
    half = shape[0] // 2
    assert not outside[half].any(), "the diameter stays"
    assert not outside[:, half].any()
    assert outside[..., 0].mean() == pytest.approx(1 - np.pi / 4, abs=0.05)
    np.testing.assert_array_equal(outside, outside[::-1])
    np.testing.assert_array_equal(outside, outside.transpose(1, 0, 2))


def test_a_scan_lies_on_the_protocols_grid_with_truth_beside_it() -> None:
    volume, labels = acquire(BODY, replace(PLAIN, noise_hu=5.0), np.random.default_rng(0), "one", -26.0)
    assert volume.grid == labels.grid == PLAIN.grid()
    assert volume.modality == "CT"
    assert volume.source.name == "one"
    assert labels.provenance["source"] == "one"
    assert set(labels.present) == {LIVER, WORDS["body"].index}
    assert float(volume.array.min()) >= LOWEST_HU
    np.testing.assert_array_equal(volume.array, np.rint(volume.array), "whole Hounsfield units")
    assert volume.array[labels.array == LIVER].mean() == pytest.approx(105, abs=20)
    ml = float((labels.array == LIVER).sum()) * labels.grid.voxel_volume_ml
    assert ml == pytest.approx(BALL.volume_ml, rel=0.06)


def test_what_lies_outside_a_round_field_is_padding_without_a_name() -> None:
    padded = replace(PLAIN, padding_hu=-2000.0)
    volume, labels = acquire(BODY, padded, np.random.default_rng(0), "one", -26.0)
    outside = scanning.beyond_circle(volume.grid)
    assert outside.any()
    assert bool((volume.array[outside] == -2000.0).all())
    assert not labels.array[outside].any()
    assert float(volume.array[~outside].min()) >= LOWEST_HU


def test_one_generator_is_one_scan() -> None:
    made = [acquire(BODY, replace(PLAIN, table=5.0), np.random.default_rng(seed), "x", -26.0)[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(made[0].array, made[1].array)
    assert (made[0].array != made[2].array).mean() > 0.3
