"""The shipped model in scans of other regions: what cannot be there is withheld, and --all shows it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import prosect
from prosect.cli.main import main

SCANS = Path(__file__).parents[2].parent / "shared" / "data"


def statistics(place: Path) -> dict[str, dict[str, str]]:
    with (place / "statistics.csv").open() as table:
        return {row["name"]: row for row in csv.DictReader(table)}


def test_a_synthetic_neck_keeps_its_structures_and_says_how_sure(tmp_path: Path, capsys) -> None:
    words = ["segment", "--phantom", "head-neck", "-o", str(tmp_path / "neck"), "-m", "prosect-small"]
    assert main([*words, "--per-class", "-s", "-d", "cpu"]) == 0
    assert "the scan shows the head and neck" in capsys.readouterr().out
    rows = statistics(tmp_path / "neck")
    assert rows["mandible"]["plausible"] == "true"
    assert 0.3 < float(rows["mandible"]["confidence"]) <= 1
    assert rows["body"]["plausible"] == "", "of the body nothing is judged"
    report = json.loads((tmp_path / "neck" / "report.json").read_text())
    assert report["regions"][0] == "head and neck"


def test_an_mr_of_the_thigh_shows_nothing_that_the_model_knows(tmp_path: Path, capsys) -> None:
    scan = SCANS / "sts_thigh" / "STS_003_MR_T1_image.nii.gz"
    if not scan.is_file():
        pytest.skip("needs the real scans beside the project")
    words = ["segment", str(scan), "-m", "prosect-small", "-d", "cpu"]
    assert main([*words, "-o", str(tmp_path / "a.nii.gz"), "-rs", "lung", "larynx"]) == 0
    said = capsys.readouterr()
    assert "the scan shows no region that the model knows" in said.out
    assert "withheld" in said.err.lower()
    assert not prosect.read_labels(tmp_path / "a.nii.gz").array.any()
    assert main([*words, "-o", str(tmp_path / "b.nii.gz"), "-rs", "lung", "larynx", "--all", "-q"]) == 0
    assert prosect.read_labels(tmp_path / "b.nii.gz").array.any()
