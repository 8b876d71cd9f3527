"""`prosect segment` of a DICOM series into DICOM results: written, verified, refused before the work."""

from __future__ import annotations

import json

import pydicom
import pytest

from worlds.label_objects import labelled_series


def test_a_segmentation_is_written_and_made_again_byte_for_byte(run, model, series, tmp_path) -> None:
    out = tmp_path / "o.seg.dcm"
    assert run("segment", series, "-o", out, "-rs", "liver", "-rp")[0] == 0
    assert [item.SegmentLabel for item in pydicom.dcmread(out).SegmentSequence] == ["liver"]
    status, said, err = run("verify", out, "--input", series)
    assert (status, err) == (0, "")
    assert "1 of 1 equal byte for byte" in said


@pytest.mark.parametrize(
    ("flags", "recorded"),
    [
        (["--seg-encoding", "labelmap", "--seg-compression", "deflate"], {"seg_compression": "deflate"}),
        (["--rt-tolerance", "0.5"], {"rt_tolerance_mm": 0.5}),
    ],
)
def test_packing_and_tolerance_are_recorded_and_chosen_again(run, model, series, tmp_path, flags, recorded) -> None:
    out = tmp_path / "out"
    assert run("segment", series, "-o", out, "-ot", "dicom_seg", "dicom_rtstruct", *flags)[0] == 0
    said = json.loads((out / "report.json").read_text())["output"]
    assert {key: said[key] for key in recorded} == recorded
    assert run("verify", out, "--input", series, "-q")[0] == 0


def test_a_packing_that_cannot_be_is_refused_before_the_work(run, model, series, tmp_path) -> None:
    status, _, err = run("segment", series, "-o", tmp_path / "o.seg.dcm", "--seg-compression", "rle")
    assert (status, "OUTPUT_UNSUPPORTED" in err, model.calls) == (3, True, [])


@pytest.mark.parametrize("flags", [["--seg-encoding", "labelmap"], ["--deidentify"]])
def test_what_was_chosen_is_recorded_and_chosen_again(run, model, series, tmp_path, flags) -> None:
    out = tmp_path / "out"
    assert run("segment", series, "-o", out, "-ot", "dicom_seg", *flags)[0] == 0
    said = json.loads((out / "report.json").read_text())["output"]
    assert (said["seg_encoding"], said["deidentify"]) == ("binary" if len(flags) == 1 else "labelmap", len(flags) == 1)
    data = pydicom.dcmread(out / "labels.seg.dcm")
    assert data.SegmentationType == said["seg_encoding"].upper()
    assert ("PatientIdentityRemoved" in data) == said["deidentify"]
    assert run("verify", out, "--input", series, "-q")[0] == 0


def test_folders_of_segmentations_are_judged_by_one_another(run, model, tmp_path) -> None:
    labelled_series(tmp_path / "many" / "a")
    labelled_series(tmp_path / "many" / "b", SeriesInstanceUID="1.2.3.9")
    for name in ("truths", "results"):
        assert run("segment", tmp_path / "many", "-o", tmp_path / name, "-ot", "dicom_seg", "-q")[0] == 0
    status, _, err = run("evaluate", "masks", tmp_path / "truths", tmp_path / "results", "-o", tmp_path / "o", "-q")
    assert (status, err) == (0, "")
    (liver,) = json.loads((tmp_path / "o" / "results.json").read_text())["sections"]["masks"]["structures"]
    assert (liver["structure"], liver["present"], liver["dice"]["value"]) == ("liver", 2, 1)


def test_a_folder_of_series_gives_one_object_each(run, model, series, tmp_path) -> None:
    labelled_series(tmp_path / "many" / "a")
    labelled_series(tmp_path / "many" / "b", SeriesInstanceUID="1.2.3.9")
    assert run("segment", tmp_path / "many", "-o", tmp_path / "out", "-ot", "dicom_seg", "-q")[0] == 0
    found = sorted(path.name for path in (tmp_path / "out").glob("*.dcm"))
    assert found == ["a.seg.dcm", "b.seg.dcm"]


def test_a_nifti_scan_is_refused_before_a_model_is_loaded(run, model, scan_path, tmp_path) -> None:
    status, _, err = run("segment", scan_path, "-o", tmp_path / "o.seg.dcm")
    assert status == 3
    assert "DICOM_SOURCE_NEEDED" in err
    assert model.calls == []


def test_layers_are_refused_as_a_label_map_before_the_work(run, model, series, tmp_path) -> None:
    words = "-o", tmp_path / "o.seg.dcm", "--overlap", "--seg-encoding", "labelmap"
    status, _, err = run("segment", series, *words)
    assert (status, "OUTPUT_UNSUPPORTED" in err, model.calls) == (3, True, [])


def test_nothing_found_is_said_and_gives_no_file(run, model, tmp_path) -> None:
    labelled_series(tmp_path / "ct")
    for path in (tmp_path / "ct").iterdir():
        data = pydicom.dcmread(path)
        data.PixelData = bytes(len(data.PixelData))
        data.RescaleIntercept = -1000
        data.save_as(path)
    status, _, err = run("segment", tmp_path / "ct", "-o", tmp_path / "o.seg.dcm")
    assert status == 0
    assert "nothing was found" in err
    assert not (tmp_path / "o.seg.dcm").exists()
