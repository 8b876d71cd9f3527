"""Random walks through a session: whatever was done, its laws hold."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.boxes import Box
from prosect.errors import PromptError, ProsectError
from prosect.prompts import Click, click_at
from prosect.session import Change, Session
from prosect.session.journal import Record
from session.test_session import SHAPE, Model, scan, state

NAMES = ("liver", "spleen", "my lesion", "other")


def place(rng: np.random.Generator) -> list[float]:
    """Return a position in the scan, in voxels."""
    return [float(x) for x in rng.uniform(-0.5, np.array(SHAPE) - 0.51)]


def some_clicks(session: Session, name: str, rng: np.random.Generator) -> list[Click]:
    """Return clicks as a client sends them: those there are or some of them, and new ones."""
    kept = list(session.clicks(name))[: rng.integers(0, 6)]
    new = [
        click_at(place(rng), session.volume.grid, positive=bool(rng.random() < 0.6), space="voxel") for _ in range(2)
    ]
    return kept + new


def step(session: Session, rng: np.random.Generator) -> None:
    """Do something; what is refused is part of the walk."""
    name = str(rng.choice(NAMES))
    actions: list[tuple[float, Callable[[], object]]] = [
        (0.4, lambda: session.click(place(rng), bool(rng.random() < 0.6), name, space="voxel")),
        (0.1, lambda: session.set_clicks(name, some_clicks(session, name, rng))),
        (0.08, lambda: session.segment([str(n) for n in rng.choice(NAMES[:2], rng.integers(1, 3), replace=False)])),
        (0.15, session.undo),
        (0.1, session.redo),
        (0.05, lambda: session.clear(name)),
        (0.12, lambda: session.lock(name, bool(rng.random() < 0.5))),
    ]  # fmt: skip
    chosen = rng.choice(len(actions), p=np.array([weight for weight, _ in actions]) / sum(w for w, _ in actions))
    before = state(session)
    try:
        actions[int(chosen)][1]()
    except ProsectError:
        assert state(session) == before, "a refusal changes nothing"


@pytest.mark.parametrize("rule", ["allow", "take", "keep"])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_a_negative_click_where_nothing_is_changes_nothing_ever(rule: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    session = Session(scan(), Model(), overlap=rule, near_miss_mm=0)
    for _ in range(8):
        step(session, rng)
        for name in session.structures:
            where = np.argwhere(~session.mask(name))
            before = state(session)
            try:
                change = session.click(rng.choice(where).tolist(), False, name, space="voxel")
            except PromptError as error:
                assert error.code == "STRUCTURE_LOCKED"  # noqa: PT017
                continue
            replaced = any("other way before" in note for note in change.notes)
            assert replaced or (change.box is None and state(session) == before)


@pytest.mark.parametrize("rule", ["allow", "take", "keep"])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_sending_all_clicks_gives_the_mask_of_clicking_them(rule: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    clicked, sent = (Session(scan(), Model(), overlap=rule) for _ in range(2))
    for session in (clicked, sent):
        session.segment(["liver", "spleen"])
    grid = clicked.volume.grid
    clicks = [click_at(place(rng), grid, positive=bool(rng.random() < 0.6), space="voxel") for _ in range(7)]
    name = str(rng.choice(NAMES[:2]))
    for click in clicks:
        clicked.click(click.position_ras, click.positive, name)
    drafted = state(sent)
    sent.set_clicks(name, clicks[:3])
    sent.set_clicks(name, clicks)
    assert state(sent) == state(clicked)
    assert sent.clicks(name) == clicked.clicks(name)
    assert sent.set_clicks(name, sent.clicks(name)).box is None
    sent.undo()
    sent.undo()
    assert state(sent) == drafted, "each call is one action"


@pytest.mark.parametrize("rule", ["allow", "take", "keep"])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_a_change_tells_the_labels_before_and_after(rule: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    session = Session(scan(), Model(), overlap=rule)
    whole = Box((0, 0, 0), SHAPE)
    for _ in range(8):
        before, masks = session.read_labels(whole), {name: session.mask(name) for name in NAMES}
        change = session.undo() if session.can_undo and rng.random() < 0.2 else grow(session, rng)
        if change is None:
            continue
        np.testing.assert_array_equal(session.read_labels(whole), session.labels.array)
        np.testing.assert_array_equal(session.read_labels(whole, before=change), before)
        for name in NAMES:
            flipped = masks[name] ^ session.mask(name)
            np.testing.assert_array_equal(change.difference(name, whole), flipped)
            lost = int((flipped & masks[name]).sum())
            assert change.counts.get(name, (0, 0)) == (int(flipped.sum()) - lost, lost)
            inside = np.zeros(SHAPE, dtype=bool)
            if change.box is not None:
                inside[change.box.slices] = True
            assert not (flipped & ~inside).any(), "the box holds every voxel that changed"


def grow(session: Session, rng: np.random.Generator) -> Change | None:
    """Draft or click something; None where that is refused."""
    name = str(rng.choice(NAMES))
    try:
        if rng.random() < 0.3:
            return session.segment([str(rng.choice(NAMES[:2]))])
        return session.click(place(rng), bool(rng.random() < 0.7), name, space="voxel")
    except PromptError:
        return None


@pytest.mark.parametrize("rule", ["allow", "take", "keep"])
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 10**6))
def test_every_walk_replays_and_undoes_and_keeps_its_rule(rule: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    volume, model = scan(), Model()
    session = Session(volume, model, overlap=rule)
    for _ in range(14):
        locked = {n: s.shown.full() for n, s in session._board.sheets.items() if s.locked}
        step(session, rng)
        for name, mask in locked.items():
            np.testing.assert_array_equal(session._board.sheets[name].shown.full(), mask)
        for a, b in itertools.combinations(session.structures, 2):
            assert rule == "allow" or not (session.mask(a) & session.mask(b)).any()
    record = Record(session.header, tuple(session._board.entries))
    for recompute in (False, True):
        again = Session(volume, model, overlap=rule).replay(record, recompute=recompute)
        assert state(again) == state(session)
        np.testing.assert_array_equal(again.labels.array, session.labels.array)
    for name in list(session._board.sheets):
        session.lock(name, False)
    while session.can_undo:
        session.undo()
    assert not session.structures
    assert not any(sheet.clicks or sheet.edited.count or sheet.draft.count for sheet in session._board.sheets.values())
