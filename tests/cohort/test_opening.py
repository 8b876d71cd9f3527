"""A case is opened by the scan that it was made from, with its labels."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prosect.cli.main import main
from prosect.cohort.opening import CaseFiles, command_of, files_of_cases, folder_of_scans, require_scan
from prosect.cohort.places import FolderPlace
from prosect.cohort.status import done_of
from prosect.errors import FormatError


def event(scan: str, *files: str, series: str | None = None) -> dict[str, Any]:
    return {"scan": scan, "files": {name: {} for name in files}, "input": {"series": series}}


def test_the_file_named_like_its_case_has_the_labels(tmp_path: Path) -> None:
    done = {
        "p1_ct": event("p1/ct.nii.gz", "p1_ct_statistics.csv", "p1_ct.nii.gz"),
        "p2": event("p2", "p2.seg.nrrd", series="1.2.3"),
        "p3": event("p3.nii", "p3/liver.nii.gz"),
        "old": {"files": {"old.nii.gz": {}}, "input": {}},
    }
    found = files_of_cases(tmp_path / "out", tmp_path / "in", done)
    assert found == {
        "p1_ct": CaseFiles("p1_ct", tmp_path / "in/p1/ct.nii.gz", None, tmp_path / "out/p1_ct.nii.gz"),
        "p2": CaseFiles("p2", tmp_path / "in/p2", "1.2.3", tmp_path / "out/p2.seg.nrrd"),
        "p3": CaseFiles("p3", tmp_path / "in/p3.nii", None, None),
    }
    assert files_of_cases(tmp_path, None, done) == {}
    assert files_of_cases(tmp_path, Path("s3://bucket/in"), done) == {}, "they are not on this machine"


def test_the_last_run_says_where_the_scans_lay() -> None:
    early, late = ({"event": "start", "time": f"2026-01-0{n}", "scans": f"/data/{n}"} for n in (1, 2))
    older = {"event": "start", "time": "2026-01-03"}
    assert folder_of_scans([[late], [early], [older]]) == Path("/data/2")
    assert folder_of_scans([[older]]) is None


def test_the_command_survives_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = CaseFiles("x", Path("-a b's é.nii"), "1.2", Path("-a b's é.nii.gz"))
    scan, labels = str(tmp_path / "-a b's é.nii"), str(tmp_path / "-a b's é.nii.gz")
    assert shlex.split(command_of(files)) == ["prosect", "view", scan, labels, "--series", "1.2"]


def test_a_scan_that_is_gone_is_said_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="--scans FOLDER") as refused:
        require_scan(CaseFiles("x", tmp_path / "x.nii", None, None))
    assert refused.value.code == "INPUT_NOT_FOUND"


def test_a_run_writes_down_where_its_scans_lie(
    run: Callable[..., tuple[int, str, str]], make_scan: Callable[..., Path], tmp_path: Path
) -> None:
    scan = make_scan(tmp_path / "in" / "p 1" / "ct.nii.gz")
    assert run(tmp_path / "in", "-o", tmp_path / "out", "-q")[0] == 0
    place = FolderPlace(tmp_path / "out")
    scans = folder_of_scans(place.ledgers().values())
    files = files_of_cases(tmp_path / "out", scans, done_of(place))["p 1_ct"]
    assert files.scan.samefile(scan)
    assert files.labels is not None
    assert files.labels.is_file()
    words = ["cohort", "outliers", str(tmp_path / "out"), "--html", "--open", "--no-browser"]
    assert main(words) == 0, "nothing is far from the rest, so nothing is served"
    assert "No volume is far" in (tmp_path / "out" / "outliers.html").read_text()
