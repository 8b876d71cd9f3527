"""The engine that ran is said in the report, and a verification runs the same one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prosect
from prosect.errors import CheckpointError, ProsectError
from prosect.jobs import ModelChoice, ScanInput, SegmentJob, VerifyJob
from prosect.jobs import verify as verifying
from prosect.models import require_engines
from prosect.results import Request


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return a result of the modules with its report."""
    folder = tmp_path_factory.mktemp("made")
    scan = np.random.default_rng(0).normal(40, 200, (12, 12, 12)).astype(np.float32)
    prosect.write(prosect.Volume(scan, prosect.Grid(scan.shape, np.diag([4.0, 4.0, 4.0, 1.0]))), folder / "scan.nii.gz")
    request = Request(folder / "labels.nii.gz", report=True)
    SegmentJob(
        ScanInput(folder / "scan.nii.gz", modality="CT"),
        model=ModelChoice("prosect-torso", device="cpu", engine="modules", precision="float32"),
        request=request,
    ).run(show_warnings=False)
    report = next(folder.glob("*report.json"))
    return report, json.loads(report.read_text())


def test_the_report_says_how_the_network_ran(made: tuple[Path, dict[str, Any]]) -> None:
    _, report = made
    assert (report["model"]["engine"], report["model"]["precision"]) == ("modules", "float32")
    assert report["parameters"]["engine"] == "modules"


def test_a_verification_runs_the_recorded_engine(
    made: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _ = made
    asked: list[tuple[str, str]] = []
    load = prosect.load

    def seen(*args: Any, **options: Any) -> Any:
        asked.append((options["engine"], options["precision"]))
        return load(*args, **options)

    monkeypatch.setattr(prosect, "load", seen)
    found = VerifyJob(place).run()
    assert found.problems == ()
    assert asked == [("modules", "float32")]


def test_on_another_device_the_engine_is_that_devices_own(
    made: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, report = made
    asked: list[ModelChoice] = []

    def stop(choice: ModelChoice) -> Any:
        asked.append(choice)
        raise CheckpointError("far enough", code="MODEL_NOT_INSTALLED")

    monkeypatch.setattr(ModelChoice, "load", stop)
    for device in (None, "cpu"):
        with pytest.raises(CheckpointError):
            verifying.VerifyJob(made[0], device=device).load_model(SegmentJob.of_report(report), report)
    assert [choice.engine for choice in asked] == ["modules", "auto"] or asked[1].engine == "modules"


def test_a_report_without_an_engine_is_still_read(made: tuple[Path, dict[str, Any]]) -> None:
    _, report = made
    older = json.loads(json.dumps(report))
    for key in ("engine", "precision"):
        del older["model"][key], older["parameters"][key]
    assert SegmentJob.of_report(older).model.engine == "auto"


def test_models_that_answer_as_one_say_each_engine_and_take_it_back() -> None:
    both = prosect.load(device="cpu", engine="modules+fast")
    assert require_engines(both).engine_used == "modules+fast"
    assert require_engines(prosect.load(device="cpu", engine="fast")).engine_used == "fast"
    assert require_engines(both).precision_used == "float32"


def test_a_model_with_one_way_to_run_refuses_engines() -> None:
    class One:
        spec = prosect.load("prosect-torso", device="cpu", engine="modules").spec

    with pytest.raises(ProsectError, match="leave out --engine") as refused:
        require_engines(One())  # type: ignore[arg-type]
    assert refused.value.code == "MODEL_ONE_ENGINE"


def test_identity_names_an_engine_only_where_one_is_asked_for() -> None:
    model = prosect.load("prosect-torso", device="cpu", engine="modules")
    plain = SegmentJob(ScanInput(Path("a.nii.gz")))
    assert "engine" not in plain.identity(model)
    named = SegmentJob(ScanInput(Path("a.nii.gz")), model=ModelChoice(engine="fast", precision="bfloat16"))
    assert (named.identity(model)["engine"], named.identity(model)["precision"]) == ("fast", "bfloat16")
