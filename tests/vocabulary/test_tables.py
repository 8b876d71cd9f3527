"""The packaged tables say what the official models know, and no more."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from prosect.errors import VocabularyError
from prosect.vocabulary import NAMES, Structure, Vocabulary, load
from prosect.vocabulary.matching import spelling
from prosect.vocabulary.structure import SIDES

CT, CTMR, OURS = (load(name) for name in ("vista3d-ct", "vista3d-ctmr", "prosect"))
RIBS, VERTEBRAE = range(63, 87), range(33, 57)
LIMB_GIRDLES_AND_LIMBS = range(87, 98)
every_vocabulary = pytest.mark.parametrize("vocabulary", [CT, CTMR, OURS], ids=NAMES)

# official facts, for whoever has the label files beside the repository
OFFICIAL = Path(__file__).parents[3] / "shared" / "labels"
needs_official = pytest.mark.skipif(
    not OFFICIAL.is_dir(), reason="the official label files are not beside the repository"
)


def indices(vocabulary: Vocabulary, status: str) -> set[int]:
    return {s.index for s in vocabulary if s.status == status}


def test_ct_has_132_indices_127_known_124_trained_and_117_in_everything() -> None:
    supported, groups = indices(CT, "supported"), indices(CT, "group")
    assert [s.index for s in CT] == list(range(1, 133))
    assert len(supported | groups) == 127
    assert len(supported) == 124
    assert groups == {2, 20, 21}
    assert indices(CT, "unsupported") == {16, 18, 129, 130, 131}
    assert set(CT.everything("CT")) == set(range(1, 133)) - {2, 16, 18, 20, 21, *range(23, 28), *range(128, 133)}
    assert len(CT.everything()) == 117


def test_ctmr_has_345_indices_of_which_those_without_data_are_retired() -> None:
    assert [s.index for s in CTMR] == list(range(1, 346))
    assert indices(CTMR, "retired") == {16, 129, 130, 131, 133, *range(137, 146), 155, 162}
    assert indices(CTMR, "group") == {2}
    assert {s.index for s in CTMR if "(deprecated)" in s.name} == indices(CTMR, "retired")
    assert len(indices(CTMR, "supported")) == 328
    for status in ("retired", "unsupported"):
        assert all(CTMR[i].reason for i in indices(CTMR, status))


def test_ours_only_adds_to_the_345() -> None:
    assert OURS.structures[:345] == CTMR.structures
    assert [(s.index, s.name, s.status) for s in OURS.structures[345:]] == [
        (346, "body", "supported"),
        (347, "mandible", "supported"),
        (348, "ribs", "supported"),
    ]
    # Where each rib is named, the ribs as one are left out.
    assert set(OURS.everything("CT_BODY")) == {*CTMR.everything("CT_BODY"), 346, 347}


def test_everything_lists_of_ctmr() -> None:
    assert CTMR.lists == ("CT_BODY", "MRI_BODY", "MRI_BRAIN")
    assert set(CTMR.everything("CT_BODY")) == {*CT.everything("CT"), 18}  # the rectum has data here
    assert (len(CTMR.everything("MRI_BODY")), CTMR.everything("MRI_BRAIN")) == (50, tuple(range(214, 346)))


@every_vocabulary
def test_everything_lists_hold_only_what_a_flat_map_can_show(vocabulary: Vocabulary) -> None:
    for kind in vocabulary.lists:
        members = vocabulary.everything(kind)
        assert list(members) == sorted(set(members))
        for structure in map(vocabulary.find, members):
            assert structure.supported
            assert not structure.overlapping
            assert not structure.parts or not set(structure.parts) <= set(members)


def test_groups_have_the_official_parts() -> None:
    assert set(CT["kidney"].parts) == {5, 14}
    assert set(CT["lung"].parts) == set(range(28, 33))
    assert set(CT["bone"].parts) == {*VERTEBRAE, *RIBS, *LIMB_GIRDLES_AND_LIMBS, 114, 120, 122}
    assert len(CT["bone"].parts) == 62


@every_vocabulary
def test_overlapping_and_ambiguous_flags(vocabulary: Vocabulary) -> None:
    first = {s.index for s in vocabulary if s.overlapping and s.index <= 132}
    assert first == {23, 24, 25, 26, 27, 128, 132}
    assert {s.index for s in vocabulary if s.ambiguous} == {23, 24, 25, 26, 27, 57, 128}


@every_vocabulary
def test_the_side_is_the_one_in_the_name(vocabulary: Vocabulary) -> None:
    for s in vocabulary:
        words = s.name.lower().replace("-", " ").split()
        assert s.laterality == next((side for side in SIDES if side in words), None), s.name
        if s.side is not None:
            assert s.side == SIDES[str(s.laterality)]
    assert (SIDES["left"].value, SIDES["right"].value) == ("7771000", "24028007")


@every_vocabulary
def test_the_two_of_a_pair_have_one_code_and_opposite_sides(vocabulary: Vocabulary) -> None:
    lefts = [s for s in vocabulary if s.laterality == "left"]
    pairs = [(s, other) for s in lefts if (other := vocabulary.get(mirrored(s.name))) is not None]
    assert len(pairs) >= (32 if vocabulary is CT else 120)
    for left, right in pairs:
        assert right.laterality == "right"
        if left.side is not None:  # some codes say the side themselves, as that of the left atrium does
            assert left.snomed == right.snomed, left.name
        assert np.abs(np.subtract(left.color, right.color)).max() >= 20, left.name


def mirrored(name: str) -> str:
    return name.lower().replace("left", "right")


@every_vocabulary
def test_no_two_structures_are_coded_alike(vocabulary: Vocabulary) -> None:
    seen: dict[object, str] = {}
    for s in vocabulary:
        if s.snomed is not None:
            key = (s.snomed.value, s.laterality, s.region)
            assert key not in seen, (s.name, seen[key])
            seen[key] = s.name
    assert len(seen) > 100


@every_vocabulary
def test_every_code_has_a_correct_check_digit_and_one_meaning(vocabulary: Vocabulary) -> None:
    meaning: dict[str, str] = {}
    for s in vocabulary:
        assert (s.snomed is None) == (s.category is None)
        for code in (s.snomed, s.category, s.region):
            if code is not None:
                assert verhoeff(code.value) == 0, code
                assert meaning.setdefault(code.value, code.meaning) == code.meaning


def verhoeff(number: str) -> int:
    """Return 0 where the last digit of a SNOMED CT identifier fits the others."""
    first = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    power, check = list(range(10)), 0
    for digit in reversed(number):
        check = dihedral(check, power[int(digit)])
        power = [first[p] for p in power]
    return check


def dihedral(a: int, b: int) -> int:
    """Return the product in the symmetry group of the pentagon, the table of the Verhoeff check."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
    return 5 + (a - b) % 5 if b < 5 else (a - b) % 5


