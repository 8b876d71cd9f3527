"""Crumbs are left out, of those structures alone that are one piece in everybody."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from prosect.inference.canvas import FlatCanvas, LayeredCanvas
from prosect.inference.one_piece import CRUMB, leave_out_crumbs

CORD, BODY, LUNG = 2, 9, 4


def labels(seed: int) -> NDArray[np.uint16]:
    return (
        np.random.default_rng(seed).choice([0, CORD, BODY, LUNG], (7, 6, 8), p=[0.3, 0.2, 0.3, 0.2]).astype(np.uint16)
    )


def whole(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pieces that are no crumbs."""
    pieces, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())[1:]
    return np.isin(pieces, 1 + np.flatnonzero(sizes >= CRUMB * sizes.max()))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0, BODY]))
def test_crumbs_of_a_flat_map_fall_to_what_contains_them(seed: int, container: int) -> None:
    before = labels(seed)
    after = before.copy()
    told = leave_out_crumbs(FlatCanvas(after, (CORD, BODY, LUNG)), {CORD: container})
    kept = whole(before == CORD)
    lost = (before == CORD) & ~kept
    np.testing.assert_array_equal(after == CORD, kept)
    assert (after[lost] == container).all()
    np.testing.assert_array_equal(after[before != CORD], before[before != CORD])
    count = ndimage.label(lost, np.ones((3, 3, 3)))[1]
    assert told == ({CORD: (count, int(lost.sum()))} if count else {})


def test_pieces_alike_in_size_stay() -> None:
    before = np.zeros((9, 4, 4), np.uint8)
    before[:3] = before[5:7] = before[8, 0, 0] = CORD
    after = before.copy()
    assert leave_out_crumbs(FlatCanvas(after, (CORD,)), {CORD: 0}) == {CORD: (1, 1)}
    np.testing.assert_array_equal(after[:8], before[:8])
    assert not after[8].any()


def test_layers_lose_their_crumbs_each_for_itself() -> None:
    before = labels(0)
    layers = [before == CORD, before == LUNG]
    leave_out_crumbs(LayeredCanvas.of(layers, (CORD, LUNG)), {LUNG: 0})
    np.testing.assert_array_equal(layers[0], before == CORD)
    np.testing.assert_array_equal(layers[1], whole(before == LUNG))


def test_nothing_found_is_nothing_left_out() -> None:
    assert leave_out_crumbs(FlatCanvas(np.zeros((4, 4, 4), np.uint8), (CORD,)), {CORD: 0}) == {}
