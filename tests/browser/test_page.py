"""What a person does on the page arrives in the session, voxel by voxel, and what the session holds is on the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prosect.geometry import Grid
from prosect.server.wire import unpack_delta
from worlds.serving import Server


def held(server: Server, session: str) -> bytes:
    """What the session holds, as a page should show it."""
    _, labels = unpack_delta(server.http.get(f"/api/v1/sessions/{session}/labels").content)
    assert labels is not None
    return labels.tobytes(order="F")


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_a_click_in_each_plane_paints_what_the_session_holds(
    tab: Callable[[], Any], server: Server, plane: int
) -> None:
    scan, session = server.begin()
    identity = session["session_id"]
    page = tab()
    page.open(identity)
    page.name("my lesion")
    grid = Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))
    place = grid.to_world([[22.0, 15.0, 12.0]])[0]
    x, y = page.places(place.round(3).tolist())[plane]
    page.tab.mouse.click(x, y)
    page.wait("window.prosect.state.revision === 1")
    page.idle()
    (click,) = server.http.get(f"/api/v1/sessions/{identity}/clicks").json()["clicks"]
    # A pixel is smaller than a voxel here, so the click lies in the voxel that was aimed at, or in its neighbour.
    assert np.abs(np.subtract(click["position_ras"], place)).max() <= max(grid.spacing_mm)
    assert page.bitmap() == held(server, identity)
    assert any(page.bitmap())
    assert page.complaints == []


def test_a_day_of_work_on_one_page(tab: Callable[[], Any], server: Server) -> None:
    scan, session = server.begin()
    identity = session["session_id"]
    page = tab()
    page.open(identity)
    page.tab.click("text=Draft everything")
    page.wait("window.prosect.state.structures.length === 1")
    page.idle()
    assert page.bitmap() == held(server, identity)
    drafted = page.bitmap()

    # A correction by the keyboard alone: the crosshair goes there, Enter clicks.
    grid = Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))
    corner = grid.to_world([[6.0, 6.0, 6.0]])[0].round(3).tolist()
    page.ask(f"window.prosect.scene.goTo({corner})")
    page.tab.focus("#canvas")
    page.tab.keyboard.press("Enter")
    page.wait("window.prosect.state.structures[0].clicks === 1")
    page.idle()
    corrected = page.bitmap()
    assert corrected != drafted
    assert corrected == held(server, identity)
    page.tab.keyboard.press("Control+z")
    page.wait("window.prosect.state.structures[0].clicks === 0")
    page.idle()
    assert page.bitmap() == drafted
    page.tab.keyboard.press("Control+y")
    page.wait("window.prosect.state.structures[0].clicks === 1")
    page.idle()
    assert page.bitmap() == corrected

    # A locked structure refuses, beside the click, and nothing changes.
    page.tab.keyboard.press("l")
    page.wait("window.prosect.state.structures[0].locked")
    page.ask(f"window.prosect.scene.goTo({grid.to_world([[30.0, 30.0, 20.0]])[0].round(3).tolist()})")
    page.tab.keyboard.press("Enter")
    page.wait("document.querySelector('.mark-text') !== null")
    assert "locked" in page.tab.inner_text(".mark-text")
    assert page.bitmap() == corrected

    # A second tab shows the same, and hears of what the first does.
    other = tab()
    other.open(identity)
    assert other.bitmap() == corrected
    page.tab.keyboard.press("l")
    page.wait("!window.prosect.state.structures[0].locked")
    page.tab.keyboard.press("Control+z")
    other.wait("window.prosect.state.structures[0].clicks === 0")
    other.wait("window.prosect.state.structures[0].locked === false")
    assert other.bitmap() == drafted
    assert other.complaints == []


def test_names_are_text_and_never_markup(tab: Callable[[], Any], server: Server) -> None:
    scan, session = server.begin()
    identity = session["session_id"]
    grid = Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))
    body = {
        "structure": "<img src=x onerror=alert(1)>",
        "position": grid.to_world([[20.0, 18.0, 14.0]])[0].tolist(),
        "space": "ras",
    }
    assert server.http.post(f"/api/v1/sessions/{identity}/clicks", json=body).status_code == 200
    page = tab()
    page.open(identity)
    assert "<img src=x" in page.tab.inner_text("#structures")
    assert page.ask("document.querySelectorAll('#structures img').length") == 0
    assert page.complaints == []


def test_without_the_token_the_page_says_what_is_missing(tab: Callable[[], Any], server: Server) -> None:
    page = tab()
    page.tab.goto(server.address)
    page.wait("!document.getElementById('banner').hidden")
    assert "token" in page.tab.inner_text("#banner")


def test_every_tool_has_a_name_and_the_list_walks_by_arrow_keys(tab: Callable[[], Any], server: Server) -> None:
    scan, session = server.begin()
    identity = session["session_id"]
    grid = Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))
    for number, name in enumerate(("one", "two")):
        place = grid.to_world([[8.0 + 16 * number, 18.0, 14.0]])[0].tolist()
        body = {"structure": name, "position": place, "space": "ras"}
        assert server.http.post(f"/api/v1/sessions/{identity}/clicks", json=body).status_code == 200
    page = tab()
    page.open(identity)
    unnamed = page.ask(
        "[...document.querySelectorAll('button, input, select, canvas')].filter((each) => !each.closest('dialog') &&"
        " !(each.textContent.trim() || each.getAttribute('aria-label') || each.labels?.length || each.title)).length"
    )
    assert unnamed == 0
    page.tab.focus("#structures [aria-selected=true]")
    page.tab.keyboard.press("ArrowDown")
    assert page.ask("window.prosect.structures.current") == "two"
    assert page.ask("document.activeElement.dataset.name") == "two"
