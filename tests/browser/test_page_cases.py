"""What `prosect cohort outliers OUT --open` serves: the worst case is shown, the others are chosen by what is far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prosect
from prosect import vocabulary
from prosect.cli.commands.cohort_open import settings_of_cases
from prosect.cohort.opening import CaseFiles
from worlds.serving import TOKEN, Server

NAMES = ("1. ct: liver: 0.2 mL; usually 1500 mL", "2. other: spleen: 900 mL; usually 200 mL")


@pytest.fixture
def cases(scans: Path, tmp_path: Path) -> dict[str, CaseFiles]:
    """Return two cases of the small scan: with a block of liver, and with a larger one of spleen."""
    volume = prosect.read(scans / "ct.nii.gz")
    (scans / "other.nii.gz").write_bytes((scans / "ct.nii.gz").read_bytes())
    (tmp_path / "out").mkdir()
    found = {}
    for name, stem, label, size in zip(NAMES, ("ct", "other"), (1, 3), (3, 6), strict=True):
        array = np.zeros(volume.array.shape, np.uint8)
        array[4 : 4 + size, 4 : 4 + size, 4 : 4 + size] = label
        words = vocabulary.load("prosect")
        labels = prosect.LabelMap(array, volume.grid, words, {"model": "fake", "classes": [label]})
        file = prosect.write(labels, tmp_path / "out" / f"{stem}.nii.gz")
        found[name] = CaseFiles(stem, scans / f"{stem}.nii.gz", None, file)
    return found


def test_each_case_is_chosen_in_the_list_and_comes_with_its_labels(
    cases: dict[str, CaseFiles],
    tmp_path: Path,
    start_with: Callable[[Any], Server],
    tab_at: Callable[[Any], Any],
) -> None:
    server = start_with(replace(settings_of_cases(cases, tmp_path / "work", 0), token=TOKEN))
    scan = server.http.post("/api/v1/scans", json={"root": NAMES[0], "path": ""}).json()
    session = server.http.post("/api/v1/sessions", json={"scan_id": scan["scan_id"]}).json()
    page = tab_at(server)
    page.open(session["session_id"])
    assert page.ask("Object.values(window.prosect.state.structures).map((each) => each.name)") == ["liver"]
    assert page.bitmap().count(1) == 27

    page.tab.click("#open")
    page.wait("document.querySelectorAll('#files button').length === 2")
    assert [each.strip() for each in page.tab.locator("#files button").all_inner_texts()] == list(NAMES)
    page.tab.locator("#files button").nth(1).click()
    page.wait("Object.values(window.prosect.state.structures).some((each) => each.name === 'spleen')")
    page.idle()
    assert sum(map(bool, page.bitmap())) == 216
    assert page.complaints == []
