"""`check-data`, `pseudo-label` and `evaluate` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

import prosect
from prosect.data.datalist import read_datalist
from prosect.geometry import Grid
from prosect.volume import Volume
from worlds.weights import write_vista3d

SHAPE = (14, 12, 10)
GRID = Grid(SHAPE, np.diag([3.0, 3.0, 3.0, 1.0]))
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with three scans and their labels: 1 in two of them, 1 and 2 in the third."""
    for n in range(3):
        labels = np.zeros(SHAPE, dtype=np.uint8)
        labels[3:8, 3:8, 2:7] = 1
        labels[10:13, 3:6, 2:5] = 2 if n == 2 else 0
        for place in ("images", "labels"):
            (tmp_path / "data" / place).mkdir(parents=True, exist_ok=True)
        scan = Volume(np.where(labels == 1, 50.0, -1000.0).astype(np.float32), GRID)
        prosect.write(scan, tmp_path / "data" / "images" / f"p{n}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, GRID.affine), tmp_path / "data" / "labels" / f"p{n}.nii.gz")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of random weights of a small network that takes clicks."""
    return write_vista3d(tmp_path_factory.mktemp("weights") / "w.safetensors")


MAP = ("--map", "1=liver", "2=spleen")


def test_a_sound_list_is_told_and_written_with_the_papers_split(run: Run, folder: Path, tmp_path: Path) -> None:
    status, out, err = run("check-data", folder, *MAP, "--split", "-o", tmp_path / "list.json")
    assert (status, err) == (0, "")
    assert "liver" in out
    assert "3 scans" in out
    written = read_datalist(tmp_path / "list.json")
    assert [entry.split for entry in written].count("testing") == 1
    assert written.known(written.entries[0]) == (1, 3)
    assert run("check-data", tmp_path / "list.json")[0] == 0
    status, _, err = run("check-data", folder, *MAP, "-o", tmp_path / "list.json")
    assert status == 3
    assert "OUTPUT_EXISTS" in err


def test_what_is_wrong_is_told_by_file_and_nothing_is_written(run: Run, folder: Path, tmp_path: Path) -> None:
    status, out, _ = run("check-data", folder, "--map", "1=liver", "-o", tmp_path / "list.json")
    assert status == 3
    assert "p2 label: [LABELS_UNMAPPED]" in out
    assert "1 of them cannot be used" in out
    assert not (tmp_path / "list.json").exists()
    status, out, _ = run("check-data", folder, "--map", "1=liver", "--json")
    plain = json.loads(out)["entries"]
    assert status == 3
    assert [len(entry["problems"]) for entry in plain] == [0, 0, 1]
    assert plain[2]["problems"][0]["code"] == "LABELS_UNMAPPED"


def test_labels_without_a_meaning_are_refused(run: Run, folder: Path) -> None:
    status, _, err = run("check-data", folder)
    assert status == 3
    assert "MAPPING_MISSING" in err


def test_pseudo_labels_are_made_once_and_listed(run: Run, folder: Path, tmp_path: Path, model) -> None:
    out = tmp_path / "pseudo"
    status, said, _ = run("pseudo-label", folder, *MAP, "-o", out, "-rs", "liver")
    assert status == 0
    assert "mean Dice of" in said
    found = read_datalist(out / "list.json")
    assert [entry.reliability for entry in found] == [1.0] * 3
    assert found.pseudo_classes == (1,)
    assert prosect.read_labels(out / "p0.nii.gz").array.sum() == 125
    (out / "p1.nii.gz").unlink()
    _, said, _ = run("pseudo-label", folder, *MAP, "-o", out, "-rs", "liver")
    assert [f"p{n}:" in said for n in range(3)] == [False, True, False], "only what is missing is made again"
    status, _, err = run("pseudo-label", folder, *MAP, "-o", out, "-rs", "spleen")
    assert status == 3
    assert "RUN_CHANGED" in err


def test_pseudo_labels_come_from_totalsegmentator_for_a_bare_folder(run: Run, folder: Path, tmp_path: Path) -> None:
    status, out, _ = run(
        "pseudo-label", folder / "images", "-o", tmp_path / "p", "--from-totalsegmentator", folder / "labels"
    )
    assert status == 0
    assert "p0: 1 structures" in out
    found = read_datalist(tmp_path / "p" / "list.json")
    assert prosect.read_labels(tmp_path / "p" / "p2.nii.gz").array.max() == 5, "2 is the right kidney there"
    assert [entry.label for entry in found] == [None] * 3


def test_a_scan_without_a_result_leaves_the_others(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "labels" / "p1.nii.gz").unlink()
    words = ("pseudo-label", folder / "images", "-o", tmp_path / "p", "--from-totalsegmentator", folder / "labels")
    status, out, _ = run(*words)
    assert status == 4
    assert "p1: refused [PSEUDO_MISSING]" in out


def test_a_model_is_judged_and_the_run_goes_on(run: Run, folder: Path, tmp_path: Path, weights: Path) -> None:
    words = ("evaluate", "auto", folder, *MAP, "-o", tmp_path / "auto", "-w", weights, "-d", "cpu")
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    assert "mean of structures" in out
    plain = json.loads((tmp_path / "auto" / "results.json").read_text())
    assert plain["settings"]["scans"] == 3
    assert "HD95 mm" in (tmp_path / "auto" / "report.md").read_text()
    again = run(*words)
    assert "mean Dice" not in again[1], "nothing is judged twice"
    assert json.loads((tmp_path / "auto" / "results.json").read_text()) == plain
    status, _, err = run(*words, "--limit", "2")
    assert status == 3
    assert "RUN_CHANGED" in err
    assert run(*words, "--limit", "2", "--overwrite")[0] == 0


@pytest.mark.parametrize("flags", [(), ("--as-published",)])
@pytest.mark.parametrize("protocol", ["point", "auto+point", "clicks"])
def test_clicks_are_judged(run: Run, folder: Path, tmp_path: Path, weights: Path, protocol: str, flags: tuple) -> None:
    words = ("evaluate", protocol, folder, *MAP, "-o", tmp_path / "o", "-w", weights, "-d", "cpu", "--limit", "1")
    status, _, err = run(*words, "--clicks", "2", *flags)
    assert (status, err) == (0, "")
    told = (tmp_path / "o" / "report.md").read_text()
    assert ("As published" in told) == bool(flags)
    assert "liver" in told


def test_speed_needs_no_labels(run: Run, folder: Path, tmp_path: Path, weights: Path) -> None:
    words = ("evaluate", "speed", folder, "-o", tmp_path / "s", "-w", weights, "-d", "cpu", "-rs", "liver", *MAP)
    assert run(*words, "--limit", "1", "--repeats", "2")[0] == 0
    (timing,) = json.loads((tmp_path / "s" / "results.json").read_text())["timings"].values()
    assert timing["seconds"] == min(timing["runs"]) > 0
    assert timing["shape_1_5mm"] == [27, 23, 19]


def test_a_model_that_finds_none_of_the_structures_is_refused_first(run: Run, folder: Path, tmp_path: Path) -> None:
    words = ("evaluate", "auto", folder, "--map", "1=liver", "2=spleen", "-o", tmp_path / "o", "-d", "cpu")
    status, _, err = run(*words, "-m", "prosect-small")  # which knows heads and necks
    assert status == 3
    assert "STRUCTURE_UNSUPPORTED" in err
    assert not (tmp_path / "o").exists()


def test_what_cannot_be_judged_is_refused_first(run: Run, folder: Path, tmp_path: Path) -> None:
    words = ("evaluate", "auto", folder, *MAP, "-o", tmp_path / "o", "-d", "cpu")
    assert run(*words, "--split", "validation")[0] == 3
    assert run("evaluate", "nothing", folder, "-o", tmp_path / "o")[0] == 2
    (folder / "labels" / "p0.nii.gz").unlink()
    status, _, err = run(*words)
    assert status == 3
    assert "LABEL_MISSING" in err
    assert not (tmp_path / "o").exists()


def test_a_scan_that_cannot_be_read_leaves_the_others(run: Run, folder: Path, tmp_path: Path, weights: Path) -> None:
    (folder / "images" / "p1.nii.gz").write_bytes(b"no image")
    words = ("evaluate", "auto", folder, *MAP, "-o", tmp_path / "o", "-w", weights, "-d", "cpu")
    status, out, _ = run(*words)
    assert status == 4
    assert "p1: refused" in out
    plain = json.loads((tmp_path / "o" / "results.json").read_text())
    assert [entry["case"] for entry in plain["refused"]] == ["p1"]


def test_masks_that_exist_are_judged_without_a_model(run: Run, folder: Path, tmp_path: Path) -> None:
    truths = folder / "labels"
    status, out, err = run("evaluate", "masks", truths, truths, "-o", tmp_path / "out", *MAP)
    assert (status, err) == (0, "")
    assert "liver" in out
    assert "HD95" in (tmp_path / "out" / "report.md").read_text()
    assert run("evaluate", "masks", truths, truths, "-o", tmp_path / "out", *MAP)[0] == 3, "nothing is overwritten"
    assert run("evaluate", "masks", truths, "-o", tmp_path / "more")[0] == 2
    assert run("evaluate", "auto", truths, truths, "-o", tmp_path / "more")[0] == 2
