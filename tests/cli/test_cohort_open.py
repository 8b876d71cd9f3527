"""Cases of a cohort are offered by name in the page, and each is opened with its labels when it is chosen."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prosect
from prosect import vocabulary
from prosect.cli.commands import own_page
from prosect.cli.commands.cohort import cases_to_open
from prosect.cli.commands.cohort_open import open_cases, settings_of_cases
from prosect.cli.main import main
from prosect.cohort.opening import CaseFiles
from prosect.cohort.outliers import Outlier
from prosect.errors import UsageError
from prosect.server.library import Library
from prosect.server.service import Service
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf
from worlds.serving import TOKEN, Server
from worlds.serving_fixtures import run_server, scans, settings, shelf

__all__ = ["run_server", "scans", "settings", "shelf"]


@pytest.fixture
def cases(scans: Path, tmp_path: Path) -> dict[str, CaseFiles]:
    """Return two cases of the small scan: one with a block of liver, one whose labels are one file per class."""
    volume = prosect.read(scans / "ct.nii.gz")
    array = np.zeros(volume.array.shape, np.uint8)
    array[4:8, 4:8, 4:8] = 1
    names = vocabulary.load("prosect")
    labels = prosect.LabelMap(array, volume.grid, names, {"model": "fake", "classes": [1]})
    (tmp_path / "out").mkdir()
    file = prosect.write(labels, tmp_path / "out" / "ct.nii.gz")
    other = scans / "other.nii.gz"
    other.write_bytes((scans / "ct.nii.gz").read_bytes())
    return {
        "1. ct: liver": CaseFiles("ct", scans / "ct.nii.gz", None, file),
        "2. other": CaseFiles("other", other, None, None),
    }


def test_a_case_that_is_chosen_comes_with_its_labels(
    cases: dict[str, CaseFiles], shelf: Shelf, tmp_path: Path, run_server: Callable[[Settings, Shelf], Server]
) -> None:
    settings = replace(settings_of_cases(cases, tmp_path / "work", 0), token=TOKEN)
    assert settings.output_root is None, "results are changed by export alone"
    server = run_server(settings, shelf)
    listed = server.http.get("/api/v1/files").json()["roots"]
    assert [root["name"] for root in listed] == list(cases)
    found: dict[str, list[str]] = {}
    for name in cases:
        scan = server.http.post("/api/v1/scans", json={"root": name, "path": ""}).json()
        session = server.http.post("/api/v1/sessions", json={"scan_id": scan["scan_id"]}).json()
        said = server.http.get(f"/api/v1/sessions/{session['session_id']}").json()
        found[name] = [each["name"] for each in said["structures"]]
    assert found == {"1. ct: liver": ["liver"], "2. other": []}


def test_folders_of_several_series_have_labels_by_series_only(tmp_path: Path) -> None:
    cases = {}
    for number in (1, 2):
        cases[f"c{number}"] = CaseFiles(f"c{number}", tmp_path, f"1.{number}", tmp_path / f"{number}.nii.gz")
    cases["lone"] = CaseFiles("lone", tmp_path / "lone", "1.3", tmp_path / "3.nii.gz")
    found = settings_of_cases(cases, tmp_path / "work", 0).labels
    assert sorted(str(series) for path, series in found if path == tmp_path) == ["1.1", "1.2"]
    assert sorted(str(series) for path, series in found if path == tmp_path / "lone") == ["1.3", "None"]


@pytest.mark.parametrize("with_labels", [True, False])
def test_one_scan_is_shown_by_the_same_frame_with_its_labels(
    cases: dict[str, CaseFiles],
    shelf: Shelf,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    with_labels: bool,
) -> None:
    """`prosect view SCAN LABELS`: nothing can be changed, and the folder it worked in is gone."""
    works: list[Path] = []

    def pretend(settings: Settings, shelf: Shelf, listening: socket.socket, browser: bool, prepare: Any) -> None:
        listening.close()
        works.append(settings.work)
        assert settings.read_only
        assert settings.work.is_dir()
        service = Service(Library(settings, shelf, prosect.read, lambda: 0.0, lambda: 0.0), lambda: 0.0)
        identity = prepare(service).removeprefix("/?session=")
        with service.library.session(identity).hold() as held:
            assert list(held.structures) == (["liver"] if with_labels else [])

    monkeypatch.setattr(own_page, "serve", pretend)
    monkeypatch.setattr(own_page, "shelf_of", lambda _args: shelf)
    files = cases["1. ct: liver"]
    words = ["view", str(files.scan), "--no-browser", "--port", "0"]
    if with_labels:
        words.insert(2, str(files.labels))
    assert main(words) == 0
    assert not works[0].exists()
    assert capsys.readouterr().out.startswith("prosect: open http://127.0.0.1:")


def test_the_worst_case_is_open_when_the_page_comes(
    cases: dict[str, CaseFiles], shelf: Shelf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pretend(settings: Settings, shelf: Shelf, listening: socket.socket, browser: bool, prepare: Any) -> None:
        listening.close()
        assert not browser
        service = Service(Library(settings, shelf, prosect.read, lambda: 0.0, lambda: 0.0), lambda: 0.0)
        path = prepare(service)
        entries = service.library.sessions()
        assert [f"/?session={each.identity}" for each in entries] == [path]
        scan = service.library.scan_entry(entries[0].scan)
        assert scan is not None
        assert scan.name == "ct.nii.gz"

    monkeypatch.setattr(own_page, "serve", pretend)
    monkeypatch.setattr(own_page, "shelf_of", lambda _args: shelf)
    assert open_cases(argparse.Namespace(port=0, no_browser=True), cases) == 0
    assert capsys.readouterr().out.startswith("prosect: open http://127.0.0.1:")


def test_cases_are_listed_by_what_is_far_in_them(cases: dict[str, CaseFiles], tmp_path: Path) -> None:
    files = {each.case: each for each in cases.values()}
    far = [Outlier("other", "liver", 90.0, 1500.0, -9.0), Outlier("ct", "spleen", 0.0, 200.0, -4.0)]
    far.append(Outlier("other", "spleen", 9.0, 200.0, -4.0))
    found = cases_to_open(far, files, tmp_path)
    assert list(found) == [
        "1. other: liver: 90.0 mL; usually 1500 mL (score -9.0) (and 1 more)",
        "2. ct: spleen: 0 mL; usually 200 mL (score -4.0)",
    ]
    with pytest.raises(UsageError, match="--scans FOLDER"):
        cases_to_open(far, {}, tmp_path)
