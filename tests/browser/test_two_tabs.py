"""Two tabs that click on one session at the same time: nothing is lost or done twice, and both show the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prosect.geometry import Grid
from prosect.server.shelf import Shelf, Source
from prosect.server.wire import unpack_delta
from worlds.serving import BallModel, Server

VOXELS = ([10.0, 10.0, 10.0], [28.0, 26.0, 18.0])


@pytest.fixture
def slow(start: Callable[[Shelf], Server]) -> Server:
    """A server whose model takes so long that a second click comes before the first is answered."""
    model: Any = BallModel(wait_s=1.0)
    return start(Shelf(lambda _name, _weights: model, [Source("balls", "balls")]))


def test_clicks_of_two_tabs_at_the_same_time_are_both_done(tab_at: Callable[[Any], Any], slow: Server) -> None:
    scan, session = slow.begin()
    path = f"/api/v1/sessions/{session['session_id']}"
    grid = Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))
    pages = [tab_at(slow), tab_at(slow)]
    for page, voxel in zip(pages, VOXELS, strict=True):
        page.open(session["session_id"])
        page.name("my lesion")
        page.ask(f"window.prosect.scene.goTo({grid.to_world([voxel])[0].round(3).tolist()})")
        page.tab.focus("#canvas")
    for page in pages:
        page.tab.keyboard.press("Enter")
    assert [page.ask("window.prosect.state.revision") for page in pages] == [0, 0]  # neither is answered yet
    for page in pages:
        page.wait("window.prosect.state.revision === 2")
        page.idle()
        page.wait("window.prosect.state.clicks.length === 2")
    clicks = slow.http.get(f"{path}/clicks").json()["clicks"]
    places = sorted(grid.to_voxel([each["position_ras"]])[0].round().tolist() for each in clicks)
    assert places == sorted(map(list, VOXELS))
    _, held = unpack_delta(slow.http.get(f"{path}/labels").content)
    assert held is not None
    assert pages[0].bitmap() == pages[1].bitmap() == held.tobytes(order="F")
    # Each page undoes what was done last, whoever did it, and both see it.
    pages[0].tab.keyboard.press("Control+z")
    for page in pages:
        page.wait("window.prosect.state.clicks.length === 1")
        page.idle()
    assert pages[0].bitmap() == pages[1].bitmap() != held.tobytes(order="F")
    assert [[each for each in page.complaints if "409" not in each] for page in pages] == [[], []]
