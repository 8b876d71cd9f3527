"""How slices are put together: places, volumes, choices and distances, told from headers alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.errors import FormatError
from prosect.geometry import Grid
from prosect.io.dicom import choosing
from prosect.io.dicom.choosing import chosen_series, label_groups, matches
from prosect.io.dicom.header import Slice
from prosect.io.dicom.member import Member
from prosect.io.dicom.spacing import check_positions, follows_thickness, is_even, regular_slices
from prosect.io.dicom.volumes import are_apart, are_complete, complete_one, ordered_value, places, split

WHERE = Path("scan")


def one(z: float, uid: str = "1.2.3", number: int | None = None, **more: Any) -> Slice:
    """Return a slice at a height."""
    marks = {"echo": "", "phase": "", **more.pop("marks", {})}
    identity = {"SeriesInstanceUID": uid, "Modality": "MR", "SeriesDescription": "d", "SOPInstanceUID": f"{uid}.{z}"}
    identity |= {"FrameOfReferenceUID": "f", **more.pop("identity", {})}
    order = {} if number is None else {"InstanceNumber": float(number)}
    values: dict[str, Any] = {
        "member": Member(f"{z:.3f}.dcm", 1, lambda _n: b""),
        "frame": 0,
        "part": "",
        "identity": identity,
        "rows": 4,
        "columns": 5,
        "row_direction": np.array([1.0, 0, 0]),
        "column_direction": np.array([0, 1.0, 0]),
        "orientation": (1.0, 0, 0, 0, 1.0, 0),
        "position": np.array([3.0, -2.0, z]),
        "spacing": (0.8, 0.9),
        "thickness_mm": 2.0,
        "slice_thickness_mm": 2.0,
        "rescale": None,
        "assumed": "",
        "unit": "",
        "marks": marks,
        "order": order,
    }
    return Slice(**{**values, **more})


def stack(heights: list[float] | range, **more: Any) -> list[Slice]:
    return [one(float(z), **more) for z in heights]


def never(_first: Slice, _second: Slice) -> bool:
    return False


def test_places_are_counted_along_the_normal_whatever_the_order() -> None:
    group = stack([6, 2, 4, 2.0005])
    assert places(group) == [2, 0, 1, 0]
    tipped = [replace(each, column_direction=np.array([0, -1.0, 0])) for each in group]
    assert places(tipped) == [0, 2, 1, 2], "the normal points the other way"


@given(st.lists(st.integers(0, 6), min_size=1, max_size=10))
@settings(max_examples=40, deadline=None)
def test_slices_at_one_height_share_a_place_and_no_others(heights: list[int]) -> None:
    found = places(stack([float(z) for z in heights]))
    order = sorted(set(heights))
    assert found == [order.index(z) for z in heights]


def test_slices_without_doubles_are_one_volume_as_they_are() -> None:
    group = stack(range(5), marks={"echo": "1"})
    assert split(group, never) == [group]


def test_copies_with_the_same_pixels_are_no_second_volume() -> None:
    group = stack([0, 1, 1, 2])
    assert split(group, lambda _a, _b: True) == [group]


def test_one_mark_parts_a_series_into_its_phases_in_the_order_of_their_numbers() -> None:
    group = [one(float(z), marks={"phase": phase}) for z in range(3) for phase in ("10", "9")]
    volumes = split(group, never)
    assert [each[0].part for each in volumes] == ["phase 9", "phase 10"]
    assert [[item.depth_mm for item in each] for each in volumes] == [[0, 1, 2], [0, 1, 2]]


def test_two_marks_together_part_what_neither_does_alone() -> None:
    group = []
    for z in range(2):
        for echo in ("1", "2"):
            for phase in ("a", "b"):
                group.append(one(float(z), marks={"echo": echo, "phase": phase}))
    volumes = split(group, never)
    assert [each[0].part for each in volumes] == [
        "echo 1, phase a", "echo 1, phase b", "echo 2, phase a", "echo 2, phase b"
    ]  # fmt: skip


def test_where_no_mark_tells_the_number_of_the_file_does() -> None:
    group = [one(float(z), number=10 * repeat + z) for repeat in range(2) for z in range(3)]
    first, second = split(group, never)
    assert [item.order["InstanceNumber"] for item in first] == [0, 1, 2]
    assert [item.order["InstanceNumber"] for item in second] == [10, 11, 12]
    assert (first[0].part, second[0].part) == ("number 1", "number 2")


def test_where_nothing_tells_them_apart_the_group_stays_whole() -> None:
    group = stack([0, 1, 1, 2])
    assert split(group, never) == [group]


def test_volumes_of_unequal_size_are_parted_by_the_mark_that_gives_the_fewest() -> None:
    group = [*stack(range(4), marks={"echo": "1", "phase": "x"}), one(2.0, marks={"echo": "2", "phase": "y"})]
    volumes = split(group, never)
    assert sorted(map(len, volumes)) == [1, 4]


def test_keys_are_apart_and_complete_by_their_definitions() -> None:
    assert are_apart(["a", "b", "a"], [0, 0, 1])
    assert not are_apart(["a", "a"], [0, 0])
    assert are_complete(["a", "b", "a", "b"], [0, 0, 1, 1])
    assert not are_complete(["a", "b", "a"], [0, 0, 1])


def test_numbers_come_before_words_and_in_their_own_order() -> None:
    values = ["b", "10", "9", "", "a", "-1.5"]
    assert sorted(values, key=ordered_value) == ["-1.5", "9", "10", "", "a", "b"]


def test_a_volume_that_has_all_places_leads_where_others_are_leftovers() -> None:
    whole, rest = stack(range(6)), stack([2, 3])
    assert complete_one({"whole": whole, "rest": rest}) == "whole"
    assert complete_one({"whole": whole, "rest": stack(range(3))}) is None, "half a scan is no leftover"
    assert complete_one({"whole": whole, "rest": stack([9])}) is None, "it lacks a place"


def test_groups_are_named_by_their_series_and_numbered_where_one_falls_apart() -> None:
    named = label_groups([stack([0]), stack([1], uid="9.9"), stack([2])])
    assert list(named) == ["1.2.3#1", "9.9", "1.2.3#2"]


@pytest.mark.parametrize(
    ("label", "wanted", "found"),
    [
        ("1.2.3", None, True),
        ("1.2.3", "1.2.3", True),
        ("9.1.2.3", "1.2.3", False),
        ("9.1.2.3", "2.3", True),
        ("1.2.3#2", "#2", True),
        ("1.2.3#2", "1.2.3", True),
        ("1.2.3", "#1", False),
    ],
)
def test_a_series_is_asked_for_by_its_name_or_the_end_of_it(label: str, wanted: str | None, found: bool) -> None:
    named = {"1.2.3": stack([0]), "9.1.2.3": stack([0], uid="9.1.2.3")}
    if "#" in label:
        named = {"1.2.3#1": stack([0]), "1.2.3#2": stack([1])}
    assert matches(label, wanted, named) is found


def test_the_only_volume_is_also_number_one() -> None:
    assert matches("1.2.3", "#1", {"1.2.3": stack([0])})


def test_the_only_volume_is_read_and_of_several_the_one_asked_for() -> None:
    own, other = stack(range(3)), stack(range(4), uid="7.8")
    assert len(chosen_series(WHERE, own, None, None, []).slices) == 3
    assert len(chosen_series(WHERE, [*own, *other], "7.8", None, []).slices) == 4
    assert len(chosen_series(WHERE, [*own, *other], None, None, [other[1]]).slices) == 4


def test_several_series_are_refused_with_a_line_each_and_the_way_to_choose() -> None:
    with pytest.raises(FormatError) as refused:
        chosen_series(WHERE, [*stack(range(3)), *stack(range(4), uid="7.8")], None, None, [])
    assert refused.value.code == "DICOM_SEVERAL_SERIES"
    message = str(refused.value)
    assert "2 series are here" in message
    assert "1.2.3 'd' MR 3 slices 5x4, 0.9 x 0.8 x 1 mm" in message
    assert "Choose one by `series`" in message
    with pytest.raises(FormatError, match="'5' matches 0 of them"):
        chosen_series(WHERE, [*stack(range(3)), *stack(range(4), uid="7.8")], "5", None, [])


def test_volumes_of_one_series_are_chosen_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "are_equal", never)
    group = [one(float(z), marks={"phase": phase}) for z in range(3) for phase in ("1", "2")]
    choice = chosen_series(WHERE, group, None, 1, [])
    assert choice.notes == ("The series holds 2 volumes; number 2 (phase 2) was read.",)
    assert len(choice.slices) == 3
    with pytest.raises(FormatError, match="volume 5 was asked for"):
        chosen_series(WHERE, group, None, 5, [])


def test_leftovers_beside_a_whole_volume_are_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "are_equal", never)
    group = [*stack(range(8), marks={"echo": "1"}), one(3.0, marks={"echo": "2"})]
    choice = chosen_series(WHERE, group, None, None, [])
    assert len(choice.slices) == 8
    assert "1 slices lie where others of the series do (echo 2) and were left out" in choice.repairs[0]


def test_slices_of_another_size_between_those_read_are_warned_of() -> None:
    choice = chosen_series(WHERE, [*stack([0, 2, 4]), one(3.0, rows=8)], "1.2.3#1", None, [])
    assert "1 slices of the series lie between" in choice.repairs[0]


def test_frames_of_reference_that_came_apart_are_one_scan_and_real_ones_two() -> None:
    apart = [one(float(z), identity={"FrameOfReferenceUID": f"f{z}"}) for z in range(4)]
    assert len(choosing.group_slices(apart)) == 1
    even = [one(float(z), identity={"FrameOfReferenceUID": "a" if z < 2 else ""}) for z in range(4)]
    assert len(choosing.group_slices(even)) == 1, "one even row"
    two = [
        *stack(range(3), identity={"FrameOfReferenceUID": "a"}),
        *stack([10, 11.5], identity={"FrameOfReferenceUID": "b"}),
    ]
    assert len(choosing.group_slices(two)) == 2


def test_directions_that_jitter_are_made_one_and_how_far_they_were_is_kept() -> None:
    leaned = one(1.0, row_direction=np.array([1.0, 5e-4, 0]))
    straight = choosing.straighten([one(0.0), leaned])
    np.testing.assert_array_equal(straight[1].row_direction, (1.0, 0, 0))
    assert straight[1].turned == pytest.approx(5e-4)
    assert straight[0].turned == 0


def code_of(group: list[Slice], **more: bool) -> str:
    try:
        check_positions(WHERE, group, **more)
    except FormatError as refused:
        return refused.code
    return ""


@given(st.floats(0.2, 8.0), st.integers(2, 30))
@settings(max_examples=40, deadline=None)
def test_even_slices_are_even_at_any_distance(step: float, count: int) -> None:
    group = stack([n * step for n in range(count)])
    assert is_even(group)
    assert code_of(group) == ""


def test_rounding_to_two_decimals_is_no_unevenness() -> None:
    assert is_even(stack([round(n * 0.625, 2) for n in range(40)]))
    assert not is_even(stack([0, 1, 2, 3.3, 4, 5]))


def test_missing_slices_are_counted_and_placed() -> None:
    with pytest.raises(FormatError) as refused:
        check_positions(WHERE, stack([0, 2, 4, 10, 12]))
    assert refused.value.code == "DICOM_MISSING_SLICES"
    assert "2 slices are missing, at 6.00, 8.00 mm" in str(refused.value)
    assert "(5 found, 2.000 mm apart)" in str(refused.value)


def test_many_missing_slices_are_not_all_listed() -> None:
    with pytest.raises(FormatError, match=r"20 slices are missing, at .*, \.\.\. mm"):
        check_positions(WHERE, stack([0, 1, 2, 3, 24, 25]))


def test_distances_of_no_whole_ratio_are_irregular_and_resampled_on_request() -> None:
    group = stack([0, 2, 4, 7.1, 9])
    assert code_of(group) == "DICOM_IRREGULAR_SPACING"
    assert code_of(group, regularise=True) == ""
    crooked = [*group[:2], replace(group[2], position=np.array([5.0, 1.0, 4.0])), *group[3:]]
    assert code_of(crooked, regularise=True) == "DICOM_IRREGULAR_SPACING", "no line, no remedy"


def test_slices_that_get_thicker_explain_their_distances() -> None:
    heights, thick = [0, 2, 4, 9, 14], [2.0, 2.0, 2.0, 5.0, 5.0]
    group = [one(float(z), slice_thickness_mm=t) for z, t in zip(heights, thick, strict=True)]
    assert follows_thickness(group, np.diff(np.array(heights, float)))
    assert code_of(group) == "DICOM_IRREGULAR_SPACING", "not missing"
    assert not follows_thickness(stack([0.0, 2, 4]), np.array([2.0, 2.0])), "one thickness explains nothing"


def test_resampling_is_linear_from_the_first_slice_at_the_smallest_distance() -> None:
    heights = [0.0, 2.0, 6.0, 8.0]
    values = np.empty((2, 2, 4), np.float32)
    values[...] = np.array(heights) * 10
    grid = Grid((2, 2, 4), np.diag([1.0, 1.0, 8 / 3, 1.0]))
    found, regular, (note,) = regular_slices(WHERE, values, grid, stack(heights))
    assert found.shape == regular.shape == (2, 2, 5)
    np.testing.assert_allclose(found[0, 0], [0, 20, 40, 60, 80], atol=1e-4)
    assert regular.spacing_mm[2] == pytest.approx(2.0)
    np.testing.assert_allclose(regular.to_world((0, 0, 4.0)), grid.to_world((0, 0, 3.0)))
    assert "from 2.000 to 4.000 mm; the 4 slices were resampled linearly to 5" in note


def test_nothing_is_made_up_beyond_the_last_slice() -> None:
    heights = [0.0, 2.0, 5.0]
    values = np.zeros((1, 1, 3), np.float32)
    found, regular, _ = regular_slices(WHERE, values, Grid((1, 1, 3), np.diag([1, 1, 2.5, 1.0])), stack(heights))
    assert found.shape[2] == 3
    assert regular.spacing_mm[2] * 2 <= 5.0
