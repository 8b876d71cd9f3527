"""The page by the keyboard alone, as screen readers hear it, and closer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from prosect.geometry import Grid
from worlds.serving import Server


@pytest.fixture
def two(server: Server) -> str:
    """A session with two structures of a click each."""
    scan, session = server.begin()
    grid = Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))
    for name, voxel in (("liver", [12, 14, 14]), ("my lesion", [30, 24, 14])):
        body = {"structure": name, "position": grid.to_world([voxel])[0].tolist(), "space": "ras"}
        path = f"/api/v1/sessions/{session['session_id']}/clicks"
        assert server.http.post(path, json=body).status_code == 200
    return str(session["session_id"])


def test_screen_readers_find_every_part_by_role_and_name(tab: Callable[[], Any], two: str) -> None:
    page = tab()
    page.open(two)
    heard = page.tab.locator("body").aria_snapshot()
    for line in (
        'navigation "Tools"',
        'button "add" [pressed]',
        'application "Scan: arrow keys move the crosshair, Enter clicks at it"',
        'complementary "Structures"',
        'combobox "Structure or new object"',
        'grid "Structures of this session"',
        'row "liver, ',
        'gridcell "liver"',
        'button "Hide liver" [pressed]',
        'button "Lock my lesion"',
        'slider "Brush"',
        'combobox "Window"',
        "status",
    ):
        assert line in heard, f"{line}\n{heard}"
    # What is chosen is said, not only coloured.
    assert re.search(r'row "liver, [^"]*" \[selected\]', heard), heard


def test_a_structure_is_named_clicked_hidden_and_removed_by_the_keyboard(tab: Callable[[], Any], two: str) -> None:
    page = tab()
    page.open(two)
    keys = page.tab.keyboard
    reached = []
    page.tab.focus("#open")
    for _ in range(40):
        keys.press("Tab")
        reached.append(page.ask("document.activeElement.id || document.activeElement.dataset.do || ''"))
    order = [
        each
        for each in ("positive", "undo", "help", "canvas", "search", "radius", "preset", "format")
        if each in reached
    ]
    # From the tools over the picture to the panel, as the eye goes.
    assert order == ["positive", "undo", "help", "canvas", "search", "radius", "preset", "format"]
    assert [reached.index(each) for each in order] == sorted(reached.index(each) for each in order)

    page.tab.focus("#search")
    keys.type("node")
    keys.press("Enter")
    page.tab.focus("#canvas")
    keys.press("Enter")
    page.wait("window.prosect.state.structures.length === 3")
    page.idle()
    assert "node: " in page.tab.inner_text("#status")
    page.tab.focus("#structures [aria-selected=true]")
    keys.press("ArrowUp")
    assert page.ask("window.prosect.structures.current") == "my lesion"
    keys.press("Tab")  # the colour
    keys.press("Tab")
    keys.press("Enter")
    page.wait("window.prosect.state.structures[1].visible === false")
    page.tab.focus("#canvas")
    keys.press("r")
    page.wait("window.prosect.state.structures[1].voxels === 0")
    assert page.complaints == []


def test_a_scan_is_opened_corrected_and_exported_by_the_keyboard_alone(
    tab_at: Callable[[Any], Any], start_with: Callable[[Any], Server], settings: Any
) -> None:
    scan = settings.roots["scans"] / "ct.nii.gz"
    page = tab_at(start_with(replace(settings, roots={"ct.nii.gz": scan})))
    keys, heard = page.tab.keyboard, []

    def say() -> str:
        """What a screen reader says of the last action."""
        heard.append(page.tab.inner_text("#status"))
        return str(heard[-1])

    page.tab.goto(f"{page.server.address}/#t={page.server.settings.token}")
    page.wait("document.querySelectorAll('#begin button').length === 1")  # the scan is offered at once
    while page.ask("document.activeElement.closest('#begin') === null"):
        keys.press("Tab")
    keys.press("Enter")
    page.wait("!document.getElementById('search').disabled && document.activeElement.id === 'canvas'")
    assert say() == "ct.nii.gz is open"

    while page.ask("document.activeElement.id !== 'search'"):
        keys.press("Tab")
    keys.type("my lesion")
    keys.press("Enter")
    assert say() == "my lesion is selected"
    while page.ask("document.activeElement.id !== 'canvas'"):
        keys.press("Shift+Tab")
    before = page.tab.inner_text("#place")
    keys.press("ArrowRight")
    keys.press("Shift+PageUp")
    assert page.tab.inner_text("#place") != before  # it is a live region: where the crosshair is, is said
    keys.press("Enter")
    page.wait("window.prosect.state.revision === 1")
    page.idle()
    assert re.fullmatch(r"my lesion: [\d,]+ voxels added \([\d.]+ s\)", say())
    keys.press("Control+z")
    page.wait("window.prosect.state.clicks.length === 0")
    page.idle()
    assert re.fullmatch(r"my lesion: [\d,]+ removed \([\d.]+ s\)", say())

    keys.press("?")
    assert page.ask("document.activeElement.textContent") == "Keys"  # and not its end
    assert 'row "Enter clicks at the crosshair"' in page.tab.locator("#help-dialog").aria_snapshot()
    keys.press("Escape")
    assert page.ask("document.activeElement.id") == "canvas"
    while page.ask("document.activeElement.textContent !== 'Export'"):
        keys.press("Tab")
    with page.tab.expect_download() as download:
        keys.press("Enter")
    assert download.value.suggested_filename == "ct_labels.nii.gz"
    page.wait("document.getElementById('status').textContent.includes('MB')")
    assert page.complaints == []


def test_closer_and_whole_again_leave_a_click_where_the_pointer_is(
    tab: Callable[[], Any], two: str, server: Server
) -> None:
    page = tab()
    page.open(two)
    scan = server.http.get(f"/api/v1/scans/{page.ask('window.prosect.state.scan.scan_id')}").json()
    grid = Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))
    place = grid.to_world([[20.0, 18.0, 14.0]])[0].round(3).tolist()
    far = page.places(place)[0]
    page.tab.focus("#canvas")
    for _ in range(4):
        page.tab.keyboard.press("z")
    beside = grid.to_world([[20.0, 20.0, 14.0]])[0].round(3).tolist()
    (x, y), *_ = page.ask(f"window.prosect.scene.project({beside})")
    edge = page.tab.locator("#canvas").bounding_box()
    shown = page.ask(f"window.prosect.scene.at({edge['x'] + x}, {edge['y'] + y}).mm")
    np.testing.assert_allclose(shown, beside, atol=0.3)
    page.tab.keyboard.press("f")
    np.testing.assert_allclose(page.places(place)[0], far, atol=0.5)


def test_a_set_to_finetune_from_is_written_from_the_page(tab: Callable[[], Any], two: str, server: Server) -> None:
    page = tab()
    page.open(two)
    page.tab.click("#save")
    page.tab.fill("#list-name", "my-set")
    page.tab.click("#list-form button")
    page.wait("document.getElementById('list-done').textContent !== ''")
    assert "prosect finetune --images my-set/images" in page.tab.inner_text("#list-done")
    root = server.settings.output_root
    assert root is not None
    assert (root / "my-set" / "list.json").exists()
    # What is refused is said in the dialog.
    page.tab.click("#list-form button")
    page.wait("!document.getElementById('save-problem').hidden")
    assert "OUTPUT_EXISTS" in page.tab.inner_text("#save-problem")
