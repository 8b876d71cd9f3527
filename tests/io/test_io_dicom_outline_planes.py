"""Outlines and frames on slices that they were not drawn on: told from a tenth of a slice, refused from a quarter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

import prosect
from prosect.errors import GeometryError, ProsectWarning
from worlds.label_objects import labelled_series

SLICE_MM = 2.5


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[prosect.Volume, NDArray[np.uint8], Path]:
    """Return a series, labels on it, and the folder of `o.seg.dcm` and `o.rtstruct.dcm`."""
    folder = tmp_path_factory.mktemp("planes")
    volume, labels = labelled_series(folder / "ct")
    for ending in ("seg", "rtstruct"):
        prosect.write(labels, folder / f"o.{ending}.dcm", like=volume)
    return volume, labels.array, folder


def moved(grid: prosect.Grid, *by_mm: float) -> prosect.Grid:
    """Return a grid that lies elsewhere by (x, y, z) mm."""
    affine = grid.affine.copy()
    affine[:3, 3] += by_mm
    return prosect.Grid(grid.shape, affine)


@pytest.mark.parametrize("ending", ["seg", "rtstruct"])
@pytest.mark.parametrize("off", [0.4, -0.6])
def test_labels_a_good_way_off_the_slices_are_told_in_millimetres(drawn, ending: str, off: float) -> None:
    volume, array, folder = drawn
    with pytest.warns(ProsectWarning, match=rf"{abs(off):.2f} mm"):
        stored = prosect.read_labels(folder / f"o.{ending}.dcm", like=moved(volume.grid, 0, 0, off))
    assert np.array_equal(stored.array, array)


@pytest.mark.parametrize("ending", ["seg", "rtstruct"])
def test_what_rounding_leaves_is_not_worth_a_word(drawn, ending: str) -> None:
    volume, array, folder = drawn
    stored = prosect.read_labels(folder / f"o.{ending}.dcm", like=moved(volume.grid, 0, 0, 0.01))
    assert np.array_equal(stored.array, array)


@pytest.mark.parametrize("ending", ["seg", "rtstruct"])
@pytest.mark.parametrize("off", [0.7, 1.1, -1.2])
def test_labels_between_slices_are_refused(drawn, ending: str, off: float) -> None:
    volume, _, folder = drawn
    with pytest.raises(GeometryError) as refused:
        prosect.read_labels(folder / f"o.{ending}.dcm", like=moved(volume.grid, 0, 0, off))
    assert refused.value.code == "LABELS_ELSEWHERE"


def test_the_refusal_names_the_distance_and_that_of_the_slices(drawn) -> None:
    volume, _, folder = drawn
    with pytest.raises(GeometryError, match=r"1\.10 mm from the nearest slice, where slices lie 2\.50 mm apart"):
        prosect.read_labels(folder / "o.rtstruct.dcm", like=moved(volume.grid, 0, 0, 1.1))


def test_outlines_of_two_planes_never_cancel_out_on_one_slice(drawn) -> None:
    volume, _, folder = drawn
    # One slice so thick that every outline lies within a quarter of it.
    affine = moved(volume.grid, 0, 0, 3 * SLICE_MM).affine.copy()
    affine[2, 2] = 12 * SLICE_MM
    with pytest.raises(GeometryError, match=r"planes, 7\.50 mm apart") as refused:
        prosect.read_labels(folder / "o.rtstruct.dcm", like=prosect.Grid((21, 17, 1), affine))
    assert refused.value.code == "LABELS_ELSEWHERE"


def changed(drawn, tmp_path: Path, change) -> Path:
    """Return a copy of the structure set whose outlines were changed one by one."""
    data = pydicom.dcmread(drawn[2] / "o.rtstruct.dcm")
    for region in data.ROIContourSequence:
        for contour in region.ContourSequence:
            change(contour)
    data.save_as(tmp_path / "x.dcm")
    return tmp_path / "x.dcm"


def lift(by_mm: float):
    """Return what moves an outline along z."""

    def change(contour: pydicom.Dataset) -> None:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        points[:, 2] += by_mm
        contour.ContourData = points.ravel().tolist()

    return change


def test_outlines_off_the_slices_that_they_name_are_told(drawn, tmp_path: Path) -> None:
    path = changed(drawn, tmp_path, lift(0.9))
    with pytest.warns(ProsectWarning, match=r"0\.90 mm from the slices"):
        stored = prosect.read_labels(path, like=drawn[0])
    assert np.array_equal(stored.array, drawn[1])


def test_outlines_that_all_name_the_first_slice_lie_where_they_were_drawn(drawn, tmp_path: Path) -> None:
    first = drawn[0].source.header.frames[0].instance_uid

    def name_the_first(contour: pydicom.Dataset) -> None:
        contour.ContourImageSequence[0].ReferencedSOPInstanceUID = first

    path = changed(drawn, tmp_path, name_the_first)
    with pytest.warns(ProsectWarning, match="name another slice"):
        stored = prosect.read_labels(path, like=drawn[0])
    assert np.array_equal(stored.array, drawn[1])


def test_outlines_far_between_the_slices_are_refused_whatever_they_name(drawn, tmp_path: Path) -> None:
    path = changed(drawn, tmp_path, lift(3 * SLICE_MM - 1.0))
    with pytest.raises(GeometryError) as refused:
        prosect.read_labels(path, like=drawn[0])
    assert refused.value.code == "LABELS_ELSEWHERE"


def test_an_outline_that_is_there_twice_is_no_hole_in_itself(drawn, tmp_path: Path) -> None:
    data = pydicom.dcmread(drawn[2] / "o.rtstruct.dcm")
    for region in data.ROIContourSequence:
        region.ContourSequence = [*region.ContourSequence, *region.ContourSequence]
    data.save_as(tmp_path / "x.dcm")
    with pytest.warns(ProsectWarning, match="there twice"):
        stored = prosect.read_labels(tmp_path / "x.dcm", like=drawn[0])
    assert np.array_equal(stored.array, drawn[1])


def test_frames_that_all_name_one_slice_lie_at_their_positions(drawn, tmp_path: Path) -> None:
    data = pydicom.dcmread(drawn[2] / "o.seg.dcm")
    first = drawn[0].source.header.frames[0].instance_uid
    for item in data.PerFrameFunctionalGroupsSequence:
        item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = first
    data.save_as(tmp_path / "x.dcm")
    with pytest.warns(ProsectWarning, match="several positions name one slice"):
        stored = prosect.read_labels(tmp_path / "x.dcm", like=drawn[0])
    assert np.array_equal(stored.array, drawn[1])


def test_a_line_along_a_column_refuses_nothing(drawn, tmp_path: Path) -> None:
    data = pydicom.dcmread(drawn[2] / "o.rtstruct.dcm")
    contour = data.ROIContourSequence[0].ContourSequence[0]
    points = np.array(contour.ContourData, float).reshape(-1, 3)
    line = np.stack([points[0], points[0] + (0, 1, 0), points[0] + (0, 2, 0)])
    extra = pydicom.Dataset()
    extra.ContourGeometricType, extra.NumberOfContourPoints = "CLOSED_PLANAR", 3
    extra.ContourData = line.ravel().tolist()
    data.ROIContourSequence[0].ContourSequence.append(extra)
    data.save_as(tmp_path / "x.dcm")
    stored = prosect.read_labels(tmp_path / "x.dcm", like=drawn[0])
    assert np.array_equal(stored.array, drawn[1])
