"""nnInteractive's own client drives the server, and its buffer holds what the session holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from nnInteractive.inference.remote import (
    ServerAtCapacityError,
    SessionExpiredError,
    nnInteractiveRemoteInferenceSession,
)

from prosect.geometry import Grid
from prosect.server import nninteractive
from prosect.server.packed import pack_array
from prosect.server.reversed_axes import affine_of, spacing_of
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf
from worlds.serving import RADIUS_MM, TOKEN, Server, ball

# A client that is refused leaves its connection open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

# As Slicer holds a scan: slices first, then rows, then columns, with the distance of each in that order.
SHAPE = (16, 30, 24)
SPACING = (3.0, 1.0, 1.5)
MIDDLE = (8, 15, 12)
Client = nnInteractiveRemoteInferenceSession


def expected(*centres: Any) -> np.ndarray:
    """The balls that the model answers, along the client's axes."""
    grid = Grid(SHAPE[::-1], affine_of(SPACING[::-1], "LPS"))
    mask = np.zeros(SHAPE[::-1], dtype=bool)
    for centre in centres:
        mask |= ball(grid, grid.to_world(np.asarray(centre[::-1], dtype=float)), RADIUS_MM)
    return mask.transpose()


def scan(dtype: str = "int16") -> np.ndarray:
    """Noise of one channel, as a client sends it."""
    low = 0 if np.dtype(dtype).kind in "ub" else -100
    return np.random.default_rng(3).integers(low, 100, (1, *SHAPE)).astype(dtype)


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    """A function that connects a client with a scan and an empty buffer; clients are closed at the end."""
    clients: list[Client] = []

    def begin(server: Server, image: np.ndarray | None = None, dtype: str = "uint8") -> Client:
        client = Client(server.address, api_key=TOKEN)
        clients.append(client)
        client.set_do_autozoom(True)
        client.set_image(scan() if image is None else image, {"spacing": np.asarray(SPACING)})
        client.set_target_buffer(np.zeros(SHAPE, dtype=dtype))
        client.reset_interactions()
        return client

    yield begin
    for client in clients:
        client.close()


@pytest.fixture
def client(server: Server, connect: Callable[..., Client]) -> Client:
    """A client that has sent its scan."""
    return connect(server)


def test_the_client_finds_what_it_looks_for(client: Client) -> None:
    assert client.ping()
    assert client.supported_interactions == dict.fromkeys(("points", "bbox2d", "bbox3d", "scribble", "lasso"), True)
    assert client.channel_mapping["points"] == (3, 4)
    assert client.num_interaction_channels == 7
    assert client.supports_initial_label
    assert client.supports_undo
    assert client.INFERENCE_SESSION_VERSION == "2.6.0"
    assert client.license == "none"
    assert client.original_image_shape == (1, *SHAPE)
    assert client.liveness_timeout_seconds == 60


def newest(server: Server) -> str:
    """The newest session."""
    identity: str = server.http.get("/api/v1/sessions").json()["sessions"][0]["session_id"]
    return identity


def test_a_wrong_key_is_refused(server: Server) -> None:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        Client(server.address, api_key="wrong")
    assert caught.value.response.status_code == 401


def test_the_key_may_stand_in_the_address(server: Server) -> None:
    client = Client(f"{server.address}/t/{server.settings.dialect_token}/")
    client.set_image(scan())
    client.close()


