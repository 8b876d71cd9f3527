"""Where crops lie against each other."""

from __future__ import annotations

import numpy as np
import pytest

from prosect.inference.crop_places import nearest_voxel, reaching, shared_voxels


@pytest.mark.parametrize("other", [(0, 0, 0), (3, -2, 7), (-7, 5, 1), (8, 0, 0), (-20, 3, 3)])
def test_both_indices_show_the_same_voxels_of_the_scan(other: tuple[int, int, int]) -> None:
    size, reach = 8, 48
    scan = np.arange(reach**3).reshape(reach, reach, reach)
    start = (24, 24, 24)
    place = tuple(s + o for s, o in zip(start, other, strict=True))
    crops = [scan[tuple(slice(s, s + size) for s in each)] for each in (start, place)]
    ours, theirs = shared_voxels(start, (place[0], place[1], place[2]), size)
    both = np.intersect1d(crops[0], crops[1])
    np.testing.assert_array_equal(np.sort(crops[1][theirs], axis=None), both)
    if both.size:
        np.testing.assert_array_equal(crops[0][ours], crops[1][theirs])
    else:
        assert any(s.start >= s.stop for s in ours), "crops that lie apart share nothing along some axis"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_parts_that_reach_the_face_stay(axis: int) -> None:
    mask = np.zeros((6, 6, 6), dtype=bool)
    ahead = np.moveaxis(mask, axis, 0)
    ahead[4:, 1, 1] = True
    ahead[0, 4, 4] = True
    ahead[2, 3, 1] = True
    last, first = reaching(mask, axis, True), reaching(mask, axis, False)
    assert np.moveaxis(last, axis, 0)[4:, 1, 1].all()
    assert last.sum() == 2
    assert np.moveaxis(first, axis, 0)[0, 4, 4]
    assert first.sum() == 1


@pytest.mark.parametrize(("point", "voxel"), [(-0.5, 0), (0.49, 0), (0.5, 1), (7.5, 7), (99.0, 7), (-3.0, 0)])
def test_a_position_lies_in_the_voxel_around_it(point: float, voxel: int) -> None:
    assert nearest_voxel(np.full(3, point), 8) == (voxel, voxel, voxel)
