"""A request is either exactly understood or refused with a hint."""

from __future__ import annotations

import json
import pickle
import random
import string
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosect.errors import VocabularyError
from prosect.vocabulary import Resolution, Structure, Vocabulary, load
from prosect.vocabulary.matching import spelling

CT, CTMR, OURS = (load(name) for name in ("vista3d-ct", "vista3d-ctmr", "prosect"))
KNOWN = (1, 3, 5, 14, 20, 104, 220, 346, 347)
REASON = "the shipped model was not trained for it; load official VISTA3D weights with -w"
SMALL = OURS.restrict(KNOWN, REASON, everything="TRAINED")
words = st.sampled_from([s.name for s in CTMR])


def refusal(vocabulary: Vocabulary, *requests: object) -> VocabularyError:
    with pytest.raises(VocabularyError) as caught:
        vocabulary.resolve(list(requests))  # type: ignore[arg-type]
    return caught.value


def typos(name: str) -> Iterator[str]:
    """Yield everything one keystroke away from a name."""
    letters = string.ascii_lowercase + string.digits
    for n in range(len(name) + 1):
        yield from (name[:n] + c + name[n:] for c in letters)
        if n < len(name):
            yield name[:n] + name[n + 1 :]
            yield from (name[:n] + c + name[n + 1 :] for c in letters)
        if n + 1 < len(name):
            yield name[:n] + name[n + 1] + name[n] + name[n + 2 :]


def test_no_typo_of_a_name_silently_becomes_another_structure() -> None:
    refused = 0
    for structure in CT:
        for typo in typos(structure.name):
            found = CT.get(typo)
            refused += found is None
            if found is None or found is structure:
                continue
            # What is found must be exactly what was typed, and can only be another number of the same series.
            assert spelling(typo) in {spelling(name) for name in (found.name, *found.aliases)}
            assert found.name.rstrip("0123456789") == structure.name.rstrip("0123456789") or numbered(found, structure)
    assert refused > 100_000


def numbered(one: Structure, other: Structure) -> bool:
    return {one.name.split()[0], other.name.split()[0]} == {"vertebrae"}


def test_the_right_name_is_among_the_three_nearest_for_nearly_every_typo() -> None:
    # A fixed sample: all of them would take minutes.
    sample = random.Random(8)
    cases = [(s.name, t) for s in CT for t in sample.sample(sorted(set(typos(s.name))), 5) if CT.get(t) is None]
    hits = sum(name in CT.nearest(typo) for name, typo in cases)
    assert len(cases) > 600
    assert hits >= 0.95 * len(cases), f"{hits} of {len(cases)}"


@given(words, st.sampled_from([" ", "_", "-", "  "]), st.sampled_from([str.upper, str.lower, str.title]))
def test_case_spaces_underscores_and_hyphens_do_not_count(name: str, gap: str, case: object) -> None:
    assert CTMR.find(case(name.replace(" ", gap).replace("-", gap))).name == name  # type: ignore[operator]


@given(st.text(max_size=40))
def test_any_text_is_found_or_refused_in_printable_words(text: str) -> None:
    found = CT.get(text)
    if found is None:
        with pytest.raises(VocabularyError) as caught:
            CT.find(text)
        assert caught.value.code == "STRUCTURE_UNKNOWN"
        assert str(caught.value).isprintable()


def test_every_name_alias_index_and_digits_lead_to_the_structure() -> None:
    for s in OURS:
        for request in (s.name, *s.aliases, s.index, str(s.index), np.uint16(s.index)):
            assert OURS.find(request) is s
            assert OURS[request] is s
            assert request in OURS


def test_totalsegmentator_names_are_understood() -> None:
    assert CT["kidney_left"].index == 14
    assert CT["urinary_bladder"].name == "bladder"
    assert CT["lung_middle_lobe_right"].index == 31
    assert CT["rib_left_12"].name == "left rib 12"
    assert CTMR["heart_atrium_left"].name == "left atrium"


def test_an_unknown_name_is_refused_with_the_three_nearest() -> None:
    error = refusal(CT, "livr")
    assert error.code == "STRUCTURE_UNKNOWN"
    assert "'livr'" in str(error)
    assert "'liver'" in str(error)
    assert str(error).count("'") == 2 * 5  # the request, the vocabulary and three names


@pytest.mark.parametrize("request_", [0, -1, 133, "0", "999", "-3", True, 3.0, None, "", "\x1b[31m", "x" * 9999])
def test_what_is_no_structure_is_refused(request_: object) -> None:
    error = refusal(CT, request_)
    assert error.code == "STRUCTURE_UNKNOWN"
    assert len(str(error)) < 300
    assert str(error).isprintable()
    assert request_ not in CT


def test_nothing_asked_for_is_refused() -> None:
    assert refusal(CT).code == "PROMPT_EMPTY"


def test_one_text_is_not_taken_for_a_list_of_letters() -> None:
    with pytest.raises(VocabularyError, match=r"\['liver'\]"):
        CT.resolve("liver")


