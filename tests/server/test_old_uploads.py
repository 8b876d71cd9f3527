"""Uploads that nobody works on go after a week; those that somebody needs stay."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import prosect
from prosect.server.leaving import forget_old_uploads
from prosect.server.library import Library
from prosect.server.settings import Settings
from worlds.serving import Server

API = "/api/v1"
DAY_S = 24 * 3600.0


def upload(server: Server, scans: Path) -> Any:
    """Send the scan."""
    content = (scans / "ct.nii.gz").read_bytes()
    sent = server.http.post(f"{API}/uploads", content=content, headers={"X-Filename": "ct.nii.gz"})
    assert sent.status_code == 201
    return sent.json()["scan_id"]


def grow_old(work: Path, days: float) -> None:
    """Make what lies in the folder of uploads so many days old."""
    for path in (work / "uploads").rglob("*"):
        then = path.stat().st_mtime - days * DAY_S
        os.utime(path, (then, then))


@pytest.mark.parametrize(("days", "left"), [(6.9, 1), (7.1, 0)])
def test_a_scan_that_was_sent_and_not_worked_on_goes_after_a_week(
    settings: Settings, start_with: Callable[[Settings], Server], scans: Path, days: float, left: int
) -> None:
    scan = upload(start_with(settings), scans)
    grow_old(settings.work, days)
    later = start_with(settings)
    assert len(list((settings.work / "uploads").iterdir())) == left
    assert later.http.get(f"{API}/scans/{scan}").status_code == (200 if left else 404)


def test_what_somebody_needs_stays(settings: Settings, start_with: Callable[[Settings], Server], scans: Path) -> None:
    first = start_with(settings)
    worked_on = upload(first, scans)
    session = first.http.post(f"{API}/sessions", json={"scan_id": worked_on}).json()["session_id"]
    with (scans / "ct.nii.gz").open("rb") as file:  # an image of MONAI Label's datastore
        assert first.http.put("/datastore/?image=sent", files={"file": ("ct.nii.gz", file)}).status_code == 200
    model = first.service.library.uploads / "weights" / "upload.pt"
    model.parent.mkdir()
    model.write_bytes(b"weights")
    first.service.library.keep_model("mine", model)
    half_done = first.service.library.uploads / "killed"
    half_done.mkdir()
    (half_done / "upload.nii").write_bytes(b"half of a scan")
    grow_old(settings.work, 30)

    later = start_with(settings)
    assert not half_done.exists()
    assert model.exists()
    assert later.http.get(f"{API}/sessions/{session}").status_code == 200
    assert later.http.get("/datastore/image?image=sent").status_code == 200


def test_the_next_upload_clears_away_what_is_old(server: Server, scans: Path) -> None:
    first = upload(server, scans)
    grow_old(server.settings.work, 8)  # from before this server was started
    upload(server, scans)
    assert server.http.get(f"{API}/scans/{first}").status_code == 404
    assert len(list(server.service.library.uploads.iterdir())) == 1


def test_a_clock_that_is_set_forward_deletes_nothing_of_today(settings: Settings, scans: Path, shelf: Any) -> None:
    wall, steady = [1_800_000_000.0], [0.0]
    library = Library(settings, shelf, prosect.read, lambda: wall[0], lambda: steady[0])
    place = library.uploads / "sent"
    place.mkdir()
    shutil.copy(scans / "ct.nii.gz", place / "upload.nii.gz")
    os.utime(place, (wall[0], wall[0]))
    wall[0] += 365 * DAY_S  # the clock is set, and a minute goes by
    steady[0] += 60.0
    forget_old_uploads(library)
    assert place.exists()
    steady[0] += 8 * DAY_S
    forget_old_uploads(library)
    assert not place.exists()
