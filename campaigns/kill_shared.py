"""Kill workers of a cohort under three executors: nothing lost or done twice, no healthy case given up, equal tables.

python campaigns/kill_shared.py --cases 200 --kills 6
python campaigns/kill_shared.py --executors local array       (ray needs the extra `ray`)

One scan kills its worker and one hangs; both must be given up by name, and every other scan be done. A stand-in labels
them at once, so that the kills hit reading, claims and saving. `array` runs the script of `--executor slurm-array` by
bash without a scheduler.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from prosect.cohort.inputs import scans_of
from prosect.cohort.ledger import DONE, READING, REFUSED, START
from prosect.cohort.manifest import Manifest
from prosect.cohort.running import STATISTICS, run_cohort
from prosect.cohort.running_part import Sharing, run_part
from prosect.cohort.sharing import Part
from prosect.cohort.slurm import array_script
from prosect.cohort.store import SHARED, read_all_events
from prosect.jobs import CohortJob, ModelChoice
from prosect.lazy import load_module

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from worlds.cohort_models import HANG, POISON, FatefulModel, load_fateful, write_fateful

TESTS = Path(__file__).resolve().parents[1] / "tests"
WORKERS = 3
# The first read of a worker imports what reads: beside much other work that took more than 8 seconds, so that healthy
# scans were given up and workers replaced without end.
SHARE = Sharing(lease_s=60.0, case_time_s=25.0, poll_s=0.5)
FATAL = ("x_hang", "x_poison")


def main() -> int:
    """Print a line per executor; the status is 1 where anything was lost, repeated, given up wrongly or different."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200, help="healthy scans (default: 200)")
    parser.add_argument("--kills", type=int, default=6, help="kills of workers beside those by scans (default: 6)")
    parser.add_argument("--executors", nargs="+", default=["local", "array", "ray"])
    parser.add_argument("--seed", type=int, default=0)
    limit = "seconds for all; then every thread says what it is doing, and the campaign ends (default: 1800)"
    parser.add_argument("--limit", type=float, default=1800.0, help=limit)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        return work(Path(args.worker[0]), Path(args.worker[1]), args.part)
    faulthandler.dump_traceback_later(args.limit, exit=True)
    ways: dict[str, Callable[[CohortJob, int, np.random.Generator], int]] = {
        "local": run_local, "array": run_array, "ray": run_on_ray,
    }  # fmt: skip
    bad, tables = 0, dict[str, str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(args.cases):
            write_fateful(folder / "in" / f"c{number:03d}.nii", number)
        whole = job_of(folder / "in", folder / "whole")
        run_cohort(whole, manifest_of(whole), FatefulModel())
        for way in args.executors:
            source = folder / "in"
            if way != "local":
                # A run by itself would die of them at every start, which is its law.
                write_fateful(folder / "in" / "x_poison.nii", 1, POISON)
                write_fateful(folder / "in" / "x_hang.nii", 2, HANG)
            begin = time.perf_counter()
            job = job_of(source, folder / way)
            kills = ways[way](job, args.kills, np.random.default_rng(args.seed))
            counts = judge(job, whole, way)
            tables[way] = hashlib.sha256((job.output / STATISTICS).read_bytes()).hexdigest()[:12]
            bad += sum(counts[word] for word in ("lost", "twice", "given up", "different", "kept"))
            seconds = time.perf_counter() - begin
            print(f"{way}: {args.cases} cases, {kills} kills, {seconds:.0f} s: {dict(counts)}", flush=True)
        tables["a run that nothing ends"] = hashlib.sha256((whole.output / STATISTICS).read_bytes()).hexdigest()[:12]
        bad += len(set(tables.values())) > 1
        print(f"SHA-256 of the table of all scans: {tables}")
    return int(bad > 0)


def job_of(source: Path, out: Path) -> CohortJob:
    """Return the job of one executor."""
    return CohortJob(source, out, model=ModelChoice(weights=source / "none", device="cpu"), statistics=True)


def manifest_of(job: CohortJob) -> Manifest:
    """Return its scans."""
    found = scans_of(job.input, job.output)
    assert found is not None
    return found


def judge(job: CohortJob, whole: CohortJob, way: str) -> Counter[str]:
    """Return what went wrong, by kind, and what was done more than once for a reason."""
    counts: Counter[str] = Counter()
    names = {scan.name for scan in manifest_of(whole).scans} - set(FATAL)
    expected, found = results(whole), results(job)
    counts["lost"] = len(set(expected) - set(found))
    counts["different"] = sum(found[name] != content for name, content in expected.items() if name in found)
    if way == "local":
        return counts
    events = read_all_events(job.output)
    done = Counter(event["case"] for event in events if event["event"] == DONE)
    counts["twice"] = sum(number > 1 for number in done.values())
    refused = [event["case"] for event in events if event["event"] == REFUSED]
    counts["given up"] = len(set(refused) & names)
    counts["kept"] = len(set(FATAL) - set(refused))
    readings = Counter(event["case"] for event in events if event["event"] == READING)
    counts["begun again"] = sum(number > 1 for case, number in readings.items() if case in names)
    counts["workers"] = sum(event["event"] == START for event in events)
    return counts


def results(job: CohortJob) -> dict[str, bytes]:
    """Return labels and tables; what tells of times is left out."""
    files = (path for path in sorted(job.output.iterdir()) if path.is_file() and "cohort" not in path.name)
    return {path.name: path.read_bytes() for path in files}


def work(source: Path, out: Path, part: str) -> int:
    """Be one worker."""
    number, total = (int(word) for word in part.split("/"))
    job = job_of(source, out)
    how = Sharing(Part(number, total), SHARE.lease_s, SHARE.case_time_s, SHARE.slots, SHARE.poll_s)
    return 0 if run_part(job, manifest_of(job), None, FatefulModel(), how).finished else 1


def pids_of(out: Path) -> list[int]:
    """Return the processes of workers that have started and may live."""
    return [int(event["pid"]) for event in read_all_events(out) if event["event"] == START]


def start_killing(out: Path, kills: int, rng: np.random.Generator, over: threading.Event) -> list[int]:
    """Kill a random worker now and then, in a thread, until all is over, and return who was, as it grows."""
    killed: list[int] = []

    def kill() -> None:
        while len(killed) < kills and not over.wait(float(rng.uniform(0.5, 3.0))):
            living = [pid for pid in pids_of(out) if pid not in killed and Path(f"/proc/{pid}").exists()]
            if living:
                victim = int(rng.choice(living))
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

    threading.Thread(target=kill, daemon=True).start()
    return killed


def run_local(job: CohortJob, kills: int, rng: np.random.Generator) -> int:
    """Run alone, be killed, and give the same command again until it ends by itself."""
    context, killed = multiprocessing.get_context("fork"), 0
    while True:
        process = context.Process(target=run_alone, args=(job,))
        process.start()
        process.join(float(rng.uniform(0.5, 3.0)) if killed < kills else None)
        if not process.is_alive():
            return killed
        process.kill()
        process.join()
        killed += 1


def run_alone(job: CohortJob) -> None:
    """Do what `prosect segment FOLDER` does."""
    run_cohort(job, manifest_of(job), FatefulModel())


def run_array(job: CohortJob, kills: int, rng: np.random.Generator) -> int:
    """Run the tasks of the array's script side by side, as the scheduler would."""
    command = [sys.executable, __file__, "--worker", str(job.input), str(job.output)]
    script = job.output.parent / "array.sh"
    script.write_text(array_script(command, WORKERS))
    job.output.mkdir()
    over = threading.Event()
    killed = start_killing(job.output, kills, rng, over)
    tasks = []
    for number in range(1, WORKERS + 1):
        own = {**os.environ, "SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_JOB_ID": "1"}
        tasks.append(subprocess.Popen(["bash", str(script)], env=own, stderr=subprocess.DEVNULL))
    statuses = [task.wait() for task in tasks]
    over.set()
    assert not any(statuses), statuses
    return len(killed)


def run_on_ray(job: CohortJob, kills: int, rng: np.random.Generator) -> int:
    """Run with actors on this machine."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    job.output.mkdir()
    over = threading.Event()
    killed = start_killing(job.output, kills, rng, over)
    actors = load_module("prosect.cohort.ray_actors")
    actors.run_ray(job, manifest_of(job), actors.RayTasks(tasks=WORKERS), SHARE, load=load_fateful)
    over.set()
    left = list((job.output / SHARED / "claims").glob("[!.]*"))
    assert not left, left
    return len(killed)


if __name__ == "__main__":
    sys.exit(main())
