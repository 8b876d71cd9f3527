"""Segment one scan."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import prosect
from prosect import results
from prosect.geometry import odd_size
from prosect.inference.small_pieces import without_small_pieces
from prosect.io.temporary import sweep
from prosect.jobs.inputs import ModelChoice, ScanInput
from prosect.jobs.job import Job, job_error
from prosect.jobs.warning_log import keep_warnings
from prosect.labelmap import LabelLayers, LabelMap
from prosect.lazy import lazy_module
from prosect.measure import Measurement, measure
from prosect.progress import Watch
from prosect.results import Parameters, Request, Run, checking
from prosect.stopwatch import Stopwatch
from prosect.volume import Volume

if TYPE_CHECKING:
    from prosect.inference.probabilities import Probabilities
    from prosect.models import Finds, protocols
    from prosect.results import environment
else:
    protocols = lazy_module("prosect.models.protocols")
    environment = lazy_module("prosect.results.environment")

__all__ = ["SegmentJob", "Segmented", "machine_facts", "utc_now"]


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


@dataclass(frozen=True, eq=False)
class Segmented:
    """What came of segmenting a scan.

    Attributes:
        volume: The scan.
        labels: What was found, on the scan's grid.
        found: Its measurements.
        files: What was written, the report last.
        stopwatch: Where the time went.
        warnings: Each repair and assumption.
    """

    volume: Volume
    labels: LabelMap | LabelLayers
    found: tuple[Measurement, ...]
    files: tuple[Path, ...]
    stopwatch: Stopwatch
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class SegmentJob(Job):
    """Segment one scan, and write what a request says.

    Attributes:
        input: The scan.
        classes: Names of structures and groups; None for everything that the model finds.
        overlap: One layer per structure, so that none hides another.
        model: Who is asked.
        request: What is written; None writes nothing.
        overwrite: Whether results that exist may be replaced.
        case: Name of the scan in tables and picture; by default that of its file.
        least_mm3: Connected pieces smaller than this are left out; None keeps all.
    """

    kind: ClassVar[str] = "segment"

    input: ScanInput
    classes: tuple[str, ...] | None = None
    overlap: bool = False
    model: ModelChoice = field(default_factory=ModelChoice)
    request: Request | None = None
    overwrite: bool = False
    case: str | None = None
    least_mm3: float | None = None

    def __post_init__(self) -> None:
        if self.request is not None and self.request.overlap != self.overlap:
            raise job_error(f"`overlap` is {self.overlap}, but in the request {self.request.overlap}; make them equal.")

    @property
    def parameters(self) -> Parameters:
        """What is asked of the model, without folders, as the report records it."""
        weights = self.model.weights
        return Parameters(
            classes=self.classes,
            overlap=self.overlap,
            model=self.model.name,
            weights=None if weights is None else weights.name,
            profile=self.model.profile,
            device=self.model.device,
            series=self.input.series,
            volume=self.input.volume,
            phantom=self.input.phantom,
            modality=self.input.modality,
            nan_as=self.input.nan_as,
            assume_orientation=self.input.assume_orientation,
            regularise=self.input.regularise,
            fast=self.model.fast,
            keep_all=self.model.keep_all,
            least_mm3=self.least_mm3,
            engine=self.model.engine,
            precision=self.model.precision,
        )

    @classmethod
    def of_report(cls, report: Mapping[str, Any]) -> Self:
        """Return the job that a report tells of.

        A report knows names and no folders: scan, weights and output are bare names, and the job writes no report.

        Raises:
            FormatError: The report is damaged (`REPORT_INVALID`).
        """
        asked = checking.parameters_of(report)
        if asked.phantom is not None:
            path = None
        else:
            path = checking.input_name(report)
        if asked.weights is None:
            weights = None
        else:
            weights = Path(asked.weights)
        return cls(
            input=ScanInput(
                path,
                asked.series,
                asked.volume,
                asked.phantom,
                asked.modality,
                asked.nan_as,
                asked.assume_orientation,
                asked.regularise,
            ),
            classes=asked.classes,
            overlap=asked.overlap,
            model=ModelChoice(
                asked.model,
                weights,
                asked.profile,
                asked.device,
                asked.fast,
                asked.keep_all,
                asked.engine,
                asked.precision,
            ),
            request=checking.request_of(report),
            case=str(report.get("case", "")) or None,
            least_mm3=asked.least_mm3,
        )

    def identity(self, model: Finds) -> dict[str, Any]:
        """Return what decides the results of this job beside its scan; the device is no part of it.

        Results of different identities never share a folder: a cohort keeps the identity in its ledger.

        Raises:
            VocabularyError: A structure is unknown.
        """
        chosen = None if self.classes is None else sorted(model.vocabulary.resolve(self.classes).indices)
        request = self.request or Request(Path(), kinds=(), multilabel=False)
        statistics: str | bool = request.statistics is not False
        if statistics and request.extra:
            statistics = "extra"
        # Only where stated, so that ledgers of runs before these could be stated stay valid.
        stated = {
            "modality": self.input.modality,
            "nan_as": self.input.nan_as,
            "assume_orientation": self.input.assume_orientation,
            "regularise": self.input.regularise or None,
            **stated_of_model(self.model),
            "least_mm3": self.least_mm3,
            "aggregation": None if request.aggregation == "mean" else request.aggregation,
            "radiomics": request.radiomics or None,
            "preview_rows": request.preview_rows or None,
            "label_tables": request.label_tables or None,
            "renumber": request.renumber or None,
            "probabilities": request.probabilities is not False or None,
        }
        return {
            "prosect": prosect.__version__,
            "model": model.spec.name,
            "weights_sha256": model.spec.weights_sha256,
            "profile": self.model.profile,
            "structures": "all" if chosen is None else chosen,
            "overlap": self.overlap,
            "volume": self.input.volume,
            "types": list(request.kinds),
            "per_class": request.per_class,
            "multilabel": request.multilabel,
            "statistics": statistics,
            "preview": request.preview,
            "report": bool(request.report),
            **{name: value for name, value in stated.items() if value is not None},
            **dicom_identity(request),
        }

    def refuse(self, volume: Volume | None = None) -> None:
        """Refuse what cannot be done, before the work: names, and places that exist or cannot be written.

        Args:
            volume: The scan, once it is read: then the disk space and the format are checked against it.

        Raises:
            VocabularyError: A structure is unknown.
            FormatError: See `results.refuse`.
            ResourceError: Too little disk space.
        """
        if volume is None and self.classes is not None:
            self.model.refuse_unknown(self.classes)
        if self.request is None:
            return
        grid, header = None, None
        if volume is not None:
            grid, header = volume.grid, volume.source.header
        results.refuse(self.request, self.input.path, self.overwrite, grid, header=header)

    def plan(self, model: Finds | None = None, volume: Volume | None = None) -> str:
        """Return in words what memory the job needs; nothing is written.

        Raises:
            ProsectError: What the run would refuse, or scan or model cannot be loaded.
        """
        self.refuse()
        scan = volume or self.input.read()
        self.refuse(scan)
        asked = model or prosect.require_finds(self.model.load())
        plan = str(asked.plan(scan, classes=self.names, overlap=self.overlap))
        doubt = odd_size(scan.grid)
        if doubt:
            return f"{plan}\nnote: {doubt}"
        return plan

    @property
    def names(self) -> list[str] | None:
        """The structures, as models take them."""
        if self.classes is None:
            return None
        return list(self.classes)

    def segment(self, model: Finds, volume: Volume, watch: Watch | None = None) -> LabelMap | LabelLayers:
        """Return the labels on the scan's grid; nothing is written.

        Raises:
            ProsectError: See `Vista3DModel.segment`.
        """
        labels = model.segment(volume, classes=self.names, overlap=self.overlap, watch=watch)
        if self.least_mm3 is None:
            return labels
        return without_small_pieces(labels, self.least_mm3)

    def weigh(
        self, model: Finds, volume: Volume, watch: Watch | None = None
    ) -> tuple[LabelMap | LabelLayers, Probabilities | None]:
        """Return the labels, and the probabilities where the request wants them; nothing is written.

        Raises:
            ProsectError: See `segment`; or the model gives no probabilities.
        """
        if self.request is None or self.request.probabilities is False:
            return self.segment(model, volume, watch), None
        asked = protocols.require_weighs(model)
        labels, probabilities = asked.weigh(volume, classes=self.names, overlap=self.overlap, watch=watch)
        if self.least_mm3 is not None:
            labels = without_small_pieces(labels, self.least_mm3)
        return labels, probabilities

    def run(
        self,
        model: Finds | None = None,
        volume: Volume | None = None,
        *,
        watch: Watch | None = None,
        show_warnings: bool = True,
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[], datetime] = utc_now,
    ) -> Segmented:
        """Segment the scan and write what is asked for; what can be refused is refused before a model is loaded.

        Warnings are gathered for the report, which concerns the whole process: run one job at a time in it, or use
        `cohort.worker.Worker`, which gathers none.

        Args:
            model: Who answers; by default the one that the job names is loaded.
            volume: The scan, where it is read already.
            watch: Told of each window; what it raises ends the run, and nothing is written.
            show_warnings: Pass warnings on, too.
            clock: Seconds.
            now: The time of day.

        Raises:
            ProsectError: See `refuse`, `prosect.read`, `prosect.load` and `results.write`.
        """
        stopwatch, started = Stopwatch(clock), now()
        if self.request is not None:
            sweep([self.request.output.parent])
        self.refuse()
        with keep_warnings(show_warnings) as warnings:
            with stopwatch.stage("reading"):
                scan = volume or self.input.read()
            self.refuse(scan)
            with stopwatch.stage("model"):
                asked = model or prosect.require_finds(self.model.load())
            with stopwatch.stage("segmenting"):
                labels, probabilities = self.weigh(asked, scan, watch)
        with stopwatch.stage("measuring"):
            found = measure(labels, scan)
        run = Run(self.parameters, started, tuple(warnings), *machine_facts())
        files = self.write(labels, scan, run, found, stopwatch, probabilities)
        return Segmented(scan, labels, tuple(found), files, stopwatch, tuple(warnings))

    def write(
        self,
        labels: LabelMap | LabelLayers,
        volume: Volume,
        run: Run,
        found: Sequence[Measurement],
        stopwatch: Stopwatch | None = None,
        probabilities: Probabilities | None = None,
    ) -> tuple[Path, ...]:
        """Write what the request says and return the files, the report last.

        Raises:
            ProsectError: See `results.write`.
        """
        if self.request is None:
            return ()
        return results.write(
            labels, volume, self.request, run, case=self.case, found=found, watch=stopwatch, probabilities=probabilities
        )


def stated_of_model(model: ModelChoice) -> dict[str, Any]:
    """Return what decides results of how a model was chosen, None where it is left as it is."""
    return {
        "fast": model.fast or None,
        "keep_all": model.keep_all or None,
        "engine": None if model.engine == "auto" else model.engine,
        "precision": None if model.precision == "auto" else model.precision,
    }


def dicom_identity(request: Request) -> dict[str, Any]:
    """Return what decides DICOM results, only where they are wanted."""
    if not any(row.needs_source for row in request.formats):
        return {}
    choices = request.dicom
    return {"seg_encoding": choices.seg_encoding, "deidentify": choices.deidentify, **choices.stated()}


def machine_facts() -> tuple[dict[str, str], int]:
    """Return the versions of the libraries, and how many threads one operation of this thread may use."""
    return environment.libraries(), environment.threads()
