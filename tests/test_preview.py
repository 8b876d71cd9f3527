"""The preview: the right side up, the right side left, in millimetres, whatever the grid."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from prosect import preview, vocabulary
from prosect.errors import FormatError, GeometryError
from prosect.geometry import AxisOrder, Grid
from prosect.labelmap import LabelLayers, LabelMap
from prosect.measure import measure
from prosect.phantom import asymmetric_letter
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")


def empty(volume: Volume) -> LabelMap:
    return LabelMap(np.zeros(volume.grid.shape, np.uint8), volume.grid, WORDS)


def scene_of(volume: Volume, labels: LabelMap) -> preview.Scene:
    return preview.stage(volume, labels, measure(labels))


def colored_pixels(picture: NDArray[np.float32]) -> int:
    """Return how many pixels of a picture (rows, columns, channels) are colour, which only structures are."""
    channels = picture[..., :3]
    return int((channels.max(axis=2) - channels.min(axis=2) > 0.2).sum())


def test_a_png_is_written_and_nothing_else(tmp_path: Path) -> None:
    volume, labels = asymmetric_letter()
    assert preview.render(volume, labels, tmp_path / "a.png", title="letter") == tmp_path / "a.png"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    picture = imread(tmp_path / "a.png")
    assert picture.shape[1] == 1600
    assert 300 < picture.shape[0] < 1100


def test_every_axis_order_gives_the_same_picture(tmp_path: Path) -> None:
    volume, labels = asymmetric_letter()
    first = imread(preview.render(volume, labels, tmp_path / "a.png"))
    order = AxisOrder((2, 0, 1), (True, False, True))
    grid = volume.grid.reorder(order)
    turned = Volume(order.apply(volume.array), grid, "CT"), LabelMap(order.apply(labels.array), grid, WORDS)
    second = imread(preview.render(*turned, tmp_path / "b.png"))
    assert first.shape == second.shape
    assert np.abs(first - second).max() < 0.01


@pytest.mark.parametrize(
    ("view", "position", "structure", "left_of_middle", "above_middle"),
    [
        (preview.CORONAL, 11, 6, False, False),  # the patient's left is the viewer's right
        (preview.AXIAL, -21, 3, False, False),  # behind is below
        (preview.SAGITTAL, 4, 1, True, True),  # the front is at the viewer's left, the head above
    ],
)
def test_a_structure_appears_on_its_radiological_side(view, position, structure, left_of_middle, above_middle) -> None:
    _, labels = asymmetric_letter(spacing_mm=2.0)
    middle = [0.0, 0.0, 0.0]
    middle[view.through] = position
    index = round(labels.grid.to_voxel([middle])[0, view.through])
    rows, columns = np.nonzero(view.cut(labels.array, index) == structure)
    assert rows.size
    half = labels.grid.shape[0] / 2
    assert (columns.mean() < half) == left_of_middle
    assert (rows.mean() > half) == above_middle


def test_the_planes_pass_through_what_was_found() -> None:
    volume, labels = asymmetric_letter()
    only = LabelMap(np.where(labels.array == 3, 3, 0).astype(np.uint8), labels.grid, WORDS)
    center = scene_of(volume, only).center
    assert only.array[center] == 3


def test_the_projection_shows_the_brightest_of_each_ray_behind_the_structures() -> None:
    grid = Grid((6, 5, 4), np.eye(4))
    values = np.full(grid.shape, -1000.0)
    values[1, 3, 2], values[4, 0, 1] = 640.0, 40.0
    volume = Volume(values, grid, "CT")
    shown = preview.brightest(scene_of(volume, empty(volume)))
    assert shown.shape == (6, 4)
    assert shown[1, 2] == shown.max() == pytest.approx(preview.BACKGROUND_LIGHT)
    assert 0 < shown[4, 1] < shown[1, 2]
    assert (shown > 0).sum() == 2


def test_planes_stay_in_place_when_axes_are_mirrored() -> None:
    volume, labels = asymmetric_letter()
    order = AxisOrder((1, 0, 2), (False, True, True))
    grid = volume.grid.reorder(order)
    turned = Volume(order.apply(volume.array), grid, "CT"), LabelMap(order.apply(labels.array), grid, WORDS)
    one, other = scene_of(volume, labels), scene_of(*turned)
    np.testing.assert_allclose(one.grid.to_world([one.center]), other.grid.to_world([other.center]), atol=2.1)


def test_nothing_found_still_makes_a_picture(tmp_path: Path) -> None:
    volume, _ = asymmetric_letter()
    nothing = imread(preview.render(volume, empty(volume), tmp_path / "a.png"))
    assert colored_pixels(nothing) == 0
    something = imread(preview.render(volume, asymmetric_letter()[1], tmp_path / "b.png"))
    assert colored_pixels(something) > 10_000


def test_layers_that_overlap_are_drawn(tmp_path: Path) -> None:
    volume, labels = asymmetric_letter()
    masks = np.stack([labels.array > 0, labels.array == 1])
    layers = LabelLayers(masks, (346, 1), labels.grid, WORDS)
    scene = preview.stage(volume, layers, measure(layers))
    assert scene.around == {346}
    assert (scene.labels == 1).sum() == masks[1].sum()
    preview.render(volume, layers, tmp_path / "a.png")


@pytest.mark.parametrize("fill", [0.0, 7.5])
def test_a_constant_scan_of_any_modality_is_drawn(tmp_path: Path, fill: float) -> None:
    grid = Grid((6, 5, 4), np.diag([1.0, 2.0, 9.0, 1.0]))
    volume = Volume(np.full(grid.shape, fill), grid, "MR")
    liver = np.zeros(grid.shape, np.uint8)
    liver[1:4, 1:4, 1:3] = 1
    bare = imread(preview.render(volume, empty(volume), tmp_path / "a.png"))
    marked = imread(preview.render(volume, LabelMap(liver, grid, WORDS), tmp_path / "b.png"))
    assert np.isfinite(bare).all()
    assert colored_pixels(bare) == 0
    # The structure takes a fifth of two planes; without it not one pixel is coloured.
    assert colored_pixels(marked) > 2000


def test_the_window_is_soft_tissue_for_ct_and_percentiles_for_mr() -> None:
    rng = np.random.default_rng(0)
    grid = Grid((20, 20, 20), np.eye(4))
    values = rng.uniform(0, 900, grid.shape)
    ct, mr = Volume(values - 900, grid, "CT"), Volume(values, grid, "MR")
    assert scene_of(ct, empty(ct)).window == preview.SOFT_TISSUE_HU
    low, high = scene_of(mr, empty(mr)).window
    assert 0 < low < 50
    assert 850 < high < 900


def test_thin_and_oblique_grids_are_drawn(tmp_path: Path) -> None:
    turn = np.deg2rad(20)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine[2, 2] = 12.0
    grid = Grid((40, 50, 1), affine)
    array = np.zeros(grid.shape, np.uint8)
    array[10:20, 10:30] = 1
    volume = Volume(np.zeros(grid.shape), grid, "CT")
    picture = imread(preview.render(volume, LabelMap(array, grid, WORDS), tmp_path / "a.png"))
    rows, columns = np.nonzero(picture[..., 0] > picture[..., 2] + 0.1)  # the liver is drawn red
    axial = columns < picture.shape[1] / 4
    assert rows[axial].size > 1000, "the plane of one slice shows the structure"


def test_a_scan_of_another_shape_is_refused_and_nothing_written(tmp_path: Path) -> None:
    volume, _ = asymmetric_letter()
    _, labels = asymmetric_letter(spacing_mm=4.0)
    with pytest.raises(GeometryError):
        preview.render(volume, labels, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    volume, labels = asymmetric_letter(spacing_mm=4.0)
    with pytest.raises(FormatError, match="folder"):
        preview.render(volume, labels, tmp_path / "no" / "a.png")


def test_a_large_scan_is_not_copied(tmp_path: Path) -> None:
    """Only planes and a coarse subset of the voxels are touched: the picture needs a fraction of the scan's memory."""
    grid = Grid((384, 384, 300), np.diag([0.8, 0.8, 1.0, 1.0]))
    small = asymmetric_letter()[1].array
    array = np.zeros(grid.shape, np.uint8, order="F")
    array[100:164, 120:184, 80:144] = small
    volume = Volume(np.zeros(grid.shape, np.float32, order="F"), grid, "CT")
    labels = LabelMap(array, grid, WORDS)
    found = measure(labels)
    tracemalloc.start()
    try:
        preview.render(volume, labels, tmp_path / "a.png", measurements=found)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < volume.array.nbytes / 4
