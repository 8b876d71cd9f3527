"""The campaign on whole collections tells what is read right from what is read otherwise, refused or an accident."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import prosect
from prosect.geometry import Grid
from prosect.volume import Volume
from worlds.dicom import save_series
from worlds.files import letter_f, oblique, save_nifti

SCAN = letter_f()
CAMPAIGNS = Path(__file__).resolve().parents[2] / "campaigns"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a collection of every kind."""
    top = tmp_path / "top"
    (top / "files").mkdir(parents=True)
    save_nifti(top / "files" / "a.nii.gz", SCAN, oblique())
    nib.save(nib.Nifti1Pair(SCAN, oblique()), top / "files" / "b.img")
    nib.save(nib.MGHImage(SCAN.astype(np.float32), oblique()), top / "files" / "c.mgz")
    prosect.write(Volume(SCAN.astype(np.float32), Grid(SCAN.shape, oblique())), top / "files" / "d.nrrd")
    save_nifti(top / "files" / "e.nii", SCAN, oblique(), sform_code=0, qform_code=0)
    (top / "files" / "notes.txt").write_text("hello")
    save_series(top / "series", SCAN)
    return top


def outcomes(folder: Path) -> dict[str, tuple[str, str]]:
    """Return outcome and detail of each input of a collection."""
    import reading_collections

    return {case.name: (case.outcome, case.detail) for case in reading_collections.campaign(folder)}


def test_what_others_read_alike_is_equal_and_refusals_have_codes(folder: Path) -> None:
    found = outcomes(folder)
    assert found.pop("files/e.nii") == ("refused", "GEOMETRY_INVALID")
    assert set(found) == {"files/a.nii.gz", "files/b.hdr", "files/c.mgz", "files/d.nrrd", "series"}
    assert {outcome for outcome, _ in found.values()} == {"equal"}


def test_a_wrong_place_and_an_accident_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import reading_collections

    def careless(path: Path, **options: Any) -> Volume:
        if path.name == "d.nrrd":
            raise ZeroDivisionError
        volume = prosect.read(path, **options)
        shifted = volume.grid.affine.copy()
        shifted[0, 3] += 1
        return Volume(volume.array, Grid(volume.grid.shape, shifted))

    monkeypatch.setattr(reading_collections, "read", careless)
    found = outcomes(folder)
    assert found["files/a.nii.gz"][0] == found["files/c.mgz"][0] == "other"
    assert found["files/d.nrrd"][0] == "crashed"


def test_the_command_has_the_name_of_a_module_that_other_campaigns_need(folder: Path) -> None:
    words = [sys.executable, str(CAMPAIGNS / "collections.py"), str(folder), "--list"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "| nifti | 1 | 0 | 0 | 1 | 0 |" in done.stdout
    assert "| `GEOMETRY_INVALID` | 1 | 1 |" in done.stdout
    other = [sys.executable, str(CAMPAIGNS / "bitflip.py"), "--help"]
    assert subprocess.run(other, capture_output=True, check=False, timeout=300).returncode == 0
