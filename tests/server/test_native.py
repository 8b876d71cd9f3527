"""The native protocol: what a page does arrives in the session's masks, voxel by voxel."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import prosect
from prosect.geometry import Grid
from prosect.server.shelf import Shelf, Source
from prosect.server.wire import DELTA_TYPE, unpack_delta
from prosect.volume import Volume
from worlds.serving import RADIUS_MM, BallModel, Server, ball

API = "/api/v1"


def painted(server: Server, scan: dict[str, Any], *deltas: bytes) -> np.ndarray:
    """What a page shows after deltas, along the display copy's axes."""
    bitmap = np.zeros(scan["view"]["shape"], dtype=np.uint8)
    for data in deltas:
        header, labels = unpack_delta(data)
        if labels is not None:
            i, j, k = (slice(a, b) for a, b in zip(header["box"]["start"], header["box"]["stop"], strict=True))
            bitmap[i, j, k] = labels
    return bitmap


def grid_of(scan: dict[str, Any]) -> Grid:
    """The scan's grid."""
    return Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))


def in_view(scan: dict[str, Any], mask: np.ndarray) -> np.ndarray:
    """A mask of the scan (i j k as stored) along the display copy's axes, worked out from what the server says."""
    view = scan["view"]
    turned = mask.transpose(view["permutation"])
    for axis, flip in enumerate(view["flips"]):
        turned = np.flip(turned, axis) if flip else turned
    return turned


def click(server: Server, session: str, place: Any, **more: Any) -> bytes:
    """Click in mm and return the delta."""
    body = {"structure": "liver", "position": [float(each) for each in place], "space": "ras", **more}
    response = server.http.post(f"{API}/sessions/{session}/clicks", json=body)
    assert response.status_code == 200, response.text
    return response.content


def test_a_click_paints_what_the_session_holds(server: Server) -> None:
    scan, session = server.begin()
    grid = grid_of(scan)
    place = grid.to_world([[20, 18, 14]])[0]
    bitmap = painted(server, scan, click(server, session["session_id"], place))
    np.testing.assert_array_equal(bitmap > 0, in_view(scan, ball(grid, place, RADIUS_MM)))


def test_a_second_click_undo_and_redo_paint_over_exactly(server: Server) -> None:
    scan, session = server.begin()
    grid, identity = grid_of(scan), session["session_id"]
    first, second = grid.to_world([[12, 18, 14], [28, 20, 14]])
    deltas = [click(server, identity, first), click(server, identity, second)]
    both = painted(server, scan, *deltas)
    deltas.append(server.http.post(f"{API}/sessions/{identity}/undo").content)
    np.testing.assert_array_equal(painted(server, scan, *deltas) > 0, in_view(scan, ball(grid, first, RADIUS_MM)))
    deltas.append(server.http.post(f"{API}/sessions/{identity}/redo").content)
    np.testing.assert_array_equal(painted(server, scan, *deltas), both)
    whole = server.http.get(f"{API}/sessions/{identity}/labels").content
    np.testing.assert_array_equal(painted(server, scan, whole), both)


def test_the_display_copy_is_the_scan_turned_to_ras(server: Server, scans: Path) -> None:
    scan, _ = server.begin()
    content = server.http.get(f"{API}/scans/{scan['scan_id']}/view.nii").content
    shown = np.asarray(nib.Nifti1Image.from_stream(io.BytesIO(content)).dataobj)
    stored = prosect.read(scans / "ct.nii.gz").array
    np.testing.assert_array_equal(shown, in_view(scan, stored))


def test_no_answer_ever_says_where_files_lie(server: Server, scans: Path) -> None:
    scan, session = server.begin()
    texts = [
        server.http.get(f"{API}/capabilities").text,
        server.http.get(f"{API}/files?root=scans").text,
        str(scan),
        str(session),
        server.http.get(f"{API}/sessions").text,
        server.http.post(f"{API}/scans", json={"root": "scans", "path": "nothing.nii"}).text,
        server.http.post(f"{API}/scans", json={"root": "nowhere", "path": "x"}).text,
    ]
    assert not any(str(scans.parent) in text for text in texts)


def test_a_draft_reports_windows_and_ends_in_the_session(server: Server) -> None:
    scan, session = server.begin()
    identity = session["session_id"]
    heard: list[dict[str, Any]] = []
    ended = threading.Event()

    def hear(event: Any) -> None:
        heard.append(dict(event))
        if event["event"] == "job" and event["kind"] == "draft" and event["state"] == "done":
            ended.set()

    server.service.library.session(identity).listen(hear)
    response = server.http.post(f"{API}/sessions/{identity}/draft", json={"structures": "everything"})
    assert response.status_code == 202
    assert ended.wait(30)
    steps = [(each["done"], each["total"]) for each in heard if each["event"] == "job" and each["kind"] == "draft"]
    assert {(1, 4), (2, 4), (3, 4), (4, 4)} <= set(steps)
    state = server.http.get(f"{API}/sessions/{identity}").json()
    assert [(row["name"], row["index"]) for row in state["structures"]] == [("liver", 1)]
    grid = grid_of(scan)
    middle = grid.to_world([np.asarray(grid.shape) / 2])[0]
    assert state["structures"][0]["voxels"] == int(ball(grid, middle, 10.0).sum())


