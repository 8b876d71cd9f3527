"""What goes wrong around the server: disks that refuse, clocks that are set, more structures than a page can paint."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prosect
from prosect.boxes import Box
from prosect.errors import OutputError
from prosect.geometry import Grid
from prosect.server import live
from prosect.server.library import Library
from prosect.server.seats import KEPT_S, Seats
from prosect.server.wire import refusal_of, unpack_delta
from prosect.volume import Volume
from worlds.serving import Server

API = "/api/v1"
NOW = 1_800_000_000.0


def paint(server: Server, session: str, name: str) -> Any:
    """Paint a little with a brush, which needs no model."""
    body = {"structure": name, "kind": "paint", "path": [[0, 10, 20]], "radius_mm": 4}
    return server.http.post(f"{API}/sessions/{session}/strokes", json=body)


def test_a_place_that_cannot_be_written_is_refused_without_its_path(server: Server) -> None:
    _, session = server.begin()
    identity, root = session["session_id"], server.settings.output_root
    assert root is not None
    root.write_text("a file where a folder is needed")
    saved = server.http.post(f"{API}/sessions/{identity}/save", json={"output": "one/labels.nii.gz"})
    shutil.rmtree(server.service.library.uploads)
    sent = server.http.post(f"{API}/uploads", content=b"1", headers={"X-Filename": "ct.nii"})
    form = server.http.put("/session/", files={"files": ("ct.nii", b"1")})
    for response in (saved, sent, form):
        assert response.status_code == 507
        assert str(root.parent) not in response.text
    assert saved.json()["code"] == sent.json()["code"] == "OUTPUT_UNWRITABLE"


@pytest.mark.parametrize(
    ("output", "kind", "code"),
    [
        ("labels.nrrd", "nii.gz", "OUTPUT_FORMAT"),
        ("labels.nrrd", "seg.nrrd", "OUTPUT_FORMAT"),
        ("labels", "mha", "OUTPUT_FORMAT"),
        ("labels.csv", "statistics.csv", None),
        ("masks.zip", "masks.zip", None),
        ("labels.NII.GZ", "nii.gz", None),
        ("taken/labels.mha", "mha", "OUTPUT_EXISTS"),
        ("x" * 300 + ".mha", "mha", "PATH_INVALID"),
    ],
)
def test_a_saved_file_is_what_its_name_says_and_lies_where_it_can(
    server: Server, output: str, kind: str, code: str | None
) -> None:
    _, session = server.begin()
    root = server.settings.output_root
    assert root is not None
    root.mkdir()
    (root / "taken").write_text("a file")
    body = {"output": output, "format": kind}
    saved = server.http.post(f"{API}/sessions/{session['session_id']}/save", json=body)
    assert saved.json().get("code") == code
    assert (root / output[:250]).exists() == (code is None)


def test_a_colour_is_kept_on_disk_or_not_shown(server: Server) -> None:
    _, session = server.begin()
    path = f"{API}/sessions/{session['session_id']}"
    assert paint(server, session["session_id"], "one").status_code == 200
    assert server.http.put(f"{path}/structures/two", json={"colour": "#112233"}).status_code == 404
    index = server.service.library.settings.work / "index.json"
    index.unlink()
    index.mkdir()  # nothing can take its place
    assert server.http.put(f"{path}/structures/one", json={"colour": "#112233"}).status_code == 507
    assert [row["colour"] for row in server.http.get(path).json()["structures"]] != ["#112233"]


def test_a_work_folder_that_cannot_be_made_ends_the_start_in_a_sentence(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = replace(server.settings, work=tmp_path / "file" / "work")
    with pytest.raises(OutputError, match="--work"):
        Library(settings, server.service.shelf, prosect.read, time.time, time.monotonic)


def test_an_error_that_is_no_disk_stays_a_bug() -> None:
    assert refusal_of(TimeoutError("too long")) is None
    full = refusal_of(OSError(28, "No space left on device", "/secret/journal"))
    assert full is not None
    assert (full.code, "/secret" in str(full)) == ("DISK_FULL", False)


def test_a_structure_too_many_is_refused_before_it_is_begun(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_SLOTS", 2)
    _, session = server.begin()
    identity = session["session_id"]
    statuses = [paint(server, identity, name).status_code for name in ("one", "two", "three", "one")]
    assert statuses == [200, 200, 409, 200]
    state = server.http.get(f"{API}/sessions/{identity}").json()
    assert [row["name"] for row in state["structures"]] == ["one", "two"]


def test_structures_that_cannot_be_painted_are_named_and_exported(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session = server.begin()
    identity = session["session_id"]
    for name in ("one", "two", "three"):
        assert paint(server, identity, name).status_code == 200
    monkeypatch.setattr(live, "MAX_SLOTS", 2)  # as in a session that came from another viewer
    header, labels = unpack_delta(server.http.get(f"{API}/sessions/{identity}/labels").content)
    assert labels is not None
    assert labels.max() == 2
    assert [row["slot"] for row in header["structures"]] == [1, 2, 0]
    assert "1 structures are not painted" in header["notes"][0]
    assert "three" in server.http.get(f"{API}/sessions/{identity}/export?format=statistics.csv").text
    assert server.http.post(f"{API}/sessions/{identity}/undo", json={}).status_code == 200


def test_a_structure_with_a_slash_in_its_name_can_be_locked(server: Server) -> None:
    _, session = server.begin()
    identity = session["session_id"]
    assert paint(server, identity, "node a/b").status_code == 200
    locked = server.http.put(f"{API}/sessions/{identity}/structures/node%20a%2Fb", json={"locked": True})
    assert [row["locked"] for row in locked.json()["structures"]] == [True]


@pytest.mark.parametrize(
    ("written", "asked", "idle_s", "forgotten"),
    [
        (NOW, NOW + KEPT_S + 1, None, True),
        (NOW, NOW + KEPT_S - 1, None, False),
        (NOW, NOW - 1e8, None, False),  # the clock was set back
        (NOW, NOW + 1e8, 60.0, False),  # or forth, while its client was at work
        (NOW, NOW + 1e8, KEPT_S + 1, True),
        (100.0, NOW, None, False),  # it was written before the clock was set at all
    ],
)
def test_a_clock_that_is_set_forgets_nobody(
    tmp_path: Path, written: float, asked: float, idle_s: float | None, forgotten: bool
) -> None:
    path = tmp_path / "seats.json"
    seat = Seats(path, lambda: written, lambda: 0.0).take("dls")
    later = Seats(path, lambda: asked, lambda: 1e9 if idle_s is None else 1e9 + idle_s)
    if idle_s is not None:
        later._active[seat.identity] = 1e9
    assert [each.identity for each in later.forgotten()] == [seat.identity] * forgotten


def test_labels_leave_out_structures_without_a_value(server: Server) -> None:
    _, session = server.begin()
    identity = session["session_id"]
    assert paint(server, identity, "one").status_code == 200
    with server.service.library.session(identity).hold() as held:
        whole = Box((0, 0, 0), held.volume.grid.shape)
        assert held.read_labels(whole, values={"one": 7}).max() == 7
        assert held.read_labels(whole, values={}).max() == 0


@pytest.mark.parametrize(("length", "status"), [(4096, 201), (4097, 413)])
def test_a_scan_is_at_most_4096_voxels_long(server: Server, scans: Path, length: int, status: int) -> None:
    grid = Grid((1, length, 2), np.eye(4))
    prosect.write(Volume(np.zeros(grid.shape, dtype=np.float32), grid, "CT"), scans / "long.nii")
    opened = server.http.post(f"{API}/scans", json={"root": "scans", "path": "long.nii"})
    assert opened.status_code == status
    assert (str(length) in opened.json().get("detail", "")) == (status == 413)
