"""Who waits keeps nobody else waiting."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prosect.errors import ResourceError
from prosect.server.device import CAPACITY
from prosect.server.settings import Settings
from worlds.serving import Server
from worlds.serving_process import served

API = "/api/v1"
WAIT_S = 20.0


@contextmanager
def held(locked: Any) -> Iterator[None]:
    """Something that another thread holds."""
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with locked:
            entered.set()
            leave.wait(WAIT_S)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(WAIT_S)
    try:
        yield
    finally:
        leave.set()
        holder.join(WAIT_S)


def test_many_who_wait_for_one_session_keep_nobody_out_of_another(server: Server) -> None:
    (_, busy), (_, other) = server.begin(), server.begin()
    live = server.service.library.session(busy["session_id"])
    with ThreadPoolExecutor(60) as people, held(live.hold()):
        waiting = [people.submit(server.http.get, f"{API}/sessions/{busy['session_id']}") for _ in range(60)]
        # Held until this is answered: it cannot have waited for one of those.
        assert server.http.get(f"{API}/sessions/{other['session_id']}").status_code == 200
        assert server.http.get("/readyz").status_code in (200, 503)  # the model may be at its known patch still
        assert not any(each.done() for each in waiting)
    assert {each.result(WAIT_S).status_code for each in waiting} == {200}


def test_signs_of_life_do_not_wait_for_a_disk(server: Server) -> None:
    lease = {"X-Lease-Token": server.http.post("/claim").json()["lease_token"]}
    with held(server.service.library.seats._lock):  # as while the seats are written
        assert server.http.post("/heartbeat", headers=lease).status_code == 200
        assert server.http.get("/lease_status", headers=lease).status_code == 200
        assert server.http.get("/healthz").json() == {"ok": True}


def test_a_server_for_many_sessions_has_room_for_a_click_in_each(
    settings: Settings, start_with: Callable[[Settings], Server]
) -> None:
    device = start_with(replace(settings, max_sessions=40)).service.device
    gate = threading.Event()
    first = device.submit("first", lambda _watch: gate.wait(WAIT_S))
    jobs = [device.submit(f"person {number}", lambda _watch: 1) for number in range(40)]

    def fill() -> None:
        for number in range(CAPACITY + 2):
            jobs.append(device.submit(f"draft {number}", lambda _watch: 1))

    with pytest.raises(ResourceError, match="wait for the model"):
        fill()
    gate.set()
    assert first.result(WAIT_S)
    assert sum(job.result(WAIT_S) for job in jobs) >= 40


@pytest.mark.parametrize("kind", ["one file", "a form"])
def test_an_upload_that_fills_the_disk_is_refused_and_leaves_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1000))
    if kind == "one file":
        response = server.http.post(f"{API}/uploads", content=b"1" * 5000, headers={"X-Filename": "ct.nii"})
    else:
        response = server.http.put("/session/", files={"files": ("ct.nii", b"1" * 5000)})
    assert response.status_code == 507
    assert "full" in response.json()["detail"]
    assert list(server.service.library.uploads.iterdir()) == []


def test_a_server_that_is_told_to_end_has_done_so_well(scans: Path, tmp_path: Path) -> None:
    with served(tmp_path / "work", scans) as (http, process):
        scan = http.post(f"{API}/scans", json={"root": "scans", "path": "ct.nii.gz"}).json()["scan_id"]
        session = http.post(f"{API}/sessions", json={"scan_id": scan}).json()["session_id"]
        with http.stream("GET", f"{API}/sessions/{session}/events") as events:  # a page that looks on
            lines = events.iter_lines()
            assert next(lines) == ": connected"
            process.send_signal(signal.SIGTERM)
            assert "event: bye" in list(lines)
        assert process.wait(WAIT_S) == 0
