"""Fingers, the wheel and drags on the picture, as a browser sends them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from prosect.geometry import Grid
from worlds.browsing import Page
from worlds.serving import Server

Place = tuple[float, float]


class Fingers:
    """Fingers on the glass, by what the browser itself is told of them."""

    def __init__(self, page: Page) -> None:
        self.send = page.tab.context.new_cdp_session(page.tab).send

    def touch(self, kind: str, places: Sequence[Place]) -> None:
        """Tell where the fingers are."""
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        self.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def drag(self, paths: Sequence[tuple[Place, Place]], steps: int = 8) -> None:
        """Move fingers from one place to another, each at the same time."""
        self.touch("touchStart", [start for start, _ in paths])
        for step in range(1, steps + 1):
            share = step / steps
            self.touch("touchMove", [tuple((1 - share) * np.array(a) + share * np.array(b)) for a, b in paths])
        self.touch("touchEnd", [])


@pytest.fixture
def page(tab: Callable[[], Page], server: Server) -> Page:
    """A page with an object that may be clicked, its crosshair in the middle of the scan."""
    _, session = server.begin()
    opened = tab()
    opened.open(session["session_id"])
    opened.name("my lesion")
    return opened


@pytest.fixture
def middle(page: Page) -> Place:
    """Where the middle of the scan is on the axial plane."""
    scan = page.ask("window.prosect.state.scan")
    grid = Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))
    x, y = page.places(grid.to_world([[20.0, 18.0, 14.0]])[0].round(3).tolist())[0]
    return x, y


def slice_of(page: Page) -> int:
    """The axial slice that is shown."""
    return int(page.ask("window.prosect.state.place.voxel[2]"))


def zoom_of(page: Page) -> float:
    """How many times as large the picture is."""
    return float(page.ask("window.prosect.scene.niivue.scene.pan2Dxyzmm[3]"))


def test_two_fingers_zoom_or_go_through_the_slices_and_one_clicks(page: Page, middle: Place) -> None:
    x, y = middle
    fingers, before = Fingers(page), slice_of(page)
    fingers.drag([((x - 20, y), (x - 60, y)), ((x + 20, y), (x + 60, y))])
    page.wait("window.prosect.scene.niivue.scene.pan2Dxyzmm[3] > 2")
    assert zoom_of(page) == pytest.approx(3, rel=0.05)
    assert slice_of(page) == before

    page.tab.focus("#canvas")
    page.tab.keyboard.press("f")
    fingers.drag([((x - 20, y), (x - 20, y - 68)), ((x + 20, y), (x + 20, y - 68))], steps=17)
    page.wait(f"window.prosect.state.place.voxel[2] !== {before}")
    assert slice_of(page) == before + 4
    assert zoom_of(page) == 1
    # Neither was a click, nor is a drag of one finger.
    fingers.drag([((x, y), (x + 40, y + 20))])
    page.idle()
    assert page.ask("window.prosect.state.revision") == 0

    fingers.touch("touchStart", [middle])
    fingers.touch("touchEnd", [])
    page.wait("window.prosect.state.revision === 1")
    page.idle()
    (click,) = page.ask("window.prosect.state.clicks")
    assert click["positive"]
    # The browser says so where a touch comes faster than a page answers, which fingers seldom do.
    assert [each for each in page.complaints if "Ignored attempt to cancel" not in each] == []


def test_the_wheel_turns_slices_and_with_a_key_ten_or_the_zoom(page: Page, middle: Place) -> None:
    mouse, keyboard, before = page.tab.mouse, page.tab.keyboard, slice_of(page)
    mouse.move(*middle)
    assert page.tab.inner_text(".pointer-name") == "my lesion"  # what a click would change
    mouse.wheel(0, -100)
    page.wait(f"window.prosect.state.place.voxel[2] === {before + 1}")
    for _ in range(5):
        mouse.wheel(0, 10)  # a touchpad sends little at a time
    page.wait(f"window.prosect.state.place.voxel[2] === {before}")
    keyboard.down("Shift")
    mouse.wheel(0, -100)
    keyboard.up("Shift")
    page.wait(f"window.prosect.state.place.voxel[2] === {before + 10}")
    keyboard.down("Control")
    mouse.wheel(0, -100)
    keyboard.up("Control")
    page.wait("window.prosect.scene.niivue.scene.pan2Dxyzmm[3] > 1.1")
    assert slice_of(page) == before + 10


def test_a_drag_with_the_window_tool_changes_the_window_and_nothing_else(page: Page, middle: Place) -> None:
    x, y = middle
    first = page.tab.inner_text("#window-values")
    page.tab.focus("#canvas")
    page.tab.keyboard.press("w")
    assert page.ask("document.querySelector('[data-do=windowing]').getAttribute('aria-pressed')") == "true"
    chosen = page.ask("document.getElementById('preset').selectedIndex")
    page.tab.mouse.move(x, y)
    assert page.ask("document.getElementById('preset').selectedIndex") == chosen  # nothing has changed yet
    page.tab.mouse.down()
    page.tab.mouse.move(x + 60, y + 30, steps=4)
    page.tab.mouse.up()
    page.wait(f"document.getElementById('window-values').textContent !== {first!r}")
    page.tab.focus("#canvas")
    page.tab.keyboard.press("0")
    page.wait(f"document.getElementById('window-values').textContent === {first!r}")
    assert page.ask("window.prosect.state.revision") == 0
    assert page.complaints == []


def test_a_drag_with_the_right_button_zooms_and_does_nothing_else(page: Page, middle: Place) -> None:
    mouse, (x, y) = page.tab.mouse, middle
    window, before = page.tab.inner_text("#window-values"), slice_of(page)
    for up, zoom in ((120, 2.0), (60, 2.0**1.5), (-180, 1.0)):  # up is closer
        mouse.move(x, y)
        mouse.down(button="right")
        mouse.move(x + 30, y - up, steps=4)
        mouse.up(button="right")
        assert zoom_of(page) == pytest.approx(zoom, rel=0.05)
    assert page.tab.inner_text("#window-values") == window
    assert slice_of(page) == before
    page.idle()
    assert page.ask("window.prosect.state.revision") == 0
    assert page.complaints == []


def test_a_double_click_while_looking_shows_one_plane_and_then_all(page: Page, middle: Place) -> None:
    page.tab.focus("#canvas")
    page.tab.keyboard.press("s")
    for layout in ("axial", "all"):
        page.tab.mouse.dblclick(*middle)
        page.wait(f"window.prosect.scene.layout === '{layout}'")
    assert page.ask("window.prosect.state.revision") == 0
    assert page.complaints == []
