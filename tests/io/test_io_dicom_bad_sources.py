"""DICOM results of series that say too little, too much or the wrong thing of themselves."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

import prosect
from prosect import vocabulary
from worlds.dicom import dicom_slice, save_slice
from worlds.label_objects import label_points, labelled_series, same_points, seg_points

Change = Callable[[int, pydicom.Dataset], None]


def change(folder: Path, how: Change) -> prosect.Volume:
    """Change the headers of a series, and return it read again."""
    for number, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        how(number, data)
        data.save_as(path)
    return prosect.read(folder)


def call_alike(number: int, data: pydicom.Dataset) -> None:
    """Give two slices one identifier."""
    if number in (1, 2):
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.99"


@pytest.mark.parametrize("ending", ["seg.dcm", "rtstruct.dcm"])
def test_slices_of_one_name_cannot_be_referred_to(tmp_path, ending) -> None:
    _, labels = labelled_series(tmp_path / "ct")
    volume = change(tmp_path / "ct", call_alike)
    with pytest.raises(prosect.ProsectError, match="share their SOP Instance UID") as refused:
        prosect.write(labels, tmp_path / f"o.{ending}", like=volume)
    assert refused.value.code == "DICOM_UIDS_REPEATED"


@pytest.mark.parametrize("ending", ["seg.dcm", "rtstruct.dcm"])
def test_labels_of_slices_of_one_name_are_placed_by_position(tmp_path, ending) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    path = prosect.write(labels, tmp_path / f"o.{ending}", like=volume)
    again = change(tmp_path / "ct", call_alike)
    # The labels name both slices as the series does now.
    named = {frame.instance_uid for frame in volume.source.header.frames}
    gone = sorted(named - {frame.instance_uid for frame in again.source.header.frames})
    raw = path.read_bytes()
    for uid in gone:
        raw = raw.replace(uid.encode(), b"1.2.3.99".ljust(len(uid), b"\0"))
    path.write_bytes(raw)
    assert np.array_equal(prosect.read_labels(path, like=again).array, labels.array)


def test_slices_of_two_patients_are_refused(tmp_path) -> None:
    _, labels = labelled_series(tmp_path / "ct")

    def swap(number: int, data: pydicom.Dataset) -> None:
        if number == 3:
            data.PatientID = "OTHER-1"

    volume = change(tmp_path / "ct", swap)
    with pytest.raises(prosect.ProsectError, match="2 patients") as refused:
        prosect.write(labels, tmp_path / "o.seg.dcm", like=volume)
    assert refused.value.code == "DICOM_STUDIES_MIXED"
    assert "OTHER-1" not in str(refused.value)


NAMES = [
    ("ISO_IR 100", "Müller^Jürgen"),
    ("ISO_IR 192", "Ångström^Łukasz"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ("GB18030", "Wang^XiaoDong=王^小东"),
]


@pytest.mark.parametrize(("characters", "name"), NAMES)
def test_names_in_any_script_are_carried_over(tmp_path, characters, name) -> None:
    _, labels = labelled_series(tmp_path / "ct")

    def call(_number: int, data: pydicom.Dataset) -> None:
        data.SpecificCharacterSet, data.PatientName = characters, name

    volume = change(tmp_path / "ct", call)
    for ending in ("seg", "rtstruct", "sr"):
        made = pydicom.dcmread(prosect.write(labels, tmp_path / f"o.{ending}.dcm", like=volume))
        assert (str(made.PatientName), made.SpecificCharacterSet) == (name, "ISO_IR 192")


WRONG = {
    "PatientName": ["A" * 65 + "^B", "a=b=c=d"],
    "PatientBirthDate": ["00000000", "19500231", "1950.01.02"],
    "StudyDate": ["20201345", "2020"],
    "StudyTime": ["256199", "0560", "9"],
    "StudyID": ["9" * 17],
}


@pytest.mark.parametrize(("keyword", "value"), [(key, value) for key, values in WRONG.items() for value in values])
@pytest.mark.filterwarnings("ignore:Invalid value for VR", "ignore:The (value|PN component) length", "ignore:.*PN")
def test_values_that_dicom_forbids_are_left_empty(tmp_path, keyword, value) -> None:
    volume, labels = labelled_series(tmp_path / "ct", **{keyword: value})
    assert keyword not in volume.source.header.study.values
    made = pydicom.dcmread(prosect.write(labels, tmp_path / "o.seg.dcm", like=volume))
    assert str(made[keyword].value or "") == ""
    assert made.ContentDate == made.StudyDate or made.ContentDate == "19000101"


@pytest.mark.parametrize("keyword", ["PatientName", "PatientID", "PatientSex", "StudyID", "StudyDate", "Modality"])
def test_what_the_source_does_not_say_stays_empty(tmp_path, keyword) -> None:
    _, labels = labelled_series(tmp_path / "ct")

    def remove(_number: int, data: pydicom.Dataset) -> None:
        if keyword in data:
            del data[keyword]

    volume = change(tmp_path / "ct", remove)
    for ending in ("seg", "rtstruct", "sr"):
        made = pydicom.dcmread(prosect.write(labels, tmp_path / f"o.{ending}.dcm", like=volume))
        if keyword != "Modality":
            assert str(made[keyword].value or "") == ""
    assert same_points(seg_points(tmp_path / "o.seg.dcm"), label_points(labels)) < 1e-6


LYING = {"prone": (-1, 0, 0, 0, -1, 0), "on the left": (0, -1, 0, 1, 0, 0), "on the right": (0, 1, 0, -1, 0, 0)}


@pytest.mark.parametrize("way", list(LYING))
def test_patients_may_lie_on_any_side(tmp_path, way) -> None:
    for k in range(5):
        pixels = np.full((9, 8), k, np.int16)
        save_slice(tmp_path / "ct", f"{k}", dicom_slice(pixels, (3, 4, 2.5 * k), ImageOrientationPatient=[*LYING[way]]))
    volume = prosect.read(tmp_path / "ct")
    array = np.zeros(volume.grid.shape, np.uint8)
    array[1:6, 2:5, 1:4] = 14
    labels = prosect.LabelMap(array, volume.grid, vocabulary.load("vista3d-ct"))
    array[3, 3, 2] = 0
    for ending in ("seg", "rtstruct"):
        path = prosect.write(labels, tmp_path / f"o.{ending}.dcm", like=volume)
        assert np.array_equal(prosect.read_labels(path, like=volume).array, array)
    assert same_points(seg_points(tmp_path / "o.seg.dcm"), label_points(labels)) < 1e-6
    if shutil.which("plastimatch") is None:
        return
    import SimpleITK

    command = ["plastimatch", "convert", "--input", path, "--referenced-ct", tmp_path / "ct", "--prefix-format", "nrrd"]
    subprocess.run([*command, "--output-prefix", tmp_path / "o"], check=True, capture_output=True, timeout=120)
    (image,) = (tmp_path / "o").iterdir()
    read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(image)))
    assert np.array_equal(read.transpose(2, 1, 0) > 0, array > 0)


def test_a_lone_small_voxel_has_a_volume(tmp_path) -> None:
    for k in range(5):
        slice_ = dicom_slice(np.zeros((7, 8), np.int16), (0, 0, 0.1 * k), PixelSpacing=[0.1, 0.1], SliceThickness=0.1)
        save_slice(tmp_path / "ct", f"{k}", slice_)
    volume = prosect.read(tmp_path / "ct")
    array = np.zeros(volume.grid.shape, np.uint8)
    array[2, 2, 2] = 1
    labels = prosect.LabelMap(array, volume.grid, vocabulary.load("vista3d-ct"))
    report = pydicom.dcmread(prosect.write(labels, tmp_path / "o.sr.dcm", like=volume))
    measured = []
    report.walk(lambda _data, element: measured.append(element.value) if element.keyword == "NumericValue" else None)
    assert float(measured[0]) == pytest.approx(1e-6)
