"""The preview: the right side up, the right side left, in millimetres, whatever the grid."""

from __future__ import annotations

import itertools
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from numpy.typing import NDArray

from prosect import preview, vocabulary
from prosect.errors import FormatError, GeometryError
from prosect.geometry import AxisOrder, Grid
from prosect.labelmap import LabelLayers, LabelMap
from prosect.measure import measure
from prosect.phantom import asymmetric_letter
from prosect.preview.legend import absences
from prosect.preview.palette import PALETTE, colors_of
from prosect.preview.picture import Row, draw
from prosect.preview.planes import in_panel, length_below
from prosect.preview.projection import BACKGROUND_LIGHT, brightest
from prosect.preview.scene import AXIAL, CORONAL, SAGITTAL, SOFT_TISSUE_HU, Scene, center_of, stage
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")


def empty(volume: Volume) -> LabelMap:
    return LabelMap(np.zeros(volume.grid.shape, np.uint8), volume.grid, WORDS)


def scene_of(volume: Volume, labels: LabelMap) -> Scene:
    return stage(volume, labels, measure(labels))


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
        (CORONAL, 11, 6, False, False),  # the patient's left is the viewer's right
        (AXIAL, -21, 3, False, False),  # behind is below
        (SAGITTAL, 4, 1, True, True),  # the front is at the viewer's left, the head above
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
    shown = brightest(scene_of(volume, empty(volume)))
    assert shown.shape == (6, 4)
    assert shown[1, 2] == shown.max() == pytest.approx(BACKGROUND_LIGHT)
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
    scene = stage(volume, layers, measure(layers))
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
    assert scene_of(ct, empty(ct)).window == SOFT_TISSUE_HU
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


def test_left_and_right_and_neighbours_in_the_legend_differ_in_hue() -> None:
    left, right = WORDS["left parotid"].index, WORDS["right parotid"].index
    colors = colors_of([left, right, 346], [346], 346)
    assert np.abs(colors[left] - colors[right]).max() > 0.5
    assert colors[346].min() > 0.8, "what is drawn as a line only is nearly white"
    assert len(set(PALETTE)) == len(PALETTE) >= 30
    for one, other in itertools.pairwise(PALETTE):
        assert np.abs(np.subtract(one, other)).max() > 0.25


