"""What a server asks of a session: parts of it, all clicks at once, cancelling, and memory that stays bounded."""

from __future__ import annotations

import gc
import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from prosect.boxes import Box
from prosect.errors import CancelledError, GeometryError, PromptError
from prosect.progress import cancel_when
from prosect.prompts import Click, click_at
from prosect.session import Session, read_record
from prosect.session.entries import MEMORY_BYTES, Entries
from session.test_session import SHAPE, Ball, Model, scan, state, walk

WHOLE = Box((0, 0, 0), SHAPE)


class Building(Ball):
    """Builds on its answer before: shrinks what it said by half for each later click; counts its passes."""

    sequential = True

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def point_logits(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return the nearness to the last click, and what is left of the answers before."""
        self.asked += 1
        now = super().point_logits(features, points[:, -1:], labels[:, -1:], zero_shot)
        return now if previous is None else now.maximum(previous / 2) if int(labels[0, -1]) % 2 else now + previous


def click(session: Session, voxel: tuple[float, ...], positive: bool = True) -> Click:
    """Return a click at a voxel."""
    return click_at(voxel, session.volume.grid, positive=positive, space="voxel")


@pytest.fixture
def session() -> Session:
    """Return a session after some of everything."""
    done = walk(Session(scan(), Model()))
    done.lock("spleen", False)
    return done


@pytest.mark.parametrize("box", [WHOLE, Box((3, 4, 5), (20, 11, 12)), Box((5, 5, 5), (5, 9, 9))])
def test_a_part_is_that_part_of_the_whole(session: Session, box: Box) -> None:
    for name in ("liver", "mine", "aorta"):
        np.testing.assert_array_equal(session.read(name, box), session.mask(name)[box.slices])
    np.testing.assert_array_equal(session.read_labels(box), session.labels.array[box.slices])
    assert session.read_labels(box).dtype == np.uint16
    numbers = {each.name: number for number, each in enumerate(session.states, start=1)}
    renumbered = np.zeros(box.shape, dtype=np.uint16)
    for each in session.states:
        renumbered[session.read_labels(box) == each.index] = numbers[each.name]
    np.testing.assert_array_equal(session.read_labels(box, values=numbers), renumbered)


@pytest.mark.parametrize("box", [Box((-1, 0, 0), (4, 4, 4)), Box((0, 0, 0), (41, 4, 4)), Box((5, 0, 0), (4, 4, 4))])
def test_a_box_beyond_the_scan_is_refused(session: Session, box: Box) -> None:
    reads: list[Callable[[], Any]] = [lambda: session.read("liver", box), lambda: session.read_labels(box)]
    for read in reads:
        with pytest.raises(GeometryError) as caught:
            read()
        assert caught.value.code == "BOX_OUTSIDE"


def test_only_the_newest_change_can_be_taken_away(session: Session) -> None:
    old = session.click((30, 25, 12), structure="mine", space="voxel")
    session.click((31, 25, 12), structure="mine", space="voxel")
    with pytest.raises(PromptError) as caught:
        session.read_labels(WHOLE, before=old)
    assert caught.value.code == "CHANGE_OLD"


def test_the_states_tell_what_a_list_of_structures_shows(session: Session) -> None:
    session.lock("spleen")
    liver, spleen, mine = session.states
    assert (liver.name, liver.index, liver.zero_shot, liver.drafted, liver.clicks) == ("liver", 1, False, True, 2)
    assert spleen.locked
    assert (mine.zero_shot, mine.drafted, mine.voxels) == (True, False, int(session.mask("mine").sum()))


def test_only_new_clicks_of_all_that_are_sent_are_asked_about() -> None:
    model = Model()
    model.network = Building()
    session = Session(scan(), model)
    clicks = [click(session, (20 + n % 3, 18 + n // 3, 14)) for n in range(9)]
    for count in range(1, len(clicks) + 1):
        before = model.network.asked
        session.set_clicks("mine", clicks[:count])
        assert model.network.asked == before + 1
    assert len(session.clicks("mine")) == 9
    session.set_clicks("mine", [])
    assert session.clicks("mine") == ()
    assert not session.mask("mine").any()


def test_sent_clicks_that_cannot_be_are_refused(session: Session) -> None:
    before = state(session)
    with pytest.raises(PromptError) as caught:
        session.set_clicks("new", [click(session, (5, 5, 5), False)])
    assert caught.value.code == "CLICKS_ONLY_NEGATIVE"
    with pytest.raises(PromptError) as caught:
        session.set_clicks("new", [Click((1e6, 0, 0))])
    assert caught.value.code == "POINT_OUTSIDE"
    assert state(session) == before


def test_a_negative_click_in_nothing_counts_once_the_mask_grows_over_it() -> None:
    session = Session(scan(), Model())
    session.click((20, 18, 15), structure="mine", space="voxel")
    before = state(session)
    change = session.click((33, 18, 15), False, "mine", space="voxel")
    assert change.box is None
    assert "nothing to remove" in change.notes[-1]
    assert state(session) == before
    assert len(session.clicks("mine")) == 2
    session.click((30, 18, 15), structure="mine", space="voxel")
    assert session.mask("mine")[28, 18, 15]
    assert not session.mask("mine")[33, 18, 15], "the mask would have grown over the click, so it counts now"
    other = Session(scan(), Model())
    other.click((20, 18, 15), structure="mine", space="voxel")
    other.click((30, 18, 15), structure="mine", space="voxel")
    assert other.mask("mine")[33, 18, 15]
    session.undo()
    assert state(session) == before


def test_a_cancelled_action_leaves_everything_as_it_was(tmp_path: Path) -> None:
    session = Session(scan(), Model(), overlap="take", journal=tmp_path / "journal")
    session.click((20, 18, 15), structure="mine", space="voxel")
    session.segment(["liver"])
    session.click((12, 9, 10), structure="liver", space="voxel")
    before, written, revision = state(session), (tmp_path / "journal").read_bytes(), session.revision
    stop = cancel_when(lambda: True)
    mask = np.ones(SHAPE, dtype=bool)
    actions: list[Callable[[], Any]] = [
        lambda: session.click((21, 18, 15), structure="mine", space="voxel", watch=stop),
        lambda: session.click((21, 18, 15), structure="quite new", space="voxel", watch=stop),
        lambda: session.set_clicks("mine", [click(session, (9, 9, 9)), click(session, (9, 9, 12), False)], watch=stop),
        lambda: session.start_from(mask, name="liver", watch=stop),
    ]
    for act in actions:
        with pytest.raises(CancelledError):
            act()
        assert state(session) == before
        assert (tmp_path / "journal").read_bytes() == written
        assert session.revision == revision
    assert session.click((21, 18, 15), structure="mine", space="voxel").box is not None


def test_a_click_tells_how_far_it_is() -> None:
    session = Session(scan(), Model())
    steps: list[tuple[int, int]] = []
    session.click((8, 8, 8), structure="mine", space="voxel", watch=lambda done, total: steps.append((done, total)))
    session.click((33, 28, 22), structure="mine", space="voxel", watch=lambda done, total: steps.append((done, total)))
    assert steps[0] == (1, 1)
    assert steps[1:] == [(1, 2), (2, 2)]


def draft_often(session: Session, count: int = 6) -> None:
    """Draft noise, which does not compress."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        session.start_from(rng.random(SHAPE) < 0.5, name="noise")


def test_undo_keeps_no_more_bytes_than_allowed_and_says_so(tmp_path: Path) -> None:
    session = Session(scan(), Model(), undo_bytes=40_000)
    draft_often(session, 1)
    one = session.undo_nbytes
    assert one < 2.1 * np.prod(SHAPE) / 8, "two masks of one bit per voxel"
    limited = Session(scan(), Model(), undo_bytes=3 * one + 1000, journal=tmp_path / "journal")
    changes = [limited.start_from(np.random.default_rng(n).random(SHAPE) < 0.5, name="noise") for n in range(9)]
    assert limited.undo_nbytes <= 3 * one + 1000
    told = [n for n, change in enumerate(changes) if any("undo keeps" in note for note in change.notes)]
    assert len(told) == 1
    limited.undo()
    resumed = Session(scan(), Model(), undo_bytes=3 * one + 1000).replay(read_record(tmp_path / "journal"))
    for each in (limited, resumed):
        steps = 0
        while each.can_undo:
            each.undo()
            steps += 1
        assert 1 <= steps <= 3
        with pytest.raises(PromptError, match="can no longer be undone"):
            each.undo()
        while each.can_redo:
            each.redo()
    assert state(limited) == state(resumed)


def test_a_session_resumed_with_less_memory_for_undo_still_replays_every_undo(tmp_path: Path) -> None:
    session = Session(scan(), Model(), journal=tmp_path / "journal")
    draft_often(session)
    for _ in range(5):
        session.undo()
    resumed = Session(scan(), Model(), undo_bytes=1).replay(read_record(tmp_path / "journal"))
    assert state(resumed) == state(session)


def test_a_session_resumed_with_less_memory_for_undo_can_be_resumed_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    session = Session(scan(), Model(), journal=path)
    draft_often(session)
    for _ in range(5):
        session.undo()
    before = state(session)
    resumed = Session(scan(), Model(), undo_bytes=1).replay(read_record(path), journal=path)
    resumed.save(tmp_path / "saved")
    for place in (path, tmp_path / "saved"):
        assert state(Session(scan(), Model(), undo_bytes=1).replay(read_record(place))) == before


def test_undoing_a_solid_organ_takes_hardly_any_memory() -> None:
    session = Session(scan(), Model())
    for n in range(20):
        session.start_from(np.indices(SHAPE).sum(0) < 40 + n % 2, name="solid")
    assert session.undo_nbytes < 20 * np.prod(SHAPE) / 20, "before, two bytes per voxel of each draft"


def test_what_cannot_be_worked_out_is_not_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    session = Session(scan(), Model(), journal=path)
    session.click((20, 18, 15), structure="object", space="voxel")
    before = path.read_bytes()

    def fail(*_args: object) -> None:
        raise MemoryError

    monkeypatch.setattr("prosect.session.board.change_of", fail)
    with pytest.raises(MemoryError):
        session.click((25, 18, 15), structure="object", space="voxel")
    with pytest.raises(MemoryError):
        session.undo()
    assert path.read_bytes() == before


@pytest.mark.parametrize("with_journal", [True, False])
def test_the_record_is_not_kept_in_memory(tmp_path: Path, with_journal: bool) -> None:
    session = Session(scan(), Model(), journal=tmp_path / "journal" if with_journal else None, undo_bytes=1)
    draft_often(session, 2)
    gc.collect()
    tracemalloc.start()
    draft_often(session, 300)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    saved = session.save(tmp_path / "saved.json")
    assert saved.stat().st_size > 300 * np.prod(SHAPE) / 8 > MEMORY_BYTES / 4
    assert held < saved.stat().st_size / 3
    assert state(Session(scan(), Model()).replay(read_record(saved))) == state(session)


def test_entries_come_back_in_order_from_memory_and_from_the_file() -> None:
    entries = Entries()
    large = "x" * (MEMORY_BYTES // 3)
    for n in range(5):
        entries.append({"do": n, "bits": large})
        assert [entry["do"] for entry in entries] == list(range(n + 1))


def test_sessions_of_one_scan_share_what_is_ready() -> None:
    model, volume = Model(), scan()
    responder = model.responder(volume)
    masks = []
    for _ in range(3):
        session = Session(volume, model, responder=responder)
        session.click((20, 18, 15), structure="mine", space="voxel")
        masks.append(session.mask("mine").tobytes())
    assert len(set(masks)) == 1
    assert model.network.encoded == 1


def test_a_journal_of_version_1_resumes_bit_for_bit(tmp_path: Path) -> None:
    old = Path(__file__).with_name("journal_of_version_1.jsonl")
    journal = tmp_path / "journal"
    journal.write_bytes(old.read_bytes())
    expected = {
        "liver": "576ce2391011ba31fee3fd5a8866492e8ffa79b140262758ca00472abdd57090",
        "spleen": "7069d2b997071d50b898077e6c86437ac9a8ca6b9d8806f26a5aae7f03e74f70",
        "mine": "abad5637b56d6ed699f9ce198ba9eb259fc2affa6ece26c84602410777e80914",
    }
    for recompute in (False, True):
        resumed = Session(scan(), Model(), overlap="take").replay(read_record(journal), recompute=recompute)
        found = {name: hashlib.sha256(bits).hexdigest() for name, bits in state(resumed).items()}
        assert found == expected
    resumed = Session(scan(), Model(), overlap="take").replay(read_record(journal), journal=journal)
    resumed.click((16, 9, 10), structure="mine", space="voxel")
    again = Session(scan(), Model(), overlap="take").replay(read_record(journal))
    assert state(again) == state(resumed)
    while resumed.can_undo:
        resumed.undo()
    assert resumed.structures == ()


def test_objects_whose_names_differ_in_a_sign_are_two() -> None:
    session = Session(scan(), Model())
    for n, name in enumerate(("HER2+ tumor", "HER2- tumor", "<1cm", ">1cm", "node (1)", "node [1]")):
        change = session.click((12 + n, 10, 9), structure=name, space="voxel")
        assert change.structure == name
    assert len(session.structures) == 6
    note = session.click((20, 20, 9), structure="her2+  Tumor", space="voxel").notes[0]
    assert note == "'her2+  Tumor' is taken as 'HER2+ tumor', which is here already"


@pytest.mark.parametrize("name", ["#1", "\U0001f600", "background", "Background", "(2)"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    session = Session(scan(), Model())
    with pytest.raises(PromptError) as caught:
        session.click((12, 10, 9), structure=name, space="voxel")
    assert caught.value.code == "STRUCTURE_NAME"


def test_painted_voxels_are_one_action_that_later_clicks_keep(session: Session) -> None:
    box = Box((2, 2, 2), (6, 5, 4))
    bits = np.random.default_rng(3).random(box.shape) > 0.5
    before = session.mask("mine")
    change = session.paint("mine", box, bits)
    expected = before.copy()
    expected[box.slices] |= bits
    np.testing.assert_array_equal(session.mask("mine"), expected)
    assert change.added == int((expected & ~before).sum())
    assert session.clicks("mine") == ()
    session.paint("mine", box, bits, positive=False)
    expected[box.slices] &= ~bits
    np.testing.assert_array_equal(session.mask("mine"), expected)
    session.undo()
    session.undo()
    np.testing.assert_array_equal(session.mask("mine"), before)


@pytest.mark.parametrize("rule", ["allow", "take", "keep"])
def test_painting_what_another_structure_took_follows_the_rule_again(rule: str) -> None:
    session = Session(scan(), Model(), overlap=rule)
    box = Box((2, 2, 2), (6, 6, 6))
    block = np.zeros(SHAPE, dtype=bool)
    block[box.slices] = True
    session.start_from(block, name="first")
    session.start_from(block, name="second")
    corner = Box((2, 2, 2), (4, 6, 6))
    before = state(session)
    loser = "first"
    if rule == "keep":
        loser = "second"
    change = session.paint(loser, corner, np.ones(corner.shape, dtype=bool))
    gained = 0
    if rule == "take":
        gained = corner.size
    assert change.added == gained
    assert change.counts == ({} if not gained else {"first": (gained, 0), "second": (0, gained)})
    if gained:
        assert session.read("first", corner).all()
        session.undo()
    assert state(session) == before


def test_what_a_locked_structure_took_cannot_be_painted_back() -> None:
    session = Session(scan(), Model(), overlap="take")
    box = Box((2, 2, 2), (6, 6, 6))
    block = np.zeros(SHAPE, dtype=bool)
    block[box.slices] = True
    session.start_from(block, name="first")
    session.start_from(block, name="second")
    session.lock("second")
    assert session.paint("first", box, np.ones(box.shape, dtype=bool)).added == 0
    assert session.read("second", box).all()


def test_painting_is_on_record_and_resumes_bit_for_bit(session: Session, tmp_path: Path) -> None:
    box = Box((2, 2, 2), (6, 5, 4))
    session.paint("a new thing", box, np.ones(box.shape, dtype=bool))
    again = Session(scan(), Model()).replay(read_record(session.save(tmp_path / "case.json")))
    np.testing.assert_array_equal(again.mask("a new thing"), session.mask("a new thing"))
    assert again.revision == session.revision


def test_painting_takes_from_no_locked_structure_and_refuses_what_does_not_fit(session: Session) -> None:
    session.lock("mine")
    box = Box((2, 2, 2), (6, 5, 4))
    with pytest.raises(PromptError, match="locked"):
        session.paint("mine", box, np.ones(box.shape, dtype=bool))
    with pytest.raises(GeometryError):
        session.paint("liver", box, np.ones((1, 1, 1), dtype=bool))
    with pytest.raises(GeometryError):
        session.paint("liver", Box((0, 0, 0), (500, 1, 1)), np.ones((500, 1, 1), dtype=bool))
