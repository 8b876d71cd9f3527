"""Synthetic people: one seed is one person on every grid, and left is left."""

from __future__ import annotations

import numpy as np
import pytest

from prosect.geometry import AxisOrder, Grid
from prosect.measure import Measurement, measure
from prosect.phantom import head_neck, people, torso

EXPECTED_TORSO = {
    "liver": 1, "spleen": 3, "right kidney": 5, "left kidney": 14, "aorta": 6, "inferior vena cava": 7, "heart": 115,
    "left lung upper lobe": 28, "right lung middle lobe": 31, "spinal cord": 121, "pancreas": 4, "bladder": 15,
    "colon": 62, "left hip": 95, "sacrum": 97, "trachea": 57, "body": 346,
}  # fmt: skip
EXPECTED_HEAD = {220, 121, 205, 204, 11, 210, 347, 20, 346}
COARSE = (4.0, 4.0, 5.0)
# Across the upper abdomen, where liver, spleen and kidneys are.
ABDOMEN = Grid((78, 66, 54), np.array([[4.0, 0, 0, -154], [0, 4.0, 0, -138], [0, 0, 4.0, -140], [0, 0, 0, 1]]))
MIDDLE = ABDOMEN.crop((20, 14, 14), (60, 52, 40))


def found(person, *args, seed: int = 4, **kwargs) -> dict[int, Measurement]:
    volume, labels = person(np.random.default_rng(seed), *args, noise_hu=0.0, **kwargs)
    return {m.index: m for m in measure(labels, volume)}


@pytest.fixture(scope="module")
def torso_found() -> dict[int, Measurement]:
    return found(torso, COARSE)


@pytest.fixture(scope="module")
def head_found() -> dict[int, Measurement]:
    return found(head_neck, (2.0, 2.0, 2.0))


def test_torso_holds_the_promised_structures(torso_found) -> None:
    assert {torso_found[i].name: i for i in EXPECTED_TORSO.values()} == EXPECTED_TORSO


def test_head_and_neck_hold_the_promised_structures(head_found) -> None:
    assert set(head_found) >= EXPECTED_HEAD


def test_the_liver_is_right_the_spleen_left_and_the_spine_behind(torso_found) -> None:
    x = {m.name: m.centroid_ras[0] for m in torso_found.values()}
    y = {m.name: m.centroid_ras[1] for m in torso_found.values()}
    assert x["liver"] > 20
    assert x["spleen"] < -40
    assert x["stomach"] < -15
    assert y["spinal cord"] < y["aorta"] < y["heart"] < y["sternum"]


@pytest.mark.parametrize("which", ["torso_found", "head_found"])
def test_everything_named_left_is_left_and_right_is_right(which, request) -> None:
    pairs = 0
    for m in request.getfixturevalue(which).values():
        if m.name.startswith("left "):
            limit = 0 if "brachiocephalic" in m.name else -8  # that vein crosses the middle
            assert m.centroid_ras[0] < limit, m.name
            pairs += 1
        if m.name.startswith("right "):
            assert m.centroid_ras[0] > 8, m.name
    assert pairs >= 5


def test_organs_have_the_size_and_density_of_organs(torso_found) -> None:
    by_name = {m.name: m for m in torso_found.values()}
    ranges = {"liver": (900, 2300, 20, 140), "spleen": (70, 420, 25, 150), "heart": (330, 1000, 25, 250)}
    ranges |= {"left kidney": (90, 270, 10, 210), "left lung upper lobe": (500, 2100, -900, -700)}
    ranges |= {"aorta": (130, 480, 25, 380), "left hip": (250, 620, 100, 500)}
    for name, (least, most, low, high) in ranges.items():
        assert least < by_name[name].volume_ml < most, name
        assert low < by_name[name].mean_hu < high, name


def test_the_same_person_on_two_grids_is_the_same() -> None:
    straight = found(torso, grid=ABDOMEN)
    turn = np.deg2rad(9.0)
    c, s = 3.4 * np.cos(turn), 3.4 * np.sin(turn)
    affine = np.array([[-c, s, 0, 0], [s, c, 0, 0], [0, 0, -3.4, 0], [0, 0, 0, 1.0]])
    affine[:3, 3] = ABDOMEN.to_world([[38.5, 32.5, 26.5]])[0] - affine[:3, :3] @ [50.0, 46.0, 33.0]
    turned = found(torso, grid=Grid((101, 93, 67), affine))
    for name, index in (("liver", 1), ("spleen", 3), ("left kidney", 14), ("right kidney", 5)):
        assert not turned[index].touches_border, name
        assert turned[index].volume_ml == pytest.approx(straight[index].volume_ml, rel=0.02), name
        np.testing.assert_allclose(turned[index].centroid_ras, straight[index].centroid_ras, atol=0.3, err_msg=name)


def test_intensities_agree_between_grids_where_voxels_coincide() -> None:
    every, _ = torso(np.random.default_rng(2), (2.5, 2.5, 2.5), (40, 44, 32), noise_hu=0)
    order = AxisOrder((1, 2, 0), (True, True, False))
    turned, _ = torso(np.random.default_rng(2), grid=every.grid.reorder(order), noise_hu=0)
    # Rounding to whole HU; where blocks of voxels are taken as plainly inside, a few edges are a little harder.
    assert (np.abs(order.apply(every.array) - turned.array) <= 1.0).mean() > 0.999


def test_one_seed_gives_one_volume_and_another_seed_another_person() -> None:
    first, labels = head_neck(np.random.default_rng(5), COARSE)
    again, same = head_neck(np.random.default_rng(5), COARSE)
    _, other = head_neck(np.random.default_rng(6), COARSE)
    np.testing.assert_array_equal(first.array, again.array)
    np.testing.assert_array_equal(labels.array, same.array)
    assert (labels.array != other.array).mean() > 0.01


def test_noise_has_the_asked_strength_and_no_bias() -> None:
    clean, _ = torso(np.random.default_rng(7), grid=MIDDLE, noise_hu=0)
    noisy, _ = torso(np.random.default_rng(7), grid=MIDDLE, noise_hu=20)
    tissue = clean.array > -500
    difference = (noisy.array - clean.array)[tissue]
    assert difference.std() == pytest.approx(20, rel=0.03)
    assert abs(difference.mean()) < 0.5


def test_a_person_is_cut_by_a_small_grid_but_stays_in_place() -> None:
    whole = torso(np.random.default_rng(3), grid=MIDDLE, noise_hu=0)[1]
    start, stop = (10, 8, 5), (34, 30, 20)
    part = torso(np.random.default_rng(3), grid=whole.grid.crop(start, stop), noise_hu=0)[1]
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    assert (part.array != whole.array[box]).mean() < 2e-4


def test_structures_of_a_kind_hold_everything_that_is_drawn(torso_found) -> None:
    known = set(people.structures("torso").values())
    assert known >= set(torso_found)
    assert known >= {kind_index for name, kind_index in people.structures("torso").items() if "tumor" in name}
    assert "prostate" in people.structures("torso")
    assert "uterocervix" in people.structures("torso")
