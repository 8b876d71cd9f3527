"""The results of `prosect segment`: folders, statistics, reports, progress, and what is refused before any work."""

from __future__ import annotations

import json
import os
import sys
import warnings

import nibabel
import numpy as np
import pytest

import prosect
from prosect.errors import ProsectWarning
from worlds.refusals import names, refused_command


def test_a_folder_holds_one_mask_per_structure_and_the_report(run, model, scan_path, tmp_path) -> None:
    status, out, err = run("segment", scan_path, "-o", tmp_path / "out", "-rs", "liver", "kidney")
    assert (status, err) == (0, "")
    assert names(tmp_path / "out") == {"liver.nii.gz", "left_kidney.nii.gz", "right_kidney.nii.gz", "report.json"}
    mask = nibabel.load(tmp_path / "out" / "liver.nii.gz")
    assert mask.get_data_dtype() == np.uint8
    assert set(np.unique(mask.dataobj)) == {0, 1}
    assert str(tmp_path / "out") in out


@pytest.mark.parametrize("words", [["-o", "v1.2/"], ["-o", "v1.2", "--per-class"]])
def test_a_folder_may_have_a_dot_in_its_name(run, model, scan_path, tmp_path, monkeypatch, words) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("segment", scan_path, *words)[0] == 0
    assert names(tmp_path / "v1.2") == {"liver.nii.gz", "report.json"}


def test_ml_puts_one_file_into_a_folder_and_types_may_be_several(run, model, scan_path, tmp_path) -> None:
    assert run("segment", scan_path, "-o", tmp_path / "a", "-ml")[0] == 0
    assert names(tmp_path / "a") == {"labels.nii.gz", "report.json"}
    assert run("segment", scan_path, "-o", tmp_path / "b", "-ot", "nifti", "seg.nrrd")[0] == 0
    assert names(tmp_path / "b") == {"liver.nii.gz", "labels.seg.nrrd", "report.json"}


def test_statistics_and_report_lie_beside_a_file_or_where_they_are_wanted(run, model, scan_path, tmp_path) -> None:
    assert run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "-s", "-rp")[0] == 0
    assert {"o_statistics.json", "o_statistics.csv", "o_report.json"} <= names(tmp_path)
    liver = json.loads((tmp_path / "o_statistics.json").read_text())["liver"]
    assert liver["volume"] == pytest.approx(96 * 45.0)
    assert liver["intensity"] == pytest.approx(55.0)
    (tmp_path / "n").mkdir()
    words = ["-s", tmp_path / "n" / "s.csv", "-sx", "-rp", tmp_path / "n" / "r.json"]
    assert run("segment", scan_path, "-o", tmp_path / "p.nii.gz", *words)[0] == 0
    assert names(tmp_path / "n") == {"s.json", "s.csv", "r.json"}
    assert json.loads((tmp_path / "n" / "s.json").read_text())["liver"]["n_voxels"] == 96


def test_what_was_asked_for_and_not_found_is_said(run, model, scan_path, tmp_path) -> None:
    """The model labels what is above 0 as the first structure it is asked for."""
    status, out, _ = run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "-rs", "liver", "kidney")
    assert status == 0
    assert "not found: right kidney, left kidney\n" in out
    assert prosect.read_labels(tmp_path / "o.nii.gz").names.keys() == {1, 5, 14}


def test_sx_alone_asks_for_statistics_too(run, model, scan_path, tmp_path) -> None:
    assert run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "-sx")[0] == 0
    assert "o_statistics.json" in names(tmp_path)


def test_the_report_tells_the_run_and_no_place(run, model, scan_path, tmp_path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "w.pt").touch()
    words = ["-rs", "kidney", "-rp", "-d", "cpu", "-w", tmp_path / "secret" / "w.pt"]
    assert run("segment", scan_path, "-o", tmp_path / "o.nii.gz", *words)[0] == 0
    text = (tmp_path / "o_report.json").read_text()
    report = json.loads(text)
    assert str(tmp_path) not in text
    assert "secret" not in text
    assert report["input"]["name"] == "scan.nii.gz"
    assert report["input"]["sha256"] == prosect.read(scan_path).source.sha256
    assert report["parameters"]["classes"] == ["kidney"]
    assert report["parameters"]["weights"] == "w.pt"
    assert set(report["prompts"]["expansions"]["kidney"]) == {"left kidney", "right kidney"}
    assert {"prosect", "torch", "numpy", "python"} <= set(report["versions"])
    assert {"reading", "model", "segmenting", "measuring", "writing"} <= set(report["seconds"])
    assert report["model"]["threads"] >= 1


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_warnings_are_shown_unless_quiet_and_kept_in_any_case(
    run, model, scan_path, tmp_path, monkeypatch, quiet
) -> None:
    honest = type(model).segment

    def warns(self, volume, **words):
        warnings.warn("something was\nrepaired", ProsectWarning, stacklevel=1)
        return honest(self, volume, **words)

    monkeypatch.setattr(type(model), "segment", warns)
    _, _, err = run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "-rp", *quiet)
    assert err == ("" if quiet else "prosect: warning: something was repaired\n")
    assert json.loads((tmp_path / "o_report.json").read_text())["warnings"] == ["something was repaired"]


