"""Label maps keep every value, and layers keep every overlap until someone flattens them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prosect.boxes import Box
from prosect.errors import FormatError, GeometryError, VocabularyError
from prosect.geometry import Grid
from prosect.labelmap import LabelLayers, LabelMap
from prosect.vocabulary import load

OURS, CT = load("prosect"), load("vista3d-ct")
GRID = Grid((3, 4, 5), np.diag([1.5, 1.5, 3.0, 1.0]))
labels = hnp.arrays(np.int64, GRID.shape, elements=st.integers(0, 347))


def label_map(**at: int) -> LabelMap:
    array = np.zeros(GRID.shape, np.int32)
    for place, value in at.items():
        array.flat[int(place[1:])] = value
    return LabelMap(array, GRID, OURS)


@settings(deadline=None)
@given(hnp.arrays(st.sampled_from([np.uint8, np.int16, np.uint16, np.int64, np.uint64]), GRID.shape))
def test_values_are_kept_in_the_smallest_type_or_refused_and_never_wrap(array: np.ndarray) -> None:
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 65535:
        with pytest.raises(FormatError) as caught:
            LabelMap(array, GRID, OURS)
        assert caught.value.code == "LABELS_OUT_OF_RANGE"
        assert str(low if low < 0 else high) in str(caught.value)
    else:
        kept = LabelMap(array, GRID, OURS).array
        assert np.array_equal(kept.astype(object), array.astype(object))
        assert kept.dtype == (np.uint8 if high < 256 else np.uint16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.bool_, np.complex64])
def test_what_is_not_whole_numbers_is_refused(dtype: type) -> None:
    with pytest.raises(FormatError) as caught:
        LabelMap(np.zeros(GRID.shape, dtype), GRID, OURS)
    assert caught.value.code == "LABELS_NOT_INTEGER"


def test_shape_must_be_that_of_the_grid() -> None:
    with pytest.raises(GeometryError):
        LabelMap(np.zeros((5, 4, 3), np.uint8), GRID, OURS)
    with pytest.raises(FormatError):
        LabelMap(np.zeros((1, 3, 4, 5), np.uint8), GRID, OURS)


def test_a_label_map_is_read_only_and_leaves_its_source_writable() -> None:
    source = np.zeros(GRID.shape, np.uint8)
    result = LabelMap(source, GRID, OURS)
    with pytest.raises(ValueError, match="read-only"):
        result.array[0, 0, 0] = 1
    source[0, 0, 0] = 1


@settings(deadline=None)
@given(labels)
def test_present_is_every_value_but_the_background(array: np.ndarray) -> None:
    assert set(LabelMap(array, GRID, OURS).present) == set(np.unique(array).tolist()) - {0}


@settings(deadline=None)
@given(labels, st.booleans())
def test_a_mask_is_the_voxels_of_the_value_and_of_its_parts(array: np.ndarray, fortran: bool) -> None:
    result = LabelMap(np.asfortranarray(array) if fortran else array, GRID, OURS)
    for value in (*result.present[:5], 1, 20):
        expected = np.zeros(GRID.shape, bool)
        for place in np.ndindex(GRID.shape):
            expected[place] = within(int(array[place]), value)
        assert np.array_equal(result.mask(value), expected)
        assert np.array_equal(result.mask(OURS[value].name), expected)


def within(value: int, structure: int) -> bool:
    return value == structure or any(within(value, part) for part in OURS[structure].parts)


def test_the_mask_of_a_group_is_the_union_of_its_parts() -> None:
    array = np.zeros(GRID.shape, np.uint8)
    array[0, 0, :3] = 5, 14, 1
    result = LabelMap(array, GRID, CT)
    assert np.array_equal(result.mask("kidney"), (array == 5) | (array == 14))
    assert result.mask("lung").sum() == 0


def test_a_container_counts_what_lies_inside_only_when_asked() -> None:
    result = label_map(v0=346, v1=20, v2=28, v3=1)
    assert result.mask("body").sum() == 1
    assert result.mask("body", whole=True).sum() == 4
    assert result.mask("lung").sum() == 2  # the lobes are its parts


def test_names() -> None:
    result = label_map(v0=346)
    assert [result.name_of(0), result.name_of(1), result.name_of(346)] == ["background", "liver", "body"]
    with pytest.raises(VocabularyError):
        result.name_of(999)
    with pytest.raises(VocabularyError):
        result.mask("livr")


def layers(*masks: np.ndarray, indices: tuple[int, ...]) -> LabelLayers:
    return LabelLayers(np.stack(masks), indices, GRID, OURS, {"model": "fake"})


def box(stop: int) -> np.ndarray:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[:stop] = 1
    return mask


def test_layers_keep_overlaps() -> None:
    result = layers(box(3), box(2), box(0), indices=(1, 25, 300))
    assert result.mask("liver").sum() == 60
    assert result.mask("hepatic vessel").sum() == 40
    assert result.mask("spleen").sum() == 0
    assert result.present == (1, 25)
    assert result.indices == (1, 25, 300)
    assert result.masks.dtype == np.bool_


def test_flattening_puts_vessels_over_the_liver_and_the_liver_over_the_body() -> None:
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        masks, indices = [box(1), box(2), box(3)], [25, 1, 346]
        flat = layers(*[masks[n] for n in order], indices=tuple(indices[n] for n in order)).flatten()
        assert flat.array[:, 0, 0].tolist() == [25, 1, 346]
        assert flat.provenance["flattened_bottom_to_top"] == ["body", "liver", "hepatic vessel"]
        assert flat.provenance["model"] == "fake"


def test_flattening_in_a_given_order_obeys_it() -> None:
    result = layers(box(1), box(2), indices=(25, 1))
    assert result.flatten(["hepatic vessel", "liver"]).present == (1,)
    assert result.flatten(["liver", 25]).present == (1, 25)
    for bad in (["liver"], ["liver", "liver"], ["liver", "spleen"], ["liver", "hepatic vessel", "spleen"]):
        with pytest.raises(FormatError) as caught:
            result.flatten(bad)
        assert caught.value.code == "LABELS_ORDER"


@settings(deadline=None)
@given(hnp.arrays(np.bool_, (4, *GRID.shape)))
def test_flattening_keeps_the_foreground_and_the_topmost_mask(masks: np.ndarray) -> None:
    result = LabelLayers(masks, (3, 300, 1, 25), GRID, OURS)
    flat = result.flatten()
    assert np.array_equal(flat.array > 0, masks.any(axis=0))
    assert np.array_equal(flat.mask(25), masks[3])
    for index, mask in zip(result.indices, masks, strict=True):
        assert (flat.mask(index) <= mask).all()


def test_layers_that_do_not_overlap_flatten_to_the_same_masks() -> None:
    result = layers(box(1), box(2) - box(1), indices=(3, 1))
    for index in result.indices:
        assert np.array_equal(result.flatten().mask(index), result.mask(index))


@pytest.mark.parametrize(
    ("masks", "indices"),
    [
        (np.zeros((2, 3, 4, 5), np.float32), (1, 2)),
        (np.full((2, 3, 4, 5), 2, np.uint8), (1, 2)),
        (np.zeros((3, 4, 5), np.uint8), (1,)),
        (np.zeros((2, 3, 4, 5), np.uint8), (1,)),
        (np.zeros((2, 3, 4, 5), np.uint8), (1, 1)),
    ],
)
def test_layers_must_be_one_mask_per_structure(masks: np.ndarray, indices: tuple[int, ...]) -> None:
    with pytest.raises(FormatError):
        LabelLayers(masks, indices, GRID, OURS)


def test_layers_must_be_known_and_fit_the_grid() -> None:
    with pytest.raises(VocabularyError):
        LabelLayers(np.zeros((1, 3, 4, 5), bool), (999,), GRID, OURS)
    with pytest.raises(GeometryError):
        LabelLayers(np.zeros((1, 3, 4, 4), bool), (1,), GRID, OURS)


def test_layers_leave_their_source_writable() -> None:
    source = np.zeros((1, *GRID.shape), bool)
    result = LabelLayers(source, (1,), GRID, OURS)
    source[0, 0, 0, 0] = True
    with pytest.raises(ValueError, match="read-only"):
        result.masks[0, 0, 0, 0] = False


def test_a_map_and_its_layers_answer_alike() -> None:
    flat = LabelMap(np.random.default_rng(0).choice([0, 1, 3], GRID.shape).astype(np.uint8), GRID, OURS)
    layers = LabelLayers(np.stack([flat.array == i for i in (3, 1)]), (3, 1), GRID, OURS)
    for index in (1, 3, 22):
        np.testing.assert_array_equal(layers.own_mask(index), flat.own_mask(index))
    assert flat.flatten() is flat
    assert [indices for indices, _ in flat.flat_parts()] == [(1, 3)]
    assert [indices for indices, _ in layers.flat_parts()] == [(1,), (3,)], "ascending, one at a time"
    np.testing.assert_array_equal(sum(array for _, array in layers.flat_parts()), flat.array)
    box = Box((1, 0, 1), tuple(n - 1 for n in GRID.shape))
    for labels in (flat, layers):
        part = labels.crop(box)
        assert part.grid == GRID.crop(box.start, box.stop)
        np.testing.assert_array_equal(part.mask(1), flat.mask(1)[box.slices])
