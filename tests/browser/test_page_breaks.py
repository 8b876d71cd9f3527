"""The server is killed under the page: the page says so, comes back by itself, and shows what the journal holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from prosect.geometry import Grid
from prosect.server.shelf import Shelf, Source
from prosect.server.wire import unpack_delta
from worlds.serving import TOKEN, BallModel, Server
from worlds.serving_process import served


def test_a_killed_server_comes_back_under_the_same_page(
    tab_at: Callable[[Any], Any], scans: Path, tmp_path: Path
) -> None:
    with served(tmp_path / "work", scans) as (http, process):
        port = http.base_url.port
        at = SimpleNamespace(address=f"http://127.0.0.1:{port}", settings=SimpleNamespace(token=TOKEN))
        scan = http.post("/api/v1/scans", json={"root": "scans", "path": "ct.nii.gz"}).json()
        session = http.post("/api/v1/sessions", json={"scan_id": scan["scan_id"]}).json()["session_id"]
        page = tab_at(at)
        page.open(session)
        page.name("my lesion")
        grid = Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))
        page.ask(f"window.prosect.scene.goTo({grid.to_world([[20, 18, 14]])[0].round(3).tolist()})")
        page.tab.focus("#canvas")
        page.tab.keyboard.press("Enter")
        page.wait("window.prosect.state.revision === 1")
        page.idle()
        before = page.bitmap()
        process.kill()
        process.wait()
        page.wait("!document.getElementById('banner').hidden")
        assert "journal" in page.tab.inner_text("#banner")
    with served(tmp_path / "work", scans, port) as (http, _):
        page.wait("document.getElementById('banner').hidden")
        assert page.bitmap() == before
        page.ask(f"window.prosect.scene.goTo({grid.to_world([[8, 8, 8]])[0].round(3).tolist()})")
        page.tab.focus("#canvas")
        page.tab.keyboard.press("Enter")
        page.wait("window.prosect.state.revision === 2")
        page.idle()
        _, held = unpack_delta(http.get(f"/api/v1/sessions/{session}/labels").content)
        assert held is not None
        assert page.bitmap() == held.tobytes(order="F") != before


def test_a_click_that_the_server_died_of_is_done_once_when_it_is_back(
    tab_at: Callable[[Any], Any], scans: Path, tmp_path: Path
) -> None:
    with served(tmp_path / "work", scans, wait_s=3.0) as (http, process):
        port = http.base_url.port
        at = SimpleNamespace(address=f"http://127.0.0.1:{port}", settings=SimpleNamespace(token=TOKEN))
        scan = http.post("/api/v1/scans", json={"root": "scans", "path": "ct.nii.gz"}).json()
        session = http.post("/api/v1/sessions", json={"scan_id": scan["scan_id"]}).json()["session_id"]
        page = tab_at(at)
        page.open(session)
        page.name("my lesion")
        page.tab.focus("#canvas")
        page.tab.keyboard.press("Enter")
        page.wait("window.prosect.state.busy && window.prosect.state.busy.text")  # the model is at work
        process.kill()
        process.wait()
        page.wait("!document.getElementById('banner').hidden")
    with served(tmp_path / "work", scans, port) as (http, _):
        page.wait("window.prosect.state.revision === 1")
        page.idle()
        clicks = http.get(f"/api/v1/sessions/{session}/clicks").json()["clicks"]
        assert len(clicks) == 1
        _, held = unpack_delta(http.get(f"/api/v1/sessions/{session}/labels").content)
        assert held is not None
        assert page.bitmap() == held.tobytes(order="F")


def test_a_page_that_is_loaded_again_during_a_draft_shows_it_when_it_is_there(
    tab_at: Callable[[Any], Any], start: Callable[[Shelf], Server]
) -> None:
    model: Any = BallModel(window_s=1.0)
    server = start(Shelf(lambda _name, _weights: model, [Source("balls", "balls")]))
    _, session = server.begin()
    page = tab_at(server)
    page.open(session["session_id"])
    page.tab.click("text=Draft everything")
    page.wait("window.prosect.state.jobs.size === 1")
    page.tab.reload()
    page.wait("window.prosect && window.prosect.state.structures.length === 1")
    page.idle()
    assert any(page.bitmap())
    # Away and back again: the tab goes on with what it had open.
    page.tab.goto("about:blank")
    page.tab.go_back()
    page.wait("window.prosect && window.prosect.state.structures.length === 1")
    page.idle()
    assert page.ask("window.prosect.state.session") == session["session_id"]
