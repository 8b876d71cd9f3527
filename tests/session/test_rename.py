"""A structure that is renamed is the same under another name, and the way back is one step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prosect.boxes import Box
from prosect.errors import GeometryError, PromptError
from prosect.geometry import Grid
from prosect.session import Session
from prosect.session.journal import read_record
from prosect.volume import Volume
from worlds.serving import BallModel

GRID = Grid((24, 20, 16), np.diag([2.0, 2.0, 2.0, 1.0]))


def session_in(folder: Path) -> Session:
    """A session with a click on `object 1`."""
    volume = Volume(np.zeros(GRID.shape, dtype=np.float32), GRID, "CT")
    session = BallModel().session(volume, journal=folder / "s.journal")
    session.click((20.0, 18.0, 14.0), structure="object 1")
    return session


def test_mask_and_clicks_go_to_the_new_name_and_come_back(tmp_path: Path) -> None:
    session = session_in(tmp_path)
    mask, clicks = session.mask("object 1"), session.clicks("object 1")
    change = session.rename("object 1", "left lesion")
    assert change.box is not None
    np.testing.assert_array_equal(session.mask("left lesion"), mask)
    assert not session.mask("object 1").any()
    assert [each.position_ras for each in session.clicks("left lesion")] == [each.position_ras for each in clicks]
    session.undo()
    np.testing.assert_array_equal(session.mask("object 1"), mask)
    assert not session.mask("left lesion").any()
    assert len(session.clicks("object 1")) == 1


def test_clicks_go_on_to_correct_it_under_a_known_name(tmp_path: Path) -> None:
    session = session_in(tmp_path)
    session.rename("object 1", "liver")
    before = session.mask("liver").sum()
    assert session.click((36.0, 18.0, 14.0), structure="liver").added > 0
    assert session.mask("liver").sum() > before
    assert session.structures == ("liver",)


def test_a_journal_remembers_it(tmp_path: Path) -> None:
    session = session_in(tmp_path)
    session.rename("object 1", "left lesion")
    session.undo()
    session.redo()
    again = BallModel().session(session.volume).replay(read_record(tmp_path / "s.journal"))
    np.testing.assert_array_equal(again.mask("left lesion"), session.mask("left lesion"))
    assert again.clicks("left lesion") == session.clicks("left lesion")
    assert again.revision == session.revision


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("nobody", "x", "STRUCTURE_ABSENT"), ("object 1", "object 1", "STRUCTURE_EXISTS"),
        ("object 1", "other", "STRUCTURE_EXISTS"),
    ],
)  # fmt: skip
def test_a_name_in_use_is_refused_and_nothing_changes(tmp_path: Path, old: str, new: str, code: str) -> None:
    session = session_in(tmp_path)
    session.click((8.0, 8.0, 8.0), structure="other")
    revision = session.revision
    with pytest.raises(PromptError) as refused:
        session.rename(old, new)
    assert (refused.value.code, session.revision) == (code, revision)


def test_a_locked_structure_keeps_its_name(tmp_path: Path) -> None:
    session = session_in(tmp_path)
    session.lock("object 1")
    with pytest.raises(PromptError) as refused:
        session.rename("object 1", "x")
    assert refused.value.code == "STRUCTURE_LOCKED"


def test_painting_a_box_with_bits_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError) as refused:
        session_in(tmp_path).paint("x", Box((0, 0, 0), (2, 2, 2)), np.ones((2, 2, 3), dtype=bool))
    assert refused.value.code == "BOX_OUTSIDE"