def test_a_cancelled_draft_changes_nothing(start: Callable[[Shelf], Server]) -> None:
    model: Any = BallModel(window_s=0.3)
    server = start(Shelf(lambda _name, _weights: model, [Source("balls", "balls")]))
    _, session = server.begin()
    identity = session["session_id"]
    job = server.http.post(f"{API}/sessions/{identity}/draft", json={}).json()
    assert server.http.delete(f"{API}/jobs/{job['job_id']}").status_code == 202
    server.service.jobs.find(job["job_id"])._ended.wait(30)
    assert server.http.get(f"{API}/jobs/{job['job_id']}").json()["state"] == "cancelled"
    assert server.http.get(f"{API}/sessions/{identity}").json()["structures"] == []


def test_a_click_is_answered_while_a_draft_of_the_same_session_runs(start: Callable[[Shelf], Server]) -> None:
    model: Any = BallModel(window_s=0.5)
    server = start(Shelf(lambda _name, _weights: model, [Source("balls", "balls")]))
    scan, session = server.begin()
    identity = session["session_id"]
    job = server.http.post(f"{API}/sessions/{identity}/draft", json={}).json()
    click(server, identity, grid_of(scan).to_world([[5, 5, 5]])[0], structure="my lesion")
    assert server.http.get(f"{API}/jobs/{job['job_id']}").json()["state"] in ("queued", "running")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"position": [1e5, 0, 0]}, 422, "POINT_OUTSIDE"),
        ({"position": [0, 0]}, 422, "REQUEST_INVALID"),
        ({"position": [0, 0, "x"]}, 422, "REQUEST_INVALID"),
        ({"space": "mni"}, 422, "REQUEST_INVALID"),
        ({"structure": ""}, 422, "REQUEST_INVALID"),
        ({"positive": False}, 422, "CLICKS_ONLY_NEGATIVE"),
        ({"unknown": 1}, 422, "REQUEST_INVALID"),
        ({"voxel": [0, 0, 0]}, 422, "CLICK_DISAGREES"),
    ],
)
def test_a_click_that_cannot_be_honoured_is_refused_with_its_code(
    server: Server, change: dict[str, Any], status: int, code: str
) -> None:
    scan, session = server.begin()
    place = grid_of(scan).to_world([[20, 18, 14]])[0].tolist()
    body = {"structure": "liver", "position": place, "space": "ras", **change}
    response = server.http.post(f"{API}/sessions/{session['session_id']}/clicks", json=body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert server.http.get(f"{API}/sessions/{session['session_id']}").json()["revision"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"structure": "a", "structure": "b", "position": [0, 0, 0], "space": "ras"}',
        b'{"structure": "a", "position": [NaN, 0, 0], "space": "ras"}',
        b'{"structure": "a", "position": [1e999, 0, 0], "space": "ras"}',
        b'["structure", "a"]',
        b'{"structure": ',
    ],
)
def test_json_that_can_be_read_in_two_ways_is_refused(server: Server, body: bytes) -> None:
    _, session = server.begin()
    path = f"/api/v1/sessions/{session['session_id']}/clicks"
    answer = server.http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "REQUEST_INVALID"


def test_the_openapi_knows_refusals_and_the_type_of_a_delta(server: Server) -> None:
    paths = server.http.get("/api/v1/openapi.json").json()["paths"]
    click = paths["/api/v1/sessions/{session_id}/clicks"]["post"]["responses"]
    assert DELTA_TYPE in click["200"]["content"]
    for operations in paths.values():
        for operation in operations.values():
            assert {"4XX", "503", "507"} <= set(operation["responses"])
            assert "application/problem+json" in operation["responses"]["4XX"]["content"]


def test_a_repeated_request_with_the_same_key_clicks_once(server: Server) -> None:
    scan, session = server.begin()
    place = grid_of(scan).to_world([[20, 18, 14]])[0].tolist()
    body = {"structure": "liver", "position": place, "space": "ras"}
    path = f"{API}/sessions/{session['session_id']}/clicks"
    replies = [server.http.post(path, json=body, headers={"Idempotency-Key": "one"}).content for _ in range(2)]
    assert replies[0] == replies[1]
    assert server.http.get(f"{API}/sessions/{session['session_id']}").json()["revision"] == 1


