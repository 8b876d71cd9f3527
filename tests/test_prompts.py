"""What a person asks for is checked in one place, and refused with its reason."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect import vocabulary
from prosect.clicks_file import read_clicks
from prosect.errors import PromptError
from prosect.geometry import Grid
from prosect.prompts import Click, Prompt, click_at, click_label, clicks_beside, parse_at, positive_of, voxel_of

GRID = Grid((10, 20, 30), np.array([[-0.7, 0, 0, 50], [0, 0.7, 0, -20], [0, 0, 3, 100], [0, 0, 0, 1.0]]))


@settings(deadline=None)
@given(st.tuples(*(st.floats(-0.5, n - 0.5, exclude_max=True) for n in GRID.shape)))
def test_one_place_in_every_space_is_one_click(voxel: tuple[float, float, float]) -> None:
    click = click_at(voxel, GRID, space="voxel")
    r, a, s = click.position_ras
    np.testing.assert_allclose(GRID.to_voxel(click.position_ras), voxel, atol=1e-9)
    if all(-0.49 < v < n - 0.51 for v, n in zip(voxel, GRID.shape, strict=True)):
        assert click_at((r, a, s), GRID) == click
        assert click_at((-r, -a, s), GRID, space="lps") == click
        assert voxel_of(click.position_ras, GRID) == tuple(math.floor(v + 0.5) for v in np.round(voxel, 6))


def test_a_voxel_reaches_half_its_width_to_each_side() -> None:
    assert voxel_of(click_at((-0.5, -0.5, -0.5), GRID, space="voxel").position_ras, GRID) == (0, 0, 0)
    inside = np.nextafter(np.array(GRID.shape) - 0.5, 0)
    assert voxel_of(click_at(inside.tolist(), GRID, space="voxel").position_ras, GRID) == (9, 19, 29)
    for beyond in ((-0.5000001, 3, 3), (9.5, 3, 3), (3, 3, 29.5)):
        with pytest.raises(PromptError, match=r"voxels run from \(0, 0, 0\) to \(9, 19, 29\)"):
            click_at(beyond, GRID, space="voxel")


@pytest.mark.parametrize(
    ("position", "code"),
    [
        ((math.nan, 1, 1), "POINT_NOT_FINITE"),
        ((1, math.inf, 1), "POINT_NOT_FINITE"),
        ((10**400, 1, 1), "POINT_NOT_FINITE"),
        ((1, 2), "POINT_NOT_THREE_NUMBERS"),
        ((1, 2, 3, 4), "POINT_NOT_THREE_NUMBERS"),
        ("123", "POINT_NOT_THREE_NUMBERS"),
        (("1", 2, 3), "POINT_NOT_THREE_NUMBERS"),
        ((True, 2, 3), "POINT_NOT_THREE_NUMBERS"),
        (None, "POINT_NOT_THREE_NUMBERS"),
        (7, "POINT_NOT_THREE_NUMBERS"),
        ((1e9, 1, 1), "POINT_OUTSIDE"),
        ((-1, 1, 1), "POINT_OUTSIDE"),
    ],
)
def test_a_position_that_is_none_is_refused(position: Any, code: str) -> None:
    with pytest.raises(PromptError) as caught:
        click_at(position, GRID, space="voxel")
    assert caught.value.code == code
    with pytest.raises(PromptError):
        click_at(position, GRID)


def test_an_unknown_space_or_sign_is_refused() -> None:
    with pytest.raises(PromptError, match="ras, lps, voxel"):
        click_at((1, 1, 1), GRID, space="RAI")
    with pytest.raises(PromptError, match="true or false"):
        click_at((1, 1, 1), GRID, positive=2, space="voxel")  # type: ignore[arg-type]


def test_a_click_outside_is_told_the_bounds_in_its_own_space() -> None:
    with pytest.raises(PromptError, match=r"from \[43\.7, -20\.0, 100\.0\] to \[50\.0, -6\.7, 187\.0\]"):
        click_at((0, 0, 0), GRID)
    with pytest.raises(PromptError, match=r"from \[-50\.0, 6\.7, 100\.0\]"):
        click_at((0, 0, 0), GRID, space="lps")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,3", ((1, 2, 3), True)),
        ("1,2,3+", ((1, 2, 3), True)),
        ("-1.5, -2e1 ,3-", ((-1.5, -20, 3), False)),
        (" 1,2,-3 - ", ((1, 2, -3), False)),
    ],
)
def test_a_typed_click_is_read(text: str, expected: Any) -> None:
    assert parse_at(text) == expected


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "a,b,c", "1 2 3", "1,2,", "nan,1,1", "inf,1,1", "1,2,3++"])
def test_a_typed_click_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PromptError):
        parse_at(text)


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ({}, "PROMPT_EMPTY"),
        ({"classes": ("liver", "liver")}, "CLASS_REPEATED"),
        ({"clicks": (Click((0, 0, 0)), Click((0, 0, 0), False))}, "CLICKS_CONFLICT"),
        ({"clicks": (Click((0, 0, 0), False),)}, "CLICKS_ONLY_NEGATIVE"),
        ({"clicks": (Click((0, 0, 0)), Click((1, 0, 0), False, "a"))}, "CLICKS_ONLY_NEGATIVE"),
        ({"clicks": tuple(Click((n, 0, 0)) for n in range(1001))}, "CLICKS_TOO_MANY"),
    ],
)
def test_requests_that_contradict_themselves_are_refused(prompt: Any, code: str) -> None:
    with pytest.raises(PromptError) as caught:
        Prompt(**prompt)
    assert caught.value.code == code


def test_negative_clicks_alone_are_taken_where_there_is_a_mask_to_correct() -> None:
    alone = (Click((0, 0, 0), False, "liver"),)
    assert Prompt(clicks=alone, drafted=True).clicks == alone
    assert Prompt(classes=("liver",), clicks=alone).clicks == alone


@dataclass(frozen=True)
class At:
    """A click in a voxel."""

    voxel: tuple[int, int, int]
    positive: bool = True


def test_beside_a_thousand_clicks_no_other_counts_but_a_correction() -> None:
    clicks = [At((n, 0, 0)) for n in range(1000)]
    notes: list[str] = []
    with pytest.raises(PromptError, match="no more are taken") as caught:
        clicks_beside(clicks, At((1000, 0, 0)), "liver", False, notes)
    assert caught.value.code == "CLICKS_TOO_MANY"
    assert len(clicks_beside(clicks, At((7, 0, 0)), "liver", False, notes)) == 999
    assert not notes
    assert len(clicks_beside(clicks, At((7, 0, 0), False), "liver", False, notes)) == 999
    assert "last click counts" in notes[0]


def test_turning_the_only_positive_click_needs_a_draft() -> None:
    with pytest.raises(PromptError, match="only positive click on 'liver'") as caught:
        clicks_beside([At((0, 0, 0))], At((0, 0, 0), False), "liver", False, [])
    assert caught.value.code == "CLICKS_ONLY_NEGATIVE"
    assert clicks_beside([At((0, 0, 0))], At((0, 0, 0), False), "liver", True, []) == ()


def test_the_vocabulary_chooses_the_special_labels() -> None:
    words = vocabulary.load("vista3d-ct")
    special = {s.index for s in words if s.ambiguous}
    assert special == {23, 24, 25, 26, 27, 57, 128}
    assert [click_label(p, words[1].ambiguous) for p in (False, True)] == [0, 1]
    assert [click_label(p, words[57].ambiguous) for p in (False, True)] == [2, 3]


@pytest.mark.parametrize("label", [-2, 4, 1.5, "1", None, True])
def test_labels_that_do_not_exist_are_refused(label: Any) -> None:
    with pytest.raises(PromptError, match="none of -1, 0, 1, 2, 3"):
        positive_of(label)


def test_special_labels_are_refused_for_ordinary_structures() -> None:
    assert [positive_of(n, ambiguous=True) for n in (-1, 0, 1, 2, 3)] == [None, False, True, False, True]
    with pytest.raises(PromptError, match="ambiguous structures only"):
        positive_of(3)


def written(folder: Path, content: Any, name: str = "clicks.json") -> Path:
    """Return a JSON file."""
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_clicks_are_read_from_json(tmp_path: Path) -> None:
    entries = [
        {"position": [1, 2, 3], "structure": "liver"},
        {"position": [1, 2.5, 3], "positive": False},
        {"position": [1, 2, 3], "label": -1},
        {"position": [4, 5, 6], "label": 3, "structure": "trachea"},
        {"position": [50.0, -20.0, 100.0], "space": "ras"},
    ]
    path = written(tmp_path, {"space": "voxel", "clicks": entries})
    clicks = read_clicks(path, GRID, vocabulary.load("vista3d-ct"))
    assert [c.structure for c in clicks] == ["liver", None, "trachea", None]
    assert [c.positive for c in clicks] == [True, False, True, True]
    assert clicks[0] == click_at((1, 2, 3), GRID, structure="liver", space="voxel")
    assert voxel_of(clicks[3].position_ras, GRID) == (0, 0, 0)
    assert read_clicks(written(tmp_path, [{"position": [50, -20, 100]}]), GRID) == [Click((50.0, -20.0, 100.0))]


@pytest.mark.parametrize("system", ["LPS", "RAS", 0, 1])
def test_clicks_are_read_from_slicer_in_its_own_coordinates(tmp_path: Path, system: Any) -> None:
    flip = -1 if system in ("LPS", 1) else 1
    points = [
        {"label": "F-1", "position": [flip * 50, flip * -20, 100], "positionStatus": "defined"},
        {"label": "F-2", "description": "Negative", "position": [flip * 47.9, flip * -17.9, 103]},
        {"label": "wrong-", "position": [flip * 47.9, flip * -17.9, 106]},
    ]
    content = {"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": points}]}
    clicks = read_clicks(written(tmp_path, content, "F.mrk.json"), GRID)
    assert [voxel_of(c.position_ras, GRID) for c in clicks] == [(0, 0, 0), (3, 3, 1), (3, 3, 2)]
    assert [c.positive for c in clicks] == [True, False, False]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("not json", "CLICKS_FILE"),
        ("[" * 100000, "CLICKS_FILE"),
        ({"clicks": []}, "CLICKS_FILE"),
        ({"click": []}, "CLICKS_FILE"),
        ({"clicks": 3}, "CLICKS_FILE"),
        ([3], "CLICKS_FILE"),
        ([{"position": [1, 1, 1], "postive": True}], "CLICKS_FILE"),
        ([{"position": [1, 1, 1], "structure": []}], "CLICKS_FILE"),
        ([{"position": [1, 1, 1], "space": "voxel", "positive": 1}], "CLICK_LABEL"),
        ([{"position": [1, 1, 1], "space": "voxel", "positive": True, "label": 1}], "CLICK_LABEL"),
        ([{"position": [1, 1, 1], "space": "voxel", "label": 2, "structure": "liver"}], "CLICK_LABEL"),
        ([{"position": [1, 1], "space": "voxel"}], "POINT_NOT_THREE_NUMBERS"),
        ('[{"position": [NaN, 1, 1]}]', "POINT_NOT_FINITE"),
        ([{"position": [1, 1, 99], "space": "voxel"}], "POINT_OUTSIDE"),
        ([{"position": [1, 1, 1], "space": "IJK"}], "SPACE_UNKNOWN"),
        ({"markups": 1}, "CLICKS_FILE"),
        ({"markups": [{"controlPoints": []}]}, "CLICKS_FILE"),
        ({"markups": [{"coordinateSystem": "XYZ", "controlPoints": []}]}, "SPACE_UNKNOWN"),
        ({"markups": [{"controlPoints": [{"position": [0, 0, 0], "positionStatus": "preview"}]}]}, "CLICKS_FILE"),
        ({"markups": [{"controlPoints": [{"label": "F-1"}]}]}, "POINT_NOT_THREE_NUMBERS"),
    ],
)
def test_files_that_hold_no_clicks_are_refused(tmp_path: Path, content: Any, code: str) -> None:
    with pytest.raises(PromptError) as caught:
        read_clicks(written(tmp_path, content), GRID, vocabulary.load("vista3d-ct"))
    assert caught.value.code == code
    assert str(tmp_path) not in str(caught.value), "paths can carry patient names"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="cannot be read"):
        read_clicks(tmp_path / "none.json", GRID)


@pytest.mark.parametrize("kind", [np.array, torch.tensor, lambda numbers: list(torch.tensor(numbers))])
def test_positions_of_arrays_and_tensors_are_plain_numbers(kind: Any) -> None:
    grid = Grid((10, 10, 10), np.eye(4))
    assert click_at(kind([1.5, 2.0, 3.0]), grid).position_ras == (1.5, 2.0, 3.0)
    assert click_at(kind([1, 2, 3]), grid, space="voxel").position_ras == (1.0, 2.0, 3.0)
    with pytest.raises(PromptError):
        click_at(kind([True, False, True]), grid)
