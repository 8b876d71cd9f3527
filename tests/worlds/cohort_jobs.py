"""Requests on folders of scans, and what they leave."""

from __future__ import annotations

from pathlib import Path

from prosect.cohort.inputs import scans_of
from prosect.cohort.manifest import Manifest
from prosect.jobs import CohortJob, ModelChoice


def job_of(scans: Path, out: Path) -> tuple[CohortJob, Manifest]:
    """Return the request to segment a folder of scans, with their statistics, and the scans."""
    job = CohortJob(scans, out, model=ModelChoice(weights=scans, device="cpu"), statistics=True)
    found = scans_of(scans, out)
    assert found is not None
    return job, found


def results(out: Path) -> dict[str, bytes]:
    """Return what a cohort has left, by name, but for the files that it works with."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file() and "cohort" not in path.name}
