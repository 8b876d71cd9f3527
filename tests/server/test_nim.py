"""The calls of clients of NVIDIA's VISTA-3D NIM, as its documentation has them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import prosect
from worlds.serving import RADIUS_MM, Server, ball

INFERENCE = "/v1/vista3d/inference"


def labels_of(content: bytes, folder: Path) -> Any:
    """The labels in an answer, which is a zip with one file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        archive.extract(name, folder)
    return prosect.read_labels(folder / name), name


def infer(server: Server, folder: Path, **said: Any) -> Any:
    """The labels that come of a request, and the name of their file."""
    response = server.http.post(INFERENCE, json={"image": "scans/ct.nii.gz", **said})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/zip"
    return labels_of(response.content, folder)


def clicked(scans: Path, *voxels: Any) -> np.ndarray:
    """The balls that the model answers."""
    grid = prosect.read(scans / "ct.nii.gz").grid
    mask = np.zeros(grid.shape, dtype=bool)
    for voxel in voxels:
        mask |= ball(grid, grid.to_world(np.asarray(voxel, dtype=float)), RADIUS_MM)
    return mask


def draft(scans: Path) -> np.ndarray:
    """What the model finds by itself."""
    grid = prosect.read(scans / "ct.nii.gz").grid
    return ball(grid, grid.to_world(np.asarray(grid.shape) / 2), 10.0)


def test_a_client_waits_until_the_model_is_ready(server: Server) -> None:
    assert server.http.get("/v1/health/live").json() == {"status": "live"}
    assert server.http.get("/v1/health/ready").json() == {"status": "ready"}
    info = server.http.get("/v1/vista3d/info").json()
    assert info["labels"]["1"] == "liver"
    assert server.http.get("/v1/license").json()["content"] == "none"


def test_no_prompts_ask_for_everything_and_the_file_lies_as_the_scan_does(
    server: Server, scans: Path, tmp_path: Path
) -> None:
    for prompts in ({}, None):
        labels, name = infer(server, tmp_path, prompts=prompts)
        assert name == "ct_seg.nii.gz"
        np.testing.assert_array_equal(labels.array, draft(scans))
    assert labels.array.dtype == np.uint8
    assert labels.grid == prosect.read(scans / "ct.nii.gz").grid


def test_classes_by_name_or_index(server: Server, scans: Path, tmp_path: Path) -> None:
    for classes in (["liver"], [1], ["liver", "spleen"]):
        labels, _ = infer(server, tmp_path, prompts={"classes": classes})
        np.testing.assert_array_equal(labels.array, draft(scans))


def test_points_correct_what_the_model_finds_and_stand_alone_for_other_names(
    server: Server, scans: Path, tmp_path: Path
) -> None:
    labels, _ = infer(server, tmp_path, prompts={"classes": ["liver"], "points": {"1": [[5, 5, 5]]}})
    np.testing.assert_array_equal(labels.array == 1, draft(scans) | clicked(scans, (5, 5, 5)))
    labels, _ = infer(server, tmp_path, prompts={"points": {"my lesion": [[5, 5, 5], [8, 5, 5]]}})
    np.testing.assert_array_equal(labels.array > 0, clicked(scans, (5, 5, 5), (8, 5, 5)))


def test_the_format_of_the_answer_may_be_asked_for(server: Server, scans: Path, tmp_path: Path) -> None:
    labels, name = infer(server, tmp_path, output={"extension": ".nrrd"})
    assert name == "ct_seg.nrrd"
    np.testing.assert_array_equal(labels.array, draft(scans))
    assert (
        server.http.post(INFERENCE, json={"image": "scans/ct.nii.gz", "output": {"extension": ".exe"}}).status_code
        == 422
    )


def test_a_scan_is_named_by_its_path_or_by_what_was_sent(server: Server, scans: Path, tmp_path: Path) -> None:
    content = (scans / "ct.nii.gz").read_bytes()
    answer = server.http.post("/api/v1/uploads", content=content, headers={"X-Filename": "ct.nii.gz"})
    sent = answer.json()["scan_id"]
    for image in (str(scans / "ct.nii.gz"), f"file://{scans}/ct.nii.gz", f"upload:{sent}"):
        labels, _ = infer(server, tmp_path, image=image)
        np.testing.assert_array_equal(labels.array, draft(scans))


def test_a_copy_is_left_below_the_output_root_and_nowhere_else(server: Server, tmp_path: Path) -> None:
    wanted = tmp_path / "results" / "nim"
    infer(server, tmp_path, local_working_dir=str(wanted))
    assert (wanted / "ct_seg.nii.gz").is_file()
    for folder in (str(tmp_path / "elsewhere"), "/", str(tmp_path / "results" / ".." / "x"), 7):
        response = server.http.post(INFERENCE, json={"image": "scans/ct.nii.gz", "local_working_dir": folder})
        assert response.status_code == 403, folder
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_asked_is_refused(server: Server, scans: Path) -> None:
    image = {"image": "scans/ct.nii.gz"}
    calls: list[tuple[Any, int]] = [
        ({}, 400),
        ({"image": 7}, 400),
        ({"image": "nowhere/ct.nii.gz"}, 404),
        ({"image": "scans/nothing.nii.gz"}, 404),
        ({"image": "scans/../ct.nii.gz"}, 403),
        ({"image": "/etc/passwd"}, 403),
        ({"image": f"{scans}/../index.json"}, 403),
        ({"image": "http://169.254.169.254/latest"}, 403),
        ({"image": "https://example.org/ct.nii.gz"}, 403),
        ({"image": "gopher://x"}, 403),
        ({"image": "file://other/ct.nii.gz"}, 403),
        ({"image": "upload:nothing"}, 404),
        ({**image, "prompts": {"labels": ["liver"]}}, 422),
        ({**image, "prompts": ["liver"]}, 422),
        ({**image, "prompts": {"classes": ["nothing of this"]}}, 422),
        ({**image, "prompts": {"classes": "liver"}}, 422),
        ({**image, "prompts": {"points": {"liver": [[1, 2]]}}}, 422),
        ({**image, "prompts": {"points": {"liver": [[99, 1, 1]]}}}, 422),
        ({**image, "prompts": {"points": {"kidney": [[1, 1, 1]]}}}, 422),
    ]
    for said, status in calls:
        response = server.http.post(INFERENCE, json=said)
        assert response.status_code == status, (said, response.text)
        assert response.json()["detail"], said
        assert str(scans) not in response.text