def test_a_page_with_an_old_revision_is_told(server: Server) -> None:
    scan, session = server.begin()
    grid = grid_of(scan)
    click(server, session["session_id"], grid.to_world([[20, 18, 14]])[0])
    body = {"structure": "liver", "position": grid.to_world([[8, 8, 8]])[0].tolist(), "space": "ras"}
    path = f"{API}/sessions/{session['session_id']}/clicks"
    response = server.http.post(path, json=body, headers={"X-Revision": "0"})
    assert (response.status_code, response.json()["code"]) == (409, "REVISION_OLD")


def test_a_page_is_told_which_structures_enclose_others(server: Server) -> None:
    scan, session = server.begin()
    identity, grid = session["session_id"], grid_of(scan)
    click(server, identity, grid.to_world([[20, 18, 14]])[0])
    body = {"structure": "body", "position": grid.to_world([[8, 8, 8]])[0].tolist(), "space": "ras"}
    assert server.http.post(f"{API}/sessions/{identity}/clicks", json=body).status_code == 200
    rows = server.http.get(f"{API}/sessions/{identity}").json()["structures"]
    assert {row["name"]: (row["encloses"], row["visible"]) for row in rows} == {
        "liver": (False, True),
        "body": (True, True),
    }


def test_a_locked_structure_is_refused_and_a_colour_is_kept(server: Server) -> None:
    scan, session = server.begin()
    identity, grid = session["session_id"], grid_of(scan)
    click(server, identity, grid.to_world([[20, 18, 14]])[0])
    path = f"{API}/sessions/{identity}/structures/liver"
    state = server.http.put(path, json={"locked": True, "colour": "#123456", "visible": False}).json()
    row = state["structures"][0]
    assert (row["locked"], row["colour"], row["visible"]) == (True, "#123456", False)
    body = {"structure": "liver", "position": grid.to_world([[8, 8, 8]])[0].tolist(), "space": "ras"}
    response = server.http.post(f"{API}/sessions/{identity}/clicks", json=body)
    assert (response.status_code, response.json()["code"]) == (409, "STRUCTURE_LOCKED")


def test_sessions_survive_a_restart_bit_for_bit(start: Callable[[Shelf], Server], shelf: Shelf) -> None:
    first = start(shelf)
    scan, session = first.begin()
    identity, grid = session["session_id"], grid_of(scan)
    click(first, identity, grid.to_world([[20, 18, 14]])[0])
    click(first, identity, grid.to_world([[26, 18, 14]])[0], structure="my lesion")
    first.http.put(f"{API}/sessions/{identity}/structures/liver", json={"colour": "#010203"})
    before = unpack_delta(first.http.get(f"{API}/sessions/{identity}/labels").content)
    second = start(shelf)  # reads index and journals of the first, as after a crash
    after = unpack_delta(second.http.get(f"{API}/sessions/{identity}/labels").content)
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert second.http.post(f"{API}/sessions/{identity}/undo").status_code == 200


def test_a_suspended_session_is_revived_by_the_next_call(server: Server) -> None:
    scan, session = server.begin()
    identity = session["session_id"]
    click(server, identity, grid_of(scan).to_world([[20, 18, 14]])[0])
    before = server.http.get(f"{API}/sessions/{identity}/labels").content
    live = server.service.library.session(identity)
    assert live.suspend()
    assert not live.is_live
    assert server.http.get(f"{API}/sessions/{identity}/labels").content == before


@pytest.mark.parametrize("kind", ["nii.gz", "nrrd", "seg.nrrd", "mha"])
def test_exported_labels_are_what_was_clicked_on_the_scans_own_grid(server: Server, tmp_path: Path, kind: str) -> None:
    scan, session = server.begin()
    grid = grid_of(scan)
    place = grid.to_world([[20, 18, 14]])[0]
    click(server, session["session_id"], place)
    response = server.http.get(f"{API}/sessions/{session['session_id']}/export", params={"format": kind})
    path = tmp_path / f"labels.{kind}"
    path.write_bytes(response.content)
    stored = prosect.read_labels(path)
    assert stored.grid.distance_to(grid) < 1e-3
    found = stored.array[0] if stored.array.ndim == 4 else stored.array > 0
    np.testing.assert_array_equal(found, ball(grid, place, RADIUS_MM))


