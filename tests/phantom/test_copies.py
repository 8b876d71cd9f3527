"""Copies of a labelled scan keep its structures and differ in what they are meant to differ in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prosect import vocabulary
from prosect.errors import GeometryError
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.phantom.copies import COPY_KINDS, CopyKind, draw_copy
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")
LIVER, SPLEEN = WORDS["liver"].index, WORDS["spleen"].index
SHAPE = (40, 36, 32)
GRID = Grid(SHAPE, np.diag([3.0, 3.0, 3.0, 1.0]))


def scan(modality: str | None = "CT") -> tuple[Volume, LabelMap]:
    """Return a body in air with a liver and a spleen, and what is labelled of it."""
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[8:20, 8:28, 6:26] = LIVER
    array[24:32, 12:24, 10:22] = SPLEEN
    hu = np.full(SHAPE, -1000.0)
    hu[4:-4, 4:-4] = 40.0
    hu[array == LIVER], hu[array == SPLEEN] = 110.0, 90.0
    hu += np.random.default_rng(0).normal(0, 8, SHAPE)
    return Volume(hu.astype(np.float32), GRID, modality), LabelMap(array, GRID, WORDS)


@pytest.mark.parametrize("kind", COPY_KINDS)
def test_a_copy_lies_on_the_grid_and_follows_its_generator_alone(kind: CopyKind) -> None:
    volume, labels = scan()
    copies = [draw_copy(volume, labels, kind, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    for image, names in copies:
        assert image.grid == names.grid == GRID
        assert names.vocabulary is WORDS
        assert set(names.present) <= {LIVER, SPLEEN}
    np.testing.assert_array_equal(copies[0][0].array, copies[1][0].array)
    np.testing.assert_array_equal(copies[0][1].array, copies[1][1].array)
    assert np.abs(copies[0][0].array - copies[2][0].array).mean() > 1


def test_a_warped_copy_is_another_shape_of_the_same_organs() -> None:
    volume, labels = scan()
    image, names = draw_copy(volume, labels, "warp", np.random.default_rng(3))
    assert (names.array != labels.array).mean() > 0.01
    for index in (LIVER, SPLEEN):
        assert 0.4 < names.mask(index).sum() / labels.mask(index).sum() < 2.5
    assert np.median(image.array[names.mask(LIVER)]) > -100, "the labels moved with the image"


def test_a_scan_that_is_no_ct_is_warped_without_a_contrast_phase() -> None:
    volume, labels = scan("MR")
    image, names = draw_copy(volume, labels, "warp", np.random.default_rng(3))
    assert np.median(image.array[names.mask(LIVER)]) == pytest.approx(110, abs=4)


def test_a_synthetic_copy_keeps_labels_and_the_shape_of_what_has_none() -> None:
    volume, labels = scan()
    body = volume.array > -500
    differ = []
    for seed in range(8):
        image, names = draw_copy(volume, labels, "synthesis", np.random.default_rng(seed))
        assert names is labels
        assert image.array.min() >= -1024
        air = image.array[:, 1, :]
        assert np.median(air) < -600, "unlabelled air stays air in a CT"
        differ.append(np.median(image.array[body & (labels.array == 0)]))
    assert np.ptp(differ) > 20, "unlabelled tissue varies"


def test_a_synthetic_copy_of_another_modality_fills_zero_to_one() -> None:
    volume, labels = scan("MR")
    image, _ = draw_copy(volume, labels, "synthesis", np.random.default_rng(0))
    assert (float(image.array.min()), float(image.array.max())) == pytest.approx((0, 1), abs=1e-5)
    assert image.modality == "MR"


def test_labels_of_another_scan_are_refused() -> None:
    volume, labels = scan()
    other = replace(labels, array=labels.array[:-1], grid=GRID.crop((0, 0, 0), (39, 36, 32)))
    for kind in COPY_KINDS:
        with pytest.raises(GeometryError):
            draw_copy(volume, other, kind, np.random.default_rng(0))
