"""What `prosect serve` writes has the label values of the user's model, as what `prosect segment` writes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prosect
from prosect.server.shelf import Shelf, Source
from prosect.session import read_record
from worlds.serving import BallModel, Server

API = "/api/v1"


@pytest.fixture
def session(start: Callable[[Shelf], Server]) -> tuple[Server, str]:
    """Return a server with a model whose liver has value 61 in files, and the path of a session with a liver."""
    model: Any = BallModel(label_values={1: 61})
    server = start(Shelf(lambda _name, _weights: model, [Source("balls", "balls")]))
    scan, begun = server.begin()
    path = f"{API}/sessions/{begun['session_id']}"
    far = [n - 1 for n in scan["shape"]]
    for name, voxel in (("liver", [0, 0, 0]), ("my lesion", far)):
        place = np.array(scan["affine_ras"]) @ [*voxel, 1]
        body = {"position": place[:3].tolist(), "space": "ras", "structure": name}
        assert server.http.post(f"{path}/clicks", json=body).status_code == 200
    return server, path


def export(session: tuple[Server, str], kind: str) -> bytes:
    """Return an exported file."""
    server, path = session
    answer = server.http.get(f"{path}/export", params={"format": kind})
    assert answer.status_code == 200
    return answer.content


@pytest.mark.parametrize("kind", ["nii.gz", "nrrd", "seg.nrrd", "mha"])
def test_label_files_have_the_values_of_the_model(session: tuple[Server, str], tmp_path: Path, kind: str) -> None:
    place = tmp_path / f"labels.{kind}"
    place.write_bytes(export(session, kind))
    stored = prosect.read_labels(place)
    assert set(stored.layers or np.unique(stored.array).tolist()) - {0} == {61, 349}
    if kind != "mha":  # which holds no names
        assert stored.names == {61: "liver", 349: "my lesion"}


def test_label_tables_name_the_values_of_the_label_map_beside_them(session: tuple[Server, str], tmp_path: Path) -> None:
    archive = zipfile.ZipFile(io.BytesIO(export(session, "label_tables.zip")))
    assert archive.namelist() == ["labels.nii.gz", "labels.label.txt", "labels.ctbl", "labels_dataset.json"]
    archive.extractall(tmp_path)
    named = prosect.read_labels(tmp_path / "labels.nii.gz").names
    assert named[61] == "liver"
    listed = json.loads((tmp_path / "labels_dataset.json").read_text())["labels"]
    assert listed == {"background": 0, **{name: value for value, name in named.items()}}
    assert "61 " in (tmp_path / "labels.label.txt").read_text()


def test_a_file_saved_on_the_server_has_them_too(session: tuple[Server, str], tmp_path: Path) -> None:
    server, path = session
    server.http.post(f"{path}/save", json={"output": "liver.nii.gz"})
    assert 61 in prosect.read_labels(tmp_path / "results" / "liver.nii.gz").names


def test_a_saved_session_gives_the_same_values_with_the_same_model(session: tuple[Server, str], tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(export(session, "session.json"))
    scan = prosect.read(tmp_path / "scans" / "ct.nii.gz")
    model = BallModel(label_values={1: 61})
    resumed = model.session(scan).replay(read_record(tmp_path / "s.json"))
    assert 61 in prosect.read_labels(prosect.write(resumed.labels, tmp_path / "again.nii.gz")).names
