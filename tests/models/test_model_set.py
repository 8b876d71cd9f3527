"""Several models as one: each structure from its owner, one label map, one name."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest
import torch

from prosect import vocabulary
from prosect.boxes import Box
from prosect.checkpoints.offers import offering
from prosect.errors import CheckpointError, ProsectWarning, VocabularyError
from prosect.geometry import Grid
from prosect.inference.memory import MemoryPlan
from prosect.inference.question import Question
from prosect.labelmap import LabelLayers, LabelMap
from prosect.models.model_set import ModelSet, set_of
from prosect.models.protocols import Withholds, require_both, require_learns
from prosect.models.set_labels import merge_flat
from prosect.models.spec import ModelSpec, profile
from prosect.models.withholding import WithholdsByFacts
from prosect.prompts import LabelledClick
from prosect.session import Session
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")
SHAPE = (12, 10, 8)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
SCAN = Volume(np.zeros(SHAPE, np.float32), GRID, "CT")
LIVER, ESOPHAGUS, BODY, LARYNX = (WORDS[name].index for name in ("liver", "esophagus", "body", "larynx"))
# What each structure is in the scan of these tests: planes from one to another along the first axis.
PLANES = {LIVER: (2, 7), ESOPHAGUS: (5, 9), BODY: (0, 12), LARYNX: (9, 11)}


@dataclass
class Painter:
    """A model that finds every structure it knows where `PLANES` says, but those it is blind for, says yes to every
    click, and keeps what it was asked."""

    name: str
    knows: Sequence[str]
    blind: Sequence[str] = ()
    words: str = "prosect"
    automatic_only: bool = False
    asked: list[list[int]] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    device = torch.device("cpu")

    def __post_init__(self) -> None:
        words = vocabulary.load(self.words)
        offered = offering(words, [words[name].index for name in self.knows])
        self.spec = ModelSpec(
            self.name, offered, weights_sha256=f"hash of {self.name}", licence=f"licence of {self.name}",
            everything=offered.default_list, automatic_only=self.automatic_only,
        )  # fmt: skip
        self.vocabulary = offered
        self.identity = {"model": self.name, "weights_sha256": self.spec.weights_sha256, "profile": "prosect"}

    def plan(self, *_: Any) -> MemoryPlan:
        """Return a plan of a hundred bytes for each letter of the name."""
        size = 100 * len(self.name)
        names = ("scan", "preparing", "prepared", "slab", "window", "labels", "libraries")
        return MemoryPlan(SHAPE, SHAPE, 3, dict.fromkeys(names, size))

    def segment(
        self, volume: Volume, classes: Sequence[Any] | None = None, overlap: bool = False, watch: Any = None
    ) -> LabelMap | LabelLayers:
        """Return the planes, a later class over those before it."""
        indices = tuple(int(index) for index in classes or ())
        self.asked.append(list(indices))
        if watch is not None:
            watch(1, 2)
            watch(2, 2)
        masks = np.zeros((len(indices), *SHAPE), bool)
        for mask, index in zip(masks, indices, strict=True):
            if WORDS[index].name not in self.blind:
                low, high = PLANES[index]
                mask[low:high] = True
        provenance = {
            **self.identity, "model": self.name, "windows": 3, "classes": list(indices), "notes": ["seen by all"],
            "seconds": {"network": 1.0},
        }  # fmt: skip
        layers = LabelLayers(masks, indices, GRID, self.vocabulary, provenance)
        return layers if overlap else layers.flatten()

    def session(self, volume: Volume, **options: Any) -> Session:
        """Return a session, or refuse."""
        if self.automatic_only:
            raise CheckpointError(f"{self.name} takes no clicks", code="MODEL_NO_CLICKS")
        return Session(volume, self, **options)

    def responder(self, *_: Any) -> Painter:
        """Return itself."""
        return self

    def place(self, *_: Any) -> tuple[int, int, int]:
        """Return the first voxel."""
        return 0, 0, 0

    def box(self, *_: Any) -> Box:
        """Return the scan."""
        return Box((0, 0, 0), SHAPE)

    def extent(self, question: Question, watch: Any = None) -> Box:
        """Return the scan."""
        return self.box()

    def propose(self, question: Question, box: Box, watch: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Keep the question and say yes everywhere."""
        self.questions.append(question)
        return np.ones(box.shape, bool), np.ones(box.shape, bool)


def neck_and_torso(**torso: Any) -> tuple[ModelSet, Painter, Painter]:
    """Return a set of two, and the two: both know an oesophagus, the torso's is the better one."""
    neck = Painter("neck", ["esophagus", "larynx", "body"])
    other = Painter("torso", ["liver", "esophagus"], **torso)
    figures: list[Mapping[str, float]] = [
        {"esophagus": 0.4, "larynx": 0.6, "body": 0.9},
        {"liver": 0.9, "esophagus": 0.5},
    ]
    return set_of([neck, other], figures), neck, other


