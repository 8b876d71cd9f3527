"""Images made of labels, and people made of people."""

from __future__ import annotations

import time

import numpy as np
import pytest

from prosect import vocabulary
from prosect.errors import GeometryError
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.phantom import asymmetric_letter
from prosect.phantom.body.contrast import Enhancement
from prosect.phantom.smoothing import smooth
from prosect.phantom.synthesis import divide, synthesize, synthesize_volume
from prosect.phantom.tissues import CT_HU, tissue_of, tissues
from prosect.phantom.warp import random_displacement, recontrast, warp, warp_arrays
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")


def blocks(shape: tuple[int, int, int] = (40, 36, 32)) -> np.ndarray:
    labels = np.full(shape, WORDS["body"].index, dtype=np.uint16)
    labels[:4] = 0
    labels[6:20, 4:30, 4:28] = WORDS["liver"].index
    labels[24:36, 4:16, 4:28] = WORDS["left rib 5"].index
    labels[24:36, 20:32, 4:28] = WORDS["right rib 7"].index
    return labels


@pytest.mark.parametrize("palette", ["any", "ct"])
def test_one_generator_state_gives_one_image(palette: str) -> None:
    images = [
        synthesize(blocks(), np.random.default_rng(seed), palette=palette, kinds=tissues(WORDS)) for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(images[0], images[1])
    assert np.abs(images[0] - images[2]).mean() > 0.01 * np.ptp(images[0])


def test_intensities_of_the_open_palette_fill_zero_to_one() -> None:
    for seed in range(6):
        image = synthesize(blocks(), np.random.default_rng(seed))
        assert image.dtype == np.float32
        assert image.min() == 0
        assert image.max() == pytest.approx(1, abs=1e-5)


def test_ct_intensities_lie_in_the_range_of_their_tissue() -> None:
    labels, kinds = blocks(), tissues(WORDS)
    for seed in range(12):
        image = synthesize(labels, np.random.default_rng(seed), palette="ct", kinds=kinds, container=346)
        low, high = CT_HU["liver"]
        assert low - 60 < image[9:17, 8:26, 8:24].mean() < high + 60


def test_alike_structures_look_alike_and_others_vary() -> None:
    labels, kinds = blocks(), tissues(WORDS)
    ribs, livers = [], []
    for seed in range(30):
        image = synthesize(labels, np.random.default_rng(seed), palette="ct", kinds=kinds, container=346)
        ribs.append(image[27:33, 7:13, 8:24].mean() - image[27:33, 23:29, 8:24].mean())
        livers.append(image[9:17, 8:26, 8:24].mean() - image[27:33, 7:13, 8:24].mean())
    assert np.std(ribs) < 45
    assert np.std(livers) > 70


def test_borders_of_labels_are_borders_of_the_image() -> None:
    """Over many draws, two voxels of one structure agree better than two of different structures."""
    labels = blocks()
    images = np.stack([synthesize(labels, np.random.default_rng(seed), kinds=tissues(WORDS)) for seed in range(40)])
    liver, other, rib = images[:, 10, 15, 15], images[:, 16, 20, 20], images[:, 30, 10, 15]
    assert np.corrcoef(liver, other)[0, 1] > np.corrcoef(liver, rib)[0, 1] + 0.2


def test_a_patch_takes_less_than_half_a_second() -> None:
    labels = np.kron(blocks((24, 24, 24)), np.ones((4, 4, 4), dtype=np.uint16))
    assert labels.shape == (96, 96, 96)
    best = min(timed(labels, seed) for seed in range(3))
    assert best < 0.5


def timed(labels: np.ndarray, seed: int) -> float:
    started = time.process_time()
    synthesize(labels, np.random.default_rng(seed), kinds=tissues(WORDS), container=346)
    return time.process_time() - started


def test_a_label_map_becomes_a_scan_on_its_grid() -> None:
    _, labels = asymmetric_letter(spacing_mm=4.0)
    volume = synthesize_volume(labels, np.random.default_rng(0), palette="ct")
    assert volume.grid == labels.grid
    assert volume.modality == "CT"
    assert synthesize_volume(labels, np.random.default_rng(0)).modality is None


def test_dividing_follows_the_intensities_and_leaves_other_labels() -> None:
    labels = blocks()
    image = np.where(np.indices(labels.shape)[2] < 16, -100.0, 50.0).astype(np.float32)
    parts = divide(labels, image, container=346, count=2)
    body = labels == 346
    np.testing.assert_array_equal(parts[~body], labels[~body])
    assert len(np.unique(parts[body & (image < 0)][: -1 or None])) >= 1
    far = body & (np.abs(np.indices(labels.shape)[2] - 15.5) > 3)
    assert set(np.unique(parts[far & (image < 0)])) == {347}
    assert set(np.unique(parts[far & (image > 0)])) == {348}


def test_every_structure_has_a_tissue_and_sides_share_it() -> None:
    assert set(tissues(WORDS).values()) <= set(CT_HU)
    for name, tissue in (
        ("left rib 4", "rib"), ("vertebrae T4", "vertebra"), ("aorta", "artery"), ("right lung middle lobe", "lung"),
        ("left kidney cyst", "cyst"), ("gallbladder", "fluid"), ("bladder", "urine"), ("trachea", "airway"),
        ("pulmonary vein", "vein"), ("left ventricle", "heart"), ("hepatic tumor", "tumour"), ("stomach", "stomach"),
    ):  # fmt: skip
        assert tissue_of(name) == tissue, name


def test_smoothing_keeps_the_mean_and_matches_a_plain_sum() -> None:
    array = np.zeros((15, 11, 9), dtype=np.float32)
    array[7, 5, 4] = 1
    out = smooth(array, (1.2, 0.8, 0.0))
    assert out.sum() == pytest.approx(1, abs=1e-4)
    i = np.arange(15) - 7
    row = np.where(np.abs(i) <= 4, np.exp(-0.5 * (i / 1.2) ** 2), 0)
    np.testing.assert_allclose(out[:, 5, 4] / out[7, 5, 4], row / row[7], atol=1e-5)
    np.testing.assert_allclose(smooth(np.full((6, 6, 6), 3.0, np.float32), 2.0), 3.0, atol=1e-4)


def person() -> tuple[Volume, LabelMap]:
    labels = blocks((48, 40, 40))
    hu = np.where(labels == 1, 50.0, np.where(labels == 0, -1000.0, -90.0))
    hu[np.isin(labels, (67, 81))] = 300
    hu += np.random.default_rng(0).normal(0, 8, hu.shape)
    grid = Grid(labels.shape, np.diag([3.0, 3.0, 4.0, 1.0]))
    return Volume(hu.astype(np.float32), grid, "CT"), LabelMap(labels, grid, WORDS)


def test_a_warp_moves_image_and_labels_together() -> None:
    volume, labels = person()
    for seed in range(4):
        made, named = warp(volume, labels, np.random.default_rng(seed), phase=False)
        assert (named.array != labels.array).mean() > 0.01
        assert set(named.present) <= set(labels.present)
        inner = smooth((named.array == 1).astype(np.float32), 1.0) > 0.97
        assert made.array[inner].mean() == pytest.approx(50, abs=4)


def test_a_warp_never_folds() -> None:
    for seed in range(5):
        spacing = (3.0, 3.0, 4.0)
        unit = random_displacement((48, 40, 40), spacing, np.random.default_rng(seed), 1.0)[0].numpy()[..., ::-1]
        step = np.stack([np.gradient(unit * (np.array([48, 40, 40]) - 1) / 2, axis=a) for a in range(3)], axis=-1)
        assert np.linalg.det(step).min() > 0.05
        assert np.abs(np.diff(unit[..., 0], axis=0)).max() < 4 * 2 / 47


def test_a_warp_of_no_strength_changes_nothing_and_one_seed_is_one_warp() -> None:
    volume, labels = person()
    image, array = warp_arrays(volume.array, labels.array, np.random.default_rng(1), spacing_mm=(3, 3, 4), strength=0.0)
    np.testing.assert_allclose(image, volume.array, atol=0.05)
    assert (array != labels.array).mean() < 1e-3
    first, again = (warp(volume, labels, np.random.default_rng(7)) for _ in "ab")
    np.testing.assert_array_equal(first[0].array, again[0].array)
    np.testing.assert_array_equal(first[1].array, again[1].array)


def test_another_phase_moves_organs_to_its_attenuation_and_keeps_texture() -> None:
    volume, labels = person()
    portal = recontrast(volume, labels, np.random.default_rng(0), Enhancement(2.0, 1.0, 0.0))
    liver = smooth((labels.array == 1).astype(np.float32), 1.0) > 0.97
    assert portal.array[liver].mean() == pytest.approx(112, abs=20)
    assert portal.array[liver].std() == pytest.approx(volume.array[liver].std(), rel=0.15)
    far = smooth((labels.array == 1).astype(np.float32), 1.0) < 0.01
    np.testing.assert_allclose(portal.array[far], volume.array[far], atol=0.5)


def test_scans_and_labels_of_two_shapes_are_refused() -> None:
    volume, labels = person()
    other = LabelMap(labels.array[:-1], labels.grid.crop((0, 0, 0), (47, 40, 40)), WORDS)
    with pytest.raises(GeometryError):
        warp(volume, other, np.random.default_rng(0))
