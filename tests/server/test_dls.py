"""The calls that ITK-SNAP makes, one after another, byte by byte."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from prosect.geometry import Grid
from prosect.server import dls
from prosect.server.settings import Settings
from worlds.serving import RADIUS_MM, Server, ball

SIZES = (21, 18, 15)
SPACING, ORIGIN = (1.0, 1.5, 2.0), (-10.0, 20.0, 5.0)
DIRECTION = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # turned by a quarter, so that rows and columns differ
COUNT = SIZES[0] * SIZES[1] * SIZES[2]


def image(sizes: tuple[int, int, int] = SIZES) -> np.ndarray:
    """A scan (x y z)."""
    return np.random.default_rng(2).normal(size=sizes).astype("<f4")


def form(array: np.ndarray, **said: Any) -> dict[str, Any]:
    """The multipart body of an image, x fastest."""
    metadata = {
        "dimensions": list(array.shape),
        "spacing": SPACING,
        "origin": ORIGIN,
        "direction": DIRECTION,
        "components_per_pixel": 1,
        "component_type": "float32",
        **said,
    }
    return {
        "file": ("image.gz", gzip.compress(array.astype("<f4").tobytes(order="F")), "application/gzip"),
        "metadata": (None, json.dumps(metadata), "application/json"),
    }


class Snap:
    """The client: one request at a time, and anything but 200 is an error."""

    def __init__(self, server: Server) -> None:
        self.http = httpx.Client(base_url=f"{server.address}/t/{server.settings.dialect_token}", timeout=60)
        self.sid = ""

    def get(self, path: str) -> dict[str, Any]:
        """A call that must succeed."""
        response = self.http.get(path)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def start(self, model: str = "prosect", array: np.ndarray | None = None) -> None:
        """Begin, and send the image."""
        self.sid = self.get(f"/v2/start_session/{model}")["session_id"]
        self.upload(image() if array is None else array)

    def upload(self, array: np.ndarray) -> None:
        """Send an image in the session."""
        response = self.http.post(f"/upload_raw/{self.sid}?filename=upload.nii.gz", files=form(array))
        assert response.status_code == 200, response.text

    def mask(self, answer: dict[str, Any], sizes: tuple[int, int, int] = SIZES) -> np.ndarray:
        """The whole mask of an answer (x y z)."""
        assert answer["status"] == "success"
        data = np.frombuffer(gzip.decompress(base64.b64decode(answer["result"])), dtype=np.int8)
        return data.reshape(sizes, order="F").astype(bool)

    def point(self, x: int, y: int, z: int, foreground: bool = True) -> np.ndarray:
        """Click at a voxel."""
        word = str(foreground).lower()
        path = f"/v2/process_point_interaction/{self.sid}?point={x}&point={y}&point={z}&foreground={word}"
        return self.mask(self.get(path))

    def draw(self, kind: str, drawn: np.ndarray, foreground: bool = True) -> np.ndarray:
        """Draw a scribble or a lasso."""
        path = f"/process_{kind}_interaction/{self.sid}?foreground={str(foreground).lower()}"
        response = self.http.post(path, files=form(drawn))
        assert response.status_code == 200, response.text
        return self.mask(response.json())


@pytest.fixture
def snap(server: Server) -> Any:
    """A client that has sent its image."""
    client = Snap(server)
    client.start()
    yield client
    client.http.close()


def expected(*voxels: tuple[int, int, int]) -> np.ndarray:
    """The balls that the model answers, where ITK says that voxels are."""
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(DIRECTION, (3, 3)) @ np.diag(SPACING)
    lps[:3, 3] = ORIGIN
    grid = Grid(SIZES, np.diag([-1, -1, 1, 1]) @ lps)
    mask = np.zeros(SIZES, dtype=bool)
    for voxel in voxels:
        mask |= ball(grid, grid.to_world(np.asarray(voxel, dtype=float)), RADIUS_MM)
    return mask


def test_the_server_is_one_that_the_client_takes(server: Server) -> None:
    said = httpx.get(f"{server.address}/status").json()  # asked before any token could be told
    assert said["status"] == "ok"
    assert tuple(int(number) for number in said["version"].split(".")) >= (0, 1, 2)
    client = Snap(server)
    models = client.get("/v2/models")["models"]
    client.http.close()
    assert [model["id"] for model in models] == ["prosect", "nnInteractive"]
    assert all(model["interactions"] == ["point", "scribble", "lasso"] for model in models)
    assert all((model["channels"], model["dimensions"]) == ([1], 3) for model in models)


def test_clicks_are_answered_with_the_whole_mask_where_the_scan_says_that_it_lies(snap: Snap, server: Server) -> None:
    np.testing.assert_array_equal(snap.point(10, 9, 7), expected((10, 9, 7)))
    np.testing.assert_array_equal(snap.point(3, 9, 2), expected((10, 9, 7), (3, 9, 2)))
    less = snap.point(17, 9, 7, foreground=False)
    np.testing.assert_array_equal(less, expected((10, 9, 7), (3, 9, 2)) & ~expected((17, 9, 7)))
    kept = server.service.library.session(
        server.http.get("/api/v1/sessions").json()["sessions"][0]["session_id"]
    ).scan.volume.array
    np.testing.assert_array_equal(kept, image())


def test_a_voxel_stands_where_the_client_looks_for_it() -> None:
    mask = np.zeros((7, 6, 5), dtype=bool)
    mask[6, 0, 4] = True
    data = gzip.decompress(base64.b64decode(dls.encode_mask(mask)))
    assert [place for place, value in enumerate(data) if value] == [6 + 7 * (0 + 6 * 4)]


def test_the_next_label_is_the_next_object(snap: Snap, server: Server) -> None:
    snap.point(10, 9, 7)
    assert snap.get(f"/reset_interactions/{snap.sid}") == {"status": "success"}
    np.testing.assert_array_equal(snap.point(3, 9, 2), expected((3, 9, 2)))
    session = server.http.get("/api/v1/sessions").json()["sessions"][0]["session_id"]
    state = server.http.get(f"/api/v1/sessions/{session}").json()
    assert [row["name"] for row in state["structures"]] == ["object 1", "object 2"]


def test_strokes_and_lassos_are_clicked(snap: Snap) -> None:
    drawn = np.zeros(SIZES, dtype=np.float32)
    drawn[2:19, 9, 7] = 1
    mask = snap.draw("scribble", drawn)
    np.testing.assert_array_equal(mask, expected((10, 9, 7), (2, 9, 7), (18, 9, 7)))
    snap.get(f"/v2/reset_interactions/{snap.sid}")
    drawn[:] = 0
    drawn[5:14, 5:14, 7] = 2
    assert snap.draw("lasso", drawn)[9, 9, 7]


def test_a_negative_click_on_nothing_answers_the_mask_as_it_is(snap: Snap) -> None:
    assert not snap.point(10, 9, 7, foreground=False).any()


def test_the_next_image_comes_in_the_same_session(snap: Snap, server: Server) -> None:
    snap.point(10, 9, 7)
    snap.upload(image()[::-1])
    np.testing.assert_array_equal(snap.point(3, 9, 2), expected((3, 9, 2)))
    assert len(server.http.get("/api/v1/sessions").json()["sessions"]) == 1


def test_the_calls_of_old_clients(server: Server) -> None:
    client = Snap(server)
    client.sid = client.get("/start_session")["session_id"]
    client.upload(image())
    answer = client.get(f"/process_point_interaction/{client.sid}?x=10&y=9&z=7&foreground=true")
    np.testing.assert_array_equal(client.mask(answer), expected((10, 9, 7)))
    assert client.get(f"/end_session/{client.sid}") == {"message": "Session ended"}
    assert client.get(f"/end_session/{client.sid}") == {"message": "Invalid session"}
    client.http.close()


def test_the_lasso_of_the_polygon_tool_goes_on_with_the_object(
    snap: Snap, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snap.point(3, 3, 2)
    first = snap.sid
    # The tool asks for another model: the client ends its session, begins one, and sends the same image.
    snap.get(f"/v2/end_session/{first}")
    assert snap.http.get(f"/v2/process_point_interaction/{first}?point=1&point=1&point=1").status_code == 404
    snap.start("nnInteractive")
    drawn = np.zeros(SIZES, dtype=np.float32)
    drawn[9:14, 9:14, 7] = 1
    mask = snap.draw("lasso", drawn)
    assert (mask & before).sum() == before.sum()
    assert mask.sum() > before.sum()
    assert len(server.http.get("/api/v1/sessions").json()["sessions"]) == 1
    # After a minute it is another session.
    snap.get(f"/v2/end_session/{snap.sid}")
    monkeypatch.setattr(dls, "ADOPT_S", -1.0)
    snap.start()
    assert len(server.http.get("/api/v1/sessions").json()["sessions"]) == 1
    np.testing.assert_array_equal(snap.point(10, 9, 7), expected((10, 9, 7)))


def test_what_cannot_be_is_refused_in_words(snap: Snap) -> None:
    sid = snap.sid
    calls: list[tuple[httpx.Response, int]] = [
        (snap.http.get("/v2/start_session/other"), 404),
        (snap.http.get("/v2/process_point_interaction/unknown?point=1&point=1&point=1"), 404),
        (snap.http.get("/reset_interactions/unknown"), 404),
        (snap.http.get(f"/v2/process_point_interaction/{sid}?point=1&point=1"), 400),
        (snap.http.get(f"/v2/process_point_interaction/{sid}?point=99&point=1&point=1"), 422),
        (snap.http.post(f"/upload_raw/{sid}", files={"metadata": (None, "{}")}), 400),
        (snap.http.post(f"/upload_raw/{sid}", files=form(image(), dimensions=[21, 18])), 400),
        (snap.http.post(f"/upload_raw/{sid}", files=form(image(), dimensions=[21, 18, 16])), 400),
        (snap.http.post(f"/upload_raw/{sid}", files=form(image(), dimensions=[21, 18, 14])), 400),
        (snap.http.post(f"/upload_raw/{sid}", files=form(image(), dimensions=[4000, 4000, 4000])), 413),
        (snap.http.post(f"/upload_raw/{sid}", files=form(image(), components_per_pixel=3)), 400),
        (snap.http.post(f"/upload_raw/{sid}", files=form(image(), spacing=[0, 1, 1])), 422),
        (snap.http.post(f"/upload_raw/{sid}", content=b"x"), 400),
        (snap.http.post(f"/process_lasso_interaction/{sid}", files=form(np.zeros(SIZES))), 400),
        (snap.http.post(f"/process_lasso_interaction/{sid}", files=form(np.ones((3, 3, 3)))), 400),
    ]
    for response, status in calls:
        assert response.status_code == status, (response.request.url, response.text)
        assert response.json()["error"], response.request.url
    bomb = form(image())
    bomb["file"] = ("image.gz", gzip.compress(b"\0" * 100_000_000), "application/gzip")
    assert snap.http.post(f"/upload_raw/{sid}", files=bomb).status_code == 400
    np.testing.assert_array_equal(snap.point(10, 9, 7), expected((10, 9, 7)))


def test_calls_that_change_things_are_made_by_get_alone_and_never_kept(snap: Snap) -> None:
    assert snap.http.head(f"/reset_interactions/{snap.sid}").status_code == 405
    response = snap.http.get(f"/reset_interactions/{snap.sid}")
    assert response.headers["cache-control"] == "no-store"
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert snap.http.get("/v2/start_session/prosect", headers=cross).status_code == 403


def test_a_client_without_a_token_comes_in_only_where_that_was_allowed(
    settings: Settings, start_with: Callable[[Settings], Server]
) -> None:
    closed, opened = start_with(settings), start_with(replace(settings, open_dls=True))
    assert httpx.get(f"{closed.address}/v2/models").status_code == 401
    assert httpx.get(f"{opened.address}/v2/models").status_code == 200
    sid = httpx.get(f"{opened.address}/v2/start_session/prosect").json()["session_id"]
    assert httpx.get(f"{opened.address}/reset_interactions/{sid}").status_code == 200
    for method, path in (
        ("GET", "/api/v1/files"),
        ("GET", "/info/"),
        ("POST", "/reset_interactions/"),
        ("POST", "/claim"),
    ):
        assert httpx.request(method, opened.address + path).status_code == 401, path
    assert httpx.get(f"{opened.address}/v2/models", headers={"Origin": "http://evil.example"}).status_code == 403


def test_the_token_may_be_a_password(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.settings.port, timeout=10)
    word = base64.b64encode(f"anybody:{server.settings.dialect_token}".encode()).decode()
    connection.request("GET", "/v2/models", headers={"Authorization": f"Basic {word}"})
    assert connection.getresponse().status == 200
    connection.close()
