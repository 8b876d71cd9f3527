"""Boxes and lassos of the page as clicks, names, models that are dropped, and sets to finetune from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prosect
from prosect.boxes import Box
from prosect.drawn_box import allowed
from prosect.geometry import Grid
from prosect.server.converting import BoxPrompt, Drawing
from prosect.server.drawing import Shape, fill, prompt_of
from prosect.server.settings import Settings
from prosect.server.view import view_of
from prosect.server.wire import unpack_delta
from worlds.serving import RADIUS_MM, Server, ball

API = "/api/v1"
GRID = Grid((20, 24, 10), np.array([[0, -1.5, 0, 30], [1, 0, 0, -5], [0, 0, 4, 0], [0, 0, 0, 1]], dtype=float))


def at(voxels: list[tuple[float, float, float]]) -> tuple[tuple[float, ...], ...]:
    """Places of voxels, in mm."""
    return tuple(map(tuple, GRID.to_world(np.asarray(voxels, dtype=float)).tolist()))


def test_a_box_is_the_voxels_between_its_corners_in_one_plane() -> None:
    prompt = prompt_of(Shape("x", "box", at([(4, 6, 5), (9, 12, 5)]), axis=2), GRID, view_of(GRID))
    assert isinstance(prompt, BoxPrompt)
    assert (prompt.box.start, prompt.box.stop) == ((4, 6, 5), (10, 13, 6))


def test_a_box_that_reaches_out_of_the_scan_is_cut() -> None:
    prompt = prompt_of(Shape("x", "box", at([(-5, 6, 5), (9, 40, 5)]), axis=2), GRID, view_of(GRID))
    assert (prompt.box.start, prompt.box.stop) == ((0, 6, 5), (10, 24, 6))


def test_a_lasso_holds_the_voxels_whose_centres_lie_inside() -> None:
    outline = [(3.5, 3.5, 2), (8.5, 3.5, 2), (8.5, 9.5, 2), (3.5, 9.5, 2)]
    prompt = prompt_of(Shape("x", "lasso", at(outline), axis=2), GRID, view_of(GRID))
    assert isinstance(prompt, Drawing)
    inside = {tuple(voxel + prompt.box.start) for voxel in np.argwhere(prompt.bits)}
    assert inside == {(i, j, 2) for i in range(4, 9) for j in range(4, 10)}


@pytest.mark.parametrize("turns", [1, -1])
def test_an_outline_holds_the_same_whichever_way_it_was_drawn(turns: int) -> None:
    outline = np.array([[1.5, 1.5], [6.5, 2.5], [4.5, 7.5]])[::turns]
    found = fill(outline, (0, 0), (9, 9))
    for i, j in np.ndindex(9, 9):
        signs = []
        for one, two in zip(outline, np.roll(outline, -1, axis=0), strict=True):
            along, here = two - one, np.array([i, j]) - one
            signs.append(along[0] * here[1] - along[1] * here[0])
        assert found[i, j] == (all(each > 0 for each in signs) or all(each < 0 for each in signs))


def begin(server: Server) -> tuple[dict[str, Any], str, Grid]:
    """A session, and its scan's grid."""
    scan, session = server.begin()
    return scan, session["session_id"], Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))


def test_a_lasso_clicks_deep_inside_and_is_one_step(server: Server) -> None:
    scan, identity, grid = begin(server)
    outline = grid.to_world([[10, 12, 14], [22, 12, 14], [22, 24, 14], [10, 24, 14]]).tolist()
    axis = scan["view"]["permutation"].index(2)
    body = {"structure": "my lesion", "kind": "lasso", "path": outline, "axis": axis}
    header, labels = unpack_delta(server.http.post(f"{API}/sessions/{identity}/shapes", json=body).content)
    assert header["revision"] == 1
    assert labels is not None
    clicks = server.http.get(f"{API}/sessions/{identity}/clicks").json()["clicks"]
    assert 1 <= len(clicks) <= 3
    for each in clicks:
        i, j, k = grid.to_voxel([each["position_ras"]])[0]
        assert 11 <= i <= 21
        assert 13 <= j <= 23
        assert abs(k - 14) < 0.5
    assert not unpack_delta(server.http.post(f"{API}/sessions/{identity}/undo").content)[0]["can_undo"]


def test_nothing_changes_where_a_box_leaves_no_room_and_it_is_one_step_back(server: Server) -> None:
    scan, identity, grid = begin(server)
    corners = grid.to_world([[18, 16, 14], [22, 20, 14]]).tolist()
    axis = scan["view"]["permutation"].index(2)
    body = {"structure": "my lesion", "kind": "box", "path": corners, "axis": axis}
    reply = server.http.post(f"{API}/sessions/{identity}/shapes", json=body)
    assert reply.status_code == 200
    with server.service.library.session(identity).hold() as session:
        mask = session.mask("my lesion")
    drawn, whole = Box((18, 16, 14), (23, 21, 15)), Box((0, 0, 0), grid.shape)
    assert mask[drawn.slices].any()
    assert not mask[~allowed(drawn, whole, grid.spacing_mm)].any()
    clicks = server.http.get(f"{API}/sessions/{identity}/clicks").json()["clicks"]
    assert [each["positive"] for each in clicks] == [True]
    state = server.http.post(f"{API}/sessions/{identity}/undo")
    assert state.status_code == 200
    assert server.http.get(f"{API}/sessions/{identity}/clicks").json()["clicks"] == []