def test_each_structure_is_asked_of_those_that_know_it_and_taken_from_the_best() -> None:
    both, neck, torso = neck_and_torso()
    said: Any = both.segment(SCAN).provenance["models"]
    assert neck.asked == [sorted([ESOPHAGUS, LARYNX, BODY])]
    assert torso.asked == [sorted([LIVER, ESOPHAGUS])]
    assert [each["classes"] for each in said] == [sorted([LARYNX, BODY]), sorted([LIVER, ESOPHAGUS])]


@pytest.mark.parametrize("overlap", [False, True])
def test_what_the_best_model_does_not_find_comes_from_the_next(overlap: bool) -> None:
    both, _, _ = neck_and_torso(blind=["esophagus", "liver"])
    found = both.segment(SCAN, overlap=overlap)
    said: Any = found.provenance["models"]
    assert ESOPHAGUS in said[0]["classes"]
    assert found.present == tuple(sorted([ESOPHAGUS, LARYNX, BODY]))
    assert found.sought == tuple(sorted([LIVER, ESOPHAGUS, LARYNX, BODY]))


def test_what_another_model_owns_falls_to_what_contains_it() -> None:
    narrow = Painter("torso", ["esophagus"])
    both = set_of([Painter("neck", ["esophagus", "body"]), narrow], [{"esophagus": 0.4}, {"esophagus": 0.5}])
    first = both.members[0].segment(SCAN, [ESOPHAGUS, BODY])
    assert isinstance(first, LabelMap)
    assert ESOPHAGUS in first.present
    table = both._own_table(0, first, {ESOPHAGUS: 1, BODY: 0})
    own = merge_flat([first.array], [BODY], [table])
    assert own[:, 0, 0].tolist() == [BODY] * SHAPE[0], "no hole is left in the body"
    assert ESOPHAGUS in first.present, "the labels of the model itself stay"


def test_a_model_that_owns_nothing_of_what_is_asked_is_not_run() -> None:
    both, neck, torso = neck_and_torso()
    found = both.segment(SCAN, ["larynx"])
    assert torso.asked == []
    assert found.present == (LARYNX,)
    assert neck.asked == [[LARYNX]]


def test_between_equal_figures_the_earlier_model_finds_a_structure() -> None:
    first, second = Painter("first", ["liver"]), Painter("second", ["liver"])
    assert set_of([first, second], [{}, {}]).offers == {LIVER: (0, 1)}
    assert set_of([first, second], [{"liver": 0.5}, {"liver": 0.5}]).offers == {LIVER: (0, 1)}
    assert set_of([first, second], [{}, {"liver": 0.1}]).offers == {LIVER: (1, 0)}


def test_what_lies_inside_covers_and_of_equals_the_better_known_does() -> None:
    both, _, _ = neck_and_torso()
    merged = both.segment(SCAN)
    assert isinstance(merged, LabelMap)
    line = merged.array[:, 0, 0].tolist()
    # 5 and 6 are claimed by liver (0.9) and oesophagus of one model, which flattens them itself; 9 by larynx and body.
    assert line[:2] == [BODY, BODY]
    assert line[2:5] == [LIVER] * 3
    assert line[7:9] == [ESOPHAGUS] * 2
    assert line[9:] == [LARYNX, LARYNX, BODY]


def test_two_models_at_one_voxel_are_settled_by_their_figures_whatever_their_order() -> None:
    torso, neck = Painter("torso", ["liver"]), Painter("neck", ["esophagus"])
    for models, figures in (
        ([torso, neck], [{"liver": 0.9}, {"esophagus": 0.5}]),
        ([neck, torso], [{"esophagus": 0.5}, {"liver": 0.9}]),
    ):
        line = set_of(models, figures).segment(SCAN).array[:, 0, 0].tolist()  # type: ignore[union-attr]
        assert line[5:7] == [LIVER, LIVER]
    weak = set_of([torso, neck], [{"liver": 0.4}, {"esophagus": 0.5}])
    assert weak.segment(SCAN).array[5:7, 0, 0].tolist() == [ESOPHAGUS, ESOPHAGUS]  # type: ignore[union-attr]


def test_layers_come_in_the_order_of_the_request_and_hide_nothing() -> None:
    both, _, _ = neck_and_torso()
    layers = both.segment(SCAN, ["esophagus", "larynx", "liver"], overlap=True)
    assert isinstance(layers, LabelLayers)
    assert layers.indices == (ESOPHAGUS, LARYNX, LIVER)
    for index in layers.indices:
        low, high = PLANES[index]
        assert layers.own_mask(index).sum() == (high - low) * SHAPE[1] * SHAPE[2]


