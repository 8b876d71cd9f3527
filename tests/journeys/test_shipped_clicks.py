"""What clicks do with the shipped model, on the command line and on a real scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect.cli.main import main
from prosect.phantom import head_neck
from prosect.prompts import Click
from prosect.simulated_user import clicks_until

PAROTID = 205


def test_a_phantom_is_drafted_and_corrected_by_clicks(tmp_path: Path) -> None:
    volume, truth = head_neck(np.random.default_rng(0), (3.0, 3.0, 3.0))
    scan, out = prosect.write(volume, tmp_path / "ct.nii.gz"), tmp_path / "labels.nii.gz"
    x, y, z = volume.grid.to_world(np.argwhere(truth.array == PAROTID).mean(axis=0))
    name = truth.name_of(PAROTID)
    words = ["--structure", name, "--at", f"{x},{y},{z}", "--journal", str(tmp_path / "journal"), "-q"]
    assert main(["click", str(scan), "-o", str(out), *words]) == 0
    found = prosect.read_labels(out).array
    i, j, k = (int(n) for n in np.rint(volume.grid.to_voxel(np.array([x, y, z]))))
    assert found[i, j, k]
    assert main(["click", str(scan), "-o", str(tmp_path / "object.nii.gz"), *words[2:4], "--from", "none", "-q"]) == 0


def dice_by_clicks(session: prosect.Session, truth: np.ndarray, name: str) -> list[float]:
    """Return the Dice after each of five simulated clicks."""

    def answer(click: Click) -> np.ndarray:
        session.click(click.position_ras, click.positive, name)
        return session.mask(name)

    steps = clicks_until(truth, session.volume.grid, answer, np.random.default_rng(0), 5)
    return [2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for _, mask in steps]


@pytest.mark.filterwarnings("ignore::prosect.ProsectWarning")
def test_five_clicks_are_better_than_one_on_real_scans(real_scans: Path) -> None:
    model = prosect.load(device="cpu")
    scores = []
    for case in ("validation_pt_202", "validation_pt_204"):
        session = model.session(prosect.read(real_scans / "openkbp" / f"{case}_ct.nii.gz"))
        organs = prosect.read_labels(real_scans / "openkbp" / f"{case}_oars.nii.gz").array
        for value, name in ((3, "right parotid"), (4, "left parotid"), (2, "spinal cord")):
            truth = organs == value
            if truth.any():
                by_clicks = dice_by_clicks(session, truth, name)
                scores.append((by_clicks[0], by_clicks[-1]))
    first, last = np.mean(scores, axis=0)
    assert len(scores) >= 4
    assert last > first > 0.45