def test_the_check_digit_notices_every_swap_of_neighbours() -> None:
    for left, right in pairwise(range(8)):
        digits = list("10200004")
        if digits[left] != digits[right]:
            digits[left], digits[right] = digits[right], digits[left]
            assert verhoeff("".join(digits)) != 0


@every_vocabulary
def test_colors_tell_structures_apart(vocabulary: Vocabulary) -> None:
    colors = np.array([s.color for s in vocabulary], dtype=int)
    apart = np.abs(colors[:, None] - colors[None]).max(axis=-1)
    np.fill_diagonal(apart, 255)
    assert apart.min() >= 5
    assert colors.max(axis=1).min() > 40  # none is lost on black


def test_tables_agree_on_the_first_132() -> None:
    for ours in CT:
        theirs = CTMR[ours.index]
        assert spelling(theirs.name.removesuffix(" (deprecated)")) == spelling(ours.name)
        assert (theirs.color, theirs.laterality, theirs.overlapping) == (ours.color, ours.laterality, ours.overlapping)
        assert theirs.status == "retired" or theirs.snomed == ours.snomed


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(VocabularyError, match=r"vista3d-ct, vista3d-ctmr, prosect") as caught:
        load("totalsegmentator")
    assert caught.value.code == "VOCABULARY_UNKNOWN"


def official(name: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads((OFFICIAL / name).read_text())
    return rows


@needs_official
def test_names_flags_and_lists_are_those_of_the_official_132() -> None:
    for row in official("vista3d_ct_132.json"):
        ours: Structure = CT[int(str(row["index"]))]
        assert (ours.name, ours.status) == (row["name"], row["status"])
        assert (ours.overlapping, ours.ambiguous) == (row["overlap_class"], row["special_point"])
        assert (ours.index in CT.everything("CT")) == row["in_everything"]
        assert set(ours.parts) == set(row["subclasses"] or ())  # type: ignore[call-overload]


@needs_official
def test_names_modalities_and_lists_are_those_of_the_official_345() -> None:
    lists = (("CT_BODY", "ct_body"), ("MRI_BODY", "mri_body"), ("MRI_BRAIN", "mri_brain"))
    for row in official("nv_segment_ctmr_345.json"):
        ours = CTMR[int(str(row["index"]))]
        assert ours.name == row["name"]
        if ours.supported:
            assert ours.modalities == {str(m).replace("MRI", "MR") for m in row["modalities"]}  # type: ignore[attr-defined]
        for name, key in lists:
            assert ours.index not in CTMR.everything(name) or row[key]
