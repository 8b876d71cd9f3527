"""Only the largest piece is kept, of those structures alone that are one piece in everybody."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from prosect.inference.one_piece import keep_largest_pieces

CORD, BODY, LUNG = 2, 9, 4


def labels(seed: int) -> NDArray[np.uint16]:
    return (
        np.random.default_rng(seed).choice([0, CORD, BODY, LUNG], (7, 6, 8), p=[0.3, 0.2, 0.3, 0.2]).astype(np.uint16)
    )


def largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    return np.asarray(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0, BODY]))
def test_a_flat_map_keeps_the_largest_piece_and_the_rest_falls_to_what_contains_it(seed: int, container: int) -> None:
    before = labels(seed)
    after = before.copy()
    told = keep_largest_pieces([after], [CORD, BODY, LUNG], False, {CORD: container})
    kept = largest(before == CORD)
    lost = (before == CORD) & ~kept
    np.testing.assert_array_equal(after == CORD, kept)
    assert (after[lost] == container).all()
    np.testing.assert_array_equal(after[before != CORD], before[before != CORD])
    count = ndimage.label(before == CORD, np.ones((3, 3, 3)))[1]
    assert told == ({CORD: (count - 1, int(lost.sum()))} if count > 1 else {})


def test_layers_keep_the_largest_piece_each_for_itself() -> None:
    before = labels(0)
    layers = [before == CORD, before == LUNG]
    keep_largest_pieces(layers, [CORD, LUNG], True, {LUNG: 0})
    np.testing.assert_array_equal(layers[0], before == CORD)
    np.testing.assert_array_equal(layers[1], largest(before == LUNG))


def test_nothing_found_is_nothing_left_out() -> None:
    assert keep_largest_pieces([np.zeros((4, 4, 4), np.uint8)], [CORD], False, {CORD: 0}) == {}
