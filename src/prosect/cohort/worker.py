"""Who segments the scans of a cohort: a job and a model, which need nothing of each other's scans.

A worker holds no ledger, no lock and no open file. Threads share one, and another process or machine makes its own
from the same job; each returns plain results to whoever keeps the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import prosect
from prosect.cohort.manifest import Scan
from prosect.cohort.pipeline import GPU_SLOTS, SLOTS, Work
from prosect.jobs.cohort import CohortJob
from prosect.jobs.segment import SegmentJob, machine_facts, utc_now
from prosect.labelmap import LabelLayers, LabelMap
from prosect.lazy import lazy_module
from prosect.measure import measure
from prosect.progress import Watch
from prosect.results import Run
from prosect.volume import Volume

if TYPE_CHECKING:
    from prosect.models import Finds, protocols
else:
    protocols = lazy_module("prosect.models.protocols")

__all__ = ["Worker", "batching", "settings_of", "slots_for"]


def batching(model: Finds, scans: int) -> Finds:
    """Return a model for so many scans at once; for one it is the model itself.

    Raises:
        ProsectError: It computes one scan at a time, or its device does (`BATCH_OF_ONE`).
    """
    if scans == 1:
        return model
    return protocols.require_batches(model).batching()


def slots_for(model: Finds, asked: int | None) -> int:
    """Return how many scans may be in memory at once: as many as were asked for, or what its device gains from."""
    if asked is not None:
        return asked
    if model.device.type == "cpu":
        return SLOTS
    return GPU_SLOTS


def settings_of(job: CohortJob, model: Finds, scans: int) -> dict[str, Any]:
    """Return what decides the results of a cohort; of scans at once, whether they share batches and not how many.

    Raises:
        VocabularyError: A structure is unknown.
    """
    settings = job.identity(model)
    # Left out otherwise, so that ledgers of before are still those of the same settings.
    if scans > 1:
        settings["batches"] = "shared by scans"
    return settings


@dataclass(frozen=True, eq=False)
class Worker:
    """Segments scans one by one.

    Attributes:
        job: What is asked of each scan.
        model: Who answers.
        now: The time of day.
        machine: Versions of the libraries and threads of one operation, asked where the worker is made: a thread that
            writes has a number of its own.
    """

    job: CohortJob
    model: Finds
    now: Callable[[], datetime] = utc_now
    machine: tuple[Mapping[str, str], int] = field(default_factory=machine_facts)

    @classmethod
    def load(cls, job: CohortJob) -> Self:
        """Return a worker of this process, with the model that the job names.

        Raises:
            ProsectError: See `prosect.load`.
        """
        return cls(job, prosect.require_finds(job.model.load()))

    def do(self, scan: Scan, watch: Watch | None = None) -> dict[str, Any]:
        """Read, segment and save one scan, and return what is to be remembered of it; see `save`.

        Raises:
            ProsectError: The scan is refused; the next one may go well.
        """
        volume = self.read(scan)
        return self.save(scan, volume, self.segment(scan, volume, watch))

    def read(self, scan: Scan) -> Volume:
        """Return the scan.

        Raises:
            ProsectError: See `prosect.read`.
        """
        return self.job_of(scan).input.read()

    def segment(self, scan: Scan, volume: Volume, watch: Watch | None = None) -> LabelMap | LabelLayers:
        """Return its labels; what could not be written is refused before.

        Raises:
            ProsectError: See `SegmentJob.refuse` and `Vista3DModel.segment`.
        """
        job = self.job_of(scan)
        job.refuse(volume)
        return job.segment(self.model, volume, watch)

    def save(self, scan: Scan, volume: Volume, labels: LabelMap | LabelLayers) -> dict[str, Any]:
        """Write the results and return their paths (`files`) and how many structures were found (`structures`).

        Raises:
            ProsectError: See `results.write`.
        """
        job = self.job_of(scan)
        found = measure(labels, volume)
        files: tuple[Path, ...] = job.write(labels, volume, Run(job.parameters, self.now(), (), *self.machine), found)
        return {"files": files, "structures": len(found)}

    def steps(self, watch: Watch | None = None) -> Work[Volume, LabelMap | LabelLayers]:
        """Return reading, segmenting and saving apart, for a pipeline that does them side by side."""
        return Work(self.read, lambda scan, volume: self.segment(scan, volume, watch), self.save)

    def job_of(self, scan: Scan) -> SegmentJob:
        """Return the job of one scan."""
        return self.job.scan_job(scan.name, scan.path, scan.series)
