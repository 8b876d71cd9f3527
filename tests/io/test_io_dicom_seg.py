"""DICOM segmentations: every voxel where it was, for three readers; the same bytes twice; what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

import prosect
from prosect import vocabulary
from prosect.io.dicom import seg, seg_check
from prosect.io.dicom.choices import DicomChoices
from prosect.io.dicom.source import COPIED
from prosect.io.writing import outgoing
from worlds.dicom import dicom_slice, save_slice
from worlds.label_objects import ZOO, label_points, labelled_series, same_points, seg_points

ENCODINGS = [DicomChoices("binary"), DicomChoices("labelmap")]
VOCABULARY = vocabulary.load("vista3d-ct")
# What the validator of 2022 says of every LABELMAP, an object younger than itself.
LABELMAP_ERRORS = ("Information Object Not found", "SegmentNumber not monotonically increasing")


@pytest.fixture(scope="module", params=[(kind, choices) for kind in ZOO for choices in ENCODINGS], ids=str)
def zoo(request, tmp_path_factory):
    """Return the geometry, the labels, and a segmentation of them."""
    kind, choices = request.param
    folder = tmp_path_factory.mktemp("zoo")
    volume, labels = labelled_series(folder / "ct", kind)
    return kind, labels, written(folder, labels, volume, choices)


def written(folder: Path, labels, volume, choices=None) -> Path:
    """Write a segmentation without its warnings being errors."""
    with pytest.warns(prosect.ProsectWarning) if volume.grid.shear > 1e-6 else nothing():
        return prosect.write(labels, folder / "out.seg.dcm", like=volume, dicom=choices)


class nothing:  # noqa: N801
    """A context that does nothing."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def errors_of(path: Path) -> list[str]:
    """Return the errors that dciodvfy finds."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, timeout=60)
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


def test_every_voxel_lies_where_it_was_read_by_hand(zoo) -> None:
    _, labels, path = zoo
    assert same_points(seg_points(path), label_points(labels)) < 1e-6


def test_every_voxel_lies_where_it_was_in_highdicom(zoo) -> None:
    from highdicom.seg import segread

    kind, labels, path = zoo
    read = segread(path)
    if kind == "tilted gantry":
        with pytest.raises(RuntimeError, match="volume"):
            read.get_volume(combine_segments=True)
        return
    placed = read.get_volume(combine_segments=True, skip_overlap_checks=True)
    found = {}
    for number in read.segment_numbers:
        if number:
            name = read.get_segment_description(number).SegmentLabel
            found[name] = placed.map_indices_to_reference(np.argwhere(placed.array == number))
    assert same_points(found, label_points(labels)) < 1e-4


def test_every_voxel_lies_where_it_was_in_dcmqi_but_for_a_tilt_which_is_warned_of(zoo, tmp_path) -> None:
    dcmqi = pytest.importorskip("dcmqi", reason="dcmqi is not installed")
    program = Path(dcmqi.__file__).parent / "bin" / "segimage2itkimage"
    import SimpleITK

    kind, labels, path = zoo
    out = tmp_path / "itk"
    out.mkdir()
    command = [program, "--inputDICOM", path, "--outputDirectory", out, "-t", "nrrd", "-p", "o", "--mergeSegments"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    names = {}
    for group in json.loads((out / "o-meta.json").read_text())["segmentAttributes"]:
        for entry in group:
            names[entry["labelID"]] = entry["SegmentLabel"]
    image = SimpleITK.ReadImage(str(next(out.glob("*.nrrd"))))
    array = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    found = {}
    for value in np.unique(array):
        if value:
            places = np.argwhere(array == value).tolist()
            found[names[value]] = np.array([image.TransformIndexToPhysicalPoint(place) for place in places])
    off = same_points(found, label_points(labels))
    assert off > 0.5 if kind == "tilted gantry" else off < 1e-3


@pytest.mark.parametrize("choices", ENCODINGS, ids=lambda c: c.seg_encoding)
def test_the_validator_finds_no_errors_of_ours(choices, tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    found = errors_of(written(tmp_path, labels, volume, choices))
    if choices.seg_encoding == "labelmap":
        found = [line for line in found if not any(known in line for known in LABELMAP_ERRORS)]
    assert found == []


PACKED = [
    (DicomChoices("labelmap", seg_compression="none"), "1.2.840.10008.1.2.1"),
    (DicomChoices("labelmap", seg_compression="rle"), "1.2.840.10008.1.2.5"),
    (DicomChoices("labelmap", seg_compression="deflate"), "1.2.840.10008.1.2.1.99"),
    (DicomChoices("binary", seg_compression="none"), "1.2.840.10008.1.2.1"),
    (DicomChoices("binary", seg_compression="deflate"), "1.2.840.10008.1.2.1.99"),
]


@pytest.mark.parametrize(("choices", "syntax"), PACKED)
def test_pixels_are_packed_as_was_chosen_and_are_the_same(choices, syntax, tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    path = written(tmp_path, labels, volume, choices)
    data = pydicom.dcmread(path)
    assert str(data.file_meta.TransferSyntaxUID) == syntax
    assert data.SegmentationType == choices.seg_encoding.upper()
    assert same_points(seg_points(path), label_points(labels)) < 1e-6
    back = prosect.read_labels(path, like=volume)
    assert np.array_equal(back.array, labels.array)
    assert written(tmp_path, labels, volume, choices).read_bytes() == path.read_bytes()
    usual = pydicom.dcmread(written(tmp_path, labels, volume, DicomChoices(choices.seg_encoding)))
    assert usual.SOPInstanceUID != data.SOPInstanceUID, "two files of other bytes are two objects"


def test_single_bits_are_not_packed_by_run_lengths(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    with pytest.raises(prosect.errors.OutputError, match="labelmap") as refused:
        written(tmp_path, labels, volume, DicomChoices(seg_compression="rle"))
    assert refused.value.code == "OUTPUT_UNSUPPORTED"


@pytest.mark.parametrize("choices", [*ENCODINGS, DicomChoices(deidentify=True)])
def test_the_same_labels_give_the_same_bytes(choices, tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    first = written(tmp_path, labels, volume, choices).read_bytes()
    assert written(tmp_path, labels, volume, choices).read_bytes() == first


def test_other_labels_are_another_object_of_the_same_structures(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    one = pydicom.dcmread(written(tmp_path, labels, volume))
    array = labels.array.copy()
    array[0, 0, 0] = 1
    other = pydicom.dcmread(
        written(tmp_path, prosect.LabelMap(array, labels.grid, VOCABULARY, labels.provenance), volume)
    )
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert [item.TrackingUID for item in one.SegmentSequence] == [item.TrackingUID for item in other.SegmentSequence]


def test_frames_refer_to_their_own_slices(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct", "coronal")
    data = pydicom.dcmread(written(tmp_path, labels, volume))
    places = {}
    for path in (tmp_path / "ct").iterdir():
        item = pydicom.dcmread(path)
        places[item.SOPInstanceUID] = list(item.ImagePositionPatient)
    assert len(data.PerFrameFunctionalGroupsSequence) == 3 + 4 + 1
    for item in data.PerFrameFunctionalGroupsSequence:
        source = item.DerivationImageSequence[0].SourceImageSequence[0]
        assert (
            source.ReferencedSOPClassUID
            == data.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPClassUID
        )
        assert list(item.PlanePositionSequence[0].ImagePositionPatient) == places[source.ReferencedSOPInstanceUID]
    referred = {item.ReferencedSOPInstanceUID for item in data.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referred == set(places)


def test_structures_are_coded_with_side_colour_and_label_value(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    data = pydicom.dcmread(written(tmp_path, labels, volume))
    liver, kidney, heart = data.SegmentSequence
    assert [item.SegmentNumber for item in data.SegmentSequence] == [1, 2, 3]
    assert (liver.SegmentLabel, kidney.SegmentLabel) == ("liver", "left kidney")
    kind = kidney.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("64033007", "SCT")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "7771000"
    assert "SegmentedPropertyTypeModifierCodeSequence" not in liver.SegmentedPropertyTypeCodeSequence[0]
    assert kidney.TrackingID == "prosect:14:left kidney"
    assert kidney.SegmentAlgorithmType == "AUTOMATIC"
    assert heart.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "prosect-small"
    assert liver.RecommendedDisplayCIELabValue == [25205, 40330, 38301]


def test_a_structure_without_a_certain_code_gets_one_of_ours(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    array = np.where(labels.array == 14, 250, 0)
    data = pydicom.dcmread(written(tmp_path, prosect.LabelMap(array, labels.grid, VOCABULARY), volume))
    kind = data.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("P0250", "99PROSECT", "label 250")
    assert data.SegmentSequence[0].SegmentAlgorithmType == "MANUAL"


def test_clicks_make_it_semiautomatic(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    about = {**labels.provenance, "clicks": {"liver": 3}}
    data = pydicom.dcmread(written(tmp_path, prosect.LabelMap(labels.array, labels.grid, VOCABULARY, about), volume))
    assert {item.SegmentAlgorithmType for item in data.SegmentSequence} == {"SEMIAUTOMATIC"}


def test_layers_that_overlap_are_kept_apart_and_refused_as_a_label_map(tmp_path) -> None:
    volume, flat = labelled_series(tmp_path / "ct")
    masks = np.stack([flat.array == 14, flat.array > 0])
    layers = prosect.LabelLayers(masks, (14, 1), flat.grid, VOCABULARY, flat.provenance)
    path = written(tmp_path, layers, volume)
    assert pydicom.dcmread(path).SegmentsOverlap == "YES"
    assert same_points(seg_points(path), label_points(layers)) < 1e-6
    with pytest.raises(prosect.ProsectError, match="overlap") as refused:
        written(tmp_path, layers, volume, DicomChoices("labelmap"))
    assert refused.value.code == "OUTPUT_UNSUPPORTED"


def test_layers_that_do_not_overlap_are_flat(tmp_path) -> None:
    volume, flat = labelled_series(tmp_path / "ct")
    masks = np.stack([flat.array == 14, flat.array == 1])
    layers = prosect.LabelLayers(masks, (14, 1), flat.grid, VOCABULARY)
    path = written(tmp_path, layers, volume)
    assert pydicom.dcmread(path).SegmentsOverlap == "NO"
    assert same_points(seg_points(path), label_points(layers)) < 1e-6


def test_only_the_listed_attributes_are_copied(tmp_path) -> None:
    secret = {
        "PatientComments": "lives in the red house",
        "StudyDescription": "for Dr. Who",
        "InstitutionName": "St. Elsewhere",
    }
    more = {
        "PatientSex": "F",
        "PatientBirthDate": "19500102",
        "StudyDate": "20200304",
        "StudyTime": "0506",
        "AccessionNumber": "A7",
    }
    volume, labels = labelled_series(tmp_path / "ct", **secret, **more)
    path = written(tmp_path, labels, volume)
    data = pydicom.dcmread(path)
    assert {tag: str(data[tag].value) for tag in COPIED} == {
        "PatientName": "Secret^Person", "PatientID": "SECRET-7", "StudyID": "", **more
    }  # fmt: skip
    for text in secret.values():
        assert text.encode() not in path.read_bytes()
    assert (data.ContentDate, data.ContentTime) == ("20200304", "0506")


def test_values_that_dicom_does_not_allow_are_left_empty(tmp_path) -> None:
    # pydicom warns of such values itself, in the source.
    folder = tmp_path / "ct"
    labelled_series(folder)
    for path in folder.iterdir():
        raw = path.read_bytes().replace(b"SECRET-7", b"SECR\\T-7")
        path.write_bytes(raw)
    volume = prosect.read(folder)
    assert "PatientID" not in volume.source.header.study.values
    assert volume.source.header.study.values["PatientName"] == "Secret^Person"


def test_deidentified_results_hold_neither_patient_nor_identifiers(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct", StudyDate="20200304", PatientBirthDate="19500102")
    path = written(tmp_path, labels, volume, DicomChoices(deidentify=True))
    raw, header = path.read_bytes(), volume.source.header
    hidden = ["Secret", "SECRET-7", "20200304", "19500102", *header.instance_uids]
    for text in hidden:
        assert text.encode() not in raw
    data = pydicom.dcmread(path)
    assert data.StudyInstanceUID.startswith("2.25.")
    assert data.PatientIdentityRemoved == "YES"
    assert same_points(seg_points(path), label_points(labels)) < 1e-6


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"StudyInstanceUID": ""}, "DICOM_UIDS_MISSING"),
        ({"FrameOfReferenceUID": ""}, "DICOM_UIDS_MISSING"),
        ({"SeriesInstanceUID": "not a uid"}, "DICOM_UIDS_MISSING"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_series_without_identifiers_is_refused(tags, code, tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct", **tags)
    with pytest.raises(prosect.ProsectError, match="NIfTI") as refused:
        written(tmp_path, labels, volume)
    assert refused.value.code == code
    assert not (tmp_path / "out.seg.dcm").exists()


def test_slices_of_two_studies_are_refused(tmp_path) -> None:
    _, labels = labelled_series(tmp_path / "ct")
    one = next((tmp_path / "ct").iterdir())
    data = pydicom.dcmread(one)
    data.StudyInstanceUID = "1.2.4"
    data.save_as(one)
    with pytest.raises(prosect.ProsectError, match="2 studies") as refused:
        written(tmp_path, labels, prosect.read(tmp_path / "ct"))
    assert refused.value.code == "DICOM_STUDIES_MIXED"


def test_a_scan_that_is_no_dicom_is_refused_with_the_way_out(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    nifti = prosect.read(prosect.write(volume, tmp_path / "scan.nii.gz"))
    for like in (None, nifti):
        with pytest.raises(prosect.ProsectError, match="Segment the DICOM series itself") as refused:
            prosect.write(labels, tmp_path / "out.seg.dcm", like=like)
        assert refused.value.code == "DICOM_SOURCE_NEEDED"


def test_resampled_slices_are_refused(tmp_path) -> None:
    for k, z in enumerate([0.0, 2.0, 4.0, 8.0, 12.0, 16.0]):
        pixels = np.full((7, 8), k, np.int16)
        save_slice(tmp_path / "ct", f"{k}", dicom_slice(pixels, (0, 0, z), SliceThickness=2.0 if z < 4 else 4.0))
    with pytest.warns(prosect.ProsectWarning):
        volume = prosect.read(tmp_path / "ct", regularise=True)
    labels = prosect.LabelMap(np.ones(volume.grid.shape, np.uint8), volume.grid, VOCABULARY)
    with pytest.raises(prosect.ProsectError, match="resampled") as refused:
        written(tmp_path, labels, volume)
    assert refused.value.code == "DICOM_RESAMPLED"


def test_nothing_found_is_no_object(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    with pytest.raises(prosect.ProsectError, match="empty") as refused:
        written(tmp_path, prosect.LabelMap(labels.array * 0, labels.grid, VOCABULARY), volume)
    assert refused.value.code == "DICOM_NOTHING_FOUND"


def test_a_scan_is_no_segmentation(tmp_path) -> None:
    volume, _ = labelled_series(tmp_path / "ct")
    with pytest.raises(prosect.ProsectError, match="holds labels") as refused:
        prosect.write(volume, tmp_path / "out.seg.dcm")
    assert refused.value.code == "OUTPUT_UNSUPPORTED"


def test_uids_that_were_emptied_are_taken_from_the_file_meta_information(tmp_path) -> None:
    _, labels = labelled_series(tmp_path / "ct")
    for path in (tmp_path / "ct").iterdir():
        data = pydicom.dcmread(path)
        data.SOPInstanceUID = data.SOPClassUID = ""
        data.save_as(path)
    volume = prosect.read(tmp_path / "ct")
    assert "6 of 6 slices lack SOP UIDs" in volume.source.notes[-1]
    assert errors_of(written(tmp_path, labels, volume)) == []


def test_memory_is_refused_before_the_work(tmp_path, monkeypatch) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    monkeypatch.setattr(seg, "FRAME_BYTES", 1 << 50)
    with pytest.raises(prosect.ProsectError) as refused:
        written(tmp_path, labels, volume)
    assert refused.value.exit_status == 5


def test_a_file_that_differs_from_the_labels_is_never_published(tmp_path, monkeypatch) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    image = outgoing(labels, volume, DicomChoices(), {})
    data = next(iter(seg.encode(image)))
    result = seg.result_of(image, "test")
    seg_check.check_written(data, result, seg.segment_numbers(result))
    first = data.index(bytes(pydicom.dcmread(written(tmp_path, labels, volume)).PixelData))
    spoilt = bytearray(data)
    spoilt[first + 20] ^= 1
    with pytest.raises(RuntimeError, match="voxels of label"):
        seg_check.check_written(bytes(spoilt), result, seg.segment_numbers(result))
    moved = data.replace(b"102.5", b"102.8")
    assert moved != data
    with pytest.raises(RuntimeError, match="mm off"):
        seg_check.check_written(moved, result, seg.segment_numbers(result))


def test_a_tilted_gantry_is_warned_of(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct", "tilted gantry")
    with pytest.warns(prosect.ProsectWarning, match="3D Slicer"):
        prosect.write(labels, tmp_path / "out.seg.dcm", like=volume)
