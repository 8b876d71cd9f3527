"""A size that a person says decides the working spacing of a structure's clicks, and is kept with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prosect import vocabulary
from prosect.boxes import Box
from prosect.case import Case, Placement, Preparation
from prosect.errors import PromptError
from prosect.geometry import Grid
from prosect.inference.clicks import ClickResponder
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.merge import Compat
from prosect.inference.patch_images import PaddedImage, ResampledImage
from prosect.inference.scales import ClickScales, Find, Rescaled
from prosect.inference.windows import plan_windows
from prosect.models.set_clicks import SetResponder
from prosect.prompts import Click, click_at
from prosect.session import Session, read_record
from prosect.session.journal import Record
from prosect.session.protocols import Responder
from prosect.volume import Volume
from session.test_session import Ball
from session.test_session_server import Building

SHAPE = (60, 56, 50)
GRID = Grid(SHAPE, np.diag([-1.5, 1.6, 2.0, 1.0]))
MIDDLE = (30, 28, 25)
PATCH = (16, 16, 16)
SCALES = ClickScales(lowest=0.5, highest=4.0, extents_mm=(20.0, 20.0))


class Model:
    """Answers a click with a ball of five voxels of 2 mm at scale 1, and so of 10 mm times the scale."""

    def __init__(self, scales: ClickScales | None = SCALES) -> None:
        self.scales, self.network = scales, Ball()
        self.find: Find | None = None
        self.strangers = False
        self.vocabulary = vocabulary.load("vista3d-ct")
        self.identity = {"model": "balls", "weights_sha256": "0" * 64, "profile": "prosect"}

    def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> Responder:
        """Return patches of 16 voxels, of 2 mm times the scale."""
        budget = FeatureBudget()
        case = Case.prepare(volume, Preparation(spacing_mm=(2.0, 2.0, 2.0)))
        plan = plan_windows(case.grid.shape, PATCH, 0.25)

        def rescaled(scale: float) -> ClickResponder:
            placement = Placement.spaced(volume.grid, (2 * scale,) * 3)
            there = plan_windows(placement.grid.shape, PATCH, 0.25)
            image = ResampledImage(volume.array, placement, there, case.intensity, case.image.device)
            return ClickResponder(placement, self.network, there, image, budget)

        others = None if self.scales is None else Rescaled(self.scales, rescaled, self.find)
        image = PaddedImage(case, plan, "replicate")
        answers = ClickResponder(case, self.network, plan, image, budget, others)
        if self.strangers:
            return SetResponder(answers, frozenset())
        return answers


def scan() -> Volume:
    """Return a scan of noise."""
    return Volume(np.random.default_rng(0).normal(0, 300, SHAPE).astype(np.float32), GRID)


@pytest.fixture
def session() -> Session:
    """Return a new session."""
    return Session(scan(), Model())


def radius_mm(mask: np.ndarray) -> float:
    """Return the radius of a ball of the mask's volume."""
    return float((3 * mask.sum() * 1.5 * 1.6 * 2.0 / (4 * np.pi)) ** (1 / 3))


@pytest.mark.parametrize(("extent_mm", "expected_mm"), [(None, 10), (20, 10), (10, 5), (40, 20), (1, 5)])
def test_the_answer_grows_with_the_size_that_is_said(
    session: Session, extent_mm: float | None, expected_mm: float
) -> None:
    session.click(MIDDLE, structure="object", space="voxel", extent_mm=extent_mm)
    assert radius_mm(session.mask("object")) == pytest.approx(expected_mm, rel=0.1)


@pytest.mark.parametrize(("has_rule", "expected_mm"), [(True, 20), (False, 10)])
def test_the_draft_of_a_stranger_says_how_large_it_is_where_the_model_has_a_rule(
    has_rule: bool, expected_mm: float
) -> None:
    model = Model()
    model.strangers = True
    if has_rule:
        model.find = lambda points, zero_shot: 1.0
    session = Session(scan(), model, compat="official")  # so that the click may change all of the draft
    draft = np.zeros(SHAPE, dtype=np.bool_)
    draft[2:28, 2:12, 2:12] = True  # 39 mm long
    session.start_from(draft, name="liver")
    session.click((45, 40, 35), structure="liver", space="voxel")
    assert radius_mm(session.mask("liver") & ~draft) == pytest.approx(expected_mm, rel=0.1)


