"""Clicks, verifications and evaluations as data: JSON and pickle give them back, and they do what the library does."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import prosect
from prosect import jobs
from prosect.checkpoints.files import write_weights
from prosect.errors import FormatError, PromptError, RecipeError, UsageError
from prosect.jobs import (
    ClickJob,
    Edited,
    EvaluateJob,
    FewShotJob,
    FinetuneJob,
    Job,
    ListInput,
    ModelChoice,
    PhantomJob,
    PlacedClick,
    PseudoLabelJob,
    ScanInput,
    SegmentJob,
    SupervoxelsJob,
    TrainJob,
    VerifyJob,
)  # fmt: skip
from prosect.networks.vista3d import Architecture, vista3d
from prosect.results import request_for
from prosect.training.finetuning.settings import FinetuneSettings

EXAMPLES: list[Job] = [
    FinetuneJob(Path("images"), Path("labels"), ("1=lesion", "2="), Path("my.safetensors")),
    FinetuneJob(
        Path("images"), Path("labels"), ("1=x",), Path("my.safetensors"),
        FinetuneSettings(steps=9, spacing_mm=1.5, patch=(48, 32, 32), intensity="model", sources=(("x", "liver"),)),
        "mine", Path("work"), ModelChoice(weights=Path("w")), True,
    ),
    ClickJob(ScanInput(Path("a")), Path("b.nii.gz")),
    ClickJob(
        ScanInput(Path("a"), "1.2", 3), Path("b.nii.gz"), (PlacedClick((1.0, 2.5, -3.0), False),), "voxel",
        Path("c.json"), "my lesion", "none", Path("j"), ModelChoice("vista3d", Path("w")), True,
        (((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)),), 40.0,
    ),
    VerifyJob(Path("out")),
    VerifyJob(Path("out"), Path("there"), True, Path("scan"), Path("w"), "cpu"),
    TrainJob(Path("recipe.toml"), Path("run")),
    TrainJob(Path("r"), Path("w"), ("1_interactive",), 9, 0.5, "cuda:1", 2, 3, False, True),
    PseudoLabelJob(ListInput(Path("list.json")), Path("out")),
    PseudoLabelJob(
        ListInput(Path("l")), Path("out"), ModelChoice("vista3d"), ("liver",), Path("ts"), "totalsegmentator-v1", 0.7,
        True,
    ),
    SupervoxelsJob(ScanInput(Path("a"))),
    SupervoxelsJob(ScanInput(Path("a")), Path("b.nrrd"), "sam-vit-h", Path("w"), 400, "cpu", True, True),
    PhantomJob(Path("people")),
    PhantomJob(Path("people"), 3, "head-neck", 7, (1.0, 1.5, 2.5), 0.0, True),
    FewShotJob(ListInput(Path("list.json")), Path("out"), (1, 5)),
    FewShotJob(
        ListInput(Path("list.json")), Path("out"), (1,), True, 4, FinetuneSettings(steps=9), 1.0, True,
        ModelChoice("x"), 3,
    ),
    EvaluateJob("auto", ListInput(Path("list.json")), Path("out")),
    EvaluateJob(
        "clicks", ListInput(Path("l"), Path("r"), None, None, "AMOS", ("1=liver",), None, 0.5), Path("out"),
        "all", 2, 5, ("liver", "spleen"), True, True, 10, "ritm", True, 1.0, 2, 7, ModelChoice("sam-med3d"), True,
    ),
]  # fmt: skip


@pytest.mark.parametrize("job", EXAMPLES, ids=lambda job: job.kind)
def test_json_and_pickle_give_the_same_job(job: Job) -> None:
    assert type(job).from_json(json.loads(json.dumps(job.to_json()))) == job
    assert pickle.loads(pickle.dumps(job)) == job


@pytest.mark.parametrize("job", EXAMPLES, ids=lambda job: job.kind)
def test_a_key_that_no_field_has_is_refused(job: Job) -> None:
    with pytest.raises(UsageError, match="'colour' is unknown"):
        type(job).from_json({**job.to_json(), "colour": "red"})


@pytest.mark.parametrize(
    "change", [{"protocol": "fewshot"}, {"clicks": "5"}, {"scans": "list.json"}, {"nsd_mm": None}, {"classes": "liver"}]
)
def test_a_value_of_another_type_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="job 'evaluate'"):
        EvaluateJob.from_json({**EXAMPLES[-1].to_json(), **change})


def test_few_shots_are_trained_once_at_least() -> None:
    job = FewShotJob(ListInput(Path("list.json")), Path("out"), (1, 5), seeds=0)
    with pytest.raises(RecipeError, match="0 seeds"):
        job.each_seed()


def test_every_public_name_is_there() -> None:
    assert all(getattr(jobs, name) for name in jobs.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        jobs.Nothing  # noqa: B018


@pytest.fixture(scope="module")
def clicked_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the weights of a random model that takes clicks."""
    torch.manual_seed(0)
    network = vista3d(Architecture(width=8, blocks=(1, 1)))
    metadata = {
        "model": "prosect-small", "vocabulary": "prosect", "classes": [1, 3],
        "preprocessing": {"spacing_mm": [3, 3, 3], "patch": [16, 16, 16]},
    }  # fmt: skip
    return write_weights(tmp_path_factory.mktemp("weights") / "c.safetensors", network.state_dict(), metadata)


