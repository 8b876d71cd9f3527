"""A segmentation as data: it survives JSON and pickle, knows what decides its results, and is read from a report."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import prosect
from prosect import vocabulary
from prosect.cohort.ledger import digest
from prosect.errors import CancelledError, FormatError, UsageError, VocabularyError
from prosect.jobs import ModelChoice, ScanInput, SegmentJob
from prosect.progress import cancel_when
from prosect.results import Kind, Request, request_for
from prosect.results.report import load

# A name need not be ASCII, nor even valid text: the last letter stands for a byte that is none.
NAMES = st.text("aB1. -_é画\udcff", min_size=1, max_size=8)
PATHS = NAMES.map(Path)
KINDS: tuple[Kind, ...] = ("nifti", "nrrd", "seg.nrrd", "mha")


@st.composite
def jobs(draw: st.DrawFn) -> SegmentJob:
    """Draw a job of any fields."""
    overlap = draw(st.booleans())
    request = st.builds(
        Request, PATHS, st.booleans(), st.lists(st.sampled_from(KINDS), unique=True).map(tuple), st.booleans(),
        st.booleans(), st.just(overlap), PATHS | st.booleans(), st.booleans(), st.booleans(), PATHS | st.booleans(),
    )  # fmt: skip
    return SegmentJob(
        draw(st.builds(ScanInput, st.none() | PATHS, st.none() | NAMES, st.none() | st.integers(0, 9))),
        draw(st.none() | st.lists(NAMES).map(tuple)),
        overlap,
        draw(st.builds(ModelChoice, st.none() | NAMES, st.none() | PATHS, NAMES, NAMES)),
        draw(st.none() | request),
        draw(st.booleans()),
        draw(st.none() | NAMES),
    )


# How fast a busy machine draws says nothing of jobs.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(jobs())
def test_json_and_pickle_give_the_same_job(job: SegmentJob) -> None:
    assert SegmentJob.from_json(json.loads(json.dumps(job.to_json()))) == job
    assert pickle.loads(pickle.dumps(job)) == job


def test_json_says_what_is_asked_for_in_words() -> None:
    job = SegmentJob(ScanInput(Path("ct.nii.gz")), ("liver",))
    data = job.to_json()
    assert data["job"] == "segment"
    assert data["input"]["path"] == "ct.nii.gz"
    assert data["classes"] == ["liver"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clases": []}, "'clases' is unknown; nearest: classes"),
        ({"job": "verify"}, "no job 'segment'"),
        ({"overlap": "yes"}, "overlap is 'yes'"),
        ({"input": {"path": "a", "seris": "1"}}, "'seris' is unknown; nearest: series"),
    ],
)
def test_a_job_that_cannot_be_meant_is_refused(change: dict[str, Any], said: str) -> None:
    data = {**SegmentJob(ScanInput(Path("a"))).to_json(), **change}
    with pytest.raises(UsageError, match="job 'segment'") as refused:
        SegmentJob.from_json(data)
    assert refused.value.code == "JOB_INVALID"
    assert said in str(refused.value)


def test_layers_in_the_labels_and_none_in_the_request_contradict_each_other() -> None:
    with pytest.raises(UsageError, match="make them equal"):
        SegmentJob(ScanInput(Path("a")), overlap=True, request=request_for("b.nii.gz"))


WORDS = vocabulary.load("prosect")
MODEL: Any = SimpleNamespace(spec=SimpleNamespace(name="small", weights_sha256="ab" * 32), vocabulary=WORDS)
PLAIN = SegmentJob(ScanInput(Path("a.nii.gz")), request=Request(Path("out.nii.gz")))


def test_the_identity_is_what_ledgers_of_old_folders_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prosect, "__version__", "0.1.0")
    job = replace(PLAIN, classes=("spleen", "liver"))
    assert job.identity(MODEL) == {
        "prosect": "0.1.0", "model": "small", "weights_sha256": "ab" * 32, "profile": "prosect", "structures": [1, 3],
        "overlap": False, "volume": None, "types": ["nifti"], "per_class": False, "multilabel": True,
        "statistics": False, "preview": False, "report": False,
    }  # fmt: skip
    assert digest(job.identity(MODEL)) == "09a2141402ff392c"


def with_request(**changes: Any) -> SegmentJob:
    assert PLAIN.request is not None
    return replace(PLAIN, request=replace(PLAIN.request, **changes))


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, classes=("liver",)),
        replace(PLAIN, overlap=True, request=Request(Path("out.nii.gz"), overlap=True)),
        replace(PLAIN, model=ModelChoice(profile="bundle")),
        replace(PLAIN, input=ScanInput(Path("a.nii.gz"), volume=1)),
        replace(PLAIN, input=ScanInput(Path("a.nii.gz"), modality="MR")),
        replace(PLAIN, input=ScanInput(Path("a.nii.gz"), nan_as=0.0)),
        replace(PLAIN, input=ScanInput(Path("a.nii.gz"), assume_orientation="RAS")),
        with_request(kinds=("nrrd",)),
        with_request(per_class=True),
        with_request(multilabel=False),
        with_request(statistics=True),
        with_request(statistics=True, extra=True),
        with_request(preview=True),
        with_request(report=True),
    ],
)
def test_the_identity_tells_apart_what_gives_other_results(other: SegmentJob) -> None:
    assert other.identity(MODEL) != PLAIN.identity(MODEL)


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, model=ModelChoice(device="cuda:3")),
        replace(PLAIN, case="a name"),
        replace(PLAIN, overwrite=True),
        replace(PLAIN, input=ScanInput(Path("b.nii.gz"))),
        with_request(output=Path("other.nii.gz")),
    ],
)
def test_the_identity_does_not_tell_of_places_and_devices(other: SegmentJob) -> None:
    assert other.identity(MODEL) == PLAIN.identity(MODEL)


def test_names_of_one_structure_have_one_identity() -> None:
    one, other = (replace(PLAIN, classes=names) for names in (("kidney_left", "liver"), ("liver", "left kidney")))
    assert one.identity(MODEL) == other.identity(MODEL)


def ask(weights: Path, scan: Path, **request: Any) -> SegmentJob:
    return SegmentJob(
        ScanInput(scan), ("liver", "spleen"), model=ModelChoice(weights=weights, device="cpu"),
        request=request_for(scan.parent / "out", statistics=True, extra=True, preview=True, **request),
    )  # fmt: skip


def test_a_report_gives_the_job_back_and_the_job_the_same_bytes(weights: Path, scan_path: Path) -> None:
    job = ask(weights, scan_path, per_class=True, multilabel=True)
    made = job.run()
    again = SegmentJob.of_report(load(made.files[-1]))
    assert again.input == ScanInput(Path(scan_path.name))
    assert again.model == ModelChoice(weights=Path(weights.name), device="cpu")
    assert job.request is not None
    assert again.request == replace(job.request, output=Path("out"), report=False)
    placed = replace(
        again,
        input=job.input,
        model=job.model,
        request=replace(again.request, output=scan_path.parent / "twice" / "out"),
    )
    (scan_path.parent / "twice").mkdir()
    twice = placed.run(prosect.load(weights=weights, device="cpu"))
    assert [file.name for file in twice.files] == [file.name for file in made.files]
    for first, second in zip(made.files[:-1], twice.files[:-1], strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_without_a_request_labels_come_back_and_nothing_is_written(weights: Path, scan_path: Path) -> None:
    job = SegmentJob(ScanInput(scan_path), model=ModelChoice(weights=weights, device="cpu"))
    made = job.run()
    assert made.files == ()
    assert list(scan_path.parent.iterdir()) == [scan_path]
    assert set(made.labels.sought) == {1, 3}


def test_a_stopped_job_leaves_nothing(weights: Path, scan_path: Path) -> None:
    job = ask(weights, scan_path)
    with pytest.raises(CancelledError):
        job.run(watch=cancel_when(lambda: True))
    assert list(scan_path.parent.iterdir()) == [scan_path]


def test_what_can_be_refused_is_refused_before_the_scan_is_read(tmp_path: Path) -> None:
    missing = ScanInput(tmp_path / "no scan.nii.gz")
    with pytest.raises(VocabularyError, match="liver"):
        SegmentJob(missing, ("livr",)).run()
    (tmp_path / "there.nii.gz").write_bytes(b"precious")
    with pytest.raises(FormatError) as refused:
        SegmentJob(missing, request=request_for(tmp_path / "there.nii.gz")).run()
    assert refused.value.code == "OUTPUT_EXISTS"


@pytest.mark.parametrize("report", [{}, {"parameters": {"classes": None}}, {"parameters": {"classes": 3}}])
def test_a_damaged_report_gives_no_job(report: dict[str, Any]) -> None:
    with pytest.raises(FormatError) as refused:
        SegmentJob.of_report(report)
    assert refused.value.code == "REPORT_INVALID"


def test_a_plan_says_where_a_scan_cannot_be_of_a_person() -> None:
    model: Any = SimpleNamespace(plan=lambda scan, **_: "12 GiB")
    job = SegmentJob(ScanInput(Path("ct.nii.gz")))
    person, giant = (prosect.Grid((10, 10, 10), np.diag([mm, mm, mm, 1.0])) for mm in (30.0, 30_000.0))
    values = np.zeros((10, 10, 10), np.float32)
    assert job.plan(model, prosect.Volume(values, person)) == "12 GiB"
    assert "3e+05 mm long" in job.plan(model, prosect.Volume(values, giant))
