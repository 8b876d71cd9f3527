"""Components, erosion, dilation and depth against scipy and slow twins; the deepest voxel by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from prosect import morphology
from prosect.morphology import (
    Components,
    border_components,
    city_block_depth,
    dilate,
    erode,
    euclidean_depth,
    innermost,
    largest_component,
)
from reference import morphology as reference


@pytest.mark.parametrize("short_run", [0, 10**6], ids=["runs are joined", "voxels are numbered"])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    density=st.floats(0.05, 0.95),
    seed=st.integers(0, 10**6),
    connectivity=st.integers(1, 4),
)
def test_components_are_those_of_scipy(
    shape: list[int], density: float, seed: int, connectivity: int, short_run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(morphology, "SHORT_RUN", short_run)
    connectivity = min(connectivity, len(shape))
    mask = np.random.default_rng(seed).random(shape) < density
    found = Components.of(mask, connectivity)
    expected, count = ndimage.label(mask, ndimage.generate_binary_structure(len(shape), connectivity))
    assert found.count == count
    np.testing.assert_array_equal(found.sizes, np.bincount(expected.ravel(), minlength=count + 1)[1:])
    for voxel in np.ndindex(*shape):
        label = found.at(voxel)
        assert (0 if label is None else label + 1) == expected[voxel]
    for label in range(count):
        np.testing.assert_array_equal(found.mask([label]), expected == label + 1)
    np.testing.assert_array_equal(found.mask(range(count)), mask)


def test_a_long_winding_component_is_one() -> None:
    mask = np.zeros((41, 41, 3), dtype=bool)
    mask[::2, :, 1] = True
    mask[1::4, 40, 1] = mask[3::4, 0, 1] = True
    assert Components.of(mask).count == 1
    assert Components.of(np.asfortranarray(mask.transpose(1, 2, 0)), 1).count == 1


@pytest.mark.parametrize("order", ["C", "F"])
def test_noise_has_the_same_components_either_way(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.asarray(np.random.default_rng(5).random((20, 24, 28)) < 0.1, order=order)  # type: ignore[call-overload]
    numbered = Components.of(mask)
    monkeypatch.setattr(morphology, "SHORT_RUN", 0)
    joined = Components.of(mask)
    assert joined.count > 200
    np.testing.assert_array_equal(numbered.labels, joined.labels)


def test_nothing_has_no_component() -> None:
    found = Components.of(np.zeros((3, 4, 5), dtype=bool))
    assert found.count == 0
    assert found.at((1, 1, 1)) is None
    assert not found.mask([]).any()


@settings(deadline=None)
@given(st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 10**6))
def test_the_city_block_depth_is_the_shortest_way_out_along_the_axes(shape: tuple[int, int, int], seed: int) -> None:
    mask = np.random.default_rng(seed).random(shape) < 0.85
    spacing = np.array([0.5, 1.0, 3.0])
    padded = np.pad(mask, 1)
    out = np.argwhere(~padded) - 1
    expected = [min((abs(np.array(v) - out) * spacing).sum(axis=1)) if mask[v] else 0 for v in np.ndindex(*shape)]
    np.testing.assert_allclose(city_block_depth(mask, spacing).ravel(), expected, rtol=1e-6)


def test_the_innermost_voxel_is_the_middle_of_a_ball_and_never_outside() -> None:
    i, j, k = np.indices((21, 21, 21)) - 10
    ball = i**2 + j**2 + k**2 <= 64
    assert innermost(ball, (1, 1, 1)) == (10, 10, 10)
    ring = ball & (i**2 + j**2 + k**2 >= 25)
    assert ring[innermost(ring, (1, 1, 1))]
    with pytest.raises(ValueError, match="empty"):
        innermost(np.zeros((2, 2, 2), dtype=bool), (1, 1, 1))


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(*[st.integers(1, 5)] * 3),
    st.tuples(*[st.integers(0, 3)] * 3),
    st.booleans(),
    st.floats(0.05, 0.95),
    st.integers(0, 10**6),
)
def test_erosion_and_dilation_look_at_every_neighbour_in_the_box(
    shape: tuple[int, int, int], reach: tuple[int, int, int], beyond: bool, density: float, seed: int
) -> None:
    mask = np.random.default_rng(seed).random(shape) < density
    before = mask.copy()
    np.testing.assert_array_equal(dilate(mask, reach, beyond=beyond), reference.dilate(mask, reach, beyond))
    np.testing.assert_array_equal(erode(mask, reach, beyond=beyond), ~reference.dilate(~mask, reach, not beyond))
    np.testing.assert_array_equal(mask, before, "the mask that was given stays as it is")


def test_erosion_and_dilation_are_those_of_scipy_in_any_memory_order() -> None:
    mask = np.asfortranarray(np.random.default_rng(3).random((20, 15, 30)) < 0.7)
    for reach in (1, 2):
        brush = np.ones([2 * reach + 1] * 3)
        np.testing.assert_array_equal(erode(mask, reach), ndimage.binary_erosion(mask, brush))
        np.testing.assert_array_equal(dilate(~mask, reach), ndimage.binary_dilation(~mask, brush))


@settings(deadline=None, max_examples=40)
@given(st.tuples(*[st.integers(1, 6)] * 3), st.floats(0.2, 0.8), st.integers(0, 10**6))
def test_border_components_can_be_walked_to_from_the_sides(
    shape: tuple[int, int, int], density: float, seed: int
) -> None:
    mask = np.random.default_rng(seed).random(shape) < density
    for axes in ((0, 1), (2,)):
        np.testing.assert_array_equal(border_components(mask, axes), reference.border_components(mask, axes))


def test_the_largest_component_is_the_first_of_equals() -> None:
    mask = np.zeros((7, 3, 3), dtype=bool)
    mask[0:2, 1, 1] = mask[3:5, 1, 1] = mask[6, 1, 1] = True
    found = largest_component(mask)
    assert found is not None
    assert np.argwhere(found)[:, 0].tolist() == [0, 1]
    assert largest_component(np.zeros_like(mask)) is None


@settings(deadline=None, max_examples=40)
@given(st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 10**6))
def test_the_euclidean_depth_is_the_distance_to_the_nearest_voxel_outside(
    shape: tuple[int, int, int], seed: int
) -> None:
    mask = np.random.default_rng(seed).random(shape) < 0.85
    out = np.argwhere(~np.pad(mask, 1)) - 1
    expected = [np.sqrt(((np.array(v) - out) ** 2).sum(axis=1)).min() for v in np.ndindex(*shape)]
    np.testing.assert_allclose(euclidean_depth(mask).ravel(), np.where(mask.ravel(), expected, 0), rtol=1e-12)
