"""The first command of the README, and what the shipped model says of a phantom and of real scans."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

import prosect
from prosect.cli.main import main


def test_a_phantom_is_segmented_and_drawn(tmp_path: Path) -> None:
    out = tmp_path / "labels.nii.gz"
    assert main(["segment", "--phantom", "head-neck", "-o", str(out), "-p", "-q"]) == 0
    labels = np.asarray(nibabel.load(out).dataobj)
    assert len(np.unique(labels)) > 3
    assert (tmp_path / "labels_preview.png").stat().st_size > 20_000


def test_what_the_shipped_model_does_not_know_is_refused_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "labels.nii.gz"
    status = main(["segment", "--phantom", "torso", "-o", str(out), "-rs", "hepatic vessel"])
    assert status == 3
    assert "-w" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.filterwarnings("ignore::prosect.ProsectWarning")
def test_validation_scans_are_labelled_where_clinicians_drew(real_scans: Path) -> None:
    model = prosect.load(device="cpu")
    found = []
    for case in ("validation_pt_203", "validation_pt_216", "validation_pt_230"):
        labels = model.segment(prosect.read(real_scans / "openkbp" / f"{case}_ct.nii.gz"))
        truth = prosect.read_labels(real_scans / "openkbp" / f"{case}_oars.nii.gz").array
        for value, name in ((1, "Brain-Stem"), (2, "spinal cord"), (3, "right parotid"), (4, "left parotid")):
            drawn = truth == value
            if drawn.any():
                mask = labels.mask(name)
                found.append(2 * (mask & drawn).sum() / (mask.sum() + drawn.sum()))
    assert len(found) >= 8
    assert np.mean(found) > 0.35
