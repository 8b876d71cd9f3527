"""`prosect train` goes from a list of scans to a model with both branches, and goes on where it was stopped."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import prosect
from few_scans import random_weights
from prosect.checkpoints.files import read_weights, write_weights
from prosect.cli.main import main
from prosect.jobs.work_folder import lock_work_folder
from prosect.training.beginning import first_network
from prosect.training.course import prepare_course
from prosect.training.export import describe
from prosect.training.recipe_file import read_recipe
from prosect.training.stage_scans import weighted_scans

RECIPE = """
name = "boxes"
licence = "made up"

[[data]]
list = "list.json"

[shape]
width = 8
blocks = [1, 1]
click_head = "maps"
spacing_mm = 3
window = [16, 16, 16]
low = 0
high = 100

[defaults]
patch = [16, 16, 16]
steps = 4
learning_rate = 1e-3
bfloat16 = false

[stage.3_automatic]
augmentation = "official"
validate_every = 2
validate_on = 1

[stage.4_automatic_finetuning]
loss = "exclusive"
steps = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a recipe and four small scans of two boxes, one scan unlabelled but for supervoxels."""
    generator = np.random.default_rng(0)
    rows: dict[str, list[dict[str, object]]] = {"training": [], "validation": []}
    for n in range(4):
        labels = np.zeros((20, 18, 22), dtype=np.uint8)
        labels[3 + n : 9 + n, 3:12, 4:14] = 1
        labels[13:17, 3:12, 4 + n : 14] = 2
        image = labels * 40.0 + generator.normal(10, 3, labels.shape)
        regions = 1 + np.indices(labels.shape)[2] // 6
        for name, array in (("ct", image.astype(np.float32)), ("seg", labels), ("sv", regions.astype(np.int16))):
            nib.save(nib.Nifti1Image(array, np.diag([3.0, 3.0, 3.0, 1.0])), tmp_path / f"{name}{n}.nii.gz")
        row = {"name": f"c{n}", "image": f"ct{n}.nii.gz", "label": f"seg{n}.nii.gz", "label_sv": f"sv{n}.nii.gz"}
        rows["validation" if n == 3 else "training"].append(row)
    mapping = [[1, "liver"], [2, "+new organ"]]
    (tmp_path / "list.json").write_text(json.dumps({"dataset": "boxes", "label_mapping": mapping, **rows}))
    (tmp_path / "boxes.toml").write_text(RECIPE)
    return tmp_path


def train(folder: Path, work: str, *more: str) -> int:
    return main(["train", str(folder / "boxes.toml"), "--work", str(folder / work), "-d", "cpu", *more])


def test_four_stages_make_a_model_that_segments_and_clicks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "run", "--tensorboard") == 0
    told = capsys.readouterr().out
    assert "validation" in told
    model = prosect.load(weights=folder / "run" / "boxes.safetensors")
    assert model.vocabulary["new organ"].supported
    volume = prosect.read(folder / "ct3.nii.gz")
    assert set(model.segment(volume).present) <= {1, model.vocabulary["new organ"].index}
    session = model.session(volume)
    session.click(tuple(volume.grid.to_world(np.array([[6.0, 6.0, 8.0]]))[0]), structure="liver")
    logs = [json.loads(line) for line in (folder / "run" / "3_automatic" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in logs if row.get("event") == "validated"] == [2, 4]
    assert (folder / "run" / "3_automatic" / "validation.png").exists()
    assert list((folder / "run" / "tensorboard").rglob("events*"))


def test_a_frozen_encoder_stays_bit_for_bit_and_the_others_learn(folder: Path) -> None:
    assert train(folder, "run", "-q", "--stage", "2_interactive_finetuning", "3_automatic") == 0
    clicked, automatic = (
        torch.load(folder / "run" / stage / "state.pt", weights_only=True)
        for stage in ("2_interactive_finetuning", "3_automatic")
    )
    before, after = clicked["average"], automatic["network"]
    for part, learns in (("encoder", False), ("up_layers", False), ("up_layers_auto", True)):
        keys = [key for key in before if key.startswith(f"image_encoder.{part}.")]
        assert keys
        assert all(torch.equal(before[key], after[key]) for key in keys) != learns, part


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(folder: Path) -> None:
    assert train(folder, "whole", "-q") == 0
    assert train(folder, "cut", "-q", "--minutes", "1e-9") == 0
    assert not (folder / "cut" / "boxes.safetensors").exists()
    assert train(folder, "cut", "-q") == 0
    first, second = ((folder / work / "boxes.safetensors").read_bytes() for work in ("whole", "cut"))
    assert first == second


def test_a_dry_run_checks_and_trains_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "run", "--dry-run") == 0
    told = capsys.readouterr().out
    assert "3 training scans, 1 for validation" in told
    assert "new organ" in told
    assert not (folder / "run" / "1_interactive").exists()


def test_a_list_with_a_bad_file_is_refused_before_the_first_step(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nib.save(nib.Nifti1Image(np.zeros((5, 5, 5), np.uint8), np.eye(4)), folder / "seg1.nii.gz")
    assert train(folder, "run") == 3
    assert "DATALIST_UNFIT" in capsys.readouterr().err
    assert not (folder / "run" / "1_interactive").exists()


def test_an_unknown_stage_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "run", "--stage", "5") == 3
    assert "3_automatic" in capsys.readouterr().err


def test_more_steps_in_the_same_folder_train_a_finished_stage_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(folder, "run", "-q", "--steps", "1", "--stage", "1_interactive") == 0
    assert train(folder, "run", "--steps", "2", "--stage", "1_interactive") == 0
    assert "1_interactive was finished after 1 steps; trained on to 2" in capsys.readouterr().out
    rows = (folder / "run" / "1_interactive" / "log.jsonl").read_text()
    assert '"event": "trained on"' in rows
    assert train(folder, "run", "-q", "--steps", "1", "--stage", "1_interactive") == 3
    assert "RESUME_OTHER_RUN" in capsys.readouterr().err


def test_stages_asked_for_one_by_one_go_on_from_one_another(folder: Path) -> None:
    assert train(folder, "whole", "-q") == 0
    for stage in ("1_interactive", "2_interactive_finetuning", "3_automatic", "4_automatic_finetuning"):
        assert train(folder, "parts", "-q", "--stage", stage) == 0
    first, second = ((folder / work / "boxes.safetensors").read_bytes() for work in ("whole", "parts"))
    assert first == second


def test_a_stage_that_began_elsewhere_is_not_taken_for_the_end_of_those_before(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(folder, "run", "-q", "--stage", "2_interactive_finetuning") == 0
    assert train(folder, "run", "-q") == 3
    assert "RESUME_OTHER_RUN" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["voxels", "map", "weight"])
def test_changed_data_in_the_same_folder_are_another_run(
    folder: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    assert train(folder, "run", "-q", "--stage", "1_interactive") == 0
    if change == "voxels":
        shutil.copy(folder / "seg1.nii.gz", folder / "seg0.nii.gz")
    elif change == "map":
        plain = json.loads((folder / "list.json").read_text())
        plain["label_mapping"] = [[2, "liver"], [1, "+new organ"]]
        (folder / "list.json").write_text(json.dumps(plain))
    else:
        (folder / "boxes.toml").write_text(RECIPE.replace("[[data]]", "[[data]]\nweight = 2.0"))
    assert train(folder, "run", "-q", "--stage", "1_interactive") == 3
    assert "RESUME_OTHER_RUN" in capsys.readouterr().err


def test_a_stage_that_validates_without_scans_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = json.loads((folder / "list.json").read_text())
    (folder / "list.json").write_text(json.dumps({**plain, "validation": []}))
    assert train(folder, "run") == 3
    told = capsys.readouterr().err
    assert "3_automatic validates" in told
    assert "fold" in told


def test_a_validation_scan_that_another_list_teaches_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = json.loads((folder / "list.json").read_text())
    (folder / "other.json").write_text(json.dumps({**plain, "training": plain["validation"], "validation": []}))
    (folder / "boxes.toml").write_text(RECIPE + '[[data]]\nlist = "other.json"\n')
    assert train(folder, "run") == 3
    assert "judged on what it was taught" in capsys.readouterr().err


def test_classes_compete_only_where_the_last_automatic_stage_had_them_compete(folder: Path) -> None:
    made = read_recipe(folder / "boxes.toml")
    numbering = prepare_course(made, folder / "run").numbering
    assert describe(made, numbering)["exclusive"] == list(numbering.classes)
    marginal = replace(made, stages=tuple(replace(stage, loss="marginal") for stage in made.stages))
    assert describe(marginal, numbering)["exclusive"] == list(numbering.classes)
    until = replace(made, stages=made.stages[:3])
    assert describe(until, numbering)["exclusive"] == []


def test_a_group_that_the_weights_could_not_offer_is_refused_before_training(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (value, _), *others = (plain := json.loads((folder / "list.json").read_text()))["label_mapping"]
    changed = {"vocabulary": "vista3d-ct", "label_mapping": [[value, "lung"], *others]}
    (folder / "list.json").write_text(json.dumps({**plain, **changed}))
    assert train(folder, "run") == 3
    assert "can only be kept with all its parts" in capsys.readouterr().err
    assert not list((folder / "run").glob("*/state.pt"))


def test_classes_too_weak_to_offer_compete_all_the_same(folder: Path) -> None:
    made = read_recipe(folder / "boxes.toml")
    numbering = prepare_course(made, folder / "run").numbering
    shown, *others = (numbering.vocabulary[index].name for index in numbering.classes)
    said = describe(
        replace(made, shape=replace(made.shape, offered=(shown,))), numbering, dict.fromkeys(numbering.classes, 1.0), {}
    )
    assert said["classes"] == [numbering.vocabulary[shown].index]
    assert [*said["largest_ml"]] == [str(numbering.vocabulary[shown].index)]
    assert said["exclusive"] == list(numbering.classes)
    assert others
    with pytest.raises(prosect.ProsectError, match="`offered`"):
        describe(replace(made, shape=replace(made.shape, offered=("brain",))), numbering)
    with pytest.raises(prosect.ProsectError, match="empty"):
        describe(replace(made, shape=replace(made.shape, offered=())), numbering)
    apart = replace(made, stages=made.stages[:3], shape=replace(made.shape, offered=(shown,)))
    with pytest.raises(prosect.ProsectError, match="classes that compete"):
        describe(apart, numbering)


def test_a_training_of_clicks_alone_keeps_what_its_start_says_of_the_automatic_branch(folder: Path) -> None:
    start = random_weights(folder / "start.safetensors", "maps")
    raw = read_weights(start)
    write_weights(start, raw.tensors, raw.metadata | {"classes": [1, 3], "exclusive": [1, 3, 14]})
    made = read_recipe(folder / "boxes.toml")
    made = replace(made, stages=made.stages[:1], shape=replace(made.shape, start=start))
    numbering = prepare_course(made, folder / "run").numbering
    about = describe(made, numbering)
    assert (about["classes"], about["exclusive"]) == ([1, 3], [1, 3, 14])
    with pytest.warns(prosect.ProsectWarning, match="spacing_mm"):
        network = first_network(made, numbering)
    before = raw.tensors["class_head.class_embeddings.weight"]
    assert torch.equal(network.class_head.class_embeddings.weight, before.float())


def test_weights_of_a_tumour_alone_can_be_read(folder: Path) -> None:
    plain = json.loads((folder / "list.json").read_text())
    (value, _), *others = plain["label_mapping"]
    mapping = [[value, "hepatic tumor"], *([number, None] for number, _ in others)]
    (folder / "list.json").write_text(json.dumps({**plain, "label_mapping": mapping}))
    assert train(folder, "run", "-q", "--steps", "1") == 0
    model = prosect.load(weights=folder / "run" / "boxes.safetensors", device="cpu")
    assert [s.name for s in model.vocabulary if s.supported] == ["hepatic tumor"]


def test_a_branch_that_no_stage_has_taught_is_not_offered(folder: Path) -> None:
    recipe = (folder / "boxes.toml").read_text()
    stage, tail = recipe.index("[stage.3_automatic]"), recipe.index("[stage.4")
    (folder / "boxes.toml").write_text('stages = ["1_interactive"]\n' + recipe[: min(stage, tail)])
    assert train(folder, "run", "-q", "--steps", "1") == 0
    model = prosect.load(weights=folder / "run" / "boxes.safetensors")
    with pytest.raises(prosect.ProsectError):
        model.segment(prosect.read(folder / "ct3.nii.gz"), ["liver"])
    session = model.session(prosect.read(folder / "ct3.nii.gz"))
    session.click((6, 6, 8), structure="liver", space="voxel")


def test_weights_to_begin_with_keep_the_classes_they_offer_and_others_begin_anew(folder: Path) -> None:
    start = random_weights(folder / "start.safetensors", "maps")
    recipe = read_recipe(folder / "boxes.toml")
    recipe = replace(recipe, shape=replace(recipe.shape, start=start))
    numbering = prepare_course(recipe, folder / "run").numbering
    torch.manual_seed(7)
    with pytest.warns(prosect.ProsectWarning, match="spacing_mm"):
        network = first_network(recipe, numbering)
    before = read_weights(start).tensors["class_head.class_embeddings.weight"]
    after = network.class_head.class_embeddings.weight
    changed = (after != before).any(1).nonzero().flatten().tolist()
    assert changed == [numbering.vocabulary["new organ"].index]


def test_a_recipe_without_a_click_branch_leaves_that_of_its_start_out(folder: Path) -> None:
    start = random_weights(folder / "start.safetensors", "maps")
    made = read_recipe(folder / "boxes.toml")
    made = replace(made, shape=replace(made.shape, start=start, click_head="none"))
    numbering = prepare_course(made, folder / "run").numbering
    with pytest.warns(prosect.ProsectWarning, match="spacing_mm"):
        network = first_network(made, numbering)
    assert not network.architecture.interactive
    own, theirs = network.state_dict(), read_weights(start).tensors
    encoder = [key for key in own if key.startswith("image_encoder.encoder.")]
    assert encoder
    for key in encoder:
        assert torch.equal(own[key], theirs[key].float()), key


def test_weights_of_another_vocabulary_are_not_begun_with(folder: Path) -> None:
    start = random_weights(folder / "start.safetensors", "maps")
    raw = read_weights(start)
    write_weights(start, raw.tensors, raw.metadata | {"vocabulary": "vista3d-ct"})
    recipe = read_recipe(folder / "boxes.toml")
    recipe = replace(recipe, shape=replace(recipe.shape, start=start))
    with pytest.raises(prosect.ProsectError, match="vista3d-ct"):
        first_network(recipe, prepare_course(recipe, folder / "run").numbering)


def test_two_trainings_do_not_share_a_work_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with lock_work_folder(folder / "run"):
        assert train(folder, "run", "-q") == 3
    assert "OUTPUT_LOCKED" in capsys.readouterr().err
    assert not (folder / "run" / "1_interactive").exists()


def test_a_few_scans_that_become_unreadable_are_left_out_and_told_of_and_many_end_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_recipe(folder / "boxes.toml")
    told: list[dict[str, object]] = []
    course = prepare_course(recipe, folder / "run", watchers=(lambda _, row: told.append(row),))
    (folder / "ct1.nii.gz").unlink()
    with pytest.raises(prosect.ProsectError, match="1 of 3 scans can no longer be read, the first is c1") as caught:
        weighted_scans(course, recipe.stages[1])
    assert caught.value.code == "DATALIST_UNFIT"
    monkeypatch.setattr("prosect.training.stage_scans.LEFT_OUT", 0.4)
    assert [scan.name for scan, _ in weighted_scans(course, recipe.stages[1])] == ["c0", "c2"]
    assert told[0]["event"] == "left out"
    assert told[0]["scan"] == "c1"


def test_stages_alike_draw_different_patches(folder: Path) -> None:
    assert train(folder, "run", "-q", "--steps", "1") == 0
    seeds = [
        torch.load(path, weights_only=True)["settings"]["seed"] for path in sorted((folder / "run").glob("*/state.pt"))
    ]
    assert seeds == [0, 1, 2, 3]


def test_lists_of_two_vocabularies_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = json.loads((folder / "list.json").read_text())
    (folder / "other.json").write_text(json.dumps({**plain, "vocabulary": "vista3d-ct", "validation": []}))
    (folder / "boxes.toml").write_text(RECIPE + '[[data]]\nlist = "other.json"\n')
    assert train(folder, "run") == 3
    assert "MAPPING_INVALID" in capsys.readouterr().err


def test_classes_that_are_one_piece_in_the_scans_are_kept_so_in_results(folder: Path) -> None:
    for n in (0, 1, 2):
        image = nib.load(folder / f"seg{n}.nii.gz")
        labels = np.asarray(image.dataobj).astype(np.uint8)
        labels[13:17, 7, :] = 0  # the second box falls apart
        nib.save(nib.Nifti1Image(labels, image.affine), folder / f"seg{n}.nii.gz")
    assert train(folder, "run", "-q", "--steps", "1") == 0
    model = prosect.load(weights=folder / "run" / "boxes.safetensors")
    assert model.spec.one_piece == (1,)


def test_two_processes_of_torchrun_make_the_weights_that_one_makes(folder: Path) -> None:
    words = ["train", str(folder / "boxes.toml"), "-d", "cpu", "-q", "--steps", "2", "--threads", "1"]
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "prosect.cli.main"]
    both = subprocess.run(
        [sys.executable, *launcher, *words, "--work", str(folder / "both")], capture_output=True, text=True, check=False
    )
    assert both.returncode == 0, both.stderr[-2000:]
    assert main([*words, "--work", str(folder / "alone")]) == 0
    together, alone = (read_weights(folder / work / "boxes.safetensors").tensors for work in ("both", "alone"))
    for key, value in alone.items():
        torch.testing.assert_close(together[key].float(), value.float(), atol=2e-3, rtol=2e-2)
