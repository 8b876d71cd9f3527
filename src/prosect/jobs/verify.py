"""Verify a result: read the job from its report, run it again, and compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import prosect
from prosect.checkpoints import catalog
from prosect.errors import CheckpointError, FormatError
from prosect.io.paths import file_name
from prosect.jobs.job import Job
from prosect.jobs.segment import SegmentJob
from prosect.jobs.warning_log import keep_warnings
from prosect.lazy import lazy_module
from prosect.progress import Watch
from prosect.results import checking
from prosect.results.report import load
from prosect.volume import Volume

if TYPE_CHECKING:
    from prosect.models import Finds
    from prosect.results import environment
else:
    environment = lazy_module("prosect.results.environment")

__all__ = ["Checked", "Verification", "VerifyJob"]

MOST_THREADS = 1024


@dataclass(frozen=True)
class Checked:
    """One step of a verification that went well, as far as it says.

    Attributes:
        what: What was compared: the files with their hashes, the scan, the weights, the files with those made again.
        equal: How many are equal.
        total: Of how many.
    """

    what: Literal["outputs", "input", "weights", "made again"]
    equal: int = 1
    total: int = 1


@dataclass(frozen=True)
class Verification:
    """What came of a verification.

    Attributes:
        files: How many files the report lists.
        problems: What differs, in sentences; nothing where the result is what its report says.
        notes: What may explain a difference, in sentences.
    """

    files: int
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Tell = Callable[[Checked], None]
# Sentences on what differs, and on what may explain it.
Findings = tuple[list[str], list[str]]


def ignore(_step: Checked) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class VerifyJob(Job):
    """Check a result against its report, and make it again.

    Attributes:
        place: A report, a folder of results, or a result beside its report.
        outputs: Where the results are; by default with the report.
        hashes_only: Do not make it again.
        input: Where the scan is; by default its recorded name beside the report.
        weights: The weights file that was used, where one was.
        device: Make it again on another device than the recorded one.
    """

    kind: ClassVar[str] = "verify"

    place: Path
    outputs: Path | None = None
    hashes_only: bool = False
    input: Path | None = None
    weights: Path | None = None
    device: str | None = None

    def run(self, *, tell: Tell = ignore, watch: Watch | None = None) -> Verification:
        """Return whether the result is what its report says.

        Args:
            tell: Told of each step that could be compared.
            watch: Told of each window of the second making.

        Raises:
            FormatError: There is no report, it is damaged, or the scan is not there.
            CheckpointError: The weights that were used are not there.
        """
        place = checking.find_report(self.place)
        report = load(place)
        files = checking.output_files(report, self.outputs or place.parent)
        checking.refuse_stranger(self.place, place, files)
        problems = checking.changed_files(files)
        tell(Checked("outputs", len(files) - len(problems), len(files)))
        notes: list[str] = []
        if not self.hashes_only:
            found, notes = self.make_again(report, place, files, tell, watch)
            problems += found
        return Verification(len(files), tuple(problems), tuple(notes))

    def make_again(
        self,
        report: Mapping[str, Any],
        place: Path,
        files: Sequence[tuple[Path, str]],
        tell: Tell,
        watch: Watch | None,
    ) -> Findings:
        """Return what differs when the recorded job is run once more, and what may explain it.

        Args:
            report: What was recorded.
            place: Where that lies.
            files: The outputs with their recorded hashes.
            tell: As in `run`.
            watch: As in `run`.

        Raises:
            ProsectError: See `run`.
        """
        job = SegmentJob.of_report(report)
        job = replace(job, input=replace(job.input, path=self.input_path(job, place)))
        with keep_warnings(show=False):
            volume = job.input.read()
        if volume.source.sha256 != report["input"]["sha256"]:
            return [f"input changed: {volume.source.name} has other bytes than when it was segmented"], []
        tell(Checked("input"))
        model = self.load_model(job, report)
        problem = changed_model(report, model)
        if problem:
            return [problem], []
        tell(Checked("weights"))
        notes = checking.changed_versions(report, environment.libraries())
        notes += changed_machine(report, model, environment.threads())
        with recorded_threads(report), TemporaryDirectory() as folder:
            made = run_in(Path(folder), job, model, volume, watch)
            differing = checking.unequal(files, made)
            problems = []
            for old, new in differing:
                problems.append(f"result differs: {old.name}{checking.voxels_apart(old, new)}")
        tell(Checked("made again", len(files) - len(problems), len(files)))
        return problems, notes

    def input_path(self, job: SegmentJob, place: Path) -> Path | None:
        """Return where the scan is: as given, else under its recorded name beside the report.

        Raises:
            FormatError: It is not there (`INPUT_NOT_FOUND`).
        """
        if job.input.path is None:
            return None
        path = self.input or place.parent / job.input.path
        if not path.exists():
            raise FormatError(
                f"{file_name(path)}: the input is not there. Say where it is with --input, or check the files alone "
                "with --hashes-only.",
                code="INPUT_NOT_FOUND",
            )
        return path

    def load_model(self, job: SegmentJob, report: Mapping[str, Any]) -> Finds:
        """Return the model that was used.

        Raises:
            CheckpointError: It came from a file of weights that was not given (`MODEL_NOT_INSTALLED`).
        """
        if job.model.weights is not None and self.weights is None:
            raise CheckpointError(
                f"The result was made with a file of weights, '{file_name(job.model.weights)}'. Give it with -w, or "
                "check the files alone with --hashes-only.",
                code="MODEL_NOT_INSTALLED",
            )
        # `auto` may mean another device here than there.
        device = self.device or str(report["model"]["device"] or job.model.device)
        chosen = replace(job.model, weights=self.weights, device=device)
        if self.device is None:
            # So may an engine; reports of earlier versions do not say which it was.
            engine = str(report["model"].get("engine") or job.model.engine)
            chosen = replace(chosen, engine=engine, precision=str(report["model"].get("precision") or "auto"))
        name = job.model.name
        if name is None and self.weights is None:
            # What ships grows: the models that answered then are named in the report.
            name = recorded_name(report)
        return prosect.require_finds(replace(chosen, name=name).load())


def run_in(folder: Path, job: SegmentJob, model: Finds, volume: Volume, watch: Watch | None) -> tuple[Path, ...]:
    """Return the files that a job makes in another folder, in the order of its report and without one."""
    assert job.request is not None
    request = replace(job.request, output=folder / job.request.output)
    made = replace(job, request=request).run(model, volume, watch=watch, show_warnings=False)
    return tuple(path for path in made.files if path != request.report_file)


def recorded_name(report: Mapping[str, Any]) -> str | None:
    """Return the name by which the model of a report is loaded; None where the catalogue has no such name."""
    name = str(report["model"].get("name") or "")
    is_known = all(each in catalog.CATALOG for each in name.split(catalog.JOIN))
    if is_known:
        return name
    return None


def changed_model(report: Mapping[str, Any], model: Finds) -> str:
    """Return a sentence where the model is not the recorded one, else nothing."""
    then, now = report["model"]["weights_sha256"], model.spec.weights_sha256
    if now != then:
        return f"weights changed: the sha256 began with {str(then)[:12]}, now with {str(now)[:12]}"
    name = report["model"].get("name")
    if model.spec.name != name:
        return f"model changed: the report names {name!s:.80}, not {model.spec.name}"
    return ""


def changed_machine(report: Mapping[str, Any], model: Finds, threads: int) -> list[str]:
    """Return a sentence where device or number of threads differ."""
    then, now = report["model"], str(model.device)
    found = []
    if then["device"] not in (None, now):
        found.append(f"device differs: was {then['device']}, is {now}")
    if then["threads"] not in (None, threads):
        found.append(f"threads differ: were {then['threads']}, are {threads} here; made again with {then['threads']}")
    return found


@contextmanager
def recorded_threads(report: Mapping[str, Any]) -> Iterator[None]:
    """Compute with the recorded number of threads inside the block: sums depend on how they are split."""
    before, then = environment.threads(), report["model"]["threads"]
    if isinstance(then, int) and 0 < then <= MOST_THREADS:
        environment.set_threads(then)
    try:
        yield
    finally:
        environment.set_threads(before)
