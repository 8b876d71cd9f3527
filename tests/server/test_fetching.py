"""Fetching from other servers: an allowed name alone, never into our own network, never further than it says."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import prosect
from prosect.errors import FormatError
from prosect.server import fetching, nim
from prosect.server.fetching import fetch, is_public
from prosect.server.settings import Settings
from worlds.serving import Server

HOSTS = ("scans.example.org",)
URL = "https://scans.example.org/study/ct%20one.nii.gz?part=1"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[dict[str, Any], int]]:
    """Another server: what it answers by path, and its port."""
    answers: dict[str, Any] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers with what a test has put there."""

        def do_GET(self) -> None:
            status, headers, body = answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield answers, server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def ask(elsewhere: tuple[dict[str, Any], int], tmp_path: Path) -> Callable[..., tuple[Path, str]]:
    """A function that fetches from the other server, which has a public address as far as we know."""
    answers, port = elsewhere
    answers.clear()

    def asking(status: int, body: bytes, *, url: str = URL, limit: int = 1000, **headers: str) -> tuple[Path, str]:
        answers["/study/ct%20one.nii.gz?part=1"] = status, headers, body
        return fetch(
            url, HOSTS, tmp_path, limit, look_up=lambda _host: ["8.8.8.8"],
            connect=lambda *given: http.client.HTTPConnection("127.0.0.1", port, timeout=given[-1]),
        )  # fmt: skip

    return asking


def refused(call: Callable[[], Any]) -> str:
    """The code with which something is refused."""
    with pytest.raises(FormatError) as error:
        call()
    return str(error.value.code)


def test_a_file_of_an_allowed_server_is_stored_under_a_name_of_ours(
    ask: Callable[..., tuple[Path, str]], tmp_path: Path
) -> None:
    path, name = ask(200, b"voxels")
    assert path.read_bytes() == b"voxels"
    assert path.name == "upload.nii.gz"
    assert path.parent.parent == tmp_path
    assert name == "ct_20one.nii.gz"


@pytest.mark.parametrize(
    ("status", "body", "headers", "code"),
    [
        (302, b"", {"Location": "https://scans.example.org/other"}, "PATH_FORBIDDEN"),
        (404, b"", {}, "INPUT_NOT_FOUND"),
        (500, b"", {}, "INPUT_NOT_FOUND"),
        (200, b"x" * 1001, {}, "INPUT_TOO_LARGE"),
        (200, b"x", {"Content-Length": "2"}, "UPLOAD_INCOMPLETE"),
    ],
)
def test_nothing_stays_of_what_is_refused(
    ask: Callable[..., Any], tmp_path: Path, status: int, body: bytes, headers: dict[str, str], code: str
) -> None:
    found = refused(lambda: ask(status, body, **headers))
    assert found == code or (code == "UPLOAD_INCOMPLETE" and found == "INPUT_UNREADABLE")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://scans.example.org/ct.nii", "https://other.example.org/ct.nii", "https://me@scans.example.org/ct.nii",
        "https://scans.example.org.evil.example/ct.nii", "ftp://scans.example.org/ct.nii", "https:///ct.nii", "https://[",
        "https://scans.example.org:x/", "https://scans.example.org/a b", "https://scans.example.org/\r\nHost: evil",
        "file:///etc/passwd", "gopher://scans.example.org/",
    ],
)  # fmt: skip
def test_other_addresses_are_not_asked(url: str, tmp_path: Path) -> None:
    def unexpected(*_: Any) -> Any:
        raise AssertionError("somebody was asked")

    call = lambda: fetch(url, HOSTS, tmp_path, 1000, look_up=lambda _host: ["8.8.8.8"], connect=unexpected)  # noqa: E731
    assert refused(call) == "PATH_FORBIDDEN"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8",
        "64:ff9b::a00:1", "2002:0a00:0001::", "ff02::1", "nonsense", "",
    ],
)  # fmt: skip
def test_addresses_inside_are_no_public_ones(address: str, tmp_path: Path) -> None:
    assert not is_public(address)
    # One such address beside a public one is enough to be refused: the system might choose either.
    call = lambda: fetch(URL, HOSTS, tmp_path, 1000, look_up=lambda _host: ["8.8.8.8", address])  # noqa: E731
    assert refused(call) == "PATH_FORBIDDEN"


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1::1"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


def test_a_file_that_takes_too_long_is_given_up(ask: Callable[..., Any], tmp_path: Path) -> None:
    now = iter([0.0, fetching.PATIENCE_S + 1.0])

    answer = SimpleNamespace(status=200, headers={}, read1=lambda _count: b"x")
    opened = nullcontext(answer)
    slow = SimpleNamespace(request=lambda *_, **__: None, getresponse=lambda: opened, close=lambda: None)
    connect: Any = lambda *_: slow  # noqa: E731
    call = lambda: fetch(  # noqa: E731
        URL, HOSTS, tmp_path, 1000, look_up=lambda _host: ["8.8.8.8"], connect=connect, clock=lambda: next(now)
    )
    assert refused(call) == "INPUT_UNREADABLE"
    assert list(tmp_path.iterdir()) == []


def test_nim_labels_a_scan_of_an_allowed_server_and_keeps_nothing(
    settings: Settings, start_with: Callable[[Settings], Server], scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_with(replace(settings, url_hosts=HOSTS))
    asked = []

    def fetching_here(url: str, hosts: Any, folder: Path, max_bytes: int) -> tuple[Path, str]:
        asked.append((url, tuple(hosts), max_bytes))
        place = folder / "fetched"
        place.mkdir()
        return (scans / "ct.nii.gz").rename(place / "upload.nii.gz"), "ct.nii.gz"

    monkeypatch.setattr(nim, "fetch", fetching_here)
    answer = server.http.post("/v1/vista3d/inference", json={"image": URL, "prompts": {"classes": ["liver"]}})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert asked == [(URL, HOSTS, settings.max_upload_bytes)]
    assert list(server.service.library.uploads.iterdir()) == []


def test_a_next_sample_says_where_it_lies_only_where_that_was_allowed(
    settings: Settings, start_with: Callable[[Settings], Server], scans: Path
) -> None:
    silent = start_with(settings).http.post("/activelearning/first", json={}).json()
    assert silent == {"id": "ct", "name": "ct"}
    shared = start_with(replace(settings, share_paths=True)).http.post("/activelearning/first", json={}).json()
    assert Path(shared["path"]) == scans / "ct.nii.gz"
    assert prosect.read(shared["path"]).grid.shape == (40, 36, 28)
