"""`prosect verify`: equal is 0, anything else is 3, and what differs is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import prosect
from prosect.checkpoints.files import write_weights
from prosect.networks.vista3d import Architecture, vista3d
from prosect.volume import Volume
from worlds.dicom import dicom_slice, save_slice


@pytest.fixture
def result(run, model, scan_path: Path, tmp_path: Path) -> Path:
    """Return a folder with masks, statistics, picture and report; the scan lies beside the folder."""
    words = ["-rs", "liver", "kidney", "-s", "-sx", "-p"]
    assert run("segment", scan_path, "-o", tmp_path / "out", *words)[0] == 0
    return tmp_path / "out"


def report_of(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def rewrite(folder: Path, change) -> None:
    report = report_of(folder)
    change(report)
    (folder / "report.json").write_text(json.dumps(report))


def test_an_unchanged_result_is_made_again_byte_for_byte(run, result, scan_path) -> None:
    for out in (result, result / "report.json", result / "liver.nii.gz"):
        status, said, err = run("verify", out, "--input", scan_path)
        assert (status, err) == (0, "")
        assert "6 of 6 equal byte for byte" in said
        assert said.splitlines()[-1].startswith("verified: 6 files")


def test_the_input_is_looked_for_beside_the_report(run, model, scan_path, tmp_path) -> None:
    assert run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "-rp")[0] == 0
    assert run("verify", tmp_path / "o.nii.gz")[0] == 0
    assert run("verify", tmp_path / "o_report.json", "-q")[1].count("\n") == 1


def test_slices_that_were_resampled_are_recorded_and_resampled_again(run, model, tmp_path) -> None:
    for n, depth in enumerate((0, 2.5, 5, 10, 15)):
        pixels = np.full((9, 7), 5 - int(depth), np.int16)
        thickness = 2.5 if depth <= 5 else 5
        save_slice(tmp_path / "ct", f"{n}", dicom_slice(pixels, (0, 0, depth), SliceThickness=thickness))
    out = tmp_path / "o.nii.gz"
    assert "DICOM_IRREGULAR_SPACING" in run("segment", tmp_path / "ct", "-o", out, "-rp")[2]
    assert run("segment", tmp_path / "ct", "-o", out, "-rp", "--regularise")[0] == 0
    assert prosect.read_labels(out).grid.shape == (7, 9, 7)
    report = json.loads((tmp_path / "o_report.json").read_text())
    assert report["parameters"]["regularise"] is True
    assert any("resampled linearly to 7" in note for note in report["repairs"])
    status, said, err = run("verify", out, "--input", tmp_path / "ct")
    assert (status, err) == (0, "")
    assert "1 of 1 equal byte for byte" in said
    # A report that does not say so asks for the scan as it is, which is refused.
    report["parameters"]["regularise"] = False
    (tmp_path / "o_report.json").write_text(json.dumps(report))
    status, _, err = run("verify", out, "--input", tmp_path / "ct")
    assert (status, "DICOM_IRREGULAR_SPACING" in err) == (3, True)


def test_a_renamed_scan_is_the_same_scan(run, result, scan_path) -> None:
    assert run("verify", result, "--input", scan_path.rename(scan_path.with_name("other.nii.gz")))[0] == 0


def test_a_changed_output_is_named(run, result, scan_path) -> None:
    place = result / "liver.nii.gz"
    raw = bytearray(place.read_bytes())
    raw[-1] ^= 1
    place.write_bytes(raw)
    for words in (["--hashes-only"], ["--input", scan_path]):
        status, said, _ = run("verify", result, *words)
        assert status == 3
        assert "not verified: output changed: liver.nii.gz" in said


def test_a_missing_output_is_named(run, result) -> None:
    (result / "statistics.csv").unlink()
    status, said, _ = run("verify", result, "--hashes-only")
    assert status == 3
    assert "output missing: statistics.csv" in said


def test_hashes_alone_need_neither_input_nor_model(run, model, result) -> None:
    model.calls.clear()
    status, said, _ = run("verify", result, "--hashes-only")
    assert (status, model.calls) == (0, [])
    assert "verified: 6 files, by their hashes" in said


def test_a_changed_input_is_said_and_no_model_is_loaded(run, model, result, scan_path) -> None:
    model.calls.clear()
    scan = prosect.read(scan_path)
    prosect.write(Volume(scan.array + 1, scan.grid, "CT"), scan_path)
    status, said, _ = run("verify", result, "--input", scan_path)
    assert (status, model.calls) == (3, [])
    assert "not verified: input changed: scan.nii.gz" in said


def test_changed_weights_are_said(run, model, result, scan_path) -> None:
    model.weights_sha256 = "1" * 64
    status, said, _ = run("verify", result, "--input", scan_path)
    assert status == 3
    assert "weights changed: the sha256 began with 000000000000, now with 111111111111" in said


def test_another_result_is_said_with_what_may_explain_it(run, model, result, scan_path, monkeypatch) -> None:
    rewrite(result, lambda r: r["versions"].update(torch="1.0"))
    status, said, _ = run("verify", result, "--input", scan_path)
    assert status == 0, "another version that gives the same bytes is no difference"
    assert "version changed: torch was 1.0, is " in said
    honest = type(model).segment

    def one_voxel_less(self, volume: Volume, **words: object):
        array = volume.array.copy()
        array[tuple(np.argwhere(array > 0)[0])] = -1000
        return honest(self, Volume(array, volume.grid, volume.modality, volume.source), **words)

    monkeypatch.setattr(type(model), "segment", one_voxel_less)
    status, said, _ = run("verify", result, "--input", scan_path)
    assert status == 3
    assert "result differs: liver.nii.gz (1 of 960 voxels)" in said
    assert "version changed: torch" in said


def test_other_threads_are_said_and_the_recorded_number_is_used(run, model, result, scan_path, monkeypatch) -> None:
    rewrite(result, lambda r: r["model"].update(threads=3))
    used = []
    honest = type(model).segment

    def watched(self, volume: Volume, **words: object):
        used.append(torch.get_num_threads())
        return honest(self, volume, **words)

    monkeypatch.setattr(type(model), "segment", watched)
    before = torch.get_num_threads()
    status, said, _ = run("verify", result, "--input", scan_path)
    assert status == 0
    assert f"threads differ: were 3, are {before} here" in said
    assert used == [3]
    assert torch.get_num_threads() == before


def test_a_phantom_is_made_again_without_an_input(run, model, tmp_path) -> None:
    assert run("segment", "--phantom", "head-neck", "-o", tmp_path / "o.nii.gz", "-rp")[0] == 0
    assert run("verify", tmp_path / "o.nii.gz")[0] == 0


def test_layers_and_several_types_are_made_again(run, model, scan_path, tmp_path) -> None:
    words = ["--overlap", "-ot", "nifti,seg.nrrd", "-ml", "--per-class", "-rs", "liver", "spleen"]
    assert run("segment", scan_path, "-o", tmp_path / "out", *words)[0] == 0
    assert "4 of 4 equal" in run("verify", tmp_path / "out", "--input", scan_path)[1]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{}", "REPORT_INVALID"),
        ("no json", "REPORT_INVALID"),
        ('{"schema": "prosect-report/99"}', "REPORT_INVALID"),
        ('{"schema": "prosect-report/1"}', "REPORT_INVALID"),
        ("[]", "REPORT_INVALID"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(run, tmp_path, content, code) -> None:
    (tmp_path / "report.json").write_text(content)
    status, out, err = run("verify", tmp_path / "report.json")
    assert (status, out) == (3, "")
    assert f"[{code}]" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("key", "value"), [("outputs", []), ("input", {}), ("model", {})])
def test_a_report_that_says_too_little_verifies_nothing(run, result, key, value) -> None:
    rewrite(result, lambda r: r.update({key: value}))
    status, _, err = run("verify", result, "--hashes-only")
    assert status == 3
    assert "[REPORT_INVALID]" in err


def test_a_report_cannot_make_us_read_elsewhere(run, result) -> None:
    rewrite(result, lambda r: r["outputs"][0].update(file="../../etc/passwd"))
    status, _, err = run("verify", result, "--hashes-only")
    assert status == 3
    assert "REPORT_INVALID" in err


def test_a_result_without_report_is_refused(run, model, scan_path, tmp_path) -> None:
    assert run("segment", scan_path, "-o", tmp_path / "o.nii.gz")[0] == 0
    status, _, err = run("verify", tmp_path / "o.nii.gz")
    assert status == 3
    assert "[REPORT_MISSING]" in err


def test_names_that_are_no_valid_text_are_written_and_verified(run, model, scan_path, tmp_path) -> None:
    name = os.fsdecode("Zürich 画像 ".encode() + b"\xff")
    scan = scan_path.rename(tmp_path / f"{name}.nii.gz")
    for output in (tmp_path / f"{name}_out.nii.gz", tmp_path / f"{name}_folder"):
        assert run("segment", scan, "-o", output, "-s", "-rp")[0] == 0
        assert run("verify", output, "-i", scan)[0] == 0


def test_a_real_network_gives_the_same_bytes_twice_and_other_weights_are_noticed(run, scan_path, tmp_path) -> None:
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = vista3d(Architecture(width=8, blocks=(1, 1), interactive=False))
        write_weights(tmp_path / f"{seed}.safetensors", network.state_dict(), {"vocabulary": "vista3d-ct"})
    words = ["-rs", "liver", "kidney", "-s", "-p", "-d", "cpu", "-w", tmp_path / "0.safetensors"]
    assert run("segment", scan_path, "-o", tmp_path / "out", *words)[0] == 0
    status, said, _ = run("verify", tmp_path / "out", "-i", scan_path, "-w", tmp_path / "0.safetensors")
    assert (status, "6 of 6 equal byte for byte" in said) == (0, True)
    status, said, _ = run("verify", tmp_path / "out", "-i", scan_path, "-w", tmp_path / "1.safetensors")
    assert (status, "not verified: weights changed" in said) == (3, True)


def test_a_report_does_not_speak_for_a_file_that_it_does_not_list(run, result) -> None:
    (result / "stranger.nii.gz").write_bytes((result / "liver.nii.gz").read_bytes())
    status, _, err = run("verify", result / "stranger.nii.gz", "--hashes-only")
    assert status == 3
    assert "[REPORT_MISSING]" in err


def test_a_missing_input_says_what_to_do(run, result) -> None:
    status, _, err = run("verify", result)
    assert status == 3
    assert "[INPUT_NOT_FOUND]" in err
    assert "--input" in err
    assert "--hashes-only" in err


def test_a_file_of_weights_must_be_given_again(run, model, scan_path, tmp_path) -> None:
    (tmp_path / "my.safetensors").touch()
    words = ["-o", tmp_path / "o.nii.gz", "-rp", "-w", tmp_path / "my.safetensors"]
    assert run("segment", scan_path, *words)[0] == 0
    status, _, err = run("verify", tmp_path / "o.nii.gz")
    assert status == 6
    assert "my.safetensors" in err
    assert str(tmp_path) not in err
    assert run("verify", tmp_path / "o.nii.gz", "-w", tmp_path / "my.safetensors")[0] == 0


def test_another_model_in_the_report_is_said(run, model, result, scan_path) -> None:
    rewrite(result, lambda r: r["model"].update(name="vista3d"))
    status, said, _ = run("verify", result, "--input", scan_path)
    assert status == 3
    assert "model changed: the report names vista3d, not fake" in said


def test_a_report_without_parameters_says_what_it_lacks(run, model, result, scan_path) -> None:
    rewrite(result, lambda r: r.update(parameters={}))
    status, _, told = run("verify", result, "--input", scan_path)
    assert status == 3
    assert "[REPORT_INVALID]: The report cannot be used: it lacks 'classes'." in told