def test_clicks_of_a_job_do_what_a_session_does(clicked_weights: Path, scan_path: Path) -> None:
    scan = prosect.read(scan_path)
    model = prosect.load(weights=clicked_weights, device="cpu")
    session: Any = model.session(scan)
    session.segment(["liver"])
    place = tuple(float(x) for x in scan.grid.to_world([[6, 5, 4]])[0])
    session.click(place, True, "liver")
    told: list[Any] = []
    job = ClickJob(
        ScanInput(scan_path), scan_path.with_name("out.nii.gz"), (PlacedClick((6, 5, 4)),), "voxel", structure="liver"
    )
    done = job.run(model, scan, tell=told.append)
    assert [type(event) for event in told] == [Edited, Edited]
    assert [event.by for event in told] == ["drafted", "+"]
    assert (done.labels.array == session.labels.array).all()
    assert (prosect.read_labels(done.files[0]).array == session.labels.array).all()
    with pytest.raises(FormatError) as refused:
        job.run(model, scan)
    assert refused.value.code == "OUTPUT_EXISTS"


def test_a_click_outside_is_refused_before_a_model_is_loaded(scan_path: Path) -> None:
    outside = PlacedClick((99.0, 0.0, 0.0))
    no_model = ModelChoice("there is no such model")
    job = ClickJob(ScanInput(scan_path), scan_path.with_name("o.nii.gz"), (outside,), "voxel", model=no_model)
    with pytest.raises(PromptError, match="outside"):
        job.run()


def test_a_verification_names_each_step_and_what_differs(weights: Path, scan_path: Path) -> None:
    model = ModelChoice(weights=weights, device="cpu")
    request = request_for(scan_path.with_name("o.nii.gz"), report=True)
    made = SegmentJob(ScanInput(scan_path), model=model, request=request).run()
    job = VerifyJob(made.files[0], weights=weights)
    told: list[Any] = []
    found = job.run(tell=told.append)
    assert (found.files, found.problems) == (1, ())
    steps = [(step.what, step.equal, step.total) for step in told]
    assert steps == [("outputs", 1, 1), ("input", 1, 1), ("weights", 1, 1), ("made again", 1, 1)]
    made.files[0].write_bytes(b"changed")
    assert "output changed" in replace(job, hashes_only=True).run().problems[0]


def test_an_evaluation_needs_labels(tmp_path: Path, scan_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"image\n{scan_path.name}\n")
    job = EvaluateJob("auto", ListInput(tmp_path / "list.csv"), tmp_path / "out")
    with pytest.raises(RecipeError):
        job.run()
    assert not (tmp_path / "out").exists()
