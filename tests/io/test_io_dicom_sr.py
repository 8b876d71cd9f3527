"""Measurements beside a segmentation: what is measured, of which segment, and that they never stand alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

import prosect
from prosect.results import request_for
from worlds.label_objects import labelled_series


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Return a scan, labels, and the SEG and SR of them."""
    folder = tmp_path_factory.mktemp("sr")
    volume, labels = labelled_series(folder / "ct", StudyDate="20200304")
    files = [prosect.write(labels, folder / f"o.{ending}.dcm", like=volume) for ending in ("seg", "sr")]
    return volume, labels, *files


def measured(path: Path) -> dict[str, list[tuple[str, float, str]]]:
    """Return name, value and unit of each measurement by tracking identifier, read by hand."""
    found = {}
    for item in walk(pydicom.dcmread(path)):
        numbers, name = [], ""
        for inner in item.get("ContentSequence", []):
            if inner.get("ValueType") == "TEXT" and inner.ConceptNameCodeSequence[0].CodeValue == "112039":
                name = inner.TextValue
            if inner.get("ValueType") == "NUM":
                value = inner.MeasuredValueSequence[0]
                unit = value.MeasurementUnitsCodeSequence[0].CodeValue
                numbers.append((inner.ConceptNameCodeSequence[0].CodeMeaning, float(value.NumericValue), unit))
        if name:
            found[name] = numbers
    return found


def walk(item):
    """Yield an item and all below it."""
    yield item
    for inner in item.get("ContentSequence", []):
        yield from walk(inner)


def test_volume_mean_and_spread_of_each_structure_are_right(pair) -> None:
    volume, labels, _, path = pair
    found = measured(path)
    assert list(found) == ["prosect:1:liver", "prosect:14:left kidney", "prosect:115:heart"]
    values = volume.array[labels.array == 14].astype(float)
    (kind, ml, unit), (_, mean, hu), (_, spread, _) = found["prosect:14:left kidney"]
    assert (kind, unit, hu) == ("Volume", "ml", "[hnsf'U]")
    assert ml == pytest.approx(len(values) * 0.7 * 0.9 * 2.5 / 1000, abs=1e-3)
    assert (mean, spread) == (pytest.approx(values.mean(), abs=1e-3), pytest.approx(np.std(values), abs=1e-3))


def test_what_the_scan_cuts_off_has_no_volume(pair) -> None:
    assert [name for name, *_ in measured(pair[3])["prosect:1:liver"]] == ["Attenuation Coefficient"] * 2


def test_it_refers_to_the_segmentation_of_the_same_labels(pair) -> None:
    _, _, seg, path = pair
    uid = pydicom.dcmread(seg).SOPInstanceUID
    assert uid.encode() in path.read_bytes()


def test_the_same_labels_give_the_same_bytes(pair, tmp_path) -> None:
    volume, labels, _, path = pair
    assert prosect.write(labels, tmp_path / "o.sr.dcm", like=volume).read_bytes() == path.read_bytes()


def test_the_validator_finds_no_errors(pair) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    done = subprocess.run(["dciodvfy", "-new", pair[3]], capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []


def test_a_report_is_asked_for_beside_a_segmentation_alone(tmp_path) -> None:
    for place, kinds in ((tmp_path / "out", ("dicom_sr",)), (tmp_path / "o.sr.dcm", ())):
        with pytest.raises(prosect.ProsectError, match="dicom_seg") as refused:
            request_for(place, kinds=kinds)
        assert refused.value.code == "OUTPUT_UNSUPPORTED"
    both = request_for(tmp_path / "out", kinds=("dicom_seg", "dicom_sr"))
    assert [path.name for path in both.label_files] == ["labels.seg.dcm", "labels.sr.dcm"]
