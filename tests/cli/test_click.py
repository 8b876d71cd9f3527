"""`prosect click`: clicks in, corrected labels out, and nothing at all on refusal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect.display import millilitres
from prosect.volume import Volume
from worlds.weights import write_vista3d


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of random weights of a small network."""
    return write_vista3d(tmp_path_factory.mktemp("weights") / "w.safetensors")


@pytest.fixture
def click(run, scan_path, tmp_path, weights):
    """Run `prosect click` on the small scan."""

    def call(*words: object, out: str = "out.nii.gz"):
        return run("click", scan_path, "-o", tmp_path / out, "-w", weights, "-d", "cpu", *words)

    return call


def test_clicks_become_a_named_label(click, scan_path, tmp_path) -> None:
    status, out, err = click("--structure", "my lesion", "--space", "voxel", "--at", "4,5,3", "--at", "5,5,3.25-")
    assert (status, err) == (0, "")
    assert "my lesion +:" in out
    assert "my lesion -:" in out
    assert "zero-shot" in out
    labels = prosect.read_labels(tmp_path / "out.nii.gz")
    assert labels.grid == prosect.read(scan_path).grid
    assert labels.names[133] == "my lesion"


def test_a_known_structure_is_drafted_first(click) -> None:
    status, out, _ = click("--structure", "liver", "--at", "12,15,15")
    assert status == 0
    assert out.index("liver drafted") < out.index("liver +")
    assert "drafted" not in click("--structure", "liver", "--at", "12,15,15", "--from", "none", out="o.nrrd")[1]


def test_a_negative_position_is_a_value_not_a_flag(click) -> None:
    status, _, err = click("--at", "-40,12,3")
    assert status == 3
    assert "POINT_OUTSIDE" in err
    assert "in millimetres from" in err


def test_a_box_bounds_what_is_found(click, scan_path, tmp_path) -> None:
    words = ["--structure", "my lesion", "--space", "voxel", "--box", "2,3,2:6,7,5", "--extent-mm", "30"]
    status, out, err = click(*words, "--journal", tmp_path / "j")
    assert (status, err) == (0, "")
    assert '"extent_mm":30.0' in (tmp_path / "j").read_text(), "what is said goes before what the box says"
    assert "my lesion +:" in out
    found = prosect.read_labels(tmp_path / "out.nii.gz").array != 0
    found[2:7, 3:8, 2:6] = False
    assert not found.any()


def test_a_mask_is_corrected(click, scan_path, tmp_path) -> None:
    scan = prosect.read(scan_path)
    mask = np.zeros(scan.grid.shape, dtype=np.float32)
    mask[2:8, 3:7, 2:6] = 1
    prosect.write(Volume(mask, scan.grid), tmp_path / "mask.nii.gz")
    status, out, _ = click("--structure", "spleen", "--at", "15,15,15-", "--from", tmp_path / "mask.nii.gz")
    assert status == 0
    assert "spleen drafted: 4.3 mL added" in out
    labels = prosect.read_labels(tmp_path / "out.nii.gz")
    assert set(np.unique(labels.array)) <= {0, 3}
    words = ["--structure", "liver", "--at", "15,15,15-", "--from", tmp_path / "out.nii.gz"]
    status, _, err = click(*words, out="again.nii.gz")
    assert status == 3
    assert "DRAFT_MISSING" in err, "the file says that its label is the spleen"


def test_clicks_come_from_a_slicer_file(click, tmp_path) -> None:
    points = [{"label": "F-1", "position": [-12, -15, 15]}, {"label": "F-2", "position": [-300, 0, 0]}]
    content = {"markups": [{"coordinateSystem": "LPS", "controlPoints": points[:1]}]}
    (tmp_path / "F.mrk.json").write_text(json.dumps(content))
    assert click("--clicks", tmp_path / "F.mrk.json")[0] == 0
    content["markups"][0]["controlPoints"] = points
    (tmp_path / "F.mrk.json").write_text(json.dumps(content))
    status, _, err = click("--clicks", tmp_path / "F.mrk.json", out="other.nii.gz")
    assert status == 3
    assert "F-2" in err
    assert not (tmp_path / "other.nii.gz").exists()