def test_resolve_keeps_the_order_and_expands_groups_visibly() -> None:
    resolution = CT.resolve(["spleen", "kidney", 1])
    assert resolution == Resolution((3, 14, 5, 1), {"kidney": ("left kidney", "right kidney")})


def test_what_is_asked_for_twice_is_listed_once_with_a_note() -> None:
    resolution = CT.resolve(["spleen", "left kidney", "SPLEEN", "kidney"])
    assert resolution.indices == (3, 14, 5)
    assert len(resolution.notes) == 2
    assert "'spleen'" in resolution.notes[0]
    assert "'left kidney'" in resolution.notes[1]
    assert "'kidney'" in resolution.notes[1]


@given(st.lists(st.sampled_from([s.index for s in CT if s.status in ("supported", "group")]), min_size=1))
def test_resolving_what_was_resolved_changes_nothing(requests: list[int]) -> None:
    once = CT.resolve(requests)
    again = CT.resolve(once.indices)
    assert again == Resolution(once.indices)
    assert len(set(once.indices)) == len(once.indices)
    assert all(CT[i].supported for i in once.indices)


@pytest.mark.parametrize("name", ["prostate or uterus", "rectum", "kidney mass", "liver tumor", "vertebrae L6"])
def test_unsupported_structures_are_refused_with_the_reason(name: str) -> None:
    error = refusal(CT, "liver", name)
    assert error.code == "STRUCTURE_UNSUPPORTED"
    assert name in str(error)
    assert CT[name].reason in str(error)


def test_retired_structures_are_found_by_their_short_name_and_refused() -> None:
    for short in ("fibula", "uterus", "left sartorius", "ascending aorta"):
        error = refusal(CTMR, short)
        assert error.code == "STRUCTURE_UNSUPPORTED"
        assert CTMR[short].reason in str(error)


def test_the_lung_is_a_group_in_ct_and_a_structure_in_ctmr() -> None:
    assert CT.resolve(["lung"]).indices == (28, 29, 30, 31, 32)
    assert CTMR.resolve(["lung"]).indices == (20,)


def test_an_unknown_everything_list_is_refused_by_naming_the_others() -> None:
    with pytest.raises(VocabularyError, match=r"CT_BODY, MRI_BODY, MRI_BRAIN") as caught:
        CTMR.everything("CT")
    assert caught.value.code == "EVERYTHING_UNKNOWN"


def test_a_restricted_vocabulary_refuses_the_rest_with_the_reason() -> None:
    assert len(SMALL) == len(OURS)
    assert {s.index for s in SMALL if s.supported} == set(KNOWN)
    error = refusal(SMALL, "hepatic vessel")
    assert error.code == "STRUCTURE_UNSUPPORTED"
    assert "'hepatic vessel'" in str(error)
    assert REASON in str(error)
    assert "no training data" in str(refusal(SMALL, "fibula"))  # the better reason stays
    assert SMALL["kidney"].status == "group"  # both kidneys are known
    assert SMALL["left lung upper lobe"].index == 28  # still found


def test_a_restricted_vocabulary_lists_what_was_kept() -> None:
    assert SMALL.everything() == KNOWN
    assert SMALL.everything("CT_BODY") == (1, 3, 5, 14, 20, 104, 346, 347)  # no lobes, so the lung is not left out


def test_a_group_with_a_missing_part_is_not_kept() -> None:
    one_kidney = CT.restrict([1, 14], REASON)
    assert one_kidney["kidney"].status == "unsupported"
    assert REASON in str(refusal(one_kidney, "kidney"))
    with pytest.raises(VocabularyError, match="all its parts"):
        CT.restrict(["kidney", 14], REASON)


def test_restricting_makes_nothing_supported() -> None:
    with pytest.raises(VocabularyError, match="rectum") as caught:
        CT.restrict([1, 18], REASON)
    assert caught.value.code == "STRUCTURE_UNSUPPORTED"


def test_restricting_twice_is_restricting_to_the_smaller() -> None:
    twice = CT.restrict([1, 3, 5, 14], "first").restrict([1, 3], "second")
    assert {s.index for s in twice if s.supported} == {1, 3}
    assert twice["left kidney"].reason == "second"


def test_containers_lie_below_what_they_contain_and_overlapping_structures_on_top() -> None:
    assert OURS.tiers([346, 20, 28, 23, 1]) == (-2, -1, 0, 1, 0)
    assert SMALL.tiers(SMALL.everything()) == (0, 0, 0, 0, 0, 0, 0, -1, 0)
    assert CT.tiers(CT.everything()) == (0,) * 117


@given(st.lists(st.integers(1, 347), unique=True, max_size=30))
def test_every_container_lies_below_every_plain_part(indices: list[int]) -> None:
    tier = dict(zip(indices, OURS.tiers(indices), strict=True))
    for outer in indices:
        for inner in {*OURS[outer].parts, *OURS[outer].contains} & tier.keys():
            assert tier[outer] < tier[inner] or OURS[inner].overlapping


