"""LPS and RAS: the signs of two axes, both ways."""

from __future__ import annotations

import numpy as np

from prosect.geometry import Grid
from prosect.io.lps import affine_from_lps, affine_in_lps


def test_left_and_back_turn_their_sign_and_up_does_not() -> None:
    affine = affine_from_lps(np.eye(3), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0))
    np.testing.assert_array_equal(affine @ [1, 1, 1, 1], [-11.0, -22.0, 33.0, 1.0])


def test_the_direction_of_an_axis_stands_in_its_column() -> None:
    turned = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # i runs to the back, j up, k to the left
    affine = affine_from_lps(turned, (1.0, 2.0, 3.0), (0.0, 0.0, 0.0))
    np.testing.assert_array_equal(affine @ [1, 0, 0, 1], [0.0, -1.0, 0.0, 1.0])
    np.testing.assert_array_equal(affine @ [0, 1, 0, 1], [0.0, 0.0, 2.0, 1.0])


def test_there_and_back_is_the_same_grid() -> None:
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    grid = Grid((4, 5, 6), affine_from_lps(rotation, (0.7, 0.8, 2.5), (1.0, -2.0, 3.0)))
    lps = affine_in_lps(grid)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, (0.7, 0.8, 2.5))
    np.testing.assert_allclose(affine_from_lps(lps[:3, :3] / spacing, spacing, lps[:3, 3]), grid.affine)


def test_no_zero_is_negative() -> None:
    lps = affine_in_lps(Grid((2, 2, 2), np.eye(4)))
    assert not np.signbit(lps[lps == 0]).any()