def test_merging_agrees_with_painting_one_structure_after_another() -> None:
    generator = np.random.default_rng(0)
    ascending = [7, 300, 2, 9, 4]
    arrays = [generator.choice([0, *part], SHAPE).astype(np.uint16) for part in ((7, 2), (300, 9), (4,))]
    slow = np.zeros(SHAPE, np.uint16)
    for value in ascending:
        for array in arrays:
            slow[array == value] = value
    kept = [array.copy() for array in arrays]
    assert np.array_equal(merge_flat(arrays, ascending), slow)
    for array, before in zip(arrays, kept, strict=True):
        assert np.array_equal(array, before), "the results that are merged stay as they are"


def test_merging_holds_no_copy_of_what_a_model_found() -> None:
    """The plan counts the labels of each model; beside them there is the result."""
    shape = (64, 128, 128)
    arrays = [np.full(shape, value, np.uint16) for value in (LIVER, BODY)]
    table = np.arange(2**16, dtype=np.uint16)
    tracemalloc.start()
    merge_flat(arrays, [BODY, LIVER], [table, table])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * arrays[0].nbytes


def test_the_result_names_the_models_and_what_each_was_asked_for() -> None:
    both, _, _ = neck_and_torso()
    said = both.segment(SCAN).provenance
    assert said["model"] == both.spec.name == "neck+torso"
    assert said["weights_sha256"] == both.identity["weights_sha256"]
    assert said["windows"] == 6
    assert said["notes"] == ["seen by all"], "what both say is said once"
    assert said["seconds"] == {"network": 2.0}
    members: Any = said["models"]
    assert [each["model"] for each in members] == ["neck", "torso"]


def test_other_weights_of_any_member_are_another_set() -> None:
    both, neck, _ = neck_and_torso()
    again, _, _ = neck_and_torso()
    assert both.identity == again.identity
    other = Painter("torso", ["liver"])
    other.spec = ModelSpec("torso", other.vocabulary, weights_sha256="another")
    assert set_of([neck, other], [{}, {}]).identity != both.identity


def test_structures_that_no_member_offers_are_refused() -> None:
    both, _, _ = neck_and_torso()
    with pytest.raises(VocabularyError) as caught:
        both.segment(SCAN, ["spleen"])
    assert caught.value.code == "STRUCTURE_UNSUPPORTED"


def test_models_of_different_vocabularies_do_not_answer_as_one() -> None:
    with pytest.raises(CheckpointError, match="one by one") as caught:
        set_of([Painter("neck", ["larynx"]), Painter("official", ["liver"], words="vista3d-ct")], [{}, {}])
    assert caught.value.code == "MODEL_WRONG_NETWORK"