def test_a_size_of_scale_one_answers_bit_for_bit_as_no_size(session: Session) -> None:
    session.click(MIDDLE, structure="said", space="voxel", extent_mm=20)
    session.click(MIDDLE, structure="unsaid", space="voxel")
    assert np.array_equal(session.mask("said"), session.mask("unsaid"))


def test_a_size_counts_for_later_clicks_and_for_those_before(session: Session) -> None:
    session.click(MIDDLE, structure="object", space="voxel")
    session.click((34, 28, 25), structure="object", space="voxel", extent_mm=40)
    session.click((26, 28, 25), structure="object", space="voxel")
    together = session.mask("object")
    other = Session(scan(), Model())
    for place in (MIDDLE, (34, 28, 25), (26, 28, 25)):
        other.click(place, structure="object", space="voxel", extent_mm=40)
    assert np.array_equal(together, other.mask("object"))


def test_undo_gives_the_scale_back_too(session: Session) -> None:
    session.click(MIDDLE, structure="object", space="voxel")
    before = session.mask("object")
    session.click((33, 28, 25), structure="object", space="voxel", extent_mm=40)
    after = session.mask("object")
    session.undo()
    assert np.array_equal(session.mask("object"), before)
    session.click((33, 28, 25), structure="object", space="voxel")
    assert radius_mm(session.mask("object")) < 14, "the size that was undone must not count"
    session.undo()
    session.click((33, 28, 25), structure="object", space="voxel", extent_mm=40)
    assert np.array_equal(session.mask("object"), after)


@pytest.mark.parametrize("recompute", [False, True])
def test_a_journal_holds_scale_size_and_box(tmp_path: Path, recompute: bool) -> None:
    path = tmp_path / "journal"
    session = Session(scan(), Model(), journal=path)
    session.click(MIDDLE, structure="one", space="voxel")
    session.click((33, 28, 25), structure="one", space="voxel", extent_mm=40)
    session.click((40, 28, 25), False, structure="one", space="voxel")
    session.box((5, 5, 5), (15, 15, 15), structure="two", space="voxel")
    again = Session(scan(), Model()).replay(read_record(path), recompute=recompute)
    for name in ("one", "two"):
        assert np.array_equal(session.mask(name), again.mask(name))
        assert session.clicks(name) == again.clicks(name)
    again.click((28, 28, 25), structure="one", space="voxel")
    session.click((28, 28, 25), structure="one", space="voxel")
    assert np.array_equal(session.mask("one"), again.mask("one"))


@pytest.mark.parametrize("recompute", [False, True])
def test_clicks_that_a_box_moves_to_other_patches_are_resumed_in_those(tmp_path: Path, recompute: bool) -> None:
    path = tmp_path / "journal"
    session = Session(scan(), Model(), journal=path)
    session.click(MIDDLE, structure="object", space="voxel")
    session.box((20, 20, 12), (40, 40, 40), structure="object", space="voxel")
    again = Session(scan(), Model()).replay(read_record(path), recompute=recompute)
    for each in (session, again):
        each.click((26, 30, 20), structure="object", space="voxel")
    assert np.array_equal(session.mask("object"), again.mask("object"))


def test_a_click_that_waited_when_all_were_sent_takes_the_same_turn_again() -> None:
    model = Model()
    model.network = Building()  # the order in which clicks begin to count is part of its answer
    session = Session(scan(), model)
    sent = []
    for voxel, positive in ((MIDDLE, True), ((42, 28, 25), False), ((38, 28, 25), True)):
        sent.append(click_at(voxel, GRID, positive=positive, space="voxel"))
    session.set_clicks("object", sent)
    record = Record(session.header, tuple(session._board.entries))
    again = Session(scan(), model).replay(record, recompute=True)
    assert np.array_equal(again.mask("object"), session.mask("object"))


