"""Actors of Ray on two nodes of one machine: a worker and a node are killed, and every case is done once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prosect.cohort.inputs import scans_of
from prosect.cohort.ledger import DONE, READING, REFUSED, START
from prosect.cohort.manifest import Manifest
from prosect.cohort.running import run_cohort
from prosect.cohort.running_part import Sharing
from prosect.cohort.store import SHARED, read_all_events
from prosect.jobs import CohortJob, ModelChoice
from worlds.cohort_models import HANG, POISON, FatefulModel, load_fateful, write_fateful

ray = pytest.importorskip("ray", reason="needs the extra `ray`")
# Two nodes and four workers that each load their libraries: a minute on two quiet cores.
pytestmark = pytest.mark.skipif("PROSECT_TEST_RAY" not in os.environ, reason="takes a minute; set PROSECT_TEST_RAY=1")

from prosect.cohort.ray_actors import RayTasks, run_ray  # noqa: E402

CASES = 24


@pytest.fixture
def job(tmp_path: Path) -> CohortJob:
    for number in range(CASES):
        write_fateful(tmp_path / "in" / f"c{number:03d}.nii", number)
    model = ModelChoice(weights=tmp_path / "none", device="cpu")
    return CohortJob(tmp_path / "in", tmp_path / "out", model=model, statistics=True)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a cluster of a head that does nothing and two nodes, all on this machine and on loopback."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    tests = str(Path(__file__).resolve().parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]))
    whole = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [whole.add_node(num_cpus=1), whole.add_node(num_cpus=1)]
    ray.init(address=whole.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield whole, nodes
    finally:
        ray.shutdown()
        whole.shutdown()


def manifest_of(job: CohortJob) -> Manifest:
    found = scans_of(job.input, job.output)
    assert found is not None
    return found


def events(job: CohortJob, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_all_events(job.output) if event["event"] == kind]


def when(ready: Callable[[], bool], act: Callable[[], None]) -> threading.Thread:
    """Do something in a thread as soon as something is so."""

    def wait() -> None:
        deadline = time.monotonic() + 120
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def results(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and "cohort" not in path.name)
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.filterwarnings("ignore")
def test_nothing_is_lost_or_done_twice_when_a_worker_and_a_node_are_killed(
    cluster: Any, job: CohortJob, tmp_path: Path
) -> None:
    whole, nodes = cluster

    def kill_a_worker() -> None:
        os.kill(int(events(job, START)[0]["pid"]), signal.SIGKILL)

    def kill_a_node() -> None:
        whole.remove_node(nodes[1], allow_graceful=False)

    killers = [
        when(lambda: len(events(job, DONE)) >= 5, kill_a_worker),
        when(lambda: len(events(job, DONE)) >= 12, kill_a_node),
    ]
    hired = run_ray(job, manifest_of(job), RayTasks(tasks=2), Sharing(poll_s=0.1), load=load_fateful)
    for killer in killers:
        killer.join(5)
    assert hired >= 3
    done = [event["case"] for event in events(job, DONE)]
    assert sorted(set(done)) == [f"c{n:03d}" for n in range(CASES)]
    assert len(done) == CASES, "nothing twice"
    assert not events(job, REFUSED)
    charged = [event for event in events(job, READING) if event["alone"]]
    assert len(charged) <= 6, "only what was in flight when something died is done again"
    alone = CohortJob(job.input, tmp_path / "alone", model=job.model, statistics=True)
    run_cohort(alone, manifest_of(alone), FatefulModel())
    assert results(job.output) == results(alone.output)
    assert list((job.output / SHARED / "claims").glob("[!.]*")) == []


@pytest.mark.filterwarnings("ignore")
def test_scans_that_kill_or_hang_are_given_up_by_name_and_all_others_are_done(cluster: Any, job: CohortJob) -> None:
    write_fateful(job.input / "x_hang.nii", 1, HANG)
    write_fateful(job.input / "x_poison.nii", 2, POISON)
    share = Sharing(lease_s=60.0, case_time_s=15.0, poll_s=0.1)
    hired = run_ray(job, manifest_of(job), RayTasks(tasks=2), share, load=load_fateful)
    assert hired >= 2 + 2 * 3, "each of the two costs three workers, with nothing beside it"
    given_up = {event["case"]: event["code"] for event in events(job, REFUSED)}
    assert given_up == {"x_hang": "CASE_QUARANTINED", "x_poison": "CASE_QUARANTINED"}
    done = [event["case"] for event in events(job, DONE)]
    assert sorted(done) == [f"c{n:03d}" for n in range(CASES)], "nothing lost and nothing twice"
    stacks = "".join(path.read_text() for path in (job.output / SHARED).glob("*.stacks"))
    assert "x_hang" in stacks
    assert "time.sleep(3600)" in stacks, "it is written down what the case was doing"
    assert list((job.output / SHARED / "claims").glob("[!.]*")) == []
