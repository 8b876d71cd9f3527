"""A journal that a disk has damaged is kept whole beside the session, which goes on from before the damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prosect.server.damaged import set_aside
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf, Source
from prosect.server.wire import unpack_delta
from worlds.serving import BallModel, Server

API = "/api/v1"
PLACES = ([10.0, 10.0, 10.0], [25.0, 20.0, 14.0], [30.0, 30.0, 20.0])


def click(server: Server, path: str, place: list[float]) -> None:
    """Click at a voxel."""
    body = {"structure": "my lesion", "position": place, "space": "voxel"}
    assert server.http.post(f"{path}/clicks", json=body).status_code == 200


def labels(server: Server, path: str) -> tuple[dict[str, Any], bytes]:
    """What a page gets that opens a session."""
    header, found = unpack_delta(server.http.get(f"{path}/labels").content)
    return header, b"" if found is None else found.tobytes()


def damage(journal: Path, line: int) -> bytes:
    """Change a byte of a line (from 1) and return the file as it is then."""
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[line - 1] = b"#" + lines[line - 1][1:]
    journal.write_bytes(b"".join(lines))
    return b"".join(lines)


@pytest.mark.parametrize("line", [4, 3, 2, 1])
def test_a_session_goes_on_from_before_the_damage(
    settings: Settings, start_with: Callable[[Settings], Server], line: int
) -> None:
    first = start_with(settings)
    _, session = first.begin()
    path = f"{API}/sessions/{session['session_id']}"
    painted = [labels(first, path)[1]]
    for place in PLACES:
        click(first, path, place)
        painted.append(labels(first, path)[1])
    click(first, path, [5.0, 5.0, 5.0])  # line 5: damage to the last line is a crash, and no matter
    (journal,) = settings.work.glob("journals/*.journal")
    content = damage(journal, line)

    later = start_with(settings)
    header, found = labels(later, path)
    actions = max(line - 2, 0)  # the first line is the header
    assert header["revision"] == actions
    assert found == painted[actions]
    kept = journal.with_name(f"{journal.name}.damaged")
    assert kept.read_bytes() == content
    (note,) = header["notes"]
    assert kept.name in note
    assert later.http.get(path).json()["notes"] == [note]

    # It goes on as any other, also after the next restart, and the note stays.
    click(later, path, PLACES[2])
    again = start_with(settings)
    assert labels(again, path)[1] == labels(later, path)[1] != found
    assert again.http.get(path).json()["notes"] == [note]
    assert kept.read_bytes() == content


def test_a_second_damage_takes_no_place_of_the_first(tmp_path: Path) -> None:
    journal = tmp_path / "a.prosect.journal"
    for content in (b"one\nx\n", b"two\nx\n"):
        journal.write_bytes(content)
        assert set_aside(journal)
        assert not journal.exists()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a.prosect.journal.damaged": b"one\nx\n",
        "a.prosect.journal.damaged.2": b"two\nx\n",
    }


def test_a_session_of_other_weights_is_refused_and_left(
    settings: Settings, start_with: Callable[[Settings], Server], start: Callable[[Shelf], Server]
) -> None:
    first = start_with(settings)
    _, session = first.begin()
    path = f"{API}/sessions/{session['session_id']}"
    click(first, path, PLACES[0])

    class Finetuned(BallModel):
        """Other weights."""

        @property
        def identity(self) -> Any:
            return {**super().identity, "weights_sha256": "1" * 64}

    other: Any = Finetuned()
    refused = start(Shelf(lambda _name, _weights: other, [Source("balls", "balls")])).http.get(path)
    assert refused.json()["code"] == "SESSION_OTHER_WEIGHTS"
    # The right weights find it as it was.
    assert start_with(settings).http.get(path).json()["revision"] == 1
    assert [each.name for each in settings.work.glob("journals/*")] == [f"{session['session_id']}.prosect.journal"]
