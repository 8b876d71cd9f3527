"""`finetune` and `evaluate fewshot` from the command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

import prosect
from few_scans import boxes, random_weights
from prosect.cli.arguments import build_parser
from prosect.cli.learning import settings_of
from prosect.jobs.work_folder import lock_work_folder
from prosect.training.finetuning.settings import FinetuneSettings

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--steps", "2", "--patch", "12", "12", "12", "--device", "cpu")
CLASSES = ("--classes", "1=bright box", "2=dark box")


@pytest.fixture
def given(tmp_path: Path) -> tuple[object, ...]:
    """Return the words that name scans, labels and the model to start from."""
    images, labels = boxes(tmp_path / "data", 3)
    return "--images", images, "--labels", labels, "-w", random_weights(tmp_path / "start.safetensors")


def test_what_finetuning_writes_is_used_at_once(run: Run, given: tuple[object, ...], tmp_path: Path) -> None:
    out = tmp_path / "my.safetensors"
    status, said, err = run("finetune", *given, *CLASSES, "-o", out, *QUICK, "--from", "dark box=spleen")
    assert (status, err) == (0, "")
    assert "bright box (new; known names like it:" in said
    assert "dark box: starts as spleen, as asked for" in said
    assert "one click on the new structures" in said
    assert not (tmp_path / "my.work").exists(), "what was needed on the way is gone"
    assert "label values of its results, as in your labels: 1 bright box, 2 dark box" in said
    scan = tmp_path / "data" / "images" / "p0.nii.gz"
    words = ("segment", scan, "-w", out, "-d", "cpu", "-q")
    assert run(*words, "-o", tmp_path / "out.nii.gz", "-rs", "dark box")[0] == 0
    refused = run(*words, "-o", tmp_path / "no.nii.gz", "-rs", "dark bax")
    assert (refused[0], "'dark box'" in refused[2]) == (3, True)
    assert prosect.load(weights=out, device="cpu").vocabulary["dark box"].supported
    assert run("finetune", *given, *CLASSES, "-o", out, *QUICK)[0] == 3, "nothing is replaced unasked"


def test_every_flag_reaches_the_training() -> None:
    words = (
        "finetune --images a --labels b --classes 1=x -o f.safetensors --clicks --freeze-encoder --keep-classes "
        "--patience 2 --validate-every 7 --validation 0.3 --steps 9 --rate 0.01 --spacing 1.5 --patch 48 32 32 "
        "--intensity percentile --from x=liver --tolerance-mm 0.02"
    )
    asked = settings_of(build_parser(str).parse_args(words.split()))
    changed = {
        f.name for f in fields(FinetuneSettings) if getattr(asked, f.name) != getattr(FinetuneSettings(), f.name)
    }
    unasked = {"head_steps", "encoder_share", "patches_per_step", "from_scratch", "bfloat16", "seed"}
    assert changed == {f.name for f in fields(FinetuneSettings)} - unasked


def test_a_dry_run_checks_everything_and_writes_nothing(run: Run, given: tuple[object, ...], tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    status, said, err = run("finetune", *given, *CLASSES, "-o", tmp_path / "my.safetensors", "--dry-run")
    assert (status, err) == (0, "")
    assert "scans: 3 train, 3 choose (the same that train)" in said
    assert "seen at 2 mm in patches of 10x8x8" in said or "seen at 2 mm in patches of 12x12x12" in said
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_two_finetunings_do_not_share_a_work_folder(run: Run, given: tuple[object, ...], tmp_path: Path) -> None:
    with lock_work_folder(tmp_path / "my.work"):
        status, _, err = run("finetune", *given, *CLASSES, "-o", tmp_path / "my.safetensors", *QUICK)
    assert (status, "OUTPUT_LOCKED" in err) == (3, True)
    assert not (tmp_path / "my.work" / "all" / "state.pt").exists()


def test_a_time_limit_leaves_a_state_to_go_on_from(run: Run, given: tuple[object, ...], tmp_path: Path) -> None:
    words = ("finetune", *given, *CLASSES, "-o", tmp_path / "my.safetensors", *QUICK)
    status, said, _ = run(*words, "--minutes", "0")
    assert status == 0
    assert "the time was over at step 0; the same command with --continue goes on" in said
    assert "--continue" in run(*words)[2], "a result that is there says how to go on"
    status, said, _ = run(*words, "--continue")
    assert (status, "goes on at step 0" in said, "the time was over" in said) == (0, True, False)


def test_there_must_be_something_to_go_on_with(run: Run, given: tuple[object, ...], tmp_path: Path) -> None:
    status, _, err = run("finetune", *given, *CLASSES, "-o", tmp_path / "my.safetensors", *QUICK, "--continue")
    assert (status, "[RESUME_MISSING]" in err) == (3, True)


def test_a_work_folder_stays_where_that_is_asked_for_and_so_does_what_others_put_there(
    run: Run, given: tuple[object, ...], tmp_path: Path
) -> None:
    words = ("finetune", *given, *CLASSES, *QUICK)
    assert run(*words, "-o", tmp_path / "a.safetensors", "--keep-work")[0] == 0
    assert (tmp_path / "a.work" / "all" / "state.pt").is_file()
    (tmp_path / "b.work").mkdir()
    (tmp_path / "b.work" / "notes.txt").write_text("mine")
    assert run(*words, "-o", tmp_path / "b.safetensors")[0] == 0
    assert [path.name for path in (tmp_path / "b.work").iterdir()] == ["notes.txt"]


def test_what_a_weights_file_names_is_known_to_other_commands(
    run: Run, given: tuple[object, ...], tmp_path: Path
) -> None:
    out = tmp_path / "my.safetensors"
    assert run("finetune", *given, "--classes", "1=bright box", "*=", "-o", out, *QUICK)[0] == 0
    assert "structures: bright box" in run("weights", "verify", out)[1]
    listed = run("labels", "-w", out)[1]
    assert "value" in listed
    assert any(line.split()[:3] == ["1", "bright", "box"] for line in listed.splitlines())
    words = ("evaluate", "auto", tmp_path / "data", "--map", "1=bright box", "2=", "-d", "cpu", "-q")
    assert run(*words, "-w", out, "-o", tmp_path / "scores")[0] == 0
    assert "[STRUCTURE_UNKNOWN]" in run(*words, "-o", tmp_path / "others", "-m", "prosect-small")[2]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--classes", "1=bright box"), "DATALIST_UNFIT"),
        (("--classes", "1=bright box", "2=dark box", "5=fifth box"), "CLASS_UNTAUGHT"),
        (("--classes", "bright box"), "DATALIST_UNFIT"),
        ((*CLASSES, "--from", "dark box"), "MAPPING_INVALID"),
        ((*CLASSES, "--from", "dark box=spleeen"), "STRUCTURE_UNKNOWN"),
        ((*CLASSES, "--rate", "7"), "RECIPE_INVALID"),
        ((*CLASSES, "--validation", "1"), "RECIPE_INVALID"),
    ],
)
def test_what_cannot_be_is_refused_by_code(
    words: tuple[str, ...], code: str, run: Run, given: tuple[object, ...], tmp_path: Path
) -> None:
    out = tmp_path / "my.safetensors"
    status, _, err = run("finetune", *given, *words, "-o", out)
    assert (status, f"[{code}]" in err) == (3, True), err
    assert not out.exists()


def test_an_output_that_cannot_be_is_refused_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    nowhere = ("--images", tmp_path / "none", "--labels", tmp_path / "none", *CLASSES)
    assert "[OUTPUT_FORMAT_UNKNOWN]" in run("finetune", *nowhere, "-o", tmp_path / "my.pt")[2]
    assert "[OUTPUT_UNWRITABLE]" in run("finetune", *nowhere, "-o", tmp_path / "no" / "my.safetensors")[2]
    assert "[INPUT_NOT_FOUND]" in run("finetune", *nowhere, "-o", tmp_path / "my.safetensors")[2]


def few(folder: Path, tmp_path: Path, weights: Path, *more: object) -> tuple[object, ...]:
    named = ("--map", "1=+bright box", "2=+dark box")
    start = ("-w", weights, "-o", tmp_path / "few", *QUICK)
    return "evaluate", "fewshot", folder, *start, "--shots", "1,2", "--from-scratch", *more, *named


def test_few_shots_are_told_by_number_of_scans_beside_table_3(run: Run, tmp_path: Path) -> None:
    boxes(tmp_path / "data", 5)
    weights = random_weights(tmp_path / "start.safetensors")
    words = few(tmp_path / "data", tmp_path, weights)
    assert run(*words, "--minutes", "0")[0] == 4, "nothing is done yet"
    status, said, err = run(*words)
    assert (status, err) == (0, "")
    assert "2 scans, from scratch: mean Dice" in said
    found = json.loads((tmp_path / "few" / "results.json").read_text())
    assert [(arm["shots"], arm["start"]) for arm in found["arms"]] == [
        (1, "finetuned"), (1, "scratch"), (2, "finetuned"), (2, "scratch"),
    ]  # fmt: skip
    with (tmp_path / "few" / "cases.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 4 * 2, "one scan of five is for testing, with two structures"
    assert len({row["case"] for row in rows}) == 1
    report = (tmp_path / "few" / "report.md").read_text()
    assert "| WORD | 5 | 0.611 | 0.562 | 0.823 | 0.839 |" in report
    assert (tmp_path / "few" / "fewshot.png").stat().st_size > 5000
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "few").rglob("*.safetensors")}
    assert run(*words)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "few").rglob("*.safetensors")} == before
    assert "[RUN_CHANGED]" in run(*words, "--steps", "3")[2]


def test_few_shots_with_several_seeds_give_their_mean_and_each(run: Run, tmp_path: Path) -> None:
    boxes(tmp_path / "data", 5)
    weights = random_weights(tmp_path / "start.safetensors")
    words = few(tmp_path / "data", tmp_path, weights, "--seeds", "2", "--seed", "3", "--shots", "1")
    status, said, err = run(*words)
    assert (status, err) == (0, "")
    assert "1 scan, from scratch, seed 4: mean Dice" in said
    assert "1 scan, finetuned, 2 seeds" in said
    found = json.loads((tmp_path / "few" / "results.json").read_text())
    assert [(arm["start"], arm["seed"]) for arm in found["arms"]] == [
        ("finetuned", 3), ("scratch", 3), ("finetuned", 4), ("scratch", 4),
    ]  # fmt: skip
    for way in found["over_seeds"]:
        each = [arm["means"]["dice"]["value"] for arm in found["arms"] if arm["start"] == way["start"]]
        assert way["seeds"] == 2
        assert way["means"]["dice"]["value"] == pytest.approx(sum(each) / 2)
    report = (tmp_path / "few" / "report.md").read_text()
    assert "## Mean Dice of each seed" in report
    assert "over the seeds, each drawn by itself" in report
    with (tmp_path / "few" / "summary.csv").open() as table:
        assert len(list(csv.DictReader(table))) == 2 * 3, "finetuned and from scratch: the mean and two structures"
    with (tmp_path / "few" / "cases.csv").open() as table:
        assert {row["seed"] for row in csv.DictReader(table)} == {"3", "4"}


def test_more_scans_than_there_are_and_leaks_are_refused(run: Run, tmp_path: Path) -> None:
    images, labels = boxes(tmp_path / "data", 5)
    weights = random_weights(tmp_path / "start.safetensors")
    assert "[SHOTS_TOO_MANY]" in run(*few(tmp_path / "data", tmp_path, weights, "--shots", "1,9"))[2]
    split = ("training", "training", "testing")
    rows = [f"{images}/p{n > 0:d}.nii.gz,{labels}/p{n > 0:d}.nii.gz,{part},c{n}" for n, part in enumerate(split)]
    (tmp_path / "leak.csv").write_text("\n".join(["image,label,split,name", *rows]))
    assert "[SPLIT_LEAK]" in run(*few(tmp_path / "leak.csv", tmp_path, weights))[2]
