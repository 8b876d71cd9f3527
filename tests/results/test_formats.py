"""Label files as other programs know them: TotalSegmentator's names in NIfTI, Slicer's codes and layers in NRRD."""

from __future__ import annotations

from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest

import prosect
from prosect import vocabulary
from prosect.geometry import Grid
from prosect.io import write_mask
from prosect.io.label_table import caret_xml, parse_caret_xml
from prosect.io.stored import Label
from prosect.labelmap import LabelLayers, LabelMap
from prosect.phantom import asymmetric_letter

WORDS = vocabulary.load("prosect")
# The table in TotalSegmentator's own output for `--roi_subset liver brain`.
TOTALSEGMENTATOR = (
    b'<?xml version="1.0" encoding="UTF-8"?> <CaretExtension>  <Date><![CDATA[2013-07-14T05:45:09]]></Date>   '
    b'<VolumeInformation Index="0">   <LabelTable>\n<Label Key="5" Red="0.0" Green="1.0" Blue="1.0" Alpha="1">'
    b'<![CDATA[liver]]></Label>\n<Label Key="90" Red="1.0" Green="0.5019607843137255" Blue="0.0" Alpha="1">'
    b"<![CDATA[brain]]></Label>\n\n  </LabelTable>  <StudyMetaDataLinkSet>  </StudyMetaDataLinkSet>  "
    b"<VolumeType><![CDATA[Label]]></VolumeType>   </VolumeInformation></CaretExtension>\n"
)


def test_the_name_table_is_totalsegmentators_byte_for_byte() -> None:
    labels = [Label(5, "liver", (0, 255, 255)), Label(90, "brain", (255, 128, 0))]
    assert caret_xml(labels, layered=False) == TOTALSEGMENTATOR


def test_totalsegmentators_own_files_carry_that_table(real_scans: Path) -> None:
    place = real_scans / "totalsegmentator_refs" / "example_seg_roi_subset.nii.gz"
    (extension,) = nibabel.load(place).header.extensions
    assert extension.get_code() == 0
    assert extension.get_content().rstrip(b" \x00") == TOTALSEGMENTATOR.rstrip(b" ")
    assert prosect.read_labels(place).names == {5: "liver", 90: "brain"}


def test_the_table_names_what_was_looked_for_and_not_found(tmp_path: Path) -> None:
    grid = Grid((4, 4, 4), np.eye(4))
    labels = LabelMap(np.ones(grid.shape, np.uint8), grid, WORDS, {"classes": [14, 1]})
    assert labels.sought == (1, 14)
    image = nibabel.load(prosect.write(labels, tmp_path / "a.nii.gz"))
    (extension,) = image.header.extensions
    assert extension.get_code() == 0
    assert parse_caret_xml(extension.get_content())[0] == {1: "liver", 14: "left kidney"}


def segments(path: Path) -> dict[str, dict[str, str]]:
    """Return Slicer's keys of each segment by its name."""
    header = nrrd.read_header(str(path))
    count = len([key for key in header if key.endswith("_LabelValue")])
    keys = ("LabelValue", "Layer", "Tags", "Extent")
    return {header[f"Segment{n}_Name"]: {key: header[f"Segment{n}_{key}"] for key in keys} for n in range(count)}


def test_slicer_finds_codes_with_side_and_region(tmp_path: Path) -> None:
    grid = Grid((4, 4, 4), np.eye(4))
    array = np.zeros(grid.shape, np.uint8)
    array[0], array[1], array[2] = 14, 25, 1
    place = prosect.write(LabelMap(array, grid, WORDS), tmp_path / "a.seg.nrrd")
    assert nrrd.read_header(str(place))["Segmentation_MasterRepresentation"] == "Binary labelmap"
    tags = {name: keys["Tags"] for name, keys in segments(place).items()}
    types, regions = "3D Slicer General Anatomy list", "Anatomic codes - DICOM master list"
    structure = "SCT^123037004^Anatomical structure"
    side = "SCT^7771000^Left"
    assert f"{types}~{structure}~SCT^64033007^Kidney~{side}~{regions}~^^~^^|" in tags["left kidney"]
    assert f"~SCT^59820001^Blood vessel~^^~{regions}~SCT^10200004^Liver~^^|" in tags["hepatic vessel"]
    assert f"~SCT^10200004^Liver~^^~{regions}~^^~^^|" in tags["liver"]


@pytest.mark.parametrize("index", [s.index for s in WORDS if s.snomed is None][:1])
def test_a_structure_without_a_certain_code_gets_none(tmp_path: Path, index: int) -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    labels = LabelMap(np.full(grid.shape, index, np.uint16), grid, WORDS)
    (keys,) = segments(prosect.write(labels, tmp_path / "a.seg.nrrd")).values()
    assert "TerminologyEntry" not in keys["Tags"]


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nrrd", ".nii.gz"])
def test_what_overlaps_is_kept_in_layers(tmp_path: Path, ending: str) -> None:
    _, labels = asymmetric_letter(spacing_mm=4.0)
    masks = np.stack([labels.array > 0, labels.array == 1])
    place = prosect.write(LabelLayers(masks, (1, 25), labels.grid, WORDS), tmp_path / f"a{ending}")
    again = prosect.read_labels(place)
    assert again.layers == (1, 25)
    assert again.names == {1: "liver", 25: "hepatic vessel"}
    np.testing.assert_array_equal(again.array, masks)
    if ending != ".nii.gz":
        assert {name: keys["Layer"] for name, keys in segments(place).items()} == {"liver": "0", "hepatic vessel": "1"}
    else:
        assert nibabel.load(place).shape == (*labels.grid.shape, 2)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_mask_is_uint8_of_0_and_1_on_the_grid_and_bears_its_name(tmp_path: Path, ending: str) -> None:
    _, labels = asymmetric_letter(spacing_mm=4.0)
    place = write_mask(labels.array == 1, labels.grid, WORDS["left kidney"], tmp_path / f"a{ending}")
    again = prosect.read_labels(place)
    assert again.array.dtype == np.uint8
    np.testing.assert_array_equal(again.array, labels.array == 1)
    assert again.grid.distance_to(labels.grid) < 1e-3
    assert again.names == {1: "left kidney"}
