"""A few labelled scans teach a model new structures; what it was is left as it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import nibabel
import numpy as np
import pytest
import torch

import prosect
from few_scans import GRID, LIVER, SHAPE, SPLEEN, boxes, random_weights
from prosect.checkpoints.files import write_weights
from prosect.data.check import check_datalist, refuse_unfit
from prosect.data.datalist import DataList
from prosect.data.labelled import LabelledScan
from prosect.data.pairs import pair_files
from prosect.errors import ProsectError, ProsectWarning, RecipeError
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.models.vista3d import Vista3DModel
from prosect.networks.vista3d import Architecture, vista3d
from prosect.training.finetuning.finetune import Finetuned, course_of, finetune, save_finetuned
from prosect.training.finetuning.plan import FinetunePlan, Seen, plan_finetuning, spacing_by_size, words_of
from prosect.training.finetuning.settings import FinetuneSettings
from prosect.training.finetuning.warm_start import Start, most_similar, place_rows
from prosect.training.loop import TrainingLoop
from prosect.training.loop_settings import LoopSettings, Surroundings
from prosect.training.objectives.automatic import AutomaticObjective
from prosect.training.objectives.cached import CachedFeatures
from prosect.training.patches import Patch, PatchSource
from prosect.training.recipe import Stage
from prosect.training.scans import Numbering
from prosect.training.stages import learning_parts
from prosect.training.stream import PatchStream
from prosect.training.validation import Validator
from prosect.training.vista3d import mixed_is_sound, parts_of

PAIRS = [(1, "bright box"), (2, "dark box")]
# Of three seeds the worst came to a Dice of 0.58.
QUICK = FinetuneSettings(
    steps=60, head_steps=60, learning_rate=1e-2, encoder_share=1.0, patches_per_step=3, validate_every=0, bfloat16=False
)
BRIEF = replace(QUICK, steps=4, head_steps=2, patches_per_step=1)
TABLE = "class_head.class_embeddings.weight"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return boxes(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights") / "start.safetensors")


@pytest.fixture
def model(weights: Path) -> Vista3DModel:
    loaded = prosect.load(weights=weights, device="cpu")
    assert isinstance(loaded, Vista3DModel)
    return loaded


def taught(
    model: Vista3DModel, folders: tuple[Path, Path], work: Path, settings: FinetuneSettings, measure: bool = False
) -> tuple[FinetunePlan, Finetuned]:
    datalist = pair_files(*folders, PAIRS, words_of(model))
    plan = plan_finetuning(model, datalist, settings, "boxes")
    return plan, finetune(model, plan, settings, work, measure=measure)


@pytest.fixture(scope="module")
def learnt(
    folders: tuple[Path, Path], weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FinetunePlan, Finetuned, Path]:
    """Return the plan, the result and its file after the whole of `QUICK`."""
    start = prosect.load(weights=weights, device="cpu")
    assert isinstance(start, Vista3DModel)
    place = tmp_path_factory.mktemp("learnt")
    plan, result = taught(start, folders, place, QUICK, measure=True)
    return plan, result, save_finetuned(result, place / "boxes.safetensors")


def validation_dice(start: Vista3DModel, plan: FinetunePlan, network: torch.nn.Module, folder: Path) -> float:
    """Return what the plan's last stage would be validated with, for other weights."""
    course = course_of(start, plan, QUICK, {}, folder, print, None)
    return Validator(course, plan.recipe.stages[-1])(dict(network.state_dict()))


def test_new_structures_are_learnt(
    learnt: tuple[FinetunePlan, Finetuned, Path], model: Vista3DModel, tmp_path: Path
) -> None:
    plan, result, _ = learnt
    assert validation_dice(model, plan, model.network, tmp_path) < 0.2
    assert validation_dice(model, plan, result.model.network, tmp_path) > 0.4


def test_the_file_segments_by_the_new_names_and_knows_no_others(
    learnt: tuple[FinetunePlan, Finetuned, Path], folders: tuple[Path, Path]
) -> None:
    loaded = prosect.load(weights=learnt[2], device="cpu")
    assert loaded.spec.name == "boxes"
    labels = loaded.segment(prosect.read(folders[0] / "p0.nii.gz"))
    assert isinstance(labels, LabelMap)
    assert {labels.name_of(index) for index in labels.present} == {"bright box", "dark box"}
    truth = nibabel.load(folders[1] / "p0.nii.gz").get_fdata() == 1
    assert (labels.mask("bright box") & truth).sum() > 0.4 * truth.sum()
    assert not loaded.vocabulary["liver"].supported
    assert not loaded.vocabulary["bright box"].overlapping


