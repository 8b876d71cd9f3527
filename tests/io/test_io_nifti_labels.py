"""Labels in NIfTI: values, names and geometry survive the way out and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from prosect.errors import FormatError
from prosect.geometry import Grid
from prosect.io import nifti_header, read, read_labels, write
from worlds.files import SHAPE, label_layers, label_map, letter_f, oblique, save_nifti


def test_a_result_on_the_grid_of_its_scan_repeats_the_geometry_bit_for_bit(tmp_path: Path) -> None:
    source = save_nifti(tmp_path / "a.nii.gz", letter_f(), sform_code=2, qform_code=3, descrip=b"Secret^Person")
    volume = read(source)
    path = write(label_map(volume.grid), tmp_path / "b.nii.gz", like=volume)
    before, after = nib.load(source).header, nib.load(path).header
    for field in nifti_header.GEOMETRY_FIELDS:
        assert before[field].tobytes() == after[field].tobytes(), field
    assert b"Secret" not in after.binaryblock


def test_label_maps_round_trip_with_names_and_repeat_byte_for_byte(tmp_path: Path) -> None:
    grid = Grid(SHAPE, oblique())
    for dtype, name in ((np.uint8, "a.nii.gz"), (np.uint16, "a.nii")):
        labels = label_map(grid, high=dtype is np.uint16)
        path = write(labels, tmp_path / name)
        first = path.read_bytes()
        assert write(labels, tmp_path / f"again_{name}").read_bytes() == first
        back = read_labels(path)
        assert back.array.dtype == dtype
        assert np.array_equal(back.array, labels.array)
        assert np.abs(back.grid.affine - grid.affine).max() < 1e-4
        assert back.names == {index: labels.vocabulary[index].name for index in labels.present}
        header = nib.load(path).header
        assert header["cal_max"] == header["cal_min"] == 0
        assert nib.load(path).dataobj.slope == 1
        assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).T, labels.array)


def test_noncontiguous_arrays_are_written_in_place(tmp_path: Path) -> None:
    grid = Grid(SHAPE, oblique())
    labels = label_map(grid)
    expected = write(labels, tmp_path / "a.nii").read_bytes()
    for array in (np.asfortranarray(labels.array), np.array(labels.array[::-1])[::-1], labels.array.T.copy().T):
        assert write(replace(labels, array=array), tmp_path / "b.nii").read_bytes() == expected


def test_layers_round_trip_with_their_label_values(tmp_path: Path) -> None:
    grid = Grid(SHAPE, oblique())
    layers = label_layers(grid)
    path = write(layers, tmp_path / "a.nii.gz")
    assert nib.load(path).shape == (*SHAPE, 2)
    back = read_labels(path)
    assert back.layers == (300, 3)
    assert back.names == {300: "high value", 3: "spleen"}
    assert np.array_equal(back.array, layers.masks)
    assert np.array_equal(read_labels(path, volume=1).array, layers.masks[1])
    back = read_labels(write(label_layers(grid, 1), tmp_path / "b.nii"))
    assert back.layers == (300,)
    assert back.array.shape == (1, *SHAPE)


def test_names_written_by_totalsegmentator_are_read(tmp_path: Path) -> None:
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?> <CaretExtension>  <Date><![CDATA[2013-07-14T05:45:09]]></Date>   '
        '<VolumeInformation Index="0">   <LabelTable>\n<Label Key="1" Red="0.0" Green="1.0" Blue="0.0" Alpha="1">'
        "<![CDATA[spleen]]></Label>\n\n  </LabelTable>  <StudyMetaDataLinkSet>  </StudyMetaDataLinkSet>  "
        "<VolumeType><![CDATA[Label]]></VolumeType>   </VolumeInformation></CaretExtension>\n              "
    )
    image = nib.Nifti1Image((letter_f() > 100).astype(np.uint8), oblique())
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"a comment first"))
    image.header.extensions.append(nib.nifti1.Nifti1Extension(0, xml.encode()))
    image.to_filename(tmp_path / "a.nii.gz")
    assert read_labels(tmp_path / "a.nii.gz").names == {1: "spleen"}


@pytest.mark.parametrize("table", [b"<LabelTable", b'<!DOCTYPE a [<!ENTITY b "c">]><LabelTable/>', b"<LabelTable>\xff"])
def test_an_unreadable_name_table_yields_no_names_and_no_error(tmp_path: Path, table: bytes) -> None:
    image = nib.Nifti1Image(np.ones(SHAPE, np.uint8), oblique())
    image.header.extensions.append(nib.nifti1.Nifti1Extension(0, table))
    image.to_filename(tmp_path / "a.nii")
    assert read_labels(tmp_path / "a.nii").names == {}


@pytest.mark.parametrize(
    ("value", "code"),
    [(-1, "LABELS_OUT_OF_RANGE"), (0.5, "LABELS_NOT_INTEGER"), (70000, "LABELS_OUT_OF_RANGE"),
     (np.nan, "LABELS_OUT_OF_RANGE")],
)  # fmt: skip
def test_values_that_are_no_labels_are_refused(tmp_path: Path, value: float, code: str) -> None:
    scan = np.zeros(SHAPE, np.float32)
    scan[1, 1, 1] = value
    with pytest.raises(FormatError) as caught:
        read_labels(save_nifti(tmp_path / "a.nii", scan))
    assert caught.value.code == code


def test_whole_floats_and_scaled_integers_are_labels(tmp_path: Path) -> None:
    labels = label_map(Grid(SHAPE, oblique()), high=True).array
    assert np.array_equal(read_labels(save_nifti(tmp_path / "a.nii", labels.astype(np.float64))).array, labels)
    path = save_nifti(tmp_path / "b.nii", labels.astype(np.int16), scl_slope=2.0, scl_inter=0)
    assert np.array_equal(read_labels(path).array, labels * 2)


def test_a_value_that_the_vocabulary_does_not_know_is_written_unnamed(tmp_path: Path) -> None:
    labels = label_map(Grid(SHAPE, oblique()))
    array = labels.array.copy()
    array[0, 0, 0] = 77
    back = read_labels(write(replace(labels, array=array), tmp_path / "a.nii.gz"))
    assert back.array[0, 0, 0] == 77
    assert sorted(back.names) == [1, 5]