@pytest.mark.parametrize("vocabulary", [CT, CTMR, OURS, SMALL], ids=["ct", "ctmr", "ours", "small"])
def test_a_vocabulary_survives_json_and_pickle(vocabulary: Vocabulary) -> None:
    assert Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict()))) == vocabulary
    again = pickle.loads(pickle.dumps(vocabulary))
    assert again == vocabulary
    assert again["liver"] == vocabulary["liver"]


@given(
    st.builds(
        Structure,
        index=st.integers(1, 65535),
        name=st.text(string.ascii_letters + " -", min_size=1).filter(lambda t: any(map(str.isalpha, t))),
        ambiguous=st.booleans(),
        overlapping=st.booleans(),
        everything=st.frozensets(st.sampled_from(["CT", "MRI_BODY"])),
        color=st.tuples(*[st.integers(0, 255)] * 3),
        laterality=st.sampled_from([None, "left", "right"]),
    )
)
def test_a_structure_of_ones_own_survives_json(structure: Structure) -> None:
    own = Vocabulary("own", (structure,))
    assert Vocabulary.from_dict(json.loads(json.dumps(own.to_dict()))) == own


DAMAGE: list[tuple[str, object]] = [
    ("not a mapping", ["name"]),
    ("unknown entry", {"name": "x", "default_list": None, "structures": [], "run": "x"}),
    ("structures missing", {"name": "x", "default_list": None}),
    ("unknown column", {"name": "x", "default_list": None, "structures": [{"index": "1", "nam": "a"}]}),
    ("not text", {"name": "x", "default_list": None, "structures": [{"index": 1, "name": "a", "color": "1,2,3"}]}),
    ("row not a mapping", {"name": "x", "default_list": None, "structures": ["liver"]}),
    ("list without members", {"name": "x", "default_list": "CT", "structures": []}),
]
ROW = {"index": "1", "name": "liver", "color": "1,2,3"}
BAD_COLUMNS = [
    {"index": "0"}, {"index": "65536"}, {"index": "one"}, {"name": ""}, {"name": "a\nb"}, {"name": "12"},
    {"color": "1,2"}, {"color": "1,2,256"}, {"status": "excellent"}, {"status": "group"}, {"parts": "2"},
    {"parts": "1"}, {"parts": "9-3"}, {"parts": "1-99999999"}, {"laterality": "up"},
    {"overlapping": "no"}, {"snomed": "10200004"},
]  # fmt: skip


@pytest.mark.parametrize("plain", [d for _, d in DAMAGE], ids=[name for name, _ in DAMAGE])
def test_a_damaged_stored_vocabulary_is_refused(plain: object) -> None:
    with pytest.raises(VocabularyError) as caught:
        Vocabulary.from_dict(plain)  # type: ignore[arg-type]
    assert caught.value.code == "VOCABULARY_INVALID"


@pytest.mark.parametrize("change", BAD_COLUMNS, ids=str)
def test_a_bad_column_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(VocabularyError) as caught:
        Vocabulary.from_dict({"name": "x", "default_list": None, "structures": [{**ROW, **change}]})
    assert caught.value.code == "VOCABULARY_INVALID"


def test_structures_cannot_contain_each_other() -> None:
    with pytest.raises(VocabularyError, match="contain each other"):
        Vocabulary("x", (Structure(1, "a", parts=(2,)), Structure(2, "b", contains=(1,))))


def test_an_extension_cannot_take_a_name_or_an_index() -> None:
    assert OURS.extend("more", [Structure(400, "my lesion")])["My_Lesion"].index == 400
    for taken in (Structure(1, "my lesion"), Structure(400, "LIVER"), Structure(400, "kidney_left")):
        with pytest.raises(VocabularyError) as caught:
            OURS.extend("more", [taken])
        assert caught.value.code == "VOCABULARY_INVALID"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HER2+ tumor", "HER2- tumor"),
        ("HER2+", "HER2"),
        ("HER2-", "HER2"),
        ("<1cm", ">1cm"),
        ("node (1)", "node [1]"),
        ("node #1", "node 1"),
        ("stage 1/2", "stage 1 2"),
        ("ER\u2212", "ER+"),
    ],
)
def test_names_that_differ_in_a_sign_are_two(one: str, other: str) -> None:
    words = load("vista3d-ct")
    words = words.extend("own", [Structure(200, one, "unsupported"), Structure(201, other, "unsupported")])
    assert (words[one].index, words[other].index) == (200, 201)
    assert words[f" {one.upper().replace(' ', '_')} "].index == 200


@pytest.mark.parametrize("text", ["kidney_left", "Left kidney", "left-kidney", "LEFT  KIDNEY", "kidney (left)",
                                  "kidney, left", "kidney - left", "left\u2013kidney"])  # fmt: skip
def test_a_known_name_is_found_by_any_tolerant_spelling(text: str) -> None:
    assert load("vista3d-ct")[text].name == "left kidney"


@pytest.mark.parametrize("text", ["#1", "\U0001f600", "---", "(12)"])
def test_a_name_without_a_letter_names_nothing(text: str) -> None:
    with pytest.raises(VocabularyError, match="needs a letter"):
        load("vista3d-ct").extend("own", [Structure(200, text, "unsupported")])