def test_what_was_finetuned_can_be_finetuned_again(
    learnt: tuple[FinetunePlan, Finetuned, Path], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """The new indices must not be given away a second time."""
    first = prosect.load(weights=learnt[2], device="cpu")
    assert isinstance(first, Vista3DModel)
    datalist = pair_files(*folders, [(1, "bright box"), (2, "another box")], words_of(first))
    plan = plan_finetuning(first, datalist, BRIEF, "again")
    result = finetune(first, plan, BRIEF, tmp_path, measure=False)
    again = prosect.load(weights=save_finetuned(result, tmp_path / "again.safetensors"), device="cpu")
    indices = {name: again.vocabulary[name].index for name in ("bright box", "dark box", "another box")}
    assert len(set(indices.values())) == 3
    assert indices["bright box"] == first.vocabulary["bright box"].index
    assert again.vocabulary["another box"].supported
    assert not again.vocabulary["dark box"].supported


def test_the_model_it_starts_from_is_left_alone(
    model: Vista3DModel, weights: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    before = weights.read_bytes()
    tensors = {key: value.clone() for key, value in model.network.state_dict().items()}
    taught(model, folders, tmp_path, BRIEF)
    assert weights.read_bytes() == before
    assert all(torch.equal(value, tensors[key]) for key, value in model.network.state_dict().items())


def test_only_the_rows_of_the_new_classes_change(
    learnt: tuple[FinetunePlan, Finetuned, Path], model: Vista3DModel
) -> None:
    plan, result, _ = learnt
    now, before = (m.network.state_dict()[TABLE] for m in (result.model, model))
    changed = (now != before).any(1).nonzero().flatten().tolist()
    assert changed == list(plan.numbering.classes)


@pytest.mark.parametrize("head", ["tokens", "maps"])
def test_a_frozen_encoder_leaves_the_answers_to_clicks_bit_for_bit(
    head: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    start = prosect.load(weights=random_weights(tmp_path / "start.safetensors", head), device="cpu")
    assert isinstance(start, Vista3DModel)
    image = torch.rand(1, 1, 12, 12, 12, generator=torch.Generator().manual_seed(0))
    points, labels, own = torch.tensor([[[5.0, 6.0, 7.0]]]), torch.tensor([[1]]), torch.tensor([True])
    answers = {}
    for frozen in (True, False):
        settings = replace(BRIEF, freeze_encoder=frozen)
        _, result = taught(start, folders, tmp_path / str(frozen), settings)
        for key, network in (("before", start.network), (frozen, result.model.network)):
            answers[key] = network.point_logits(network.interactive_features(image), points, labels, own)
    assert torch.equal(answers[True], answers["before"])
    assert not torch.equal(answers[False], answers["before"])


@pytest.mark.parametrize("head", ["tokens", "maps"])
def test_clicks_are_taught_where_that_is_asked_for(head: str, folders: tuple[Path, Path], tmp_path: Path) -> None:
    start = prosect.load(weights=random_weights(tmp_path / "start.safetensors", head), device="cpu")
    assert isinstance(start, Vista3DModel)
    before = start.network.state_dict()
    for asked in (False, True):
        _, result = taught(start, folders, tmp_path / str(asked), replace(BRIEF, clicks=asked))
        now = result.model.network.state_dict()
        changed = [key for key in before if key.startswith("point_head.") and not torch.equal(now[key], before[key])]
        assert bool(changed) is asked


def test_a_run_that_was_stopped_goes_on_to_the_same_file(
    model: Vista3DModel, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = replace(BRIEF, validate_every=2)
    datalist = pair_files(*folders, PAIRS, words_of(model))
    plan = plan_finetuning(model, datalist, settings, "boxes")
    made = finetune(model, plan, settings, tmp_path / "whole", measure=False)
    whole = save_finetuned(made, tmp_path / "whole.safetensors")
    stopped = finetune(model, plan, settings, tmp_path / "cut", stop_at=0, measure=False)
    assert not stopped.complete
    with pytest.raises(KeyboardInterrupt):
        finetune(model, plan, settings, tmp_path / "cut", say=interrupting("step 2"))
    resumed = finetune(model, plan, settings, tmp_path / "cut", measure=False)
    assert resumed.complete
    assert save_finetuned(resumed, tmp_path / "cut.safetensors").read_bytes() == whole.read_bytes()


def test_a_finished_run_is_trained_on_for_longer(
    model: Vista3DModel, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = replace(BRIEF, validate_every=2)
    datalist = pair_files(*folders, PAIRS, words_of(model))
    plan = plan_finetuning(model, datalist, settings, "boxes")
    short = finetune(model, plan, settings, tmp_path / "run", measure=False)
    more = replace(settings, steps=settings.steps + 4, validate_every=3)
    said: list[str] = []
    plan = plan_finetuning(model, datalist, more, "boxes")
    longer = finetune(model, plan, more, tmp_path / "run", measure=False, say=said.append)
    assert (short.report["steps"], longer.report["steps"]) == (settings.steps, more.steps)
    assert f"was finished after {settings.steps} steps; trained on to {more.steps}" in said


def interrupting(word: str) -> Callable[[str], None]:
    def say(text: str) -> None:
        if text.startswith(word):
            raise KeyboardInterrupt

    return say


def test_another_run_does_not_take_up_a_state(model: Vista3DModel, folders: tuple[Path, Path], tmp_path: Path) -> None:
    taught(model, folders, tmp_path, BRIEF)
    with pytest.raises(RecipeError) as refused:
        taught(model, folders, tmp_path, replace(BRIEF, spacing_mm=1.8))
    assert refused.value.code == "RESUME_OTHER_RUN"


def test_half_of_the_time_brings_a_first_look_that_chooses_nothing(
    model: Vista3DModel, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = replace(BRIEF, steps=40, validate_every=100)
    datalist = pair_files(*folders, PAIRS, words_of(model))
    plan = plan_finetuning(model, datalist, settings, "boxes")
    whole = finetune(model, plan, settings, tmp_path / "a", measure=False)
    watched = finetune(model, plan, settings, tmp_path / "b", stop_at=time.time() + 1e-3, measure=False)
    assert not watched.complete
    hurried = finetune(model, plan, settings, tmp_path / "b", stop_at=time.time() + 600, measure=False)
    assert hurried.complete
    one, other = whole.model.network.state_dict(), hurried.model.network.state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_first_look_is_reported_where_nothing_was_validated(tmp_path: Path) -> None:
    loop = TrainingLoop(
        torch.nn.Linear(1, 1),
        lambda: torch.zeros((), requires_grad=True),
        np.random.default_rng(0),
        LoopSettings(steps=6, validate_every=100),
        tmp_path,
        None,
        Surroundings(validate=lambda weights: 0.25, now=iter(range(100)).__next__),
    )
    loop.run(stop_at=5.0)
    assert loop.first_look is not None
    assert loop.first_look[0] == 0.25
    assert 0 < loop.first_look[1] < 6
    assert (loop.best_step, loop.chosen()[1]) == (0, loop.step), "it chooses nothing"


@pytest.mark.parametrize(("edge", "expected"), [(16.0, 2.0), (6.0, 1.0), (3.0, 0.5)])
def test_the_spacing_follows_the_smallest_structure(edge: float, expected: float) -> None:
    numbering = cast(Numbering, SimpleNamespace(classes=(LIVER,), vocabulary=prosect.vocabulary.load("prosect")))
    grid = Grid((64, 64, 64), np.diag([0.5, 0.5, 0.5, 1.0]))
    seen = [Seen(grid, "", {LIVER: edge**3 / 1000})]
    spacing, why = spacing_by_size(numbering, seen, 2.0, FinetuneSettings())
    assert spacing == expected
    assert bool(why) == (expected < 2.0)
    assert spacing_by_size(numbering, seen, 2.0, FinetuneSettings(spacing_mm=2.0)) == (2.0, ())


def test_the_spacing_is_never_finer_than_the_scans() -> None:
    numbering = cast(Numbering, SimpleNamespace(classes=(LIVER,), vocabulary=prosect.vocabulary.load("prosect")))
    seen = [Seen(Grid((64, 64, 64), np.diag([1.2, 1.2, 1.2, 1.0])), "", {LIVER: 0.03})]
    assert spacing_by_size(numbering, seen, 2.0, FinetuneSettings())[0] == pytest.approx(1.2)


def test_results_have_the_label_values_of_the_training(
    learnt: tuple[FinetunePlan, Finetuned, Path], folders: tuple[Path, Path]
) -> None:
    plan, _, path = learnt
    loaded = prosect.load(weights=path, device="cpu")
    values = {loaded.vocabulary[name].index: value for value, name in PAIRS}
    assert loaded.spec.label_values == plan.spec.label_values == values
    labels = loaded.segment(prosect.read(folders[0] / "p0.nii.gz"))
    assert labels.provenance["label_values"] == values


def test_values_that_a_kept_class_has_are_given_up(model: Vista3DModel, folders: tuple[Path, Path]) -> None:
    datalist = pair_files(*folders, PAIRS, words_of(model))
    plan = plan_finetuning(model, datalist, replace(BRIEF, keep_classes=True), "boxes")
    assert plan.spec.label_values == {}, "1 is the liver, which is kept"


def test_structures_too_small_for_the_spacing_are_warned_of(model: Vista3DModel, folders: tuple[Path, Path]) -> None:
    datalist = pair_files(*folders, PAIRS, words_of(model))
    with pytest.warns(ProsectWarning, match="fills .* voxels at 4 mm; give a finer spacing") as said:
        plan_finetuning(model, datalist, replace(BRIEF, spacing_mm=4.0))
    assert len(said) == 2


def test_clicks_and_kept_classes_are_measured_before_and_after(
    learnt: tuple[FinetunePlan, Finetuned, Path], model: Vista3DModel, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    clicks = learnt[1].report["one_click_dice"]
    assert set(clicks) == {"before", "before_prepared_alike", "after"}
    assert clicks["before"] == clicks["before_prepared_alike"], "nothing of the preparation was changed"
    assert clicks["after"] != clicks["before"]
    _, kept = taught(model, folders, tmp_path, replace(BRIEF, keep_classes=True), measure=True)
    assert set(kept.report["kept_classes"]) == {"liver", "spleen"}
    assert kept.model.spec.exclusive[:2] == (LIVER, SPLEEN)
    assert kept.model.vocabulary["liver"].supported


def test_nothing_learnt_is_lost_by_the_last_steps(
    model: Vista3DModel, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """The weights of the best validation are kept, not those of the last step."""
    scores = iter([0.1, 0.9, 0.2, 0.3, 0.4, 0.5])
    settings = replace(BRIEF, validate_every=1, patience=2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("prosect.training.stages.Validator", lambda *_: lambda _: next(scores))
        _, result = taught(model, folders, tmp_path, settings)
    assert result.report["chosen_step"] == 2
    assert result.report["steps"] == 4, "two validations without a gain end the run"
    assert result.report["validation"] == {"scans": 3, "held_out": False, "best_dice": 0.9, "best_step": 2}


def test_scans_for_validation_are_held_out_where_there_are_enough(model: Vista3DModel, tmp_path: Path) -> None:
    datalist = pair_files(*boxes(tmp_path, 6), PAIRS, words_of(model))
    plan = plan_finetuning(model, datalist, replace(BRIEF, validate_every=3, validation=0.3))
    train, choose = ({entry.name for entry in part} for part in (plan.training, plan.validation))
    assert (len(train), len(choose), train & choose) == (4, 2, set())


def test_the_most_similar_class_is_found_by_overlap(model: Vista3DModel, monkeypatch: pytest.MonkeyPatch) -> None:
    found = np.zeros(SHAPE, dtype=np.uint8)
    found[2:8], found[8:] = SPLEEN, LIVER
    truth = np.zeros(SHAPE, dtype=np.uint8)
    truth[3:9] = 22
    words = model.vocabulary
    volume = prosect.Volume(np.zeros(SHAPE, dtype=np.float32), GRID)
    scan = LabelledScan("one", volume, LabelMap(truth, GRID, words), (22, 23))
    monkeypatch.setattr(Vista3DModel, "segment", lambda *_: LabelMap(found, GRID, words))
    similar = most_similar(model, [scan], [22, 23])
    assert similar == {22: (SPLEEN, pytest.approx(5 / 6))}


def test_a_new_class_begins_where_it_is_told(model: Vista3DModel) -> None:
    table = model.network.state_dict()[TABLE]
    place_rows(model.network, {400: Start((LIVER,), ""), 401: Start((LIVER, SPLEEN), ""), LIVER: Start((), "")})
    assert torch.equal(table[400], table[LIVER])
    torch.testing.assert_close(table[401], (table[LIVER] + table[SPLEEN]) / 2)


def test_class_vectors_are_fitted_to_features_that_are_computed_once_and_nothing_else_is_touched(
    model: Vista3DModel, tmp_path: Path
) -> None:
    class_a, class_b = (torch.zeros(12, 12, 12, dtype=torch.int32) for _ in range(2))
    class_a[3:9, 3:9, 3:9], class_b[2:8, 4:10, 3:9] = 1, 1
    draws = []
    for labels in (class_a, class_b):
        image = labels[None, None].float() * 0.6 + 0.2
        draws.append(Patch(image, labels, torch.zeros_like(labels), torch.tensor([True])))
    network = model.network
    stage = Stage("head", train=("class_vectors",), steps=80, learning_rate=1e-2, schedule="constant", cached_patches=2)
    trained = learning_parts(network, stage, parts_of(network))
    source = InTurn(draws)
    stream = PatchStream(cast(PatchSource, source), 0)
    objective = AutomaticObjective(network, stream, np.random.default_rng(0), [400], {})
    before = {key: value.clone() for key, value in network.state_dict().items()}
    cached = CachedFeatures(objective, stream, 2)
    first = float(objective.loss(draws[0], network.image_encoder.encoder(draws[0].image)).detach())
    settings = LoopSettings(steps=80, learning_rate=1e-2, schedule="constant", warmup_steps=0, weight_decay=0, ema=0)
    TrainingLoop(network, cached, objective.generator, settings, tmp_path, trained, Surroundings(stream)).run()
    assert float(objective.loss(draws[0], network.image_encoder.encoder(draws[0].image)).detach()) < 0.8 * first
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {key for key in before if key.startswith(("class_head.mlp", "class_head.class_embeddings"))}
    rows = (network.state_dict()[TABLE] != before[TABLE]).any(1).nonzero().flatten().tolist()
    assert rows == [400]
    assert source.drawn == 2, "their features are kept"


class InTurn:
    """Patches one after another, counted."""

    def __init__(self, patches: list[Patch]) -> None:
        self.patches, self.drawn = patches, 0

    def draw(self, _generator: np.random.Generator) -> tuple[str, Patch]:
        self.drawn += 1
        return "made", self.patches[(self.drawn - 1) % len(self.patches)]


def test_the_word_of_the_user_goes_before_what_is_similar(
    model: Vista3DModel, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = replace(BRIEF, steps=1, sources=(("bright box", "spleen"),))
    _, result = taught(model, folders, tmp_path, settings)
    assert result.report["starts"]["bright box"] == "starts as spleen, as asked for"


def test_scans_that_are_no_ct_are_scaled_between_percentiles_and_the_file_says_so(
    model: Vista3DModel, tmp_path: Path
) -> None:
    images, labels = boxes(tmp_path)
    for path in images.iterdir():
        scan = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(np.float32(scan.get_fdata() + 2000), scan.affine), path)
    plan, result = taught(model, (images, labels), tmp_path / "work", BRIEF)
    assert plan.spec.intensity.kind == "percentile"
    assert any("percentiles" in note for note in plan.notes)
    loaded = prosect.load(weights=save_finetuned(result, tmp_path / "mr.safetensors"), device="cpu")
    assert loaded.spec.intensity == plan.spec.intensity


def test_a_tumour_without_its_host_is_segmented_without_being_named(
    model: Vista3DModel, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """The vocabulary lets it lie in other structures, and its lists hold no such one."""
    datalist = pair_files(*folders, [(1, "lung tumor"), (2, "")], words_of(model))
    plan = plan_finetuning(model, datalist, BRIEF, "tumour")
    path = save_finetuned(finetune(model, plan, BRIEF, tmp_path, measure=False), tmp_path / "t.safetensors")
    loaded = prosect.load(weights=path, device="cpu")
    assert loaded.vocabulary.everything() == (loaded.vocabulary["lung tumor"].index,)
    beside = plan_finetuning(model, pair_files(*folders, [(1, "lung tumor"), (2, "heart")], words_of(model)), BRIEF)
    assert beside.spec.vocabulary["lung tumor"].overlapping


def test_weights_of_the_official_vocabulary_take_new_structures(folders: tuple[Path, Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = vista3d(Architecture(8, (1, 1)))
    official = write_weights(tmp_path / "official.safetensors", network.state_dict(), {})
    start = prosect.load("vista3d", weights=official, device="cpu")
    settings, datalist = replace(BRIEF, spacing_mm=2.0), pair_files(*folders, PAIRS, words_of(start))
    plan = plan_finetuning(start, datalist, settings, "mine")
    kept = plan_finetuning(start, datalist, replace(settings, keep_classes=True), "mine")
    assert kept.spec.vocabulary["liver"].supported
    assert kept.spec.exclusive == (), "each class was trained by itself and stays so"
    path = save_finetuned(
        finetune(start, plan, settings, tmp_path / "work", measure=False), tmp_path / "my.safetensors"
    )
    loaded = prosect.load(weights=path, device="cpu")
    assert (loaded.spec.base, loaded.vocabulary.name) == ("vista3d", "vista3d-ct")
    assert set(loaded.spec.exclusive) == {loaded.vocabulary[name].index for _, name in PAIRS}


def test_from_scratch_nothing_of_the_model_is_used(
    model: Vista3DModel, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = replace(BRIEF, steps=1, from_scratch=True)
    _, result = taught(model, folders, tmp_path, settings, measure=True)
    assert not result.model.network.architecture.interactive
    assert result.report["starts"] == {}
    before = model.network.state_dict()
    same = [key for key, value in result.model.network.state_dict().items() if torch.equal(value, before[key])]
    assert not [key for key in same if before[key].ndim > 1]


def test_mixed_precision_is_left_out_where_processors_get_its_gradients_wrong() -> None:
    network = vista3d(Architecture(width=2, blocks=(1, 1), classes=3))
    assert network.architecture.divisor == 2
    assert mixed_is_sound(network, "cpu", (6, 4, 4))
    assert not mixed_is_sound(network, "cpu", (4, 8, 8))
    assert mixed_is_sound(network, "cuda:0", (4, 8, 8))
    network.image_encoder.encoder.requires_grad_(False)
    network.point_head.requires_grad_(False)
    assert mixed_is_sound(network, "cpu", (4, 8, 8))  # the decoders see more voxels


def test_a_frozen_encoder_may_end_in_two_voxels_in_mixed_precision() -> None:
    network = vista3d(Architecture(width=8, blocks=(1, 1, 1), classes=3, interactive=False))
    network.image_encoder.encoder.requires_grad_(False)
    assert mixed_is_sound(network, "cpu", (8, 8, 8))
    torch.manual_seed(0)
    image, direction = torch.randn(1, 1, 8, 8, 8), torch.randn(1, 2, 8, 8, 8)

    def gradients(mixed: bool) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            logits = network(image, [0, 2])
        for size in (100, 1000, 10_000, 100_000, 1_000_000):
            torch.full((size,), torch.nan)  # memory that nobody wrote tends to hold this, then
        network.zero_grad()
        (logits.float() * direction).sum().backward()
        return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])

    exact, rounded = gradients(mixed=False), gradients(mixed=True)
    assert ((rounded - exact).norm() / exact.norm()).item() < 0.4  # 0.2 with patches of 12 and 16 voxels, too
    for _ in range(5):
        assert torch.equal(gradients(mixed=True), rounded)


def test_mixed_precision_asks_how_coarse_the_maps_of_the_click_head_are() -> None:
    network = vista3d(Architecture(width=2, blocks=(1, 1), classes=3, click_head="maps"))
    assert network.coarsest_trained == network.point_head.stride == 8
    assert not mixed_is_sound(network, "cpu", (16, 16, 16))
    network.requires_grad_(False)
    assert network.coarsest_trained == 1


def refused(model: Vista3DModel, folders: tuple[Path, Path], pairs: list[tuple[int, str]] = PAIRS) -> ProsectError:
    def checked() -> FinetunePlan:
        datalist: DataList = pair_files(*folders, pairs, words_of(model))
        refuse_unfit(check_datalist(datalist))
        return plan_finetuning(model, datalist, BRIEF)

    with pytest.raises(ProsectError) as error:
        checked()
    return error.value


def test_bad_pairs_are_refused(model: Vista3DModel, tmp_path: Path) -> None:
    images, labels = boxes(tmp_path)
    (labels / "p1.nii.gz").unlink()
    error = refused(model, (images, labels))
    assert error.code == "DATALIST_INVALID"
    assert "no labels for p1.nii.gz" in str(error)
    (images / "p1.nii.gz").rename(images / "q.nii.gz")
    assert "q.nii.gz" in str(refused(model, (images, labels)))
    for path in images.iterdir():
        path.unlink()
    assert "no scan is in the folder" in str(refused(model, (images, labels)))
    assert refused(model, (images / "nowhere", labels)).code == "DATALIST_INVALID"


def test_labels_that_teach_nothing_are_refused(model: Vista3DModel, tmp_path: Path) -> None:
    images, labels = boxes(tmp_path)
    assert refused(model, (images, labels), [*PAIRS, (7, "seventh box")]).code == "CLASS_UNTAUGHT"
    unmapped = refused(model, (images, labels), PAIRS[:1])
    assert unmapped.code == "DATALIST_UNFIT"
    assert "LABELS_UNMAPPED" in str(unmapped)
    assert "the label values 2 are not in the mapping" in str(unmapped), "the cause itself, not a code alone"
    assert refused(model, (images, labels), [(1, "lung"), (1, "liver")]).code == "MAPPING_INVALID"
    assert refused(model, (images, labels), [(1, "kidney"), (2, "")]).code == "CLASS_UNFIT"
    nothing = refused(model, (images, labels), [(1, ""), (2, "background")])
    assert nothing.code == "CLASS_UNTAUGHT"
    assert "nothing to learn" in str(nothing)
    for path in labels.iterdir():
        nibabel.save(nibabel.Nifti1Image(np.zeros(SHAPE, dtype=np.uint8), GRID.affine), path)
    assert refused(model, (images, labels)).code == "CLASS_UNTAUGHT"


def test_labels_of_another_shape_are_refused(model: Vista3DModel, tmp_path: Path) -> None:
    images, labels = boxes(tmp_path)
    nibabel.save(nibabel.Nifti1Image(np.ones((5, 5, 5), dtype=np.uint8), GRID.affine), labels / "p0.nii.gz")
    error = refused(model, (images, labels))
    assert error.code == "DATALIST_UNFIT"
    assert "LABEL_SHAPE" in str(error)


def test_the_tolerance_that_is_asked_for_holds_to_the_end(model: Vista3DModel, tmp_path: Path) -> None:
    images, labels = boxes(tmp_path)
    for path in labels.iterdir():
        stored = nibabel.load(path)
        affine = stored.affine.copy()
        affine[0, 3] += 0.02
        nibabel.save(nibabel.Nifti1Image(np.asarray(stored.dataobj), affine), path)
    with pytest.raises(RecipeError) as error:
        taught(model, (images, labels), tmp_path / "near", BRIEF)
    assert error.value.code == "LABEL_AFFINE"
    wide = replace(BRIEF, tolerance_mm=0.05, validate_every=2, keep_classes=True)
    _, result = taught(model, (images, labels), tmp_path / "wide", wide, measure=True)
    assert result.complete


def test_a_table_without_free_rows_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    start = prosect.load(weights=random_weights(tmp_path / "start.safetensors", rows=348), device="cpu")
    assert isinstance(start, Vista3DModel)
    assert refused(start, folders).code == "CLASSES_TOO_MANY"


@pytest.mark.parametrize(
    "wrong",
    [
        {"clicks": True, "freeze_encoder": True},
        {"clicks": True, "from_scratch": True},
        {"spacing_mm": -1.0},
        {"patch": (5, 6, 6)},
        {"patch": (2, 2, 2)},
        {"spacing_mm": 1e6},
    ],
)
def test_settings_that_cannot_be_are_refused(
    wrong: dict[str, object], model: Vista3DModel, folders: tuple[Path, Path]
) -> None:
    datalist = pair_files(*folders, PAIRS, words_of(model))
    with pytest.raises(RecipeError) as error:
        plan_finetuning(model, datalist, replace(BRIEF, **wrong))  # type: ignore[arg-type]
    assert error.value.code == "RECIPE_INVALID"