@pytest.mark.parametrize(("quiet", "shown"), [([], True), (["-q"], False)])
def test_progress_is_shown_on_a_terminal_unless_quiet(
    run, model, scan_path, tmp_path, monkeypatch, quiet, shown
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    _, _, err = run("segment", scan_path, "-o", tmp_path / "o.nii.gz", *quiet)
    assert ("segmenting" in err) == shown
    assert ("4/4" in err) == shown


class TestRefusals:
    """Each ends with one line and its own code; no model is loaded and nothing is written."""

    def refused(self, run, model, tmp_path, code: str, *words: object, status: int = 3) -> str:
        said = refused_command(run, tmp_path, code, "segment", *words, status=status)
        assert str(tmp_path) not in said
        assert model.calls == []
        return said

    def test_a_folder_with_something_in_it(self, run, model, scan_path, tmp_path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a").touch()
        self.refused(run, model, tmp_path, "OUTPUT_EXISTS", scan_path, "-o", tmp_path / "out")
        assert run("segment", scan_path, "-o", tmp_path / "out", "--overwrite")[0] == 0

    def test_the_folder_of_the_scan(self, run, model, scan_path, tmp_path) -> None:
        self.refused(run, model, tmp_path, "OUTPUT_IS_INPUT", scan_path, "-o", tmp_path, "--overwrite")

    @pytest.mark.parametrize("flag", ["-s", "-rp"])
    def test_statistics_or_report_over_something(self, run, model, scan_path, tmp_path, flag) -> None:
        (tmp_path / "x.json").write_text("mine")
        words = scan_path, "-o", tmp_path / "o.nii.gz", flag, tmp_path / "x.json"
        self.refused(run, model, tmp_path, "OUTPUT_EXISTS", *words)
        assert (tmp_path / "x.json").read_text() == "mine"

    @pytest.mark.parametrize("flag", ["-s", "-rp"])
    def test_the_scan_itself_under_another_name(self, run, model, scan_path, tmp_path, flag) -> None:
        os.link(scan_path, tmp_path / "x.json")
        words = scan_path, "-o", tmp_path / "o.nii.gz", flag, tmp_path / "x.json", "--overwrite"
        self.refused(run, model, tmp_path, "OUTPUT_IS_INPUT", *words)

    @pytest.mark.parametrize("flag", ["-s", "-rp"])
    def test_a_folder_that_is_not_there(self, run, model, scan_path, tmp_path, flag) -> None:
        words = scan_path, "-o", tmp_path / "o.nii.gz", flag, tmp_path / "no" / "x.json"
        self.refused(run, model, tmp_path, "OUTPUT_UNWRITABLE", *words)

    def test_one_name_for_two_results(self, run, model, scan_path, tmp_path) -> None:
        words = scan_path, "-o", tmp_path / "o.nii.gz", "-s", tmp_path / "x.json", "-rp", tmp_path / "x.json"
        self.refused(run, model, tmp_path, "OUTPUT_CLASH", *words)

    @pytest.mark.parametrize("flag", ["-s", "-rp"])
    def test_a_scan_as_the_value_of_a_flag(self, run, model, scan_path, tmp_path, flag) -> None:
        """`-i scan -s out.nii.gz -o ...`: the flag took a name that was meant otherwise."""
        words = "-i", scan_path, "-o", tmp_path / "o.nii.gz", flag, tmp_path / "p.nii.gz"
        self.refused(run, model, tmp_path, "OUTPUT_FORMAT_UNKNOWN", *words)

    def test_layers_as_metaimage(self, run, model, scan_path, tmp_path) -> None:
        words = scan_path, "-o", tmp_path / "o.mha", "--overlap"
        self.refused(run, model, tmp_path, "OUTPUT_UNSUPPORTED", *words)

    @pytest.mark.parametrize("more", [[], ["-m", "prosect-torso"]])
    def test_a_misspelt_structure_with_the_nearest(self, run, model, scan_path, tmp_path, more) -> None:
        words = scan_path, "-o", tmp_path / "o.nii.gz", "-rs", "livr", *more
        assert "'liver'" in self.refused(run, model, tmp_path, "STRUCTURE_UNKNOWN", *words)

    def test_an_unknown_model(self, run, model, scan_path, tmp_path) -> None:
        words = scan_path, "-o", tmp_path / "o.nii.gz", "-rs", "liver", "-m", "vista4d"
        self.refused(run, model, tmp_path, "MODEL_UNKNOWN", *words, status=6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.nii", "-o", "out", "-ot", "nifti,dicom_pmap"], "no such type; use nifti"),
        (["a.nii", "-o", "out", "-ot", "tiff"], "no such type"),
        (["-s", "a.nii", "-o", "out"], "a.nii was taken as the value of the flag before it"),
    ],
)
def test_wrong_usage_says_what_to_do(run, model, words, said) -> None:
    status, out, err = run("segment", *words)
    assert (status, out) == (2, "")
    assert said in err
    assert model.calls == []
