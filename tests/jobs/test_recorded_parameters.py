"""What a report records of a job: everything that changes the labels, and nothing that says where anything lies."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from prosect.errors import FormatError, UsageError
from prosect.jobs import ModelChoice, ScanInput, SegmentJob
from prosect.results import Parameters, Request, checking

# A value of each field that is not its default.
INPUT: dict[str, Any] = {
    "path": Path("/scans/of/somebody/ct.nii.gz"), "series": "1.2.3", "volume": 2, "phantom": "torso", "modality": "MR",
    "nan_as": -1.0, "assume_orientation": "LPS", "regularise": True,
}  # fmt: skip
MODEL: dict[str, Any] = {
    "name": "prosect-small", "weights": Path("/models/of/mine/fine.safetensors"), "profile": "research",
    "device": "cpu", "fast": True, "keep_all": True, "engine": "modules", "precision": "bfloat16",
}  # fmt: skip
JOB: dict[str, Any] = {"classes": ("liver", "spleen"), "overlap": True, "least_mm3": 40.0}
# Under another name in the record, or the scan itself, which the report describes elsewhere.
RENAMED = {"name": "model", "path": None}


def job_of(**changes: Any) -> SegmentJob:
    """Return a job with one field of its scan, model or own changed."""
    scan = {name: value for name, value in changes.items() if name in INPUT}
    model = {name: value for name, value in changes.items() if name in MODEL}
    own = {name: value for name, value in changes.items() if name in JOB}
    return SegmentJob(ScanInput(**{"path": Path("ct.nii.gz"), **scan}), model=ModelChoice(**model), **own)


def test_every_field_of_scan_and_model_is_looked_at_here() -> None:
    assert {each.name for each in fields(ScanInput)} == set(INPUT)
    assert {each.name for each in fields(ModelChoice)} == set(MODEL)


@pytest.mark.parametrize("name", [*INPUT, *MODEL, *JOB])
def test_every_choice_that_can_change_labels_is_on_record(name: str) -> None:
    value = {**INPUT, **MODEL, **JOB}[name]
    changed, plain = job_of(**{name: value}).parameters, job_of().parameters
    recorded = RENAMED.get(name, name)
    if recorded is None:
        assert changed == plain, "the report describes the scan itself"
        return
    expected = value.name if isinstance(value, Path) else value
    assert getattr(changed, recorded) == expected
    assert replace(changed, **{recorded: getattr(plain, recorded)}) == plain, "and nothing else changes"


def test_no_folder_is_on_record() -> None:
    text = repr(asdict(job_of(**INPUT, **MODEL, **JOB).parameters))
    assert "/" not in text
    assert "somebody" not in text
    assert "fine.safetensors" in text


def report(job: SegmentJob) -> dict[str, Any]:
    """Return what a report holds of a job, as JSON would give it back."""
    asked = asdict(job.parameters)
    asked["classes"] = None if asked["classes"] is None else list(asked["classes"])
    return {"parameters": asked, "input": {"name": "ct.nii.gz"}, "case": "ct", "output": {}}


def read_back(job: SegmentJob, monkeypatch: pytest.MonkeyPatch) -> SegmentJob:
    monkeypatch.setattr(checking, "request_of", lambda _report: None)
    monkeypatch.setattr(checking, "input_name", lambda _report: Path("ct.nii.gz"))
    return SegmentJob.of_report(report(job))


@pytest.mark.parametrize("name", [*INPUT, *MODEL, *JOB])
def test_a_job_read_back_from_its_record_asks_for_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(**{name: {**INPUT, **MODEL, **JOB}[name]})
    again = read_back(job, monkeypatch)
    assert again.parameters == job.parameters
    assert again.case == "ct"


def test_a_synthetic_person_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_back(job_of(phantom="torso"), monkeypatch).input.path is None
    assert read_back(job_of(), monkeypatch).input.path == Path("ct.nii.gz")


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"parameters": None},
        {"parameters": {"classes": 3}},
        {"parameters": {"overlap": True}},
        {"parameters": {"classes": None, "colour": "red"}},
    ],
    ids=["nothing", "no table", "no names", "no classes", "an unknown key"],
)
def test_a_damaged_record_is_refused(damaged: dict[str, Any]) -> None:
    with pytest.raises(FormatError) as refused:
        checking.parameters_of(damaged)
    assert refused.value.code == "REPORT_INVALID"


def test_records_of_before_a_choice_existed_mean_its_default() -> None:
    assert checking.parameters_of({"parameters": {"classes": ["liver"]}}) == Parameters(classes=("liver",))


def test_a_request_for_layers_and_a_job_for_none_contradict_each_other() -> None:
    request = Request(Path("out.nii.gz"), overlap=True)
    with pytest.raises(UsageError, match="`overlap` is False, but in the request True"):
        SegmentJob(ScanInput(Path("ct.nii.gz")), request=request)
    assert SegmentJob(ScanInput(Path("ct.nii.gz")), overlap=True, request=request).request is request
