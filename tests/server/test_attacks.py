"""Sixty ways to harm a server: none gets a file from outside, none is answered by 500, and it answers others meanwhile.

The list is numbered. Those on other viewers' paths are in `test_attacks_on_dialects.py`.
"""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from worlds.attacking import (
    API,
    BODIES,
    DIALECT_TOKEN,
    OK_REFUSALS,
    PATHS,
    SECRET,
    place,
    raw,
    request,
    scans_of,
    status_of,
    target,
    unharmed,
)
from worlds.serving import TOKEN, Server

__all__ = ["place", "target", "unharmed"]  # fixtures


@pytest.fixture(scope="module")
def session(target: Server) -> str:
    """A session on the scan."""
    scan = target.http.post(f"{API}/scans", json={"root": "scans", "path": "ct.nii.gz"}).json()
    return str(target.http.post(f"{API}/sessions", json={"scan_id": scan["scan_id"]}).json()["session_id"])


NAMES: dict[str, Callable[[Server], bytes]] = {
    "1 foreign host": lambda s: request(s, host="evil.example"),
    "2 our name, another port": lambda s: request(s, host="127.0.0.1:1"),
    "3 no host": lambda s: request(s, host=""),
    "4 two hosts": lambda s: request(s).replace(b"Connection", b"Host: evil.example\r\nConnection"),
    "5 host with a user": lambda s: request(s, host=f"me@127.0.0.1:{s.settings.port}"),
    "6 absolute target": lambda s: request(s, f"GET http://evil.example{API}/files HTTP/1.1", host="evil.example"),
    "7 foreign origin": lambda s: request(s, f"POST {API}/sessions HTTP/1.1", Origin="http://evil.example"),
    "8 no origin of its own": lambda s: request(s, Origin="null"),
    "9 link that changes something": lambda s: request(
        s, "GET /v2/start_session/prosect HTTP/1.1", Sec_Fetch_Site="cross-site"
    ),
    "11 no token": lambda s: request(s, Authorization=""),
    "12 wrong token": lambda s: request(s, Authorization="Bearer wrong"),
    "13 part of the token": lambda s: request(s, Authorization=f"Bearer {TOKEN[:-1]}"),
    "14 basic": lambda s: request(s, Authorization="Basic " + base64.b64encode(b"me:wrong").decode()),
    "15 token in the query": lambda s: request(s, f"GET {API}/files?token={TOKEN} HTTP/1.1", Authorization=""),
    "16 token of other viewers": lambda s: request(s, Authorization=f"Bearer {DIALECT_TOKEN}"),
    "59 two lengths": lambda s: request(
        s, f"POST {API}/sessions HTTP/1.1", Content_Length="5", Transfer_Encoding="chunked"
    ) + b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "61 line break in an id": lambda s: request(s, f"GET {API}/sessions/a%0d%0aSet-Cookie:%20x HTTP/1.1"),
}  # fmt: skip


@pytest.mark.parametrize("attack", NAMES)
def test_who_is_not_meant_is_refused(target: Server, attack: str) -> None:
    answer = raw(target, NAMES[attack](target))
    assert status_of(answer) in (*OK_REFUSALS, 0)
    assert b"roots" not in answer
    assert b"set-cookie" not in answer.lower().partition(b"\r\n\r\n")[0]


def test_a_question_before_the_question_gives_no_leave(target: Server) -> None:
    answer = raw(
        target,
        request(
            target, f"OPTIONS {API}/files HTTP/1.1", Origin="http://evil.example", Access_Control_Request_Method="GET"
        ),
    )  # attack 10
    assert status_of(answer) in OK_REFUSALS
    assert b"access-control-allow" not in answer.lower()


def test_the_token_of_another_start_opens_nothing(target: Server) -> None:
    answer = raw(target, request(target, Authorization="Bearer a-token-of-yesterday-0123456789"))  # attacks 17, 18
    assert status_of(answer) in (401, 429)


@pytest.mark.parametrize("identity", ["0", "1", "AAAAAAAAAAAAAAAAAAAAAA", "..%2f..", "../.."])
def test_identities_cannot_be_guessed(target: Server, identity: str) -> None:
    for path in (f"{API}/sessions/{identity}", f"/session/{identity}", f"{API}/scans/{identity}/view.nii"):
        answer = raw(target, request(target, f"GET {path} HTTP/1.1"))  # attacks 19, 20, 36
        assert status_of(answer) in OK_REFUSALS


