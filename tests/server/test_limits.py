"""A server that only shows changes nothing, memory has a sum, and who sends slowly is sent away."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from prosect.boxes import Box
from prosect.errors import PromptError, ResourceError
from prosect.geometry import Grid
from prosect.server import deadlines
from prosect.server.running import running
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf
from prosect.server.unnamed import UnnamedObjects
from worlds.serving import TOKEN, Server

API = "/api/v1"


def click_body(scan: dict[str, Any], voxel: tuple[int, int, int], structure: str = "liver") -> dict[str, Any]:
    """A click at a voxel."""
    place = Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"])).to_world([voxel])[0]
    return {"structure": structure, "position": place.tolist(), "space": "ras"}


def test_a_server_that_only_shows_refuses_every_change_itself(
    settings: Settings, start_with: Callable[[Settings], Server]
) -> None:
    writing = start_with(settings)
    scan, session = writing.begin()
    identity = session["session_id"]
    assert writing.http.post(f"{API}/sessions/{identity}/clicks", json=click_body(scan, (20, 18, 14))).is_success
    shown = writing.http.get(f"{API}/sessions/{identity}/labels").content
    reading = start_with(replace(settings, read_only=True))
    session_path = f"{API}/sessions/{identity}"
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", f"{session_path}/clicks", {"json": click_body(scan, (5, 5, 5))}),
        ("POST", f"{session_path}/undo", {}),
        ("POST", f"{session_path}/redo", {}),
        ("POST", f"{session_path}/clear", {"json": {"structure": "liver"}}),
        ("POST", f"{session_path}/draft", {"json": {}}),
        ("POST", f"{session_path}/masks", {"content": b"x"}),
        ("POST", f"{session_path}/save", {"json": {"output": "a.nii.gz"}}),
        ("PUT", f"{session_path}/structures/liver", {"json": {"locked": True}}),
        ("PUT", f"{session_path}/structures/liver", {"json": {"colour": "#123456"}}),
        ("POST", f"{API}/sessions", {"json": {"scan_id": scan["scan_id"]}}),
        ("POST", f"{API}/uploads", {"content": b"x"}),
        ("DELETE", session_path, {}),
        ("DELETE", f"{API}/scans/{scan['scan_id']}", {}),
    ]
    for method, path, options in requests:
        response = reading.http.request(method, path, **options)
        assert (response.status_code, response.json()["code"]) == (403, "READ_ONLY"), path
    assert reading.http.get(f"{session_path}/labels").content == shown
    assert reading.http.get(f"{session_path}/export").is_success


def test_a_server_that_only_shows_keeps_no_image_of_another_viewer(
    settings: Settings, start_with: Callable[[Settings], Server]
) -> None:
    # The seat was taken while masks could be changed; a lease survives a restart.
    lease = start_with(settings).http.post("/claim").json()["lease_token"]
    reading = start_with(replace(settings, read_only=True))
    objects = UnnamedObjects(reading.service, "nninteractive")
    with pytest.raises(PromptError, match="only shows") as refused:
        objects.show(lease, np.zeros((4, 4, 4), np.float32), np.eye(4), {})
    assert refused.value.code == "READ_ONLY"
    assert list(reading.service.library.uploads.iterdir()) == []
    assert reading.service.library.sessions() == []


def test_sessions_are_suspended_by_the_sum_of_what_they_hold(
    settings: Settings, start_with: Callable[[Settings], Server]
) -> None:
    voxels = 40 * 36 * 28
    # Room for the scan (8 bytes a voxel) and for two sessions (3 bytes a voxel each), but not for three.
    server = start_with(replace(settings, memory_bytes=voxels * 16))
    scan, first = server.begin()
    identities = [first["session_id"]]
    for _ in range(3):
        made = server.http.post(f"{API}/sessions", json={"scan_id": scan["scan_id"]}).json()
        identities.append(made["session_id"])
    for identity in identities:
        path = f"{API}/sessions/{identity}/clicks"
        assert server.http.post(path, json=click_body(scan, (20, 18, 14))).is_success
        assert sum(each.is_live for each in server.service.library.live()) <= 2
    states = [server.http.get(f"{API}/sessions/{identity}").json() for identity in identities]
    assert [state["revision"] for state in states] == [1, 1, 1, 1]


def test_a_session_for_which_there_is_no_room_is_refused_with_the_numbers(
    settings: Settings, start_with: Callable[[Settings], Server]
) -> None:
    server = start_with(replace(settings, memory_bytes=40 * 36 * 28 * 16))
    scan, session = server.begin()
    other = server.http.post(f"{API}/sessions", json={"scan_id": scan["scan_id"]}).json()
    library = server.service.library
    # Both are at work and so cannot be suspended; a third one finds no room.
    with library.session(session["session_id"]).hold(), library.session(other["session_id"]).hold():
        answers: list[Any] = []
        third = threading.Thread(
            target=lambda: answers.append(server.http.post(f"{API}/sessions", json={"scan_id": scan["scan_id"]}))
        )
        third.start()
        third.join(20)
    (response,) = answers
    assert (response.status_code, response.json()["code"]) == (507, "MEMORY_EXHAUSTED")
    assert "--memory" in response.json()["detail"]


def test_a_session_that_is_busy_says_so_instead_of_waiting_for_ever(server: Server) -> None:
    _, session = server.begin()
    live = server.service.library.session(session["session_id"])
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with live.hold():
            entered.set()
            leave.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    try:
        with pytest.raises(ResourceError) as refused, live.hold(timeout_s=0.05):
            pass
    finally:
        leave.set()
        holder.join(10)
    assert refused.value.code == "SESSION_BUSY"


def test_a_page_that_was_away_hears_of_what_it_missed_and_only_that(server: Server) -> None:
    scan, session = server.begin()
    identity = session["session_id"]
    for voxel in ((20, 18, 14), (5, 5, 5)):
        server.http.post(f"{API}/sessions/{identity}/clicks", json=click_body(scan, voxel))
    assert first_event(server, identity, 2) == {"event": "here"}
    missed = first_event(server, identity, 1)
    assert (missed["event"], missed["revision"]) == ("changed", 2)
    box = Box(tuple(missed["box"]["start"]), tuple(missed["box"]["stop"]))
    assert 0 < box.size < 40 * 36 * 28
    assert all(low <= 5 < high for low, high in zip(box.start, box.stop, strict=True))
    # Of a revision that it never had, and after a restart, the whole scan is named.
    assert first_event(server, identity, 99)["box"] == {"start": [0, 0, 0], "stop": scan["shape"]}


def test_a_server_that_stops_says_so_to_pages_and_does_not_wait_for_them(settings: Settings, shelf: Shelf) -> None:
    heard: list[str] = []
    with running(settings, shelf) as (actual, service):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        http = httpx.Client(base_url=f"http://127.0.0.1:{actual.port}", headers=headers, timeout=60)
        _, session = Server(service, actual, http).begin()
        listening = threading.Event()

        def listen() -> None:
            with http.stream("GET", f"{API}/sessions/{session['session_id']}/events") as stream:
                for line in stream.iter_lines():
                    listening.set()
                    heard.append(line)

        page = threading.Thread(target=listen)
        page.start()
        assert listening.wait(20)
    page.join(20)
    http.close()
    assert not page.is_alive()
    assert "event: bye" in heard


def first_event(server: Server, identity: str, last: int) -> dict[str, Any]:
    """What a page that comes back hears first."""
    headers = {"Last-Event-ID": str(last)}
    with server.http.stream("GET", f"{API}/sessions/{identity}/events", headers=headers) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                found: dict[str, Any] = json.loads(line[6:])
                return found
    raise AssertionError("no event came")


def connect(server: Server) -> socket.socket:
    """A bare connection."""
    return socket.create_connection(("127.0.0.1", server.settings.port), timeout=20)


def answer_of(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_headers_that_do_not_come_end_the_connection(
    settings: Settings, start_with: Callable[[Settings], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "HEADERS_S", 0.3)
    server = start_with(settings)
    with connect(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHos")
        assert answer_of(connection) == b""
    assert server.http.get("/healthz").is_success


def test_a_body_that_does_not_come_is_answered_and_ended(
    settings: Settings, start_with: Callable[[Settings], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "SILENCE_S", 0.3)
    server = start_with(settings)
    with connect(server) as connection:
        head = f"POST {API}/uploads HTTP/1.1\r\nHost: 127.0.0.1:{server.settings.port}\r\n"
        head += f"Authorization: Bearer {TOKEN}\r\nContent-Length: 1000\r\nX-Filename: a.nii\r\n\r\n"
        connection.sendall(head.encode() + b"abc")
        found = answer_of(connection)
    assert found.startswith(b"HTTP/1.1 408")
    assert b"REQUEST_SLOW" in found
    assert list(server.service.library.uploads.iterdir()) == []


def test_a_body_that_trickles_is_ended_though_it_never_falls_silent(
    settings: Settings, start_with: Callable[[Settings], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "SILENCE_S", 0.4)
    server = start_with(settings)
    with connect(server) as connection:
        head = f"POST {API}/uploads HTTP/1.1\r\nHost: 127.0.0.1:{server.settings.port}\r\n"
        head += f"Authorization: Bearer {TOKEN}\r\nContent-Length: 100000000\r\nX-Filename: a.nii\r\n\r\n"
        connection.sendall(head.encode())
        stopped = threading.Event()
        sender = threading.Thread(target=trickle, args=(connection, stopped))
        sender.start()
        try:
            assert answer_of(connection).startswith(b"HTTP/1.1 408")
        finally:
            stopped.set()
            sender.join(10)


def trickle(connection: socket.socket, stopped: threading.Event) -> None:
    """Send some bytes ten times a second."""
    while not stopped.is_set():
        try:
            connection.sendall(b"x" * 10)
        except OSError:
            return
        time.sleep(0.1)


def test_a_request_that_carries_no_file_stays_small(server: Server) -> None:
    _, session = server.begin()
    path = f"{API}/sessions/{session['session_id']}/clicks"
    for kind in ("application/json", "application/octet-stream"):
        response = server.http.post(path, content=b" " * (2 << 20), headers={"Content-Type": kind})
        assert (response.status_code, response.json()["code"]) == (413, "INPUT_TOO_LARGE")


def test_two_requests_with_one_key_at_the_same_time_click_once(server: Server) -> None:
    scan, session = server.begin()
    path = f"{API}/sessions/{session['session_id']}/clicks"
    replies: list[bytes] = []

    def send() -> None:
        body = click_body(scan, (20, 18, 14))
        replies.append(server.http.post(path, json=body, headers={"Idempotency-Key": "same"}).content)

    senders = [threading.Thread(target=send) for _ in range(4)]
    for each in senders:
        each.start()
    for each in senders:
        each.join(20)
    assert len(set(replies)) == 1
    assert server.http.get(f"{API}/sessions/{session['session_id']}").json()["revision"] == 1


def test_two_shelves_of_one_work_folder_see_the_same_sessions(
    settings: Settings, start_with: Callable[[Settings], Server], shelf: Shelf
) -> None:
    first = start_with(settings)
    _, session = first.begin()
    assert start_with(settings).http.get(f"{API}/sessions/{session['session_id']}").is_success
