"""A slice of the campaigns that damage scans and models, and of the one that compares libraries."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize(("family", "count"), [("nifti", 300), ("nrrd", 300), ("metaimage", 300), ("dicom", 120)])
def test_no_damaged_scan_is_read_wrong_or_ends_in_an_accident(family: str, count: int) -> None:
    import mutation

    cases = mutation.campaign(7, count, family)
    assert len(cases) == count
    assert [case for case in cases if case.outcome in mutation.BAD] == []
    assert {"refused", "right"} <= {case.outcome for case in cases}


def test_a_reader_without_checks_would_fail_the_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mutation
    import samples
    from prosect.geometry import Grid
    from prosect.volume import Volume

    def careless(path: Path) -> Volume:
        array, affine = samples.nifti_witness(path)
        return Volume(array, Grid(array.shape, affine))

    monkeypatch.setattr(mutation, "read", careless)
    outcomes = {mutation.one(7, index, tmp_path / "scan", "nifti").outcome for index in range(100)}
    assert "UNTYPED" in outcomes


def test_a_flipped_bit_under_a_checksum_is_never_missed(tmp_path: Path) -> None:
    import bitflip

    for target in bitflip.targets(tmp_path):
        counts = bitflip.campaign(target, tmp_path, 25, 3)
        assert (counts["missed"] == 0) == target.covered, target.name
        assert counts.total() == 25


def test_libraries_agree_where_the_bright_voxel_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import geometry

    worst = geometry.campaign(tmp_path, 15, 1)
    assert len(worst) == 9 + 9 + 4
    assert {key: mm for key, mm in worst.items() if not mm <= geometry.LIMIT_MM[key[0]]} == {}
    capfd.readouterr()  # ITK writes to standard error


def test_malicious_models_stay_closed(tmp_path: Path) -> None:
    import malicious_weights

    counts = malicious_weights.campaign(tmp_path, 3)
    assert (counts["files"], counts["refused"], counts["ran"]) == (3, 3, 0)
    assert counts["armed"] >= 1
