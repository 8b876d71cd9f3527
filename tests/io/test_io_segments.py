"""Structure names as Slicer keeps them: what is written is read, and what others write is understood."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect import vocabulary
from prosect.geometry import Grid
from prosect.io.segments import (
    LABEL_VALUE_TAG,
    layered_segments,
    segment_fields,
    segment_names,
    segmentation_fields,
    terminology,
)
from prosect.io.stored import Label, Outgoing, Segment

WORDS = vocabulary.load("prosect")
SHAPE = (4, 3, 2)


def outgoing(values: dict[int, str], layered: bool = False) -> Outgoing:
    """Return labels of these names about to be stored."""
    labels = tuple(Label(value, name, (255, 128, 0), WORDS.get(value)) for value, name in sorted(values.items()))
    shape = (len(labels), *SHAPE) if layered else SHAPE
    return Outgoing(np.zeros(shape, np.uint8), Grid(SHAPE, np.eye(4)), labels, layered, is_labels=True)


names = st.dictionaries(
    st.integers(1, 400), st.text("abcdefgh ijk", min_size=1, max_size=12).map(str.strip), max_size=6
)
some_names = names.filter(lambda found: all(found.values()))


@given(some_names)
@settings(max_examples=30, deadline=None)
def test_names_of_a_flat_file_come_back_by_their_values(values: dict[int, str]) -> None:
    keys = dict(segment_fields(outgoing(values)))
    if len(values) == 1 and 1 not in values:
        return  # a single mask of another value is read by its tag, see below
    found, layers = segment_names(keys, 1)
    assert found == {value: " ".join(name.split()) for value, name in values.items()}
    assert layers == ()


@given(some_names.filter(lambda found: len(found) > 1))
@settings(max_examples=30, deadline=None)
def test_layers_come_back_with_the_values_that_their_tags_keep(values: dict[int, str]) -> None:
    keys = dict(segment_fields(outgoing(values, layered=True)))
    assert {keys[f"Segment{n}_LabelValue"] for n in range(len(values))} == {"1"}
    found, layers = segment_names(keys, len(values))
    assert layers == tuple(sorted(values))
    assert found == {value: " ".join(name.split()) for value, name in values.items()}


def test_a_single_layer_of_ours_stands_for_the_label_of_its_tag() -> None:
    keys = dict(segment_fields(outgoing({7: "aorta"}, layered=True)))
    assert segment_names(keys, 1) == ({7: "aorta"}, (7,))
    del keys["Segment0_Tags"]
    assert segment_names(keys, 1) == ({1: "aorta"}, ()), "of others it stands for itself"


def test_layers_of_others_are_numbered_in_their_order() -> None:
    keys = {}
    for number, (layer, name) in enumerate((("1", "second"), ("0", "first"), ("2", "third"))):
        keys |= {f"Segment{number}_{key}": v for key, v in (("LabelValue", "1"), ("Name", name), ("Layer", layer))}
    assert segment_names(keys, 3) == ({1: "first", 2: "second", 3: "third"}, (1, 2, 3))


def test_a_scan_has_no_keys_and_labels_say_that_they_are_a_segmentation() -> None:
    image = outgoing({1: "liver"})
    keys = dict(segmentation_fields(image))
    assert keys["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert segmentation_fields(Outgoing(image.array, image.grid)) == []


def test_a_segment_says_its_colour_extent_and_value() -> None:
    keys = dict(segment_fields(outgoing({1: "liver", 3: "spleen"})))
    assert keys["Segment1_ID"] == "Segment_3"
    assert keys["Segment1_LabelValue"] == "3"
    assert keys["Segment1_Layer"] == "0"
    assert keys["Segment0_Color"] == "1.000000 0.501961 0.000000"
    assert keys["Segment0_Extent"] == "0 3 0 2 0 1"
    assert keys["Segment1_Tags"].endswith(f"{LABEL_VALUE_TAG}:3|")


def test_line_breaks_in_a_name_cannot_begin_another_key() -> None:
    keys = dict(segment_fields(outgoing({1: "li\nver\t of  two"})))
    assert keys["Segment0_Name"] == "li ver of two"


def test_codes_are_written_where_they_are_certain_and_not_at_all_where_not() -> None:
    liver = WORDS["liver"]
    text = terminology(liver)
    assert liver.snomed is not None
    assert f"SCT^{liver.snomed.value}^" in text
    assert text.startswith("TerminologyEntry:Segmentation category and type")
    assert text.endswith("|")
    assert terminology(None) == ""
    uncoded = next(structure for structure in WORDS if structure.snomed is None)
    assert terminology(uncoded) == ""


def test_sides_are_told_apart_in_the_codes() -> None:
    left, right = terminology(WORDS["left kidney"]), terminology(WORDS["right kidney"])
    assert left != right
    assert "Left" in left
    assert "Right" in right


def shared(*rows: tuple[str, str, str, str]) -> dict[str, str]:
    """Return the keys of segments by name, layer, value and tag."""
    keys: dict[str, str] = {}
    for number, (name, layer, value, tag) in enumerate(rows):
        keys |= {
            f"Segment{number}_Name": name,
            f"Segment{number}_Layer": layer,
            f"Segment{number}_LabelValue": value,
            f"Segment{number}_Tags": tag,
        }
    return keys


def test_several_segments_of_a_layer_keep_their_values_where_these_differ() -> None:
    keys = shared(("a", "0", "4", ""), ("b", "0", "9", ""), ("c", "1", "2", ""))
    assert layered_segments(keys, 2) == (Segment(4, "a", 0, 4), Segment(9, "b", 0, 9), Segment(2, "c", 1, 2))


def test_values_that_two_layers_share_are_numbered_anew() -> None:
    keys = shared(("a", "0", "1", ""), ("b", "0", "2", ""), ("c", "1", "1", ""))
    assert [segment.label for segment in layered_segments(keys, 2)] == [1, 2, 3]
    assert [segment.value for segment in layered_segments(keys, 2)] == [1, 2, 1]


def test_our_tags_come_before_the_values() -> None:
    tags = [f"{LABEL_VALUE_TAG}:{n}|" for n in (30, 40, 50)]
    keys = shared(("a", "0", "1", tags[0]), ("b", "0", "2", tags[1]), ("c", "1", "1", tags[2]))
    assert [segment.label for segment in layered_segments(keys, 2)] == [30, 40, 50]


@pytest.mark.parametrize(
    ("rows", "volumes"),
    [
        ((("a", "0", "1", ""),), 1),
        ((("a", "0", "1", ""), ("b", "5", "1", "")), 2),
    ],
    ids=["one layer", "a layer that is not there"],
)
def test_without_layers_that_are_there_nothing_is_said(
    rows: tuple[tuple[str, str, str, str], ...], volumes: int
) -> None:
    assert layered_segments(shared(*rows), volumes) == ()


def test_a_segment_without_a_number_for_value_or_layer_is_passed_over() -> None:
    keys = shared(("a", "0", "1", ""), ("b", "x", "2", ""), ("c", "1", "none", ""), ("d", "1", "3", ""))
    assert [segment.name for segment in layered_segments(keys, 2)] == ["a", "d"]
    assert segment_names(shared(("a", "0", "many", "")), 1) == ({}, ())
