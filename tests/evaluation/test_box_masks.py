"""A structure's mask in its box is its mask in the scan."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect import vocabulary
from prosect.evaluation.box_masks import Boxed
from prosect.geometry import Grid
from prosect.labelmap import LabelLayers, LabelMap

WORDS = vocabulary.load("prosect")
SHAPE = (9, 8, 7)
GRID = Grid(SHAPE, np.diag([1.0, 2.0, 3.0, 1.0]))
# liver, aorta, both kidneys, mandible and its halves, body
INDICES = (1, 6, 5, 14, 347, 200, 201, 346)
ASKED = ("liver", "aorta", "kidney", "mandible", "left mandible", "body", "spleen")


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_a_mask_in_its_box_is_the_mask_in_the_scan(seed: int, layered: bool, fortran: bool) -> None:
    rng = np.random.default_rng(seed)
    array = np.where(rng.uniform(size=SHAPE) < 0.04, rng.choice(INDICES, SHAPE), 0).astype(np.uint16)
    array = np.asfortranarray(array) if fortran else array
    labels: LabelMap | LabelLayers = LabelMap(array, GRID, WORDS)
    if layered:
        labels = LabelLayers(np.stack([array == i for i in INDICES]), INDICES, GRID, WORDS)
    boxed = Boxed.of(labels)
    for name in ASKED:
        whole = labels.mask(name, whole=True)
        box = boxed.box(name)
        assert boxed.mask(name, box).sum() == whole.sum()
        np.testing.assert_array_equal(boxed.mask(name, box), whole[box.slices])


@pytest.mark.parametrize("fortran", [True, False])
def test_boxes_are_no_larger_than_need_be(fortran: bool) -> None:
    array = np.zeros(SHAPE, dtype=np.uint8, order="F" if fortran else "C")
    array[2:4, 3:8, 1:2] = 1
    box = Boxed.of(LabelMap(array, GRID, WORDS)).box("liver")
    assert (box.start, box.stop) == ((2, 3, 1), (4, 8, 2))
