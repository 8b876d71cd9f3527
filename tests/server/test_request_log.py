"""A line of JSON for each request, written beside it and never in its way."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from prosect.server.metrics import Metrics
from prosect.server.recording import Recorder
from prosect.server.request_log import LOG_NAME, RequestLog
from worlds.serving import Server

API = "/api/v1"


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(server: Server, count: int) -> list[dict[str, Any]]:
    """The first lines of a server's log, when they are there."""
    path, waited = server.settings.work / LOG_NAME, threading.Event()
    for _ in range(200):
        if path.exists() and len(lines_of(path)) >= count:
            return lines_of(path)
        waited.wait(0.02)
    raise AssertionError(f"fewer than {count} lines")


def ask(app: Any, path: str = "/some/file") -> list[dict[str, Any]]:
    """What an application under a recorder sends, and what the recorder writes."""
    lines: list[dict[str, Any]] = []
    ticks = iter([10.0, 10.25, 99.0])
    recorder = Recorder(
        app, {"/x/{y}": "native"}, Metrics(), lines.append, lambda: 1_800_000_000.0, lambda: next(ticks)
    )

    async def send(_message: Any) -> None:
        """Take an answer."""

    async def call() -> None:
        await recorder({"type": "http", "method": "GET", "path": path}, send, send)

    asyncio.run(call())
    return lines


def test_a_line_names_the_route_and_never_what_was_asked_for(server: Server) -> None:
    _, session = server.begin()
    server.http.get(f"{API}/files", params={"root": "scans", "path": "secret-name"})
    # Viewers that send no header have their token in the path.
    token = server.settings.dialect_token
    assert httpx.get(f"{server.address}/t/{token}/info/").status_code == 200
    lines = written(server, 4)
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/api/v1/scans", 201),
        ("POST", "/api/v1/sessions", 201),
        ("GET", "/api/v1/files", 404),
        ("GET", "/info", 200),
    ]
    assert [line["dialect"] for line in lines] == ["native", "native", "native", "monailabel"]
    text = (server.settings.work / LOG_NAME).read_text()
    for secret in (token, server.settings.token, session["session_id"], "secret-name", "ct.nii"):
        assert secret not in text


def test_a_line_has_the_number_that_the_client_got(server: Server) -> None:
    response = server.http.get(f"{API}/files")
    (line,) = written(server, 1)
    assert line["request"] == response.headers["x-request-id"]
    assert line["bytes"] == len(response.content)
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert 0 <= line["ms"] < 60_000
    assert list(line) == ["time", "request", "dialect", "method", "route", "status", "ms", "bytes"]


def test_a_client_that_has_gone_is_noted() -> None:
    async def gone(_scope: Any, _receive: Any, _send: Any) -> None:
        """Answer nothing."""

    (line,) = ask(gone)
    assert (line["status"], line["route"], line["ms"]) == (499, "none", 250.0)
    assert "/some/file" not in json.dumps(line)


def test_an_error_of_ours_is_noted_and_passed_on() -> None:
    async def broken(_scope: Any, _receive: Any, _send: Any) -> None:
        raise ZeroDivisionError

    lines: list[Any] = []
    metrics = Metrics()
    recorder = Recorder(broken, {}, metrics, lines.append, lambda: 0.0, lambda: 0.0)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(recorder({"type": "http", "method": "BREW"}, None, None))  # type: ignore[arg-type]
    assert (lines[0]["status"], lines[0]["method"]) == (500, "OTHER")
    assert 'status="500"} 1' in metrics.text({})


def test_a_stream_counts_until_it_begins() -> None:
    async def stream(scope: Any, _receive: Any, send: Any) -> None:
        scope["route"] = type("Route", (), {"path": "/x/{y}"})
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"12345", "more_body": True})

    (line,) = ask(stream)  # at 10.25 it begins, at 99 it would end
    assert (line["ms"], line["bytes"], line["dialect"], line["route"]) == (250.0, 5, "native", "/x/{y}")


def test_a_full_file_becomes_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for number in range(4):
        log = RequestLog(path, most_bytes=30)
        log.add({"number": number})
        log.close()
    assert [line["number"] for line in lines_of(path.with_name("log.1"))] == [0, 1]
    assert [line["number"] for line in lines_of(path)] == [2, 3]


def test_all_lines_of_before_the_end_are_written(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "log")
    for number in range(500):
        log.add({"number": number})
    log.close()
    assert [line["number"] for line in lines_of(tmp_path / "log")] == list(range(500))


def test_a_disk_that_refuses_loses_lines_and_they_are_counted(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "nowhere" / "log")
    log.add({"number": 1})
    log.add({"number": 2})
    log.close()
    assert log.lost == 2
