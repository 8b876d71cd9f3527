"""Both kinds of canvas hold the same structures alike, and finish as the labels that were painted."""

from __future__ import annotations

import numpy as np
import pytest

from prosect import vocabulary
from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.inference.canvas import Canvas, FlatCanvas, LayeredCanvas
from prosect.labelmap import LabelLayers, LabelMap

LIVER, SPLEEN, BRAIN = 1, 3, 22
ASKED = (SPLEEN, LIVER, BRAIN)
GRID = Grid((6, 5, 4), np.eye(4))
WORDS = vocabulary.load("prosect")


def painted() -> np.ndarray:
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[1:4, 1:3, 2:4] = LIVER
    array[4:6, 0:2, 0:1] = SPLEEN
    return array


@pytest.fixture(params=[FlatCanvas, LayeredCanvas])
def canvas(request: pytest.FixtureRequest) -> Canvas:
    kind: type[FlatCanvas] | type[LayeredCanvas] = request.param
    arrays = []
    for painting in kind.paintings(ASKED):
        array = np.zeros(GRID.shape, dtype=np.uint8)
        for shown, value in zip(painting.shown, painting.values, strict=True):
            array[painted() == shown] = value
        arrays.append(array)
    return kind.of(arrays, ASKED)


def test_structures_are_counted_boxed_and_cut_out(canvas: Canvas) -> None:
    assert canvas.indices == ASKED
    assert canvas.counts() == {SPLEEN: 4, LIVER: 12, BRAIN: 0}
    assert canvas.box(LIVER) == Box((1, 1, 2), (4, 3, 4))
    assert canvas.box(BRAIN).size == 0
    around = Box((0, 0, 0), (5, 3, 3))
    np.testing.assert_array_equal(canvas.mask(LIVER, around), painted()[around.slices] == LIVER)


def test_what_is_dropped_is_gone_from_one_structure_only(canvas: Canvas) -> None:
    box = canvas.box(LIVER)
    half = canvas.mask(LIVER, box)
    half[1:] = False
    canvas.drop(LIVER, box, half, SPLEEN)
    labels = canvas.finish(GRID, WORDS, {"made": "here"})
    np.testing.assert_array_equal(labels.own_mask(LIVER), (painted() == LIVER) & (np.arange(6) > 1)[:, None, None])
    taken_over = int(half.sum()) if isinstance(labels, LabelMap) else 0
    assert labels.own_mask(SPLEEN).sum() == 4 + taken_over
    assert labels.provenance["made"] == "here"


def test_what_is_added_was_nobodys_or_the_containers_in_a_flat_map(canvas: Canvas) -> None:
    box = Box((0, 0, 0), (6, 3, 4))
    voxels = np.zeros(box.shape, dtype=np.bool_)
    voxels[0] = True  # nobody's
    voxels[5, 0:2, 0] = True  # the spleen's
    voxels[3, 1:3, 3] = True  # the liver's
    taken = canvas.add(BRAIN, box, voxels, SPLEEN)
    labels = canvas.finish(GRID, WORDS, {})
    expected = np.zeros(GRID.shape, dtype=np.bool_)
    expected[box.slices] = voxels
    if isinstance(labels, LabelMap):
        expected &= painted() != LIVER
    np.testing.assert_array_equal(labels.own_mask(BRAIN), expected)
    assert taken == expected.sum()
    assert labels.own_mask(LIVER).sum() == 12


def test_a_canvas_finishes_as_what_it_is() -> None:
    flat = FlatCanvas.of([painted()], ASKED).finish(GRID, WORDS, {})
    assert isinstance(flat, LabelMap)
    layers = LayeredCanvas.of([painted() == index for index in ASKED], ASKED).finish(GRID, WORDS, {})
    assert isinstance(layers, LabelLayers)
    assert layers.indices == ASKED
    np.testing.assert_array_equal(layers.flatten().array, flat.array)