@pytest.mark.parametrize("attack", PATHS)
def test_no_path_leads_out(target: Server, attack: str) -> None:
    body = json.dumps({"root": "scans", "path": PATHS[attack]}).encode()
    answer = target.http.post(f"{API}/scans", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in OK_REFUSALS
    assert SECRET not in answer.content
    assert b"root:" not in answer.content


def test_a_folder_exchanged_for_a_link_while_it_is_read_leads_nowhere(target: Server, place: Path) -> None:
    scans = place / "scans"
    (scans / "deep").mkdir()
    for number in range(20):  # attack 28
        (scans / "deep").rmdir() if number % 2 == 0 else (scans / "deep").unlink()
        (scans / "deep").symlink_to(place) if number % 2 == 0 else (scans / "deep").mkdir()
        answer = target.http.post(f"{API}/scans", json={"root": "scans", "path": "deep/secret.nii"})
        assert answer.status_code in OK_REFUSALS
        assert SECRET not in answer.content
    (scans / "deep").rmdir()


def test_results_and_uploads_never_leave_their_folders(target: Server, session: str, place: Path) -> None:
    for output in ("../x.nii.gz", "/tmp/x.nii.gz", "a/../../x.nii.gz"):  # attack 34
        answer = target.http.post(f"{API}/sessions/{session}/save", json={"output": output})
        assert answer.status_code in OK_REFUSALS
    content = (place / "scans" / "ct.nii.gz").read_bytes()
    sent = target.http.post(f"{API}/uploads", files={"files": ("../../x.nii.gz", content)})  # attack 35
    assert sent.status_code == 201
    assert sent.json()["name"] == "x.nii.gz"


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest", "http://[::ffff:127.0.0.1]/", "http://2130706433/", "http://localhost/redirect",
        "file:///etc/passwd", "gopher://127.0.0.1/",
    ],
)  # fmt: skip
def test_no_address_is_fetched(target: Server, address: str) -> None:
    answer = target.http.post("/v1/vista3d/inference", json={"image": address})  # attacks 37 to 42
    assert answer.status_code in OK_REFUSALS
    assert b"root:" not in answer.content


@pytest.mark.parametrize("attack", BODIES)
@pytest.mark.parametrize("path", [f"{API}/uploads", "/set_image", "/upload_raw/x", "/datastore/?image=x"])
def test_bodies_that_lie_are_refused_before_they_cost_anything(target: Server, attack: str, path: str) -> None:
    answer = target.http.post(path, content=BODIES[attack](), headers={"X-Filename": "x.nii.gz"})
    assert answer.status_code in OK_REFUSALS
    work = target.service.library.uploads
    kept = [each for each in work.iterdir() if each.name not in {Path(e.path).parent.name for e in scans_of(target)}]
    assert kept == []


def test_a_length_that_is_announced_and_never_sent_ends_at_once(target: Server) -> None:
    answer = raw(
        target, request(target, f"POST {API}/uploads HTTP/1.1", Content_Length=str(4 << 30)), leave=True
    )  # attack 52
    assert status_of(answer) in (*OK_REFUSALS, 0)


def test_chunks_without_an_end_are_ended(target: Server) -> None:
    head = request(target, f"POST {API}/uploads HTTP/1.1", Transfer_Encoding="chunked", X_Filename="x.nii")
    with socket.create_connection(("127.0.0.1", target.settings.port), timeout=20) as connection:  # attack 53
        connection.sendall(head + b"5\r\nabcde\r\n")
        assert status_of(connection.recv(65536)) in (*OK_REFUSALS, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000, b'{"structure":' * 20_000, b'{"structure":"a","position":[NaN,0,0],"space":"ras"}',
        b'{"structure":"a","position":[1e999,0,0],"space":"ras"}',
        b'{"structure":"a","position":[-Infinity,0,0],"space":"ras"}',
        b"\xff\xfe\x00", b"", b"null", b'{"structure":"\\ud800","position":[0,0,0],"space":"ras"}',
    ],
)  # fmt: skip
def test_texts_that_are_no_click_are_refused(target: Server, session: str, body: bytes) -> None:
    path = f"{API}/sessions/{session}/clicks"  # attacks 54, 55
    answer = target.http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in OK_REFUSALS


def test_a_form_of_a_hundred_thousand_parts_is_refused(target: Server) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.dcm"\r\n\r\nx\r\n'
    content = part * 100_000 + b"--b--\r\n"  # attack 56
    answer = target.http.post(
        f"{API}/uploads", content=content, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code in OK_REFUSALS


def test_many_that_send_slowly_keep_nobody_out(target: Server) -> None:
    slow = []
    for _ in range(200):  # attack 58
        connection = socket.create_connection(("127.0.0.1", target.settings.port), timeout=10)
        connection.sendall(b"G")
        slow.append(connection)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        assert httpx.get(f"{target.address}/healthz").is_success
        times.append(time.perf_counter() - began)
    for connection in slow:
        connection.settimeout(10)
        assert connection.recv(1) == b""  # the server has ended it
        connection.close()
    assert len(times) == 20


def test_more_connections_than_are_served_are_turned_away_and_forgotten(target: Server) -> None:
    many = []
    for _ in range(600):  # attack 60, as far as a test's own file descriptors go
        try:
            many.append(socket.create_connection(("127.0.0.1", target.settings.port), timeout=5))
        except OSError:
            break
    for connection in many:
        connection.close()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if httpx.get(f"{target.address}/healthz").is_success:
            return
        time.sleep(0.2)
    raise AssertionError("the server did not come back")


def test_what_clients_send_does_not_write_lines_into_the_log(
    target: Server, session: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"structure": "a\r\nERROR root: forged", "position": [0, 0, 0], "space": "ras"}
    target.http.post(f"{API}/sessions/{session}/clicks", json=body)
    assert "forged" not in caplog.text
