"""The first command of the README, and what the shipped model says of a phantom and of real scans."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

import prosect
from prosect import phantom
from prosect.cli.main import main


def test_a_phantom_is_segmented_and_drawn(tmp_path: Path) -> None:
    out = tmp_path / "labels.nii.gz"
    assert main(["segment", "--phantom", "head-neck", "-o", str(out), "-p", "-q"]) == 0
    labels = np.asarray(nibabel.load(out).dataobj)
    assert len(np.unique(labels)) > 3
    assert (tmp_path / "labels_preview.png").stat().st_size > 20_000


def test_the_shipped_model_finds_in_a_phantom_what_the_model_card_says() -> None:
    volume, truth = phantom.head_neck(np.random.default_rng(1), (3.0, 3.0, 3.0))
    labels = prosect.load("prosect-small", device="cpu").segment(volume)
    dice = {}
    for name in ("lung", "esophagus", "left parotid", "right parotid"):
        found, drawn = labels.mask(name), truth.mask(name)
        dice[name] = 2 * (found & drawn).sum() / (found.sum() + drawn.sum())
    # Measured: 0.97, 0.78, 0.61 and 0.48; between people they vary by 0.07.
    assert dice["lung"] > 0.94
    assert dice["esophagus"] > 0.65
    assert min(dice["left parotid"], dice["right parotid"]) > 0.38


@pytest.mark.filterwarnings("ignore::prosect.ProsectWarning")
def test_the_shipped_models_together_find_no_abdomen_in_a_neck() -> None:
    volume, _ = phantom.head_neck(np.random.default_rng(0))
    labels = prosect.load(device="cpu").segment(volume)
    found = {labels.name_of(index) for index in labels.present}
    assert not found & {"liver", "spleen", "right kidney", "left kidney", "stomach", "pancreas", "aorta"}
    assert {"esophagus", "left parotid", "right parotid", "lung"} <= found


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
    model = prosect.load("prosect-small", device="cpu")
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
    # 0.49 was measured: the first of these is one of the two scans on which the model fails (the mean of all is 0.63).
    assert np.mean(found) > 0.45


@pytest.mark.filterwarnings("ignore::prosect.ProsectWarning")
def test_an_abdomen_comes_from_the_model_of_the_abdomen_and_has_no_neck(real_scans: Path) -> None:
    folder = real_scans / "btcv_sabs"
    labels = prosect.load(device="cpu").segment(prosect.read(folder / "btcv_18_ct.nii.gz"))
    truth = prosect.read_labels(folder / "btcv_18_seg.nii.gz").array
    dice = {}
    for value, name in ((1, "spleen"), (2, "right kidney"), (6, "liver"), (8, "aorta")):
        mask, drawn = labels.mask(name), truth == value
        dice[name] = 2 * (mask & drawn).sum() / (mask.sum() + drawn.sum())
    # The model card's means are 0.90, 0.84, 0.92 and 0.84; this scan taught nothing.
    assert dice["liver"] > 0.88
    assert dice["spleen"] > 0.8
    assert min(dice["right kidney"], dice["aorta"]) > 0.75
    assert not labels.mask("larynx").any()
    assert not labels.mask("mandible").any()
