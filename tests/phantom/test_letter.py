"""The letter: its truth is a formula, and no mirroring or transposition of it goes unseen."""

from __future__ import annotations

import numpy as np
import pytest

from prosect.geometry import Grid
from prosect.measure import measure
from prosect.phantom import LETTER, asymmetric_letter
from worlds.orders import ORDERS

OBLIQUE = np.array([[0.9, 0.3, 0.0, -64.0], [-0.3, 0.9, 0.1, -45.0], [0.0, -0.1, 1.2, -62.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.mark.parametrize("grid", [None, Grid((130, 130, 110), OBLIQUE)], ids=["ras", "oblique"])
def test_ellipsoids_lie_where_the_formula_says(grid) -> None:
    _, labels = asymmetric_letter(grid, spacing_mm=1.0)
    found = {m.name: m for m in measure(labels)}
    for name, (_, solid) in LETTER.items():
        np.testing.assert_allclose(found[name].centroid_ras, solid.center, atol=0.05, err_msg=name)
        assert found[name].volume_ml == pytest.approx(solid.volume_ml, rel=0.01), name


def test_no_other_axis_order_looks_the_same() -> None:
    volume, labels = asymmetric_letter(spacing_mm=4.0)
    others = [order for order in ORDERS if not order.is_identity]
    assert len(others) == 47
    for order in others:
        assert (order.apply(labels.array) != labels.array).mean() > 0.01
        assert (order.apply(volume.array) != volume.array).mean() > 0.01


def test_a_shift_by_one_voxel_is_seen() -> None:
    _, labels = asymmetric_letter(spacing_mm=4.0)
    for axis in range(3):
        assert (np.roll(labels.array, 1, axis) != labels.array).any()


def test_nothing_touches_the_border_or_overlaps() -> None:
    _, labels = asymmetric_letter()
    found = measure(labels)
    assert len(found) == 1 + len(LETTER)
    assert not any(m.touches_border for m in found)
