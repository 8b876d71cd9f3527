"""How much of the time of a folder run the device works, and what sharing the folder costs per scan.

`python benches/cohort.py` writes scans of noise, and segments them with a stand-in that takes a set time and no
processor, as a GPU does for the rest of the machine. It prints three lines: scans read, computed and saved one after
another; side by side, as `prosect segment FOLDER` does; and the same as one of the workers that share a folder. The
busy share is the time in the stand-in by the whole time, and by that from its first scan to its last. The last line is
what a claim, three lines in the ledger and publishing cost, with a stand-in and scans that take no time.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import prosect
from prosect.cohort.inputs import scans_of
from prosect.cohort.manifest import Manifest
from prosect.cohort.pipeline import GPU_SLOTS, Outcome, Pipeline
from prosect.cohort.running import run_cohort
from prosect.cohort.running_part import Sharing, run_part
from prosect.cohort.worker import Worker
from prosect.geometry import Grid
from prosect.jobs import CohortJob, ModelChoice
from prosect.volume import Volume

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from worlds.cohort_models import FatefulModel, write_fateful


@dataclass
class TimedModel(FatefulModel):
    """Waits as long as a GPU would compute, then labels a threshold."""

    device: torch.device = field(default_factory=lambda: torch.device("cuda"))
    seconds: float = 1.0
    spans: list[tuple[float, float]] = field(default_factory=list)

    def segment(self, volume: Volume, **_options: Any) -> prosect.LabelMap:
        begin = time.perf_counter()
        time.sleep(self.seconds)
        self.spans.append((begin, time.perf_counter()))
        labels = (volume.array > 0).astype(np.uint8)
        return prosect.LabelMap(labels, volume.grid, self.vocabulary, {"model": "fake", "classes": [1]})


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=12)
    parser.add_argument("--size", type=int, default=256, help="voxels of an axis (default: 256)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of the device for a scan (default: 3)")
    parser.add_argument("--at-once", type=int, help=f"scans in memory at once (default: {GPU_SLOTS}, that of a GPU)")
    parser.add_argument("--small", type=int, default=200, help="tiny scans for the overhead (default: 200)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for number in range(args.scans):
            blobs(work / "in" / f"c{number:03d}.nii.gz", number, args.size)
        for way, act in (("one after another", alone), ("side by side", together), ("sharing", shared)):
            job = CohortJob(work / "in", work / way, model=ModelChoice(weights=work, device="cpu"), statistics=True)
            job.output.mkdir()
            model = TimedModel(seconds=args.seconds)
            begin = time.perf_counter()
            act(job, manifest_of(job), model, args.at_once)
            whole = time.perf_counter() - begin
            print(f"{way}: {args.scans} scans of {args.size}^3 in {whole:.1f} s, {shares(model.spans, whole)}")
        print(overhead(work, args.small))
    return 0


def shares(spans: list[tuple[float, float]], whole: float) -> str:
    """Return in words for which share of the time the device was busy: of all, and from its first scan to its last.

    What lies before and after that is the reading of the first scan and the saving of the last, which a long run has
    once, too.
    """
    busy = sum(stop - start for start, stop in spans)
    between = spans[-1][1] - spans[0][0]
    waits = ", ".join(f"{after[0] - before[1]:.2f}" for before, after in itertools.pairwise(spans))
    middle = f"{100 * busy / between:.1f} % from its first scan to its last"
    return f"the device busy {100 * busy / whole:.0f} %, {middle}; it waited {waits} s"


def blobs(path: Path, seed: int, size: int) -> Path:
    """Write a scan that compresses as people do: smooth, with noise in its last bits."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 400, (8, 8, 8))
    fine = np.kron(coarse, np.ones((size // 8,) * 3)) + rng.integers(-8, 8, (size,) * 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    return prosect.write(Volume(fine.astype(np.float32), Grid((size,) * 3, np.diag([1.0, 1.0, 1.0, 1.0])), "CT"), path)


def manifest_of(job: CohortJob) -> Manifest:
    """Return the scans of a job."""
    found = scans_of(job.input, job.output)
    assert found is not None
    return found


def alone(job: CohortJob, manifest: Manifest, model: TimedModel, _at_once: int | None) -> None:
    """Do one step after another."""
    worker = Worker(job, model)
    for scan in manifest.scans:
        worker.do(scan)


def together(job: CohortJob, manifest: Manifest, model: TimedModel, at_once: int | None) -> None:
    """Read, compute and save side by side."""
    run_cohort(job, manifest, model, slots=at_once)


def shared(job: CohortJob, manifest: Manifest, model: TimedModel, at_once: int | None = None) -> None:
    """Do the same as one of many workers."""
    assert run_part(job, manifest, None, model, Sharing(slots=at_once)).finished


def overhead(work: Path, count: int) -> str:
    """Return in words what sharing adds to a scan that takes no time."""
    for number in range(count):
        write_fateful(work / "small" / f"c{number:04d}.nii", number)
    seconds: dict[str, float] = {}
    ways: dict[str, Callable[[CohortJob, Manifest, TimedModel], None]] = {"bare": bare, "shared": shared}
    for way, act in ways.items():
        job = CohortJob(work / "small", work / f"small {way}", model=ModelChoice(weights=work, device="cpu"))
        job.output.mkdir()
        begin = time.perf_counter()
        act(job, manifest_of(job), TimedModel(seconds=0.0))
        seconds[way] = (time.perf_counter() - begin) / count * 1000
    added = seconds["shared"] - seconds["bare"]
    return f"{count} tiny scans: {seconds['bare']:.1f} ms each in the pipeline alone, {added:.1f} ms more when shared"


def bare(job: CohortJob, manifest: Manifest, model: TimedModel) -> None:
    """Run the pipeline without any ledger."""

    def ignore(_outcome: Outcome) -> None:
        """Tell nobody."""

    Pipeline(Worker(job, model).steps(), ignore, None, 3, time.perf_counter).run(manifest.scans)


if __name__ == "__main__":
    sys.exit(main())