def test_scans_of_every_type_are_taken(server: Server, client: Client) -> None:
    for dtype in ("bool", "uint8", "int16", "uint32", "float16", "float32", "float64", ">i2"):
        sent = scan(dtype).transpose(0, 3, 2, 1).copy().transpose(0, 3, 2, 1)
        client.set_image(sent, {"spacing": SPACING})
        kept = server.service.library.session(newest(server)).scan.volume.array
        np.testing.assert_array_equal(kept, sent[0].transpose(2, 1, 0).astype(np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int32"])
def test_a_click_fills_the_buffer_and_the_reply_is_only_its_box(
    server: Server, connect: Callable[..., Client], dtype: str
) -> None:
    client = connect(server, dtype=dtype)
    box = client.add_point_interaction(np.asarray(MIDDLE), include_interaction=True)
    np.testing.assert_array_equal(client.target_buffer > 0, expected(MIDDLE))
    changed = np.argwhere(client.target_buffer)
    assert box == [[int(low), int(high) + 1] for low, high in zip(changed.min(0), changed.max(0), strict=True)]


def test_a_negative_click_takes_away_and_undo_brings_back(client: Client) -> None:
    client.add_point_interaction(MIDDLE, True)
    before = client.target_buffer.copy()
    client.add_point_interaction((8, 19, 12), False)
    np.testing.assert_array_equal(client.target_buffer > 0, expected(MIDDLE) & ~expected((8, 19, 12)))
    assert client.undo() is True
    np.testing.assert_array_equal(client.target_buffer, before)
    assert client.undo() is True
    assert not client.target_buffer.any()
    assert client.undo() is False
    assert client._last_paste_bbox is None


def test_places_between_voxels_are_taken_as_they_are(client: Client) -> None:
    client.add_point_interaction((8.4, 15.5, 11.25), True)
    np.testing.assert_array_equal(client.target_buffer > 0, expected((8.4, 15.5, 11.25)))


def test_a_click_at_the_edge_stays_in_the_buffer(client: Client) -> None:
    client.add_point_interaction((0, 0, 0), True)
    np.testing.assert_array_equal(client.target_buffer > 0, expected((0, 0, 0)))


def test_a_click_outside_is_refused_and_the_bounds_are_told(client: Client) -> None:
    for place in ((16, 5, 5), (-1, 5, 5), (5, 5, 24)):
        with pytest.raises(httpx.HTTPStatusError) as caught:
            client.add_point_interaction(place, True)
        assert caught.value.response.status_code == 400
        assert "outside" in caught.value.response.json()["detail"]


def test_a_negative_click_on_nothing_is_done_and_changes_nothing(client: Client) -> None:
    assert client.add_point_interaction(MIDDLE, False) is None
    assert not client.target_buffer.any()
    client.add_point_interaction(MIDDLE, True)
    np.testing.assert_array_equal(client.target_buffer > 0, expected(MIDDLE))


def test_a_flat_box_is_its_centre_and_clicks_beyond_the_edges_that_the_answer_crosses(client: Client) -> None:
    client.add_bbox_interaction([[8, 9], [12, 19], [8.6, 16.2]], include_interaction=True)
    centre = (8, 15, 12)
    beyond = [(8, 15 - 6, 12), (8, 15 + 6, 12), (8, 15, 12 - 5), (8, 15, 12 + 5)]
    crossed = [place for place in beyond if expected(centre)[:, 12:19, :].any()]
    mask = expected(centre)
    # The ball of 6 mm reaches beyond 7 voxels of 1 mm and 7 of 1.5 mm; along j it does, along i by one voxel only.
    assert client.target_buffer.any()
    assert (client.target_buffer > 0).sum() < mask.sum()
    assert not (client.target_buffer.astype(bool) & ~mask).any()
    assert crossed
    assert client.undo() is True
    assert not client.target_buffer.any()
    assert client.undo() is False


def test_a_box_around_the_whole_answer_is_one_click(client: Client) -> None:
    client.add_bbox_interaction([[3, 14], [5, 26], [3, 22]], include_interaction=True)
    np.testing.assert_array_equal(client.target_buffer > 0, expected((8, 15, 12)))


def test_a_box_that_removes_is_clicked_where_the_object_is(client: Client) -> None:
    client.add_point_interaction(MIDDLE, True)
    client.add_bbox_interaction([[8, 9], [19, 30], [0, 24]], include_interaction=False)
    assert 0 < client.target_buffer.sum() < expected(MIDDLE).sum()
    client.reset_interactions()
    assert client.add_bbox_interaction([[8, 9], [13, 30], [0, 24]], include_interaction=False) is None


def test_an_empty_box_is_refused(client: Client) -> None:
    for box in ([[8, 8], [3, 9], [3, 9]], [[20, 30], [3, 9], [3, 9]]):
        with pytest.raises(httpx.HTTPStatusError) as caught:
            client.add_bbox_interaction(box, True)
        assert caught.value.response.status_code == 400


def line() -> np.ndarray:
    """A scribble along the columns."""
    drawn = np.zeros(SHAPE, dtype=np.uint8)
    drawn[8, 15, 3:21] = 1
    return drawn


def test_a_scribble_is_clicked_along_its_length_with_or_without_its_box(client: Client) -> None:
    client.add_scribble_interaction(line(), include_interaction=True)
    # 18 voxels of 1.5 mm: the middle, then both ends, and what lies between is nearer than 8 mm.
    whole = client.target_buffer.copy()
    np.testing.assert_array_equal(whole > 0, expected((8, 15, 11), (8, 15, 20), (8, 15, 3)))
    client.reset_interactions()
    part = [[7, 10], [14, 17], [2, 22]]
    cut = line()[tuple(slice(*pair) for pair in part)]
    client.add_scribble_interaction(cut, include_interaction=True, interaction_bbox=part)
    np.testing.assert_array_equal(client.target_buffer, whole)
    assert client.undo() is True
    assert not client.target_buffer.any()


def test_a_lasso_is_clicked_inside(server: Server, client: Client) -> None:
    drawn = np.zeros(SHAPE, dtype=np.uint8)
    drawn[8, 8:23, 6:19] = 1
    client.add_lasso_interaction(drawn, include_interaction=True)
    assert client.target_buffer[8, 15, 12]
    # The innermost voxel and the two that are farthest from it among those deep inside; here the model says where.
    clicks = server.http.get(f"/api/v1/sessions/{newest(server)}/clicks").json()["clicks"]
    assert len(clicks) == 3
    assert all(click["positive"] for click in clicks)


def test_a_drawing_that_does_not_fill_its_box_is_refused(client: Client) -> None:
    for drawn, box in (
        (np.ones((2, 2, 2), np.uint8), None),
        (np.ones((2, 2, 2), np.uint8), [[0, 3], [0, 2], [0, 2]]),
        (np.ones((2, 2, 2), np.uint8), [[15, 17], [0, 2], [0, 2]]),
        (np.zeros(SHAPE, np.uint8), None),
    ):
        with pytest.raises(httpx.HTTPStatusError) as caught:
            client.add_scribble_interaction(drawn, True, interaction_bbox=box)
        assert caught.value.response.status_code == 400


def test_prompts_that_wait_are_answered_together_and_undone_together(client: Client) -> None:
    assert client.add_point_interaction(MIDDLE, True, run_prediction=False) is None
    client.add_point_interaction((3, 5, 5), True, run_prediction=False)
    assert not client.target_buffer.any()
    assert client._predict() is not None
    np.testing.assert_array_equal(client.target_buffer > 0, expected(MIDDLE, (3, 5, 5)))
    assert client._predict() is None
    assert client.undo() is True
    assert not client.target_buffer.any()


def test_a_seed_is_corrected_by_clicks_and_is_where_undo_ends(client: Client) -> None:
    seed = np.zeros(SHAPE, dtype=np.uint8)
    seed[2:4, 2:8, 2:8] = 1
    assert client.add_initial_seg_interaction(seed, run_prediction=False) is None
    client.add_point_interaction(MIDDLE, True)
    np.testing.assert_array_equal(client.target_buffer > 0, expected(MIDDLE) | seed.astype(bool))
    assert client.undo() is True
    np.testing.assert_array_equal(client.target_buffer, seed)
    assert client.undo() is False


def test_a_seed_that_is_to_be_predicted_is_clicked_in_its_middle(client: Client) -> None:
    seed = np.zeros(SHAPE, dtype=np.uint8)
    seed[7:10, 12:19, 9:16] = 1
    client.add_initial_seg_interaction(seed, run_prediction=True)
    assert client.target_buffer.astype(bool)[expected(MIDDLE)].all()


def objects_of(server: Server) -> list[str]:
    """The objects of the newest session, as the page lists them."""
    state = server.http.get(f"/api/v1/sessions/{newest(server)}").json()
    return [row["name"] for row in state["structures"]]


def test_finished_objects_stay_for_the_page_and_a_segment_that_comes_back_is_gone_on_with(
    server: Server, client: Client
) -> None:
    client.add_point_interaction(MIDDLE, True)
    first = client.target_buffer.copy()
    client.reset_interactions()
    client.add_point_interaction((3, 5, 5), True)
    np.testing.assert_array_equal(client.target_buffer > 0, expected((3, 5, 5)))
    assert objects_of(server) == ["object 1", "object 2"]
    # As Slicer changes back to the first segment: reset, then its mask as the seed.
    client.reset_interactions()
    client.add_initial_seg_interaction(first, run_prediction=False)
    client.add_point_interaction((8, 25, 12), True)
    np.testing.assert_array_equal(client.target_buffer > 0, expected(MIDDLE, (8, 25, 12)))
    assert objects_of(server) == ["object 1", "object 2"]
    client.reset_interactions()
    client.add_initial_seg_interaction(np.zeros(SHAPE, np.uint8))
    client.add_point_interaction((12, 5, 20), True)
    assert objects_of(server) == ["object 1", "object 2", "object 3"]


def test_two_clients_work_beside_each_other(server: Server, connect: Callable[..., Client]) -> None:
    one, two = connect(server), connect(server)
    one.add_point_interaction(MIDDLE, True)
    two.add_point_interaction((3, 5, 5), True)
    one.add_point_interaction((3, 5, 5), True)
    np.testing.assert_array_equal(one.target_buffer > 0, expected(MIDDLE, (3, 5, 5)))
    np.testing.assert_array_equal(two.target_buffer > 0, expected((3, 5, 5)))
    assert two.undo() is True
    assert one.target_buffer.any()


def test_the_next_image_ends_what_was_before(server: Server, client: Client) -> None:
    client.add_point_interaction(MIDDLE, True)
    client.set_image(scan()[:, ::-1], {})
    client.set_target_buffer(np.zeros(SHAPE, np.uint8))
    assert client.undo() is False
    client.add_point_interaction(MIDDLE, True)
    assert len(server.http.get("/api/v1/sessions").json()["sessions"]) == 1


def test_where_all_places_are_taken_a_client_hears_so_and_comes_in_later(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [Client(server.address, api_key=TOKEN) for _ in range(settings.max_sessions)]
    with pytest.raises(ServerAtCapacityError, match="8 clients"):
        Client(server.address, api_key=TOKEN)
    monkeypatch.setattr(nninteractive, "LIVENESS_S", -1.0)  # as if a minute had passed
    Client(server.address, api_key=TOKEN).close()
    for client in clients:
        client.close()


def test_a_lease_that_is_unknown_or_released_has_expired(server: Server, client: Client) -> None:
    assert 0 < client.heartbeat() <= 600
    assert client.lease_status()["idle_timeout_seconds"] == 600
    lease = client._lease_token
    for _ in range(2):
        response = server.http.post("/release", headers={"X-Lease-Token": lease})
        assert (response.status_code, response.json()) == (200, {"released": True})
    with pytest.raises(SessionExpiredError):
        client.add_point_interaction(MIDDLE, True)
    with pytest.raises(SessionExpiredError):
        client.heartbeat()
    assert server.http.get("/api/v1/sessions").json()["sessions"] == []


def test_a_lease_survives_the_server(
    start: Callable[..., Server], shelf: Shelf, connect: Callable[..., Client], settings: Settings
) -> None:
    client = connect(start(shelf))
    client.add_point_interaction(MIDDLE, True)
    before = client.target_buffer.copy()
    other = start(shelf)  # on another port, with the same work folder
    client._http.base_url = other.address
    client.add_point_interaction((3, 5, 5), True)
    np.testing.assert_array_equal(client.target_buffer > 0, expected(MIDDLE, (3, 5, 5)))
    assert client.undo() is True
    np.testing.assert_array_equal(client.target_buffer, before)
    assert client.undo() is True
    assert not client.target_buffer.any()


def test_a_session_that_the_page_has_ended_has_expired_and_the_viewer_comes_back(
    server: Server, connect: Callable[..., Client]
) -> None:
    client = connect(server)
    client.add_point_interaction(MIDDLE, True)
    assert server.http.delete(f"/api/v1/sessions/{newest(server)}").status_code == 204
    with pytest.raises(SessionExpiredError):
        client.add_point_interaction(MIDDLE, True)
    again = connect(server)
    again.add_point_interaction(MIDDLE, True)
    np.testing.assert_array_equal(again.target_buffer > 0, expected(MIDDLE))


def lose(client: Client, server: Server, voxel: Any) -> None:
    """Click as the client would, and lose the answer."""
    said = {"coordinates": list(voxel), "include_interaction": True, "run_prediction": True}
    headers = {"X-Lease-Token": client._lease_token}
    assert server.http.post("/add_point_interaction", json=said, headers=headers).status_code == 200


def test_a_client_whose_answer_was_lost_with_the_server_gets_all_of_the_object(
    start: Callable[..., Server], shelf: Shelf, connect: Callable[..., Client]
) -> None:
    first = start(shelf)
    client = connect(first)
    client.add_point_interaction(MIDDLE, True)
    lose(client, first, (3, 5, 5))
    client._http.base_url = start(shelf).address
    box = client.add_point_interaction((12, 25, 18), True)
    np.testing.assert_array_equal(client.target_buffer > 0, expected(MIDDLE, (3, 5, 5), (12, 25, 18)))
    assert box == [[0, size] for size in SHAPE]
    # From then on it is the box that has changed again.
    assert client.add_point_interaction((8, 19, 12), True) != box


def test_what_the_page_did_to_an_object_reaches_its_client_with_the_next_click(server: Server, client: Client) -> None:
    client.add_point_interaction(MIDDLE, True)
    client.add_point_interaction((3, 5, 5), True)
    assert server.http.post(f"/api/v1/sessions/{newest(server)}/undo").status_code == 200
    client.add_point_interaction((12, 25, 18), True)
    np.testing.assert_array_equal(client.target_buffer > 0, expected(MIDDLE, (12, 25, 18)))


def test_a_new_buffer_is_filled_by_the_next_click(client: Client) -> None:
    client.add_point_interaction(MIDDLE, True)
    client.set_target_buffer(np.zeros(SHAPE, dtype=np.uint8))
    client.add_point_interaction((3, 5, 5), True)
    np.testing.assert_array_equal(client.target_buffer > 0, expected(MIDDLE, (3, 5, 5)))


def test_clicks_that_wait_survive_the_server(
    start: Callable[..., Server], shelf: Shelf, connect: Callable[..., Client]
) -> None:
    client = connect(start(shelf))
    for voxel in (MIDDLE, (3, 5, 5)):
        client.add_point_interaction(voxel, True, run_prediction=False)
    client._http.base_url = start(shelf).address
    client._predict()
    np.testing.assert_array_equal(client.target_buffer > 0, expected(MIDDLE, (3, 5, 5)))


def post(server: Server, path: str, body: bytes = b"{}", meta: Any = None, lease: str = "") -> httpx.Response:
    """The answer to a call by hand."""
    headers = {"X-Lease-Token": lease}
    if meta is not None:
        headers["X-Meta"] = meta if isinstance(meta, str) else json.dumps(meta)
    return server.http.post(path, content=body, headers=headers)


BAD = {
    "no json": ("/add_point_interaction", b"{", None),
    "a list": ("/add_point_interaction", b"[]", None),
    "nothing": ("/add_point_interaction", b"", None),
    "two numbers": ("/add_point_interaction", b'{"coordinates": [1, 2], "include_interaction": true}', None),
    "not a number": ("/add_point_interaction", b'{"coordinates": [1, 2, NaN], "include_interaction": true}', None),
    "infinity": ("/add_point_interaction", b'{"coordinates": [1, 2, 1e999], "include_interaction": true}', None),
    "far away": ("/add_point_interaction", b'{"coordinates": [1, 2, 1e300], "include_interaction": true}', None),
    "no sign": ("/add_point_interaction", b'{"coordinates": [1, 2, 3]}', None),
    "a sign that is none": ("/add_point_interaction", b'{"coordinates": [1,2,3], "include_interaction": 1}', None),
    "a key twice": ("/add_point_interaction", b'{"coordinates": [1,2,3], "coordinates": [1,2,3]}', None),
    "deep": ("/add_point_interaction", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, None),
    "no box": ("/add_bbox_interaction", b'{"include_interaction": true}', None),
    "a flat pair": ("/add_bbox_interaction", b'{"bbox_coords": [1, 2, 3], "include_interaction": true}', None),
    "no array": ("/add_scribble_interaction", b"", {"include_interaction": True}),
    "half an array": ("/add_lasso_interaction", b"NNIA\x01\x01\x03", {"include_interaction": True}),
    "a meta that is none": ("/add_lasso_interaction", pack_array(np.ones(SHAPE, np.uint8)), "{"),
    "a flat image": ("/set_image", pack_array(np.ones((4, 4), np.uint8)), {}),
    "two channels": ("/set_image", pack_array(np.ones((2, 4, 4, 4), np.uint8)), {}),
    "a seed of another shape": ("/add_initial_seg_interaction", pack_array(np.ones((4, 4, 4), np.uint8)), {}),
    "a buffer of text": ("/set_target_buffer", b'{"shape": [16, 30, 24], "dtype": "object"}', None),
    "a buffer of floats": ("/set_target_buffer", b'{"shape": [16, 30, 24], "dtype": "float32"}', None),
    "a buffer of another shape": ("/set_target_buffer", b'{"shape": [16, 30, 25], "dtype": "uint8"}', None),
    "a flat buffer": ("/set_target_buffer", b'{"shape": [16, 30], "dtype": "uint8"}', None),
    "no zoom": ("/set_do_autozoom", b"{}", None),
}


def test_what_is_malformed_is_answered_with_400_and_a_sentence(server: Server, client: Client) -> None:
    client.add_point_interaction(MIDDLE, True)
    for name, call in BAD.items():
        response = post(server, *call, lease=str(client._lease_token))
        assert response.status_code == 400, name
        assert isinstance(response.json()["detail"], str), name
    client.add_point_interaction((3, 5, 5), True)  # nothing was lost meanwhile
    np.testing.assert_array_equal(client.target_buffer > 0, expected(MIDDLE, (3, 5, 5)))


def test_prompts_before_an_image_are_refused(server: Server) -> None:
    lease = post(server, "/claim", b"").json()["lease_token"]
    for path, body in {
        "/add_point_interaction": b'{"coordinates": [1, 2, 3], "include_interaction": true}',
        "/add_bbox_interaction": b'{"bbox_coords": [[1,2],[1,2],[1,2]], "include_interaction": true}',
        "/set_target_buffer": b'{"shape": [16, 30, 24], "dtype": "uint8"}',
    }.items():
        assert post(server, path, body, lease=lease).status_code == 400
        assert post(server, path, body).status_code == 410
    assert post(server, "/undo", lease=lease).status_code == 200


def test_spacing_that_is_not_told_is_assumed() -> None:
    assert spacing_of({}) == (1.5, 1.5, 1.5)
    assert spacing_of({"spacing": [0, 1, 1]}) == (1.5, 1.5, 1.5)
    assert spacing_of({"spacing": [3, 1, 1.5]}) == (1.5, 1.0, 3.0)


def test_directions_are_those_of_an_axial_scan_unless_the_server_is_told_others() -> None:
    np.testing.assert_array_equal(affine_of((1, 2, 3), "LPS"), np.diag([-1, -2, 3, 1]))
    np.testing.assert_array_equal(affine_of((1, 2, 3), "RAS"), np.diag([1, 2, 3, 1]))
    turned = affine_of((1, 2, 3), "PSR")
    np.testing.assert_array_equal(turned[:3, :3], [[0, 0, 3], [-1, 0, 0], [0, 2, 0]])