@pytest.mark.parametrize("shape", [(60, 24, 50), (110, 60, 110), (40, 40, 12)])
def test_no_word_in_a_panel_lies_on_another(shape: tuple[int, int, int]) -> None:
    """A neck is so narrow from the side that the panel's name once ran into the letter, and numbers into the name."""
    affine = np.diag([4.0, 4.0, 3.0, 1.0])
    affine[:3, 3] = (-170.0, -120.0, -118.0)
    array = np.zeros(shape, np.uint8)
    array[tuple(slice(n // 3, n // 2) for n in shape)] = 1
    volume = Volume(np.zeros(shape, np.float32), Grid(shape, affine), "CT")
    figure = draw([Row(scene_of(volume, LabelMap(array, volume.grid, WORDS)))], [], "", [])
    FigureCanvasAgg(figure).draw()
    for axes in figure.axes:
        boxes = [text.get_window_extent().shrunk(0.9, 0.8) for text in axes.texts if text.get_text()]
        for one, other in itertools.combinations(boxes, 2):
            assert not one.overlaps(other)


def test_the_colours_of_the_same_structures_are_the_same_in_every_scan() -> None:
    np.testing.assert_array_equal(colors_of([1, 3, 5], [], 5)[[1, 3, 5]], colors_of([5, 1, 3], [], 9)[[1, 3, 5]])


def test_coordinates_are_world_millimetres_where_they_stand() -> None:
    affine = np.diag([2.0, -3.0, 4.0, 1.0])
    affine[:3, 3] = 100.0, -50.0, 700.0
    volume = Volume(np.zeros((10, 12, 14)), Grid((10, 12, 14), affine), "CT")
    scene = scene_of(volume, empty(volume))
    assert [scene.position_mm(axis, 0) for axis in range(3)] == [100.0, -50.0 - 11 * 3, 700.0]
    # The patient's right is at the left: the first voxel (R 100) lies in the right half of the panel.
    assert in_panel(scene, AXIAL, (0, 0, 0)) == (19.0, 1.5)
    assert in_panel(scene, AXIAL, (9, 11, 0)) == (1.0, 34.5)


@pytest.mark.parametrize(("most", "length"), [(0.3, 1), (1, 1), (19.9, 10), (60, 50), (120, 100), (5000, 1000)])
def test_the_scale_is_a_plain_length(most: float, length: float) -> None:
    assert length_below(most) == length


def test_the_body_does_not_decide_where_the_planes_lie() -> None:
    grid = Grid((40, 40, 40), np.eye(4))
    array = np.full(grid.shape, 346, np.uint16)
    array[30:36, 3:9, 33:38] = 1
    volume = Volume(np.zeros(grid.shape), grid, "CT")
    labels = LabelMap(array, grid, WORDS)
    assert labels.array[scene_of(volume, labels).center] == 1


def test_each_structure_has_a_row_through_its_middle_on_request(tmp_path: Path) -> None:
    volume, labels = asymmetric_letter()
    found = measure(labels)
    plain = imread(preview.render(volume, labels, tmp_path / "a.png"))
    rows = imread(preview.render(volume, labels, tmp_path / "b.png", each=True))
    assert rows.shape[0] > plain.shape[0] + 100 * len(found)
    for m in found:
        center = center_of(m, volume)
        assert all(a <= c < b for a, c, b in zip(m.start_vox, center, m.stop_vox, strict=True))


def test_what_was_not_found_and_what_was_withheld_is_said_in_words() -> None:
    _volume, labels = asymmetric_letter()
    found = measure(labels)
    said = {"classes": [*labels.present, 204, 205, 210], "withheld": {"210": "no neck"}}
    more = LabelMap(labels.array, labels.grid, WORDS, said)
    assert absences(more, found) == ["not found: left parotid, right parotid", "withheld: larynx"]
    assert absences(labels, found) == []


def test_a_stack_of_few_thick_slices_keeps_its_proportions(tmp_path: Path) -> None:
    grid = Grid((200, 200, 20), np.diag([2.0, 2.0, 5.0, 1.0]))
    array = np.zeros(grid.shape, np.uint8)
    array[50:150, 50:150, 5:15] = 1  # 200 by 200 by 50 mm
    volume = Volume(np.full(grid.shape, -1000.0), grid, "CT")
    picture = imread(preview.render(volume, LabelMap(array, grid, WORDS), tmp_path / "a.png"))
    coronal = picture[60:-80, picture.shape[1] // 4 + 8 : picture.shape[1] // 2 - 8, :3]
    rows, columns = np.nonzero(coronal.max(axis=2) - coronal.min(axis=2) > 0.2)
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(4, rel=0.1)


def test_clicks_are_drawn_before_and_after_where_they_were_made(tmp_path: Path) -> None:
    volume, labels = asymmetric_letter()
    place = measure(labels)[0].centroid_ras
    picture = imread(preview.render_clicks(volume, empty(volume), labels, [(place, True)], tmp_path / "a.png"))
    half = picture.shape[0] // 2
    assert colored_pixels(picture[60 : half - 40]) < colored_pixels(picture[half:-80])
    green = (picture[..., 1] > 0.8) & (picture[..., 0] < 0.3) & (picture[..., 2] < 0.6)
    assert green.sum() > 6 * 20, "a plus in each of six panels"


def test_a_small_picture_for_notebooks_is_a_png_with_and_without_labels() -> None:
    volume, labels = asymmetric_letter()
    plain, marked = preview.thumbnail(volume), preview.thumbnail(volume, labels)
    assert plain.startswith(b"\x89PNG")
    assert colored_pixels(imread(BytesIO(plain))) == 0
    assert colored_pixels(imread(BytesIO(marked))) > 500
    assert len(marked) < 100_000
