"""Labels of a session as DICOM: offered, made and answered where the scan is a series, refused with a way out else."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

import prosect
from worlds.label_objects import labelled_series
from worlds.serving import RADIUS_MM, Server, ball

API = "/api/v1"
KINDS = {"dicom_seg", "dicom_rtstruct", "dicom_sr"}


@pytest.fixture
def series(scans: Path) -> Path:
    """Return the folder of a DICOM series beside the scan."""
    labelled_series(scans / "series", shape=(24, 20, 12), StudyDate="20200304")
    for path in list((scans / "series").iterdir()):
        path.rename(path.with_suffix(".dcm"))
    return scans / "series"


def begin(server: Server, path: str) -> tuple[dict[str, Any], str]:
    """Open a scan and click once in its middle; return the scan as told, and the path of exports."""
    scan = server.http.post(f"{API}/scans", json={"root": "scans", "path": path}).json()
    session = server.http.post(f"{API}/sessions", json={"scan_id": scan["scan_id"]}).json()["session_id"]
    middle = np.array(scan["affine_ras"]) @ [*(n // 2 for n in scan["shape"]), 1]
    body = {"position": middle[:3].tolist(), "space": "ras", "structure": "liver"}
    assert server.http.post(f"{API}/sessions/{session}/clicks", json=body).status_code == 200
    return scan, f"{API}/sessions/{session}/export"


def test_dicom_is_offered_where_the_scan_is_a_series(server: Server, series: Path) -> None:
    assert set(begin(server, "series")[0]["formats"]) >= KINDS
    assert not KINDS & set(begin(server, "ct.nii.gz")[0]["formats"])
    assert not KINDS & set(server.http.get(f"{API}/capabilities").json()["formats"])


@pytest.mark.parametrize("kind", ["dicom_seg", "dicom_rtstruct"])
def test_labels_are_exported_as_dicom_of_the_same_voxels(
    server: Server, series: Path, tmp_path: Path, kind: str
) -> None:
    path = begin(server, "series")[1]
    answer = server.http.get(path, params={"format": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom")
    assert f"series_labels.{kind.removeprefix('dicom_')}.dcm" in answer.headers["content-disposition"]
    place = tmp_path / "out.dcm"
    place.write_bytes(answer.content)
    volume = prosect.read(series)
    stored = prosect.read_labels(place, like=volume)
    middle = volume.grid.to_world([[n // 2 for n in volume.grid.shape]])[0]
    np.testing.assert_array_equal(stored.array > 0, ball(volume.grid, middle, RADIUS_MM))
    assert list(stored.names.values()) == ["liver"]
    assert pydicom.dcmread(place).StudyInstanceUID == pydicom.dcmread(next(series.iterdir())).StudyInstanceUID


def test_a_report_comes_with_the_segmentation_that_it_refers_to(server: Server, series: Path) -> None:
    answer = server.http.get(begin(server, "series")[1], params={"format": "dicom_sr"})
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    seg, report = (pydicom.dcmread(io.BytesIO(archive.read(f"labels.{kind}.dcm"))) for kind in ("seg", "sr"))
    assert seg.SOPInstanceUID in str(report)
    assert report.Modality == "SR"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_scan_that_is_no_series_has_no_dicom_results(server: Server, kind: str) -> None:
    answer = server.http.get(begin(server, "ct.nii.gz")[1], params={"format": kind})
    assert (answer.status_code, answer.json()["code"]) == (422, "DICOM_SOURCE_NEEDED")
    assert "NIfTI" in answer.text, "the way out"


def test_dicom_is_saved_below_the_output_root_too(server: Server, series: Path, tmp_path: Path) -> None:
    path = begin(server, "series")[1].replace("/export", "/save")
    answer = server.http.post(path, json={"output": "p1/liver.seg.dcm", "format": "dicom_seg"})
    assert answer.json() == {"files": ["p1/liver.seg.dcm"]}
    assert pydicom.dcmread(tmp_path / "results/p1/liver.seg.dcm").Modality == "SEG"


def test_monai_label_clients_get_a_segmentation_of_a_series(server: Server, series: Path, tmp_path: Path) -> None:
    params = {"params": (None, '{"label_prompt": [1]}')}
    uid = pydicom.dcmread(next(series.iterdir())).SeriesInstanceUID
    answer = server.http.post(f"/infer/prosect?image={uid}&output=dicom_seg", files=params)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom"), answer.text
    place = tmp_path / "answer.dcm"
    place.write_bytes(answer.content)
    assert [item.SegmentLabel for item in pydicom.dcmread(place).SegmentSequence] == ["liver"]
    volume = prosect.read(series)
    middle = volume.grid.to_world([np.asarray(volume.grid.shape) / 2])[0]
    found = prosect.read_labels(place, like=volume).array > 0
    np.testing.assert_array_equal(found, ball(volume.grid, middle, 10.0))
    refused = server.http.post("/infer/prosect?image=ct&output=dicom_seg", files=params)
    assert (refused.status_code, "NIfTI" in refused.text) == (422, True), refused.text
