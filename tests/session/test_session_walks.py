"""Random walks through a session: whatever was done, its laws hold."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.errors import ProsectError
from prosect.session import Session
from prosect.session.journal import Record
from session.test_session import SHAPE, Model, scan, state

NAMES = ("liver", "spleen", "my lesion", "other")


def step(session: Session, rng: np.random.Generator) -> None:
    """Do something; what is refused is part of the walk."""
    name = str(rng.choice(NAMES))
    actions: list[tuple[float, Callable[[], object]]] = [
        (0.5, lambda: session.click(rng.uniform(-0.5, np.array(SHAPE) - 0.51).tolist(), bool(rng.random() < 0.6), name,
                                    space="voxel")),
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
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 10**6))
def test_every_walk_replays_and_undoes_and_keeps_its_rule(rule: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    volume, model = scan(), Model()
    session = Session(volume, model, overlap=rule)
    for _ in range(14):
        locked = {n: s.shown.full() for n, s in session._sheets.items() if s.locked}
        step(session, rng)
        for name, mask in locked.items():
            np.testing.assert_array_equal(session._sheets[name].shown.full(), mask)
        for a, b in itertools.combinations(session.structures, 2):
            assert rule == "allow" or not (session.mask(a) & session.mask(b)).any()
    record = Record(session.header, tuple(session._entries))
    for recompute in (False, True):
        again = Session(volume, model, overlap=rule).replay(record, recompute=recompute)
        assert state(again) == state(session)
        np.testing.assert_array_equal(again.labels.array, session.labels.array)
    for name in list(session._sheets):
        session.lock(name, False)
    while session._done:
        session.undo()
    assert not session.structures
    assert not any(sheet.clicks or sheet.edited.count or sheet.draft.count for sheet in session._sheets.values())