def test_masks_statistics_and_the_session_are_exported_too(server: Server, tmp_path: Path) -> None:
    scan, session = server.begin()
    where = grid_of(scan).to_world([[20, 18, 14]])[0]
    click(server, session["session_id"], where)
    click(server, session["session_id"], where, structure="my own / object")
    path = f"{API}/sessions/{session['session_id']}/export"
    archive = zipfile.ZipFile(io.BytesIO(server.http.get(path, params={"format": "masks.zip"}).content))
    assert archive.namelist() == ["liver.nii.gz", "my_own_object.nii.gz"]
    for name in archive.namelist():  # both whole, though they lie in one place
        path_of_mask = Path(archive.extract(name, tmp_path))
        np.testing.assert_array_equal(
            prosect.read_labels(path_of_mask).array > 0, ball(grid_of(scan), where, RADIUS_MM)
        )
    assert "liver" in server.http.get(path, params={"format": "statistics.csv"}).text
    assert server.http.get(path, params={"format": "session.json"}).json()["format"] == "prosect-session"
    refused = server.http.get(path, params={"format": "exe"})
    assert (refused.status_code, refused.json()["code"]) == (422, "OUTPUT_FORMAT")


def test_results_are_saved_below_the_output_root_and_nowhere_else(server: Server, tmp_path: Path) -> None:
    scan, session = server.begin()
    click(server, session["session_id"], grid_of(scan).to_world([[20, 18, 14]])[0])
    path = f"{API}/sessions/{session['session_id']}/save"
    assert server.http.post(path, json={"output": "a/liver.nii.gz"}).json() == {"files": ["a/liver.nii.gz"]}
    assert (tmp_path / "results/a/liver.nii.gz").exists()
    again = server.http.post(path, json={"output": "a/liver.nii.gz"})
    assert (again.status_code, again.json()["code"]) == (422, "OUTPUT_EXISTS")
    outside = server.http.post(path, json={"output": "../liver.nii.gz"})
    assert (outside.status_code, outside.json()["code"]) == (403, "PATH_FORBIDDEN")


def test_an_uploaded_scan_is_opened_and_deleted_with_its_last_session(server: Server, scans: Path) -> None:
    content = (scans / "ct.nii.gz").read_bytes()
    scan = server.http.post(f"{API}/uploads", content=content, headers={"X-Filename": "../../evil.nii.gz"}).json()
    assert scan["name"] == "evil.nii.gz"
    session = server.http.post(f"{API}/sessions", json={"scan_id": scan["scan_id"]}).json()
    used = server.http.delete(f"{API}/scans/{scan['scan_id']}")
    assert (used.status_code, used.json()["code"]) == (409, "SCAN_IN_USE")
    assert len(list(server.service.library.uploads.iterdir())) == 1
    assert server.http.delete(f"{API}/sessions/{session['session_id']}").status_code == 204
    assert list(server.service.library.uploads.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [(b"", 400, "REQUEST_INVALID"), (b"no image", 415, "INPUT_NOT_AN_IMAGE"), (b"\x1f\x8b" + b"\0" * 50, 422, None)],
)
def test_an_upload_that_is_no_scan_leaves_nothing(
    server: Server, content: bytes, status: int, code: str | None
) -> None:
    response = server.http.post(f"{API}/uploads", content=content, headers={"X-Filename": "x.nii.gz"})
    assert response.status_code == status
    assert code in (None, response.json()["code"])
    assert list(server.service.library.uploads.iterdir()) == []


def test_a_scan_whose_file_has_changed_is_not_taken_for_the_same(server: Server, scans: Path) -> None:
    scan, session = server.begin()
    grid = grid_of(scan)
    server.service.library.session(session["session_id"]).suspend()
    server.service.library.scans.drop(scan["scan_id"])
    prosect.write(Volume(np.zeros(grid.shape, dtype=np.float32), grid, "CT"), scans / "ct.nii.gz")
    response = server.http.get(f"{API}/sessions/{session['session_id']}")
    assert (response.status_code, response.json()["code"]) == (422, "SCAN_CHANGED")
    opened = server.http.post(f"{API}/scans", json={"root": "scans", "path": "ct.nii.gz"}).json()
    assert opened["scan_id"] != scan["scan_id"]


def test_a_brush_adds_and_removes_voxels_as_one_action_each(server: Server) -> None:
    scan, session = server.begin()
    identity, grid = session["session_id"], grid_of(scan)
    place = grid.to_world([[20, 18, 14]])[0].tolist()
    stroke = {"structure": "my lesion", "kind": "paint", "path": [place], "radius_mm": 4.0, "axis": 2}
    delta = server.http.post(f"{API}/sessions/{identity}/strokes", json=stroke).content
    painted_voxels = painted(server, scan, delta) > 0
    assert painted_voxels.sum() > 5
    assert len(np.unique(np.argwhere(painted_voxels)[:, 2])) == 1
    erased = server.http.post(f"{API}/sessions/{identity}/strokes", json={**stroke, "kind": "erase"}).content
    assert not painted(server, scan, delta, erased).any()
    back = server.http.post(f"{API}/sessions/{identity}/undo").content
    np.testing.assert_array_equal(painted(server, scan, delta, erased, back) > 0, painted_voxels)