def test_a_box_to_remove_where_nothing_is_says_so(server: Server) -> None:
    _, identity, grid = begin(server)
    corners = grid.to_world([[18, 16, 14], [22, 20, 14]]).tolist()
    body = {"structure": "my lesion", "kind": "box", "path": corners, "axis": 0, "positive": False}
    refused = server.http.post(f"{API}/sessions/{identity}/shapes", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "SHAPE_EMPTY")


def test_a_structure_is_renamed_on_the_page_too(server: Server) -> None:
    _, identity, grid = begin(server)
    click_at(server, identity, grid, "object 1", (20, 18, 14))
    body = {"structure": "object 1", "name": "left lesion"}
    header, labels = unpack_delta(server.http.post(f"{API}/sessions/{identity}/rename", json=body).content)
    assert labels is not None
    rows = {row["name"]: row for row in header["structures"]}
    assert rows["object 1"]["voxels"] == 0
    assert rows["left lesion"]["voxels"] == int(ball(grid, grid.to_world([[20, 18, 14]])[0], RADIUS_MM).sum())
    assert set(np.unique(labels)) == {0, rows["left lesion"]["slot"]}


def click_at(server: Server, identity: str, grid: Grid, name: str, voxel: tuple[int, int, int]) -> None:
    """Click at a voxel."""
    body = {"structure": name, "position": grid.to_world([voxel])[0].tolist(), "space": "ras"}
    assert server.http.post(f"{API}/sessions/{identity}/clicks", json=body).status_code == 200


def test_a_training_set_is_what_all_its_sessions_have(server: Server, tmp_path: Path) -> None:
    _, first, grid = begin(server)
    _, second, _ = begin(server)
    begin(server)  # nothing is done in this one, so it is no example
    click_at(server, first, grid, "my lesion", (20, 18, 14))
    click_at(server, second, grid, "my lesion", (10, 10, 10))
    click_at(server, second, grid, "only here", (30, 30, 20))
    said = server.http.post(f"{API}/training-sets", json={"output": "set one"}).json()
    assert (said["scans"], said["classes"], said["left_out"]) == (2, ["my lesion"], ["only here"])
    assert "--classes '1=my lesion'" in said["command"]
    folder = tmp_path / "results" / "set one"
    listed = json.loads((folder / "list.json").read_text())
    assert listed["labels"] == {"1": "my lesion"}
    for row in listed["training"]:
        labels, image = prosect.read_labels(folder / row["label"]), prosect.read(folder / row["image"])
        assert labels.grid.distance_to(image.grid) < 1e-3
        assert set(np.unique(labels.array)) == {0, 1}
    again = server.http.post(f"{API}/training-sets", json={"output": "set one"})
    assert again.json()["code"] == "OUTPUT_EXISTS"


def test_sessions_that_share_nothing_make_no_training_set(server: Server) -> None:
    begin(server)
    refused = server.http.post(f"{API}/training-sets", json={"output": "empty"})
    assert (refused.status_code, refused.json()["code"]) == (409, "STRUCTURES_DIFFER")


def test_a_model_that_is_dropped_drafts_beside_the_others(server: Server) -> None:
    said = server.http.post(f"{API}/models", content=b"weights", headers={"X-Filename": "mine.safetensors"}).json()
    assert said["models"] == ["balls", "mine.safetensors"]
    assert server.http.get(f"{API}/capabilities").json()["models"] == ["balls", "mine.safetensors"]
    _, identity, _ = begin(server)
    body = {"structures": "everything", "model": "mine.safetensors"}
    assert server.http.post(f"{API}/sessions/{identity}/draft", json=body).status_code == 202


def test_a_model_that_was_dropped_is_there_after_a_restart_while_its_file_is(
    settings: Settings, start_with: Callable[[Settings], Server]
) -> None:
    def models(server: Server) -> list[str]:
        found: list[str] = server.http.get(f"{API}/capabilities").json()["models"]
        return found

    headers = {"X-Filename": "mine.safetensors"}
    first = start_with(settings)
    for content in (b"weights", b"newer weights"):
        assert first.http.post(f"{API}/models", content=content, headers=headers).status_code == 201
    (kept,) = first.service.library.kept_models().values()
    assert kept.read_bytes() == b"newer weights"
    uploads = first.service.library.uploads
    assert len(list(uploads.iterdir())) == 1  # the older file is gone
    again = start_with(settings)
    again.service.shelf.withdraw("mine.safetensors")  # both servers share the shelf of this test
    again = start_with(settings)
    assert models(again) == ["balls", "mine.safetensors"]
    kept.unlink()
    again.service.shelf.withdraw("mine.safetensors")
    assert models(start_with(settings)) == ["balls"]
