"""`prosect verify` of DICOM results, series among others in a folder, and an archive that is away."""

from __future__ import annotations

import pydicom

import prosect
from worlds.label_objects import labelled_series

KINDS = ("dicom_seg", "dicom_rtstruct", "dicom_sr")


def test_all_kinds_are_made_again_and_a_changed_one_is_named(run, model, series, tmp_path) -> None:
    out = tmp_path / "out"
    assert run("segment", series, "-o", out, "-ot", *KINDS, "-q")[0] == 0
    status, said, err = run("verify", out, "--input", series)
    assert (status, err) == (0, "")
    assert "3 of 3 equal byte for byte" in said
    spoilt = out / "labels.rtstruct.dcm"
    data = pydicom.dcmread(spoilt)
    data.ROIContourSequence[0].ContourSequence[0].ContourData[0] += 1
    data.save_as(spoilt)
    status, said, err = run("verify", out, "--input", series)
    assert status != 0
    assert "output changed: labels.rtstruct.dcm" in said + err


def test_a_series_that_lost_a_slice_since_is_said(run, model, series, tmp_path) -> None:
    out = tmp_path / "o.seg.dcm"
    assert run("segment", series, "-o", out, "-rp", "-q")[0] == 0
    max(series.iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2])).unlink()
    status, said, err = run("verify", out, "--input", series)
    assert status != 0
    assert "input changed" in said + err


def test_of_several_series_in_one_folder_the_one_asked_for_is_referred_to(run, model, tmp_path) -> None:
    _, labels = labelled_series(tmp_path / "a", SeriesInstanceUID="1.2.3.77")
    labelled_series(tmp_path / "b", SeriesInstanceUID="1.2.3.88")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name in ("a", "b"):
        for path in (tmp_path / name).iterdir():
            path.rename(mixed / f"{name}{path.name}.dcm")
    # An older result among the slices is no slice.
    prosect.write(labels, mixed / "old.seg.dcm", like=prosect.read(mixed, series="77"))
    assert run("segment", mixed, "-o", tmp_path / "o.seg.dcm", "-q")[0] == 3
    assert not (tmp_path / "o.seg.dcm").exists()
    assert run("segment", mixed, "--series", "88", "-o", tmp_path / "o.seg.dcm", "-rp", "-q")[0] == 0
    assert pydicom.dcmread(tmp_path / "o.seg.dcm").ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.88"
    assert run("verify", tmp_path / "o.seg.dcm", "--input", mixed, "-q")[0] == 0


def test_an_archive_that_is_away_and_files_that_are_missing_are_refused_in_words(run, series, tmp_path) -> None:
    file = next(series.iterdir())
    url = ("--url", "http://127.0.0.1:9/dicom-web")
    status, _, err = run("pacs", "put", *url, file)
    assert (status, "PACS_UNREACHABLE" in err) == (5, True)
    status, _, err = run("pacs", "get", *url, "--study", "1.2", "--series", "1.3", "-o", tmp_path / "got")
    assert (status, (tmp_path / "got").exists()) == (5, False)
    for words in (("put", *url, tmp_path / "nothing.dcm"), ("list", *url, "--token-file", tmp_path / "nothing")):
        status, _, err = run("pacs", *words)
        assert (status, "INPUT_NOT_FOUND" in err) == (3, True)
    status, _, err = run("pacs", "list", *url, "--ca", tmp_path / "nothing.pem")
    assert (status, "no PEM file" in err) == (2, True)
