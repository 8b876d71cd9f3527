"""Measurements follow from voxel counts alone, and agree with a slow count."""

from __future__ import annotations

import numpy as np
import pytest

from prosect import vocabulary
from prosect.errors import GeometryError
from prosect.geometry import AxisOrder, Grid
from prosect.labelmap import LabelLayers, LabelMap
from prosect.measure import Measurement, measure
from prosect.phantom import LETTER, asymmetric_letter
from prosect.volume import Volume

OBLIQUE = np.array([[0.0, -1.4, 0.3, 12.0], [0.9, 0.1, 0.0, -40.0], [0.0, 0.2, 2.5, 7.0], [0.0, 0.0, 0.0, 1.0]])


def slow(labels: LabelMap, volume: Volume, index: int) -> Measurement:
    """Return what the definitions say, with one mask for the structure."""
    where = np.argwhere(labels.array == index)
    start, stop = where.min(axis=0), where.max(axis=0) + 1
    spacing = np.asarray(labels.grid.spacing_mm)
    inside = volume.array[labels.array == index].astype(np.float64)
    return Measurement(
        name=labels.vocabulary[index].name,
        index=index,
        voxels=len(where),
        volume_ml=len(where) * labels.grid.voxel_volume_ml,
        mean_hu=float(inside.mean()),
        sd_hu=float(inside.std()),
        min_hu=float(inside.min()),
        max_hu=float(inside.max()),
        start_vox=tuple(int(v) for v in start),
        stop_vox=tuple(int(v) for v in stop),
        extents_mm=tuple((stop - start) * spacing),
        touches_border=bool((start == 0).any() or (stop == labels.array.shape).any()),
        centroid_ras=tuple(labels.grid.to_world(where).mean(axis=0)),
    )


@pytest.fixture
def scattered() -> tuple[LabelMap, Volume]:
    rng = np.random.default_rng(1)
    grid = Grid((23, 17, 31), OBLIQUE)
    array = rng.choice(np.array([0, 0, 0, 1, 3, 20, 115, 345]), size=grid.shape).astype(np.uint16)
    array[:, :, :4] = 0
    volume = Volume(rng.normal(40, 100, grid.shape), grid, "CT")
    return LabelMap(array, grid, vocabulary.load("prosect")), volume


@pytest.mark.parametrize("order", ["C", "F"])
def test_measure_agrees_with_a_slow_count_in_either_memory_order(scattered, order) -> None:
    labels, volume = scattered
    array = np.asarray(labels.array, order=order)
    for m in measure(LabelMap(array, labels.grid, labels.vocabulary), volume):
        truth = slow(labels, volume, m.index)
        assert (m.name, m.voxels) == (truth.name, truth.voxels)
        assert (m.start_vox, m.stop_vox) == (truth.start_vox, truth.stop_vox)
        assert m.touches_border == truth.touches_border
        assert m.mean_hu == pytest.approx(truth.mean_hu, abs=1e-6)
        assert m.sd_hu == pytest.approx(truth.sd_hu, abs=1e-6)
        assert (m.min_hu, m.max_hu) == (truth.min_hu, truth.max_hu)
        np.testing.assert_allclose(m.centroid_ras, truth.centroid_ras, atol=1e-9)
        np.testing.assert_allclose(m.extents_mm, truth.extents_mm)


def test_every_structure_present_is_measured_once_in_rising_order(scattered) -> None:
    labels, _ = scattered
    assert [m.index for m in measure(labels)] == [1, 3, 20, 115, 345]
    assert all(n is None for m in measure(labels) for n in (m.mean_hu, m.sd_hu, m.min_hu, m.max_hu))


def test_splitting_into_slabs_changes_nothing(scattered, monkeypatch) -> None:
    whole = measure(*scattered)
    monkeypatch.setattr("prosect.measure.SLAB_VOXELS", 1)
    for one, other in zip(whole, measure(*scattered), strict=True):
        assert one.mean_hu == pytest.approx(other.mean_hu, rel=1e-9)
        assert one.sd_hu == pytest.approx(other.sd_hu, rel=1e-9)
        assert (one.voxels, one.centroid_ras, one.start_vox) == (other.voxels, other.centroid_ras, other.start_vox)


def test_the_spread_of_a_nearly_constant_structure_far_from_zero_is_exact() -> None:
    """A sum of squares would lose all digits of it."""
    grid = Grid((20, 20, 20), np.eye(4))
    values = np.where(np.indices(grid.shape).sum(axis=0) % 2, 20000.0, 20000.25)
    labels = LabelMap(np.ones(grid.shape, np.uint8), grid, vocabulary.load("prosect"))
    (only,) = measure(labels, Volume(values, grid))
    assert only.sd_hu == pytest.approx(0.125, rel=1e-9)


def test_axis_order_does_not_change_volume_or_centroid() -> None:
    _, labels = asymmetric_letter()
    order = AxisOrder((2, 0, 1), (True, False, True))
    turned = LabelMap(order.apply(labels.array), labels.grid.reorder(order), labels.vocabulary)
    for one, other in zip(measure(labels), measure(turned), strict=True):
        assert one.volume_ml == pytest.approx(other.volume_ml)
        np.testing.assert_allclose(one.centroid_ras, other.centroid_ras, atol=1e-9)


def test_ellipsoids_measure_as_the_formula_says() -> None:
    _, labels = asymmetric_letter(spacing_mm=1.0)
    found = {m.name: m for m in measure(labels)}
    for name, (_, solid) in LETTER.items():
        assert found[name].volume_ml == pytest.approx(solid.volume_ml, rel=0.01)
        np.testing.assert_allclose(found[name].centroid_ras, solid.center, atol=0.05)


def test_a_structure_at_the_last_slice_touches_the_border() -> None:
    grid = Grid((5, 6, 7), np.eye(4))
    array = np.zeros(grid.shape, dtype=np.uint8)
    array[2, 2, 6], array[3, 3, 3] = 1, 3
    liver, spleen = measure(LabelMap(array, grid, vocabulary.load("prosect")))
    assert liver.touches_border
    assert not spleen.touches_border


def test_layers_that_overlap_are_measured_each_for_itself() -> None:
    grid, words = Grid((6, 6, 6), np.diag([2.0, 2.0, 2.0, 1.0])), vocabulary.load("prosect")
    masks = np.zeros((2, 6, 6, 6), dtype=bool)
    masks[0, 1:5, 1:5, 1:5], masks[1, 2:4, 2:4, 2:4] = True, True
    vessel, liver = sorted(measure(LabelLayers(masks, (1, 25), grid, words)), key=lambda m: m.voxels)
    assert (liver.index, liver.volume_ml) == (1, pytest.approx(64 * 0.008))
    assert (vessel.index, vessel.volume_ml) == (25, pytest.approx(8 * 0.008))


def test_nothing_labelled_gives_nothing() -> None:
    grid = Grid((4, 4, 4), np.eye(4))
    assert measure(LabelMap(np.zeros(grid.shape, np.uint8), grid, vocabulary.load("prosect"))) == ()


def test_a_scan_of_another_shape_is_refused() -> None:
    words = vocabulary.load("prosect")
    labels = LabelMap(np.zeros((4, 4, 4), np.uint8), Grid((4, 4, 4), np.eye(4)), words)
    with pytest.raises(GeometryError, match=r"\(4, 4, 5\)"):
        measure(labels, Volume(np.zeros((4, 4, 5)), Grid((4, 4, 5), np.eye(4))))
