"""The menu of exports: DICOM of a DICOM series, read back from the file that the browser keeps; else not offered."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

import prosect
from worlds.label_objects import labelled_series
from worlds.serving import RADIUS_MM, Server, ball

DICOM = {"dicom_seg", "dicom_rtstruct", "dicom_sr"}


def begin(server: Server, path: str) -> str:
    """Open a scan, click once in its middle, and return the session."""
    scan, session = server.begin(path)
    middle = np.array(scan["affine_ras"]) @ [*(n // 2 for n in scan["shape"]), 1]
    body = {"position": middle[:3].tolist(), "space": "ras", "structure": "liver"}
    clicks = f"/api/v1/sessions/{session['session_id']}/clicks"
    assert server.http.post(clicks, json=body).status_code == 200
    return str(session["session_id"])


def offered(page: Any) -> set[str]:
    """Return the formats in the menu."""
    return set(page.ask("Array.from(document.getElementById('format').options).map((each) => each.value)"))


def export(page: Any, kind: str, folder: Path) -> Path:
    """Choose a format, press the button, and return the file that the browser keeps."""
    page.tab.select_option("#format", kind)
    with page.tab.expect_download() as kept:
        page.tab.click("#export button[type=submit]")
    path = folder / str(kept.value.suggested_filename)
    kept.value.save_as(path)
    return path


def test_labels_of_a_series_leave_the_page_as_dicom(
    tab: Callable[[], Any], server: Server, scans: Path, tmp_path: Path
) -> None:
    labelled_series(scans / "series", shape=(24, 20, 12), StudyDate="20200304")
    page = tab()
    page.open(begin(server, "series"))
    assert offered(page) >= DICOM
    volume = prosect.read(scans / "series")
    middle = volume.grid.to_world([[n // 2 for n in volume.grid.shape]])[0]
    wanted = ball(volume.grid, middle, RADIUS_MM)
    for kind in ("seg", "rtstruct"):
        path = export(page, f"dicom_{kind}", tmp_path)
        assert path.name == f"series_labels.{kind}.dcm"
        assert np.array_equal(prosect.read_labels(path, like=volume).array > 0, wanted)
    archive = export(page, "dicom_sr", tmp_path)
    with zipfile.ZipFile(archive) as held:
        held.extractall(tmp_path / "sr")
    report = pydicom.dcmread(tmp_path / "sr" / "labels.sr.dcm")
    assert (report.Modality, report.StudyInstanceUID) == ("SR", "1.2.3")
    assert page.complaints == []


def test_of_a_nifti_scan_dicom_is_not_offered_and_refused_in_words_where_it_is_asked_for(
    tab: Callable[[], Any], server: Server
) -> None:
    page = tab()
    page.open(begin(server, "ct.nii.gz"))
    assert not offered(page) & DICOM
    # As a bookmark or another program would ask.
    page.ask("document.getElementById('format').add(new Option('dicom_seg', 'dicom_seg'))")
    page.tab.select_option("#format", "dicom_seg")
    page.tab.click("#export button[type=submit]")
    page.wait("document.getElementById('toasts').innerText.includes('DICOM_SOURCE_NEEDED')")
    assert "NIfTI" in page.tab.inner_text("#toasts"), "the way out"
