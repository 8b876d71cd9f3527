"""The server is killed under the page: the page says so, comes back by itself, and shows what the journal holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from prosect.geometry import Grid
from prosect.server.wire import unpack_delta
from worlds.serving import TOKEN
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