def test_a_journal_without_sizes_says_nothing_of_scales(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    session = Session(scan(), Model(), journal=path)
    session.click(MIDDLE, structure="one", space="voxel")
    assert not {"scale", "extent_mm", "bounds"} & set(read_record(path).entries[0])


def test_all_clicks_at_once_do_what_they_do_in_turn(session: Session) -> None:
    turns = [(MIDDLE, 40.0), ((36, 28, 25), None), ((30, 28, 30), 20.0)]
    clicks = []
    for place, extent_mm in turns:
        session.click(place, structure="in turn", space="voxel", extent_mm=extent_mm)
        r, a, s = GRID.to_world(place).tolist()
        clicks.append(Click((r, a, s), extent_mm=extent_mm))
    session.set_clicks("at once", clicks)
    assert np.array_equal(session.mask("in turn"), session.mask("at once"))
    assert session.set_clicks("at once", session.clicks("at once")).added == 0


def test_nothing_changes_outside_a_box(session: Session) -> None:
    change = session.box((28, 24, 20), (50, 40, 30), structure="object", space="voxel")
    box = Box((28, 24, 20), (51, 41, 31))
    assert change.box is not None
    assert (change.box | box) == box
    assert session.mask("object")[39, 32, 25], "the middle of the box is clicked"
    session.click((39, 32, 28), structure="object", space="voxel")
    outside = session.mask("object")
    outside[box.slices] = False
    assert not outside.any(), "a click inside keeps the box"


def test_a_positive_click_outside_lifts_the_box(session: Session) -> None:
    session.box((26, 24, 20), (34, 32, 30), structure="object", space="voxel")
    assert not session.mask("object")[35:].any()
    session.click((37, 28, 25), structure="object", space="voxel")
    assert session.mask("object")[37, 28, 25]


@pytest.mark.parametrize("compat", [None, "official"])
@pytest.mark.parametrize(
    ("before", "corners", "after"),
    [
        ((50, 48, 44), ((5, 5, 5), (15, 15, 15)), (12, 10, 10)),
        ((5, 5, 5), ((35, 35, 30), (50, 48, 44)), (38, 37, 32)),
    ],
    ids=["beyond the end", "before the start"],
)
def test_a_click_from_before_the_box_does_not_disturb_those_after_it(
    before: tuple[int, ...], corners: tuple[tuple[int, ...], ...], after: tuple[int, ...], compat: Compat | None
) -> None:
    session = Session(scan(), Model(), compat=compat)
    session.click(before, structure="object", space="voxel")
    session.box(*corners, structure="object", space="voxel")
    session.click(after, False, structure="object", space="voxel")
    only = Session(scan(), Model(), compat=compat)
    only.box(*corners, structure="object", space="voxel")
    only.click(after, False, structure="object", space="voxel")
    assert not session.mask("object")[after]
    assert not session.mask("object")[before], "the box says that the structure does not reach there"
    assert only.mask("object").any()


def test_a_locked_structure_keeps_its_voxels_at_every_scale() -> None:
    session = Session(scan(), Model(), overlap="take")
    session.click(MIDDLE, structure="kept", space="voxel")
    session.lock("kept")
    before = session.mask("kept")
    session.click((34, 28, 25), structure="large", space="voxel", extent_mm=40)
    assert np.array_equal(session.mask("kept"), before)
    assert not (session.mask("large") & before).any()


def test_a_model_of_one_scale_says_that_the_size_is_not_used() -> None:
    session = Session(scan(), Model(None))
    change = session.click(MIDDLE, structure="object", space="voxel", extent_mm=40)
    assert any("working spacing only" in note for note in change.notes)
    assert radius_mm(session.mask("object")) == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("extent_mm", [0, -3.0, float("nan"), float("inf"), "large", True])
def test_what_is_no_size_is_refused_and_nothing_changes(session: Session, extent_mm: object) -> None:
    with pytest.raises(PromptError) as caught:
        session.click(MIDDLE, structure="object", space="voxel", extent_mm=extent_mm)  # type: ignore[arg-type]
    assert caught.value.code == "EXTENT_INVALID"
    assert session.revision == 0


def test_a_box_beside_the_scan_is_refused(session: Session) -> None:
    with pytest.raises(PromptError) as caught:
        session.box((70, 0, 0), (80, 5, 5), structure="object", space="voxel")
    assert caught.value.code == "POINT_OUTSIDE"


def test_a_box_that_reaches_beyond_the_scan_is_cut(session: Session) -> None:
    session.box((-10, -10, -10), (9, 9, 9), structure="object", space="voxel")
    (click,) = session.clicks("object")
    assert click.box == Box((0, 0, 0), (10, 10, 10))


SMALL, LARGE = ((26, 24, 20), (34, 32, 30)), ((20, 18, 15), (40, 38, 35))  # boxes with one middle


def in_box(corners: tuple[tuple[int, int, int], tuple[int, int, int]]) -> Session:
    """Return a session in which nothing was done but to draw a box."""
    session = Session(scan(), Model())
    session.box(*corners, structure="object", space="voxel")
    return session


@pytest.mark.parametrize(("first", "second"), [(SMALL, LARGE), (LARGE, SMALL)])
def test_a_box_that_is_drawn_anew_around_the_same_middle_counts(
    first: tuple[tuple[int, int, int], tuple[int, int, int]], second: tuple[tuple[int, int, int], tuple[int, int, int]]
) -> None:
    session = in_box(first)
    assert session.box(*second, structure="object", space="voxel").box is not None
    assert np.array_equal(session.mask("object"), in_box(second).mask("object"))
    assert len(session.clicks("object")) == 1


def test_a_box_or_a_size_counts_where_its_middle_was_clicked_before(session: Session) -> None:
    session.click(MIDDLE, structure="object", space="voxel")
    session.box(*SMALL, structure="object", space="voxel")
    assert np.array_equal(session.mask("object"), in_box(SMALL).mask("object"))
    session.click(MIDDLE, structure="other", space="voxel")
    session.click(MIDDLE, structure="other", space="voxel", extent_mm=40)
    assert radius_mm(session.mask("other")) == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize("extent_mm", [None, 10])
def test_a_click_in_the_middle_of_a_box_leaves_the_box(extent_mm: float | None) -> None:
    session = in_box(SMALL)
    session.click(MIDDLE, structure="object", space="voxel", extent_mm=extent_mm)
    (click,) = session.clicks("object")
    assert click.box == Box((26, 24, 20), (35, 33, 31))
    assert click.extent_mm == (extent_mm or in_box(SMALL).clicks("object")[0].extent_mm)


def test_the_same_box_or_click_again_changes_nothing(session: Session) -> None:
    session.box(*SMALL, structure="object", space="voxel")
    session.click((28, 28, 25), structure="object", space="voxel")
    revision = session.revision
    for change in (
        session.box(*SMALL, structure="object", space="voxel"),
        session.click((28, 28, 25), structure="object", space="voxel"),
    ):
        assert change.notes == ("this voxel was clicked so before",)
    assert session.revision == revision


def test_a_negative_click_in_the_middle_of_a_box_keeps_box_and_size(tmp_path: Path) -> None:
    session = Session(scan(), Model(), journal=tmp_path / "journal")
    session.box(*LARGE, structure="object", space="voxel")
    session.click((26, 28, 25), structure="object", space="voxel")
    session.click(MIDDLE, False, structure="object", space="voxel")
    last = session.clicks("object")[-1]
    assert not last.positive
    assert last.box == Box((20, 18, 15), (41, 39, 36))
    outside = session.mask("object")
    outside[20:41, 18:39, 15:36] = False
    assert not outside.any()
    again = Session(scan(), Model()).replay(read_record(tmp_path / "journal"), recompute=True)
    assert again.clicks("object") == session.clicks("object")


def test_a_voxel_that_a_later_box_took_away_can_be_clicked_again(session: Session) -> None:
    far = (50, 48, 44)
    session.click(far, structure="object", space="voxel")
    change = session.box(*SMALL, structure="object", space="voxel")
    assert any("clicks outside it (1) no longer add" in note for note in change.notes)
    assert not session.mask("object")[far]
    session.click(far, structure="object", space="voxel")
    assert session.mask("object")[far]


def test_of_clicks_that_are_sent_together_the_last_in_a_voxel_counts() -> None:
    model = Model()
    model.find = lambda points, zero_shot: 1.0 if points[0][1] else 0.5
    session, sent = Session(scan(), model), []
    for voxel, positive in (((5, 5, 5), True), ((5, 5, 5), False), (MIDDLE, True)):
        sent.append(click_at(voxel, GRID, positive=positive, space="voxel"))
    with pytest.raises(PromptError) as caught:
        session.set_clicks("object", sent[:2])
    assert caught.value.code == "CLICKS_ONLY_NEGATIVE"
    session.set_clicks("object", sent)
    assert [click.positive for click in session.clicks("object")] == [False, True]
    record = Record(session.header, tuple(session._board.entries))
    again = Session(scan(), model).replay(record, recompute=True)
    assert np.array_equal(again.mask("object"), session.mask("object"))


def test_merged_like_the_official_code_a_negative_click_may_come_first() -> None:
    model = Model()
    model.find = lambda points, zero_shot: 1.0 if points[0][1] else 0.5
    session = Session(scan(), model, compat="official")
    first = click_at(MIDDLE, GRID, positive=False, space="voxel")
    session.set_clicks("object", [first, click_at((40, 28, 25), GRID, space="voxel")])
    assert session.mask("object")[40, 28, 25]


@pytest.mark.parametrize("together", [False, True])
def test_a_click_that_changes_nothing_says_so(together: bool) -> None:
    session = Session(scan(), Model(), overlap="keep")
    session.click(MIDDLE, structure="first", space="voxel", extent_mm=40)
    if together:
        change = session.set_clicks("second", [click_at(MIDDLE, GRID, space="voxel")])
    else:
        change = session.click(MIDDLE, structure="second", space="voxel")
    assert change.box is None
    assert "the mask stays as it is" in change.notes[-1]
    again = session.set_clicks("second", session.clicks("second"))
    assert again.notes == ("the structure has these clicks already",)


def test_a_size_that_is_said_with_a_box_goes_before_what_the_box_says(session: Session) -> None:
    session.box(*LARGE, structure="said", space="voxel", extent_mm=10)
    session.box(*LARGE, structure="unsaid", space="voxel")
    assert [click.extent_mm for click in session.clicks("said")] == [10]
    assert session.mask("said").sum() < session.mask("unsaid").sum()
    with pytest.raises(PromptError) as caught:
        session.box(*SMALL, structure="said", space="voxel", extent_mm=0)
    assert caught.value.code == "EXTENT_INVALID"


def test_a_box_of_ones_own_is_cut_to_the_scan_or_refused(session: Session, tmp_path: Path) -> None:
    click = click_at((2, 2, 2), GRID, space="voxel")
    session.set_clicks("object", [replace(click, box=Box((-4, -4, -4), (9, 9, 9)))])
    assert [each.box for each in session.clicks("object")] == [Box((0, 0, 0), (9, 9, 9))]
    again = Session(scan(), Model()).replay(read_record(session.save(tmp_path / "saved")), recompute=True)
    assert again.clicks("object") == session.clicks("object")
    with pytest.raises(PromptError) as caught:
        session.set_clicks("object", [replace(click, box=Box((90, 0, 0), (95, 5, 5)))])
    assert caught.value.code == "POINT_OUTSIDE"
