"""Parts of synthesis, warping and lesions by themselves: groups of intensities, clouds, thick slices, depths, maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prosect import vocabulary
from prosect.geometry import Grid
from prosect.phantom.lesions import Growth, Look, around, host_weight, inner_hu, lesion_depth, offsets, waves
from prosect.phantom.synthesis import (
    RANGES,
    centres_to_cuts,
    cloud,
    coarsen,
    compact,
    divide,
    palette_of,
    synthesize,
)
from prosect.phantom.tissues import CT_HU, RULES, tissue_of, tissues
from prosect.phantom.warp import identity, random_displacement

WORDS = vocabulary.load("prosect")
TILTED = np.array([[1.4, 0.2, 0, -20], [-0.2, 1.4, 0.3, -18], [0, -0.3, 2.0, -16], [0, 0, 0, 1.0]])
GRID = Grid((24, 22, 16), TILTED)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_cuts_lie_between_groups_that_are_far_apart() -> None:
    values = np.concatenate([rng().normal(centre, 2, 300) for centre in (-900, -100, 40, 700)]).astype(np.float32)
    cuts = centres_to_cuts(values, 4)
    assert len(cuts) == 3
    groups = np.searchsorted(cuts, [-900, -100, 40, 700])
    assert groups.tolist() == [0, 1, 2, 3]
    assert cuts.tolist() == sorted(cuts.tolist())


def test_a_constant_has_no_cut() -> None:
    assert len(centres_to_cuts(np.full(50, 3.0, np.float32), 5)) == 0


@pytest.mark.parametrize("container", [0, 2])
def test_only_the_value_to_divide_is_divided_and_darker_parts_come_first(container: int) -> None:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[:6] = 2
    image = np.where(np.arange(12)[None, None, :] < 6, -100.0, 200.0) * np.ones((12, 12, 1))
    parts = divide(labels, image.astype(np.float32), container, count=2)
    inside = labels == container
    np.testing.assert_array_equal(parts[~inside], labels[~inside])
    assert set(np.unique(parts[inside])) == {3, 4}
    assert set(np.unique(parts[inside & (image < 0)])) == {3}


def test_what_is_not_there_is_not_divided() -> None:
    labels = np.ones((4, 4, 4), np.uint8)
    np.testing.assert_array_equal(divide(labels, np.zeros((4, 4, 4), np.float32), container=7), labels)


@pytest.mark.parametrize("nodes", [3, 7, 14])
def test_a_cloud_is_smooth_and_about_as_strong_as_it_is_said(nodes: int) -> None:
    fields = np.stack([cloud((30, 30, 30), nodes, rng(seed)) for seed in range(6)])
    assert 0.6 < fields.std() < 1.5
    assert abs(float(fields.mean())) < 0.25
    step = np.abs(np.diff(fields, axis=1)).mean()
    assert step < 0.1 * nodes


def test_thick_slices_average_along_their_axis_only() -> None:
    image = np.zeros((24, 8, 8), np.float32)
    image[::2] = 1.0
    thick = coarsen(image, 0, 6.0, np.array([1.0, 1.0, 1.0]))
    assert thick.shape == image.shape
    assert thick[4:-4].std() < 0.2 * image.std()
    across = np.zeros((8, 24, 8), np.float32)
    across[:, ::2] = 1.0
    np.testing.assert_allclose(np.ptp(coarsen(across, 0, 4.0, np.ones(3)), axis=0), 0, atol=1e-5)


def test_slices_hardly_thicker_than_voxels_stay_as_they_are() -> None:
    image = rng().random((8, 8, 8)).astype(np.float32)
    assert coarsen(image, 1, 1.1, np.ones(3)) is image


@pytest.mark.parametrize("palette", ["any", "ct"])
def test_one_tissue_looks_nearly_alike_and_stays_in_its_range(palette: str) -> None:
    names = ["liver", "rib", "rib", "rib", "air"]
    for seed in range(10):
        mean, spread = palette_of(names, palette, rng(seed))  # type: ignore[arg-type]
        jitter = 6.0 if palette == "ct" else 0.015
        assert np.ptp(mean[1:4]) < 8 * jitter
        assert bool((spread > 0).all())
        if palette == "ct":
            for name, value in zip(names, mean, strict=True):
                low, high = CT_HU[name]
                assert low - 6 * jitter <= value <= high + 6 * jitter


def test_codes_are_dense_and_every_voxel_has_the_tissue_of_its_label() -> None:
    labels = np.zeros((10, 10, 10), np.uint16)
    labels[:3], labels[3:5] = 500, 7
    codes, names = compact(labels, {500: "liver", 7: "rib"}, container=7, generator=rng())
    assert codes.max() < len(names)
    assert {names[int(code)] for code in np.unique(codes[:3])} == {"liver"}


@pytest.mark.parametrize("palette", ["any", "ct"])
def test_images_stay_in_the_range_of_their_palette(palette: str) -> None:
    labels = rng().integers(0, 4, (14, 13, 12))
    low, high = (0.0, 1.0) if palette == "any" else (-1024.0, 1600.0)
    for seed in range(4):
        image = synthesize(labels, rng(seed), palette=palette)  # type: ignore[arg-type]
        assert image.dtype == np.float32
        assert low <= image.min() <= image.max() <= high
    assert RANGES["ct"].bias == 0, "Hounsfield units are not shaded"


def test_every_structure_has_a_known_tissue_and_obvious_ones_the_right_one() -> None:
    found = tissues(WORDS)
    assert set(found.values()) <= set(CT_HU)
    assert WORDS["body"].index not in found
    expected = {
        "liver": "liver", "left kidney": "kidney", "left kidney cyst": "cyst", "aorta": "artery", "bladder": "urine",
        "gallbladder": "fluid", "vertebrae L3": "vertebra", "left rib 6": "rib", "spinal cord": "cord",
        "left lung upper lobe": "lung", "hepatic tumor": "tumour", "inferior vena cava": "vein", "trachea": "airway",
        "left iliopsoas": "muscle", "skull": "bone", "brain": "brain", "something new": "soft",
    }  # fmt: skip
    for name, tissue in expected.items():
        assert tissue_of(name) == tissue, name
        assert tissue_of(name.upper()) == tissue, name
    assert {tissue for _, tissue in RULES} <= set(CT_HU)
    for low, high in CT_HU.values():
        assert -1024 <= low < high <= 1600


def test_a_box_around_a_place_holds_the_ball_on_any_grid() -> None:
    for center in (np.zeros(3), np.array([5.0, -3.0, 4.0])):
        box = around(GRID, center, 6.0)
        places = GRID.to_world(np.argwhere(np.ones(GRID.shape)))
        near = (np.linalg.norm(places - center, axis=1) <= 6.0).reshape(GRID.shape)
        near[box] = False
        assert not near.any()


def test_offsets_are_millimetres_from_the_place() -> None:
    box = (slice(3, 7), slice(2, 5), slice(1, 9))
    away = offsets(GRID, box, np.array([1.0, 2.0, 3.0]))
    assert away.shape == (3, 4, 3, 8)
    np.testing.assert_allclose(away[:, 2, 1, 5], GRID.to_world([[5, 3, 6]])[0] - (1.0, 2.0, 3.0), atol=1e-4)


def test_waves_have_unit_variance_and_do_not_know_the_grid() -> None:
    whole = offsets(Grid((40, 40, 40), np.diag([2.0, 2, 2, 1])), (slice(0, 40),) * 3, np.zeros(3))
    field = waves(whole, rng(), 15.0)
    assert 0.6 < field.std() < 1.4
    part = waves(whole[:, 5:20, 10:30, 3:9], rng(), 15.0)
    np.testing.assert_allclose(part, field[5:20, 10:30, 3:9], atol=1e-4)


@pytest.mark.parametrize("radius", [5.0, 9.0])
def test_a_smooth_lesion_has_the_volume_of_its_ball_whatever_its_stretch(radius: float) -> None:
    grid = Grid((50, 50, 50), np.diag([1.0, 1, 1, 1]))
    away = offsets(grid, (slice(0, 50),) * 3, np.array([24.5, 24.5, 24.5]))
    depth = lesion_depth(away, radius, Look("ball", 1.0, (0, 0), lumps=0.0), rng(3))
    assert (depth > 0).sum() == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.06)
    spiky = lesion_depth(away, radius, Look("rays", 1.0, (0, 0), lumps=0.0, spikes=0.8), rng(3))
    assert (spiky > 0).sum() > (depth > 0).sum()
    assert bool((spiky >= depth - 1e-4).all())


def test_a_host_weighs_nothing_outside_and_at_its_border_and_all_deep_inside() -> None:
    host = np.zeros((20, 20, 20), bool)
    host[4:16, 4:16, 4:16] = True
    weight = host_weight(host)
    assert not weight[~host].any()
    assert weight[4, 10, 10] < 0.3
    assert weight[10, 10, 10] > 0.95


def test_rim_and_core_measure_what_their_look_says() -> None:
    grid = Grid((40, 40, 40), np.diag([1.0, 1, 1, 1]))
    box = (slice(0, 40),) * 3
    away = offsets(grid, box, np.array([19.5] * 3))
    depth = (15 - np.linalg.norm(away, axis=0)).astype(np.float32)
    plain = Look("even", 1.0, (-40, -40), texture_hu=0.0)
    even = inner_hu(Growth(plain, 15.0, (0, 0, 0), box, away, depth), 100.0, rng())
    np.testing.assert_allclose(even, 60.0, atol=1e-3)
    rimmed = Look("rim", 1.0, (-40, -40), texture_hu=0.0, rim_hu=30.0, core_hu=10.0)
    found = inner_hu(Growth(rimmed, 15.0, (0, 0, 0), box, away, depth), 100.0, rng())
    rim = np.abs(depth - 0.15 * 15) < 0.5
    assert found[rim].mean() == pytest.approx(90, abs=3)
    assert found[depth > 14].mean() == pytest.approx(10, abs=8), "dead in the middle"
    absolute = Look("fixed", 1.0, (500, 500), relative=False, texture_hu=0.0)
    fixed = inner_hu(Growth(absolute, 15.0, (0, 0, 0), box, away, depth), 100.0, rng())
    np.testing.assert_allclose(fixed, 500.0, atol=1e-3)


def test_voxels_themselves_are_read_where_nothing_moves() -> None:
    points = identity([4, 5, 6])
    assert points.shape == (1, 4, 5, 6, 3)
    assert points[0, 0, 0, 0].tolist() == [-1, -1, -1]
    assert points[0, -1, -1, -1].tolist() == [1, 1, 1]
    still = random_displacement((4, 5, 6), (3.0, 3.0, 3.0), rng(), 0.0)
    torch.testing.assert_close(still.flip(-1), points, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_map_never_folds(seed: int) -> None:
    shape = (20, 18, 16)
    unit = random_displacement(shape, (6.0, 6.0, 6.0), rng(seed), 1.0).flip(-1)[0]
    places = (unit + 1) / 2 * (torch.tensor(shape) - 1)
    columns = [places[1:, :-1, :-1] - places[:-1, :-1, :-1], places[:-1, 1:, :-1] - places[:-1, :-1, :-1]]
    columns.append(places[:-1, :-1, 1:] - places[:-1, :-1, :-1])
    assert bool((torch.linalg.det(torch.stack(columns, dim=-1)) > 0).all()), "left stays left"