def test_a_journal_goes_on_where_it_ended(click, tmp_path) -> None:
    both = ["--space", "voxel", "--at", "4,5,3", "--at", "8,5,5"]
    assert click(*both, out="both.nii.gz")[0] == 0
    journal = ["--space", "voxel", "--journal", tmp_path / "j"]
    assert click(*journal, "--at", "4,5,3", out="one.nii.gz")[0] == 0
    status, out, _ = click(*journal, "--at", "8,5,5", out="two.nii.gz")
    assert status == 0
    assert "going on with" in out
    whole, parts = (prosect.read_labels(tmp_path / f"{name}.nii.gz").array for name in ("both", "two"))
    np.testing.assert_array_equal(whole, parts)


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        ([], 2, "at least one click"),
        (["--at", "1,2"], 3, "POINT_NOT_THREE_NUMBERS"),
        (["--at", "nan,2,3"], 3, "POINT_NOT_FINITE"),
        (["--at", "1,2,3", "--space", "ijk"], 2, "invalid choice"),
        (["--at", "15,15,15", "--at", "15,15,15-"], 3, "CLICKS_CONFLICT"),
        (["--at", "15,15,15", "--at", "15.5,15,15-"], 3, "CLICKS_CONFLICT"),
        (["--at", "15,15,15-"], 3, "CLICKS_ONLY_NEGATIVE"),
        (["--at", "15,15,15", "--structure", "kidney"], 3, "STRUCTURE_GROUP"),
        (["--at", "15,15,15", "--structure", "999"], 3, "STRUCTURE_UNKNOWN"),
        (["--at", "15,15,15", "--from", "none.nii.gz"], 3, "error ["),
        (["--clicks", "none.json"], 3, "CLICKS_FILE"),
        (["--at", "15,15,15", "--extent-mm", "0"], 2, "--extent-mm"),
        (["--box", "1,2,3"], 3, "POINT_NOT_THREE_NUMBERS"),
        (["--box=-900,0,0:-800,1,1"], 3, "POINT_OUTSIDE"),
    ],
)
def test_what_cannot_be_honoured_is_refused(click, tmp_path, words: list[str], status: int, reason: str) -> None:
    found, _, err = click(*words)
    assert found == status
    assert reason in err
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_result_is_not_replaced_unasked(click, tmp_path) -> None:
    (tmp_path / "out.nii.gz").write_text("mine")
    status, _, err = click("--at", "15,15,15")
    assert status == 3
    assert "--overwrite" in err
    assert (tmp_path / "out.nii.gz").read_text() == "mine"


def test_a_model_without_clicks_says_so(run, scan_path, tmp_path) -> None:
    path = write_vista3d(tmp_path / "w.safetensors", interactive=False)
    status, _, err = run("click", scan_path, "-o", tmp_path / "o.nii.gz", "-w", path, "-d", "cpu", "--at", "15,15,15")
    assert status == 6
    assert "takes no clicks" in err


def test_a_picture_and_statistics_lie_beside_the_labels(click, tmp_path) -> None:
    status, out, _ = click("--structure", "my lesion", "--space", "voxel", "--at", "4,5,3", "-p", "-s")
    assert status == 0
    assert (tmp_path / "out_preview.png").read_bytes().startswith(b"\x89PNG")
    rows = json.loads((tmp_path / "out_statistics.json").read_text())
    assert f"my lesion: {millilitres(rows['my_lesion']['volume'] / 1000)}" in out
    assert [line.split("/")[-1] for line in out.splitlines()[-4:]] == [
        "out.nii.gz", "out_statistics.json", "out_statistics.csv", "out_preview.png",
    ]  # fmt: skip


def test_a_picture_that_exists_is_refused_before_the_clicks(click, tmp_path) -> None:
    (tmp_path / "out_preview.png").write_bytes(b"precious")
    status, out, err = click("--space", "voxel", "--at", "4,5,3", "-p")
    assert (status, out) == (3, "")
    assert "OUTPUT_EXISTS" in err
    assert (tmp_path / "out_preview.png").read_bytes() == b"precious"