def test_progress_counts_up_once_over_all_models() -> None:
    both, _, _ = neck_and_torso()
    told: list[tuple[int, int]] = []
    both.segment(SCAN, watch=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_memory_is_that_of_the_neediest_beside_the_labels_of_all() -> None:
    both, neck, torso = neck_and_torso()
    plan = both.plan(SCAN)
    assert plan.windows == 6
    assert plan.parts["slab"] == torso.plan().parts["slab"]
    needs = [each.plan().parts["labels"] for each in (neck, torso)]
    assert plan.parts["labels"] == sum(needs) + max(needs), "the result, too"
    assert both.plan(SCAN, overlap=True).parts["labels"] == 2 * sum(needs)
    assert both.plan(SCAN, ["larynx"]).parts["labels"] == needs[0]


def test_it_finds_and_takes_clicks_but_does_not_learn() -> None:
    both, _, _ = neck_and_torso()
    assert require_both(both) is both
    with pytest.raises(CheckpointError):
        require_learns(both)


def test_a_session_drafts_with_the_owner_and_clicks_with_the_first_that_takes_clicks() -> None:
    both, neck, torso = neck_and_torso(automatic_only=True)
    session = both.session(SCAN)
    session.segment(["liver"])
    assert torso.asked == [[LIVER]]
    session.click((4.0, 4.0, 4.0), structure="larynx")
    session.click((4.0, 4.0, 4.0), structure="liver")
    flags = {question.structure: question.zero_shot for question in neck.questions}
    assert flags == {LARYNX: False, LIVER: True}, "what the one that is clicked does not know has no name for it"
    assert torso.questions == []


def test_clicks_are_refused_where_no_member_takes_them() -> None:
    alone = set_of(
        [Painter("one", ["liver"], automatic_only=True), Painter("two", ["larynx"], automatic_only=True)], [{}, {}]
    )
    with pytest.raises(CheckpointError) as caught:
        alone.session(SCAN)
    assert caught.value.code == "MODEL_NO_CLICKS"


def test_a_member_knows_a_click_as_its_own_structure_only_where_the_session_does() -> None:
    both, neck, _ = neck_and_torso()
    answers = both.responder(SCAN)
    click = LabelledClick((4.0, 4.0, 4.0), 1, (0, 0, 0))
    answers.propose(Question((click,), True, LARYNX), answers.box((0, 0, 0)))
    assert neck.questions[-1].zero_shot, "an object that the session knows no name for stays one"


def test_batches_are_shared_in_each_model_of_a_set_or_in_none() -> None:
    shared: list[str] = []

    class Batching(Painter):
        def batching(self) -> Painter:
            shared.append(self.name)
            return Painter(self.name, self.knows)

    neck, torso = Batching("neck", ["larynx"]), Batching("torso", ["liver"])
    figures: list[Mapping[str, float]] = [{"larynx": 0.6}, {"liver": 0.9}]
    both = set_of([neck, torso], figures)
    together = both.batching()
    assert shared == ["neck", "torso"]
    assert together.identity == both.identity
    assert np.array_equal(together.segment(SCAN).array, both.segment(SCAN).array)  # type: ignore[union-attr]
    with pytest.raises(CheckpointError) as refused:
        set_of([neck, Painter("abdomen", ["liver"])], figures).batching()
    assert refused.value.code == "MODEL_WRONG_NETWORK"


class Judging(WithholdsByFacts, Painter):
    """A painter that withholds."""

    profile = profile("prosect")


def test_all_but_the_first_are_quiet_of_what_the_first_finds_too() -> None:
    first, second = Judging("neck", ["esophagus", "larynx"]), Judging("trunk", ["esophagus", "liver"])
    models = set_of([first, second], [{}, {}])
    assert [member.spec.found_by_others for member in models.members] == [(ESOPHAGUS,), (ESOPHAGUS,)]
    assert [member.spec.speaks_first for member in models.members] == [True, False]
    assert second.spec.found_by_others == (), "the model itself is not changed"
    everything = cast(Withholds, models.members[1]).keeping_all()
    assert everything.spec.found_by_others == models.members[1].spec.found_by_others


@dataclass
class Withholding(Judging):
    """A painter that has withheld what it is blind for, and has not said so."""

    reason: str = "its intensities do not fit"
    regions: Sequence[str] = ()
    missing: Sequence[str] = ()

    def segment(self, *scan: Any, **options: Any) -> LabelMap | LabelLayers:
        """Return the planes, and 3 mL of each structure that was withheld."""
        labels = super().segment(*scan, **options)
        taken = [WORDS[name].index for name in self.blind]
        said = {"withheld": dict.fromkeys(taken, self.reason), "unsaid": dict.fromkeys(taken, 3.0)}
        rest = {"regions": self.regions, "missing": self.missing, "confidence": {}, "evidence": {}}
        return replace(labels, provenance={**labels.provenance, **rest, **said})


def test_a_lung_that_one_model_withholds_is_not_missed_aloud_where_another_shows_one() -> None:
    first, second = Withholding("neck", ["esophagus"], ["esophagus"]), Withholding("trunk", ["esophagus"])
    labels = set_of([first, second], [{}, {}]).segment(SCAN)
    assert ESOPHAGUS in labels.present
    assert "Withheld" not in str(labels.provenance["notes"])


def test_what_no_model_shows_is_missed_aloud_once() -> None:
    first, second = (Withholding(name, ["esophagus"], ["esophagus"]) for name in ("neck", "trunk"))
    with pytest.warns(ProsectWarning, match=r"too little speaks for it: esophagus \(3.0 mL\)") as warned:
        labels = set_of([first, second], [{}, {}]).segment(SCAN)
    assert len(warned) == 1
    assert str(labels.provenance["notes"]).count("Withheld") == 1


def test_a_region_that_is_not_there_is_no_single_structure() -> None:
    first, second = Painter("neck", ["larynx"]), Withholding("trunk", ["esophagus"], ["esophagus"])
    second.reason = "the scan does not show the trunk"
    labels = set_of([first, second], [{}, {}]).segment(SCAN)
    assert "Withheld" not in str(labels.provenance["notes"])


def test_a_region_that_one_model_misses_is_not_said_to_be_shown() -> None:
    first = Withholding("neck", ["larynx"], regions=["neck"], missing=["trunk"])
    second = Withholding("trunk", ["liver"], regions=["trunk", "abdomen"])
    for members in ([first, second], [second, first]):
        labels = set_of(members, [{}, {}]).segment(SCAN)
        assert set(cast(list[str], labels.provenance["regions"])) == {"neck", "abdomen"}
