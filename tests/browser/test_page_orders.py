"""Scans in several storage orders: clicks land where they were aimed, and page and session show the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prosect
from prosect.geometry import Grid
from prosect.server.wire import unpack_delta
from prosect.volume import Volume
from worlds.serving import RADIUS_MM, Server, ball

# Which world axis each storage axis runs along, and whether backwards.
ORDERS = {"LPS": ((0, -1), (1, -1), (2, 1)), "AIR": ((1, 1), (2, -1), (0, 1)), "SRP": ((2, 1), (0, 1), (1, -1))}
SPACING_MM = (1.5, 1.0, 2.0)


def affine_of(order: tuple[tuple[int, int], ...]) -> np.ndarray:
    """The affine of a storage order, with the scan's corner somewhere in the room."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(order):
        affine[world, axis] = sign * SPACING_MM[axis]
    affine[:3, 3] = (12.0, -30.0, 7.0)
    return affine


@pytest.fixture(params=list(ORDERS))
def scans(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with a scan in one of the storage orders."""
    folder = tmp_path / "scans"
    folder.mkdir()
    array = np.random.default_rng(7).integers(-500, 500, (34, 40, 26)).astype(np.float32)
    prosect.write(Volume(array, Grid(array.shape, affine_of(ORDERS[request.param])), "CT"), folder / "ct.nii.gz")
    return folder


def in_view(scan: dict[str, Any], mask: np.ndarray) -> np.ndarray:
    """A mask of the scan (i j k as stored) along the display copy's axes, worked out from what the server says."""
    turned = mask.transpose(scan["view"]["permutation"])
    for axis, flip in enumerate(scan["view"]["flips"]):
        turned = np.flip(turned, axis) if flip else turned
    return turned


def test_clicks_in_three_planes_paint_balls_where_they_were_aimed(tab: Callable[[], Any], server: Server) -> None:
    scan, session = server.begin()
    identity = session["session_id"]
    page = tab()
    page.open(identity)
    page.name("my lesion")
    grid = Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))
    voxels = np.array([[9, 10, 8], [24, 14, 12], [14, 30, 18]])
    for plane, place in enumerate(grid.to_world(voxels)):
        x, y = page.places(place.round(3).tolist())[plane]
        page.tab.mouse.click(x, y)
        page.wait(f"window.prosect.state.revision === {plane + 1}")
        page.idle()
    clicks = server.http.get(f"/api/v1/sessions/{identity}/clicks").json()["clicks"]
    made = np.array([each["position_ras"] for each in clicks])
    # A pixel of the picture is smaller than a voxel, so each lies in the voxel that was aimed at, or in its neighbour.
    assert np.abs(grid.to_voxel(made) - voxels).max() <= 1.0
    expected = np.zeros(grid.shape, dtype=bool)
    for place in made:
        expected |= ball(grid, place, RADIUS_MM)
    shown = np.frombuffer(page.bitmap(), dtype=np.uint8).reshape(scan["view"]["shape"], order="F")
    np.testing.assert_array_equal(shown > 0, in_view(scan, expected))
    _, held = unpack_delta(server.http.get(f"/api/v1/sessions/{identity}/labels").content)
    np.testing.assert_array_equal(shown, held)
    assert page.complaints == []
