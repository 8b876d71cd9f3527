"""A sparse mask behaves as the full array it stands for."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.boxes import EMPTY, Box, SparseMask

SHAPE = (6, 7, 8)


def random_box(rng: np.random.Generator) -> Box:
    """Return a box inside the grid, empty at times."""
    ends = np.sort(rng.integers(0, np.array(SHAPE) + 1, (2, 3)), axis=0)
    return Box(tuple(ends[0].tolist()), tuple(ends[1].tolist()))


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_a_sparse_mask_is_the_array_it_stands_for(seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    mask, array = SparseMask(SHAPE), np.zeros(SHAPE, dtype=bool)
    done = []
    for _ in range(steps):
        box = random_box(rng)
        bits = rng.random(box.shape) < rng.random()
        mask.toggle(box, bits)
        array[box.slices] ^= bits
        done.append((box, bits))
        np.testing.assert_array_equal(mask.full(), array)
        assert mask.count == array.sum()
        other = random_box(rng)
        np.testing.assert_array_equal(mask.read(other), array[other.slices])
        assert all(mask[v] == array[v] for v in [(0, 0, 0), (5, 6, 7), (2, 3, 4)])
    for box, bits in reversed(done):
        mask.toggle(box, bits)
    assert mask.count == 0
    assert mask.box == EMPTY


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_boxes_meet_and_join_as_sets_of_voxels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = random_box(rng), random_box(rng)
    in_a, in_b = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    in_a[a.slices], in_b[b.slices] = True, True
    assert (a & b).size == (in_a & in_b).sum()
    assert Box.of(in_a | in_b) == (a | b if (a | b).size else EMPTY)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.permutations([0, 1, 2]))
def test_the_box_of_a_value_is_the_box_of_its_voxels_in_whatever_order_they_lie(seed: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    array = np.where(rng.random(SHAPE) < 0.02, rng.integers(1, 4, SHAPE), 0).astype(np.uint8).transpose(order)
    for value in (1, 2, 3):
        where = np.argwhere(array == value)
        held = Box(tuple(where.min(0).tolist()), tuple((where.max(0) + 1).tolist())) if len(where) else EMPTY
        assert Box.of_value(array, value) == Box.of(array == value) == held
    mirrored = array[::-1, :, ::-1]
    assert Box.of(mirrored == 1) == Box.of_value(np.ascontiguousarray(mirrored), 1)
