"""The command line turns words into jobs and nothing else: what no word says is the job's own default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prosect.cli.arguments import build_parser, check
from prosect.cli.commands import evaluate_fewshot, finetune, phantom, pseudo_label, supervoxels, train
from prosect.jobs import (
    FewShotJob,
    FinetuneJob,
    Job,
    ListInput,
    ModelChoice,
    PhantomJob,
    PseudoLabelJob,
    ScanInput,
    SupervoxelsJob,
    TrainJob,
)  # fmt: skip

JobOf = Callable[[Any], Job]
HERE = Path("x")


def job_of(command: JobOf, *words: str) -> Job:
    """Return the job that words ask for."""
    parser = build_parser(lambda: "")
    args = parser.parse_args(words)
    check(parser, args)
    return command(args)


@pytest.mark.parametrize(
    ("command", "words", "expected"),
    [
        (train.job_of, "train r.toml --work w", TrainJob(Path("r.toml"), Path("w"))),
        (pseudo_label.job_of, "pseudo-label l.json -o out", PseudoLabelJob(ListInput(Path("l.json")), Path("out"))),
        (supervoxels.job_of, "supervoxels a.nii -o b.nii", SupervoxelsJob(ScanInput(Path("a.nii")), Path("b.nii"))),
        (phantom.job_of, "phantom -o people", PhantomJob(Path("people"))),
    ],
)  # fmt: skip
def test_what_no_word_says_is_the_jobs_default(command: JobOf, words: str, expected: Job) -> None:
    assert job_of(command, *words.split()) == expected


def test_every_word_of_train_reaches_its_job() -> None:
    words = (
        "train r.toml --work w --stage 3_automatic 4_automatic_finetuning --steps 9 --tolerance-mm 0.5 -d cpu "
        "--threads 2 --loaders 3 --unchecked --tensorboard"
    )
    expected = TrainJob(
        Path("r.toml"), Path("w"), ("3_automatic", "4_automatic_finetuning"), 9, 0.5, "cpu", 2, 3, False, True
    )
    assert job_of(train.job_of, *words.split()) == expected


def test_every_word_of_pseudo_label_reaches_its_job() -> None:
    words = (
        "pseudo-label l.json -o out --overwrite --from-totalsegmentator ts --scheme totalsegmentator-v1 "
        "-rs liver spleen --least-dice 0.7 -m vista3d -w w.pt -d cpu --map 1=liver --dataset AMOS --tolerance-mm 0.2"
    )
    job = job_of(pseudo_label.job_of, *words.split())
    assert job == PseudoLabelJob(
        ListInput(Path("l.json"), dataset="AMOS", pairs=("1=liver",), tolerance_mm=0.2),
        Path("out"),
        ModelChoice("vista3d", Path("w.pt"), device="cpu"),
        ("liver", "spleen"),
        Path("ts"),
        "totalsegmentator-v1",
        0.7,
        True,
    )


def test_every_word_of_supervoxels_reaches_its_job() -> None:
    words = "supervoxels a.nii -o b.nrrd --encoder intensity -w w --segments 30 -d cpu -p --overwrite --series 1.2"
    expected = SupervoxelsJob(
        ScanInput(Path("a.nii"), series="1.2"), Path("b.nrrd"), "intensity", Path("w"), 30, "cpu", True, True
    )
    assert job_of(supervoxels.job_of, *words.split()) == expected


def test_every_word_of_phantom_reaches_its_job() -> None:
    words = "phantom -o p --count 3 --kind head-neck --seed 7 --spacing 1 1.5 2.5 --lesions 0 --overwrite"
    expected = PhantomJob(Path("p"), 3, "head-neck", 7, (1.0, 1.5, 2.5), 0.0, True)
    assert job_of(phantom.job_of, *words.split()) == expected


def test_a_finetuning_without_words_has_the_published_settings() -> None:
    words = "finetune --images images --labels labels --classes 1=lesion -o m.safetensors"
    job = job_of(finetune.job_of, *words.split())
    assert job == FinetuneJob(Path("images"), Path("labels"), ("1=lesion",), Path("m.safetensors"))


def test_a_few_shot_curve_takes_the_settings_of_a_finetuning_with_its_own_seed() -> None:
    words = "evaluate fewshot list.json -o out --shots 1,5 --seed 3 --seeds 4 --nsd-mm 1"
    job = job_of(evaluate_fewshot.job_of, *words.split())
    assert isinstance(job, FewShotJob)
    assert (job.shots, job.nsd_mm, job.settings.seed, job.seeds) == ((1, 5), 1.0, 3, 4)
    assert job.each_seed() == [3, 4, 5, 6]
    usual = job_of(
        finetune.job_of, *["finetune", "--images", "i", "--labels", "l", "--classes", "1=x", "-o", "m.safetensors"]
    )
    assert isinstance(usual, FinetuneJob)
    assert job.settings == replace(usual.settings, seed=3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train r.toml", "--work"),
        ("train r.toml --work w --steps 0", "--steps"),
        ("train r.toml --work w --minutes -1", "--minutes"),
        ("pseudo-label l.json", "-o"),
        ("pseudo-label l.json -o out --scheme ours", "--scheme"),
        ("supervoxels a.nii", "needs an output"),
        ("supervoxels a.nii -o b.nii --encoder magic", "--encoder"),
        ("supervoxels a.nii -o b.nii --segments 0", "--segments"),
        ("phantom -o p --kind cat", "--kind"),
        ("phantom -o p --lesions 1.5", "no probability from 0 to 1"),
        ("phantom -o p --spacing 1 1 50", "no voxel size from 0.3 to 20 mm"),
        ("phantom -o p --count 0", "--count"),
    ],
)
def test_words_that_cannot_be_meant_are_refused_before_a_job_is_made(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = build_parser(lambda: "")
    with pytest.raises(SystemExit) as left:
        check(parser, parser.parse_args(words.split()))
    assert left.value.code == 2
    assert said in capsys.readouterr().err
