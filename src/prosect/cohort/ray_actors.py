"""Workers of a cohort as actors of Ray: they are started, watched and replaced here, and each runs the shared loop.

Ray's own restarts are switched off: what an actor had at work when it died is told by its ledger, and calls to an actor
that restarts fail at once, which would charge cases that were never begun. Scans and results never pass through Ray.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

import prosect
from prosect.cohort.claims import LEASE_S
from prosect.cohort.ledger import DONE, REFUSED, RETRY, Event
from prosect.cohort.manifest import Manifest, Scan
from prosect.cohort.pipeline import Outcome
from prosect.cohort.running_part import Sharing, run_part
from prosect.cohort.sharing import Part
from prosect.cohort.store import Append, FolderStore, own_worker_name
from prosect.cohort.union import Union
from prosect.errors import ProsectError, ResourceError
from prosect.jobs.cohort import CohortJob
from prosect.jobs.segment import utc_now

if TYPE_CHECKING:
    from prosect.models import Finds

__all__ = ["RayTasks", "run_ray"]

POLL_S = 1.0
# So many actors one after another that end before they begin a case: the next would do so too.
MOST_STILLBORN = 5

Load = Callable[[CohortJob], "Finds"]


@dataclass(frozen=True)
class RayTasks:
    """What Ray is asked for.

    Attributes:
        tasks: How many actors; None for as many as this cluster has room for.
        cpus: Processors of each.
        gpus: GPUs of each, parts of one too.
        address: That of a running cluster; None starts one on this machine.
    """

    tasks: int | None = None
    cpus: int = 1
    gpus: float = 0.0
    address: str | None = None


def load_model(job: CohortJob) -> Finds:
    """Return the model that a job names."""
    return prosect.require_finds(job.model.load())


class Actor:
    """One worker: the model is loaded once, then it does cases until each has an outcome."""

    def run(self, job: CohortJob, worker: str, load: Load, manifest: Manifest, sharing: Sharing) -> bool:
        """Return whether every case has an outcome.

        The model is loaded here and not when the actor is made: Ray hides why an actor could not be made.

        Raises:
            ProsectError: See `run_part`.
        """
        store = FolderStore(job.output, worker, sharing.lease_s)
        return run_part(job, manifest, store, load(job), sharing).finished


@dataclass
class Crew:
    """The actors that are at work, and what replaces those that die.

    Attributes:
        store: Where all meet.
        union: What all ledgers say.
        hire: Starts the actor of a part under a name, and returns it with what it will answer.
        now: The time of day.
        watch: Told of each outcome.
        at_work: By what it will answer: the name, the part and the actor.
        stillborn: Actors in a row that ended before they began a case.
        hired: How many were started in all.
    """

    store: FolderStore
    union: Union
    hire: Callable[[str, Part], tuple[Any, Any]]
    now: Callable[[], datetime]
    watch: Callable[[Outcome], None]
    at_work: dict[Any, tuple[str, Part, Any]] = field(default_factory=dict)
    stillborn: int = 0
    hired: int = 0

    def start(self, part: Part) -> None:
        """Start the actor of a part."""
        self.hired += 1
        name = own_worker_name(self.now(), f"-ray{self.hired}")
        actor, answer = self.hire(name, part)
        self.at_work[answer] = (name, part, actor)

    def refresh(self) -> None:
        """Read what the workers have written since."""
        for ledger, events in self.store.new_events():
            self.union.add(ledger, events)
            for event in events:
                if event["event"] in (DONE, REFUSED):
                    self.watch(outcome_of(event))

    def wait(self) -> None:
        """Take the answers that are there, and replace who died.

        Raises:
            ProsectError: A worker met what concerns all.
            ResourceError: Workers end before they begin (`WORKERS_DIE`).
        """
        ready, _ = ray.wait(list(self.at_work), timeout=POLL_S)
        self.refresh()
        for answer in ready:
            name, part, _ = self.at_work.pop(answer)
            try:
                ray.get(answer)
            except RayTaskError as error:
                cause = error.cause
                if isinstance(cause, ProsectError):
                    raise cause from None
                raise
            except RayActorError as error:
                self._replace(name, part, error)

    def _replace(self, name: str, part: Part, error: RayError) -> None:
        """Give free what a dead worker held, and start another in its place."""
        self.store.claims.break_claims(name)
        # Its first event says that it has started; a case comes after that.
        begun = self.union.seen.get(f"{name}.jsonl", 0) > 1
        if begun:
            self.stillborn = 0
        else:
            self.stillborn = self.stillborn + 1
        if self.stillborn >= MOST_STILLBORN:
            words = " ".join(str(error).split())[:300]
            raise ResourceError(
                f"{self.stillborn} workers of Ray ended before they began a scan ({words}). Try --part 1/1 on one of "
                "the machines, which shows why.",
                code="WORKERS_DIE",
            ) from None
        self.start(part)

    def kill_silent(self, lease_s: float) -> None:
        """End actors that have not renewed their claims for a lease: they hang so that no thread of theirs sees it."""
        silent = set()
        for held in self.store.claims.held():
            if held.age_s > lease_s:
                silent.add(held.owner)
        for name, _, actor in self.at_work.values():
            if name in silent:
                ray.kill(actor, no_restart=True)

    def dismiss(self, append: Append) -> None:
        """End all actors; their cases are not charged with that."""
        for _, _, actor in self.at_work.values():
            with suppress(RayError):
                ray.kill(actor, no_restart=True)
        self.refresh()
        open_cases = sorted(self.union.open_cases())
        for name, _, _ in self.at_work.values():
            self.store.claims.break_claims(name)
        if open_cases:
            time_text = self.now().isoformat(timespec="seconds")
            append({"event": RETRY, "time": time_text, "cases": open_cases, "seen": dict(self.union.seen)})


def outcome_of(event: Event) -> Outcome:
    """Return how a case ended, as an event tells it."""
    kept = {"structures": event.get("structures", 0)}
    scan = Scan(event["case"], Path())
    return Outcome(scan, event.get("code", ""), event.get("message", ""), kept=kept, seconds=event["seconds"])


def ignore(_outcome: Outcome) -> None:
    """Tell nobody."""


@contextmanager
def connection(asked: RayTasks) -> Iterator[None]:
    """Connect to a cluster, or start one on this machine, until the block ends; one that is there already is used."""
    # Ray tells its makers how it is used unless this says no; it is read when Ray starts.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if asked.address is None:
        ray.init(address="local", include_dashboard=False, **quiet)
    else:
        ray.init(address=asked.address, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def room_for(asked: RayTasks) -> int:
    """Return how many actors the cluster has room for.

    Raises:
        ResourceError: Not even for one (`RAY_NO_ROOM`).
    """
    cluster: Any = ray  # some of its functions state no types
    there = cluster.cluster_resources()
    count = int(there.get("CPU", 0) // asked.cpus)
    if asked.gpus:
        count = min(count, int(there.get("GPU", 0) / asked.gpus))
    if count < 1:
        raise ResourceError(
            f"One worker needs {asked.cpus} processors and {asked.gpus:g} GPUs, and the cluster has "
            f"{there.get('CPU', 0):g} and {there.get('GPU', 0):g}. Ask for less with --cpus-per-task and "
            "--gpus-per-task, or name the cluster with --ray-address.",
            code="RAY_NO_ROOM",
        )
    return count


def run_ray(
    job: CohortJob,
    manifest: Manifest,
    asked: RayTasks,
    sharing: Sharing | None = None,
    *,
    load: Load = load_model,
    watch: Callable[[Outcome], None] = ignore,
    now: Callable[[], datetime] = utc_now,
) -> int:
    """Do a cohort with actors of Ray, and return how many were hired in all.

    Args:
        job: What is asked for.
        manifest: The scans.
        asked: What Ray is asked for.
        sharing: How the work is shared; the parts are given here.
        load: Returns the model of a job, in the actor.
        watch: Told of each outcome.
        now: The time of day.

    Raises:
        ProsectError: See `run_part`; or the cluster has no room for one worker (`RAY_NO_ROOM`).
    """
    how = sharing or Sharing()
    with connection(asked):
        count = asked.tasks or room_for(asked)
        actor_class: Any = ray.remote(Actor)
        shared_manifest = ray.put(manifest)

        def hire(name: str, part: Part) -> tuple[Any, Any]:
            options = {"num_cpus": asked.cpus, "num_gpus": asked.gpus, "max_restarts": 0, "max_task_retries": 0}
            actor = actor_class.options(**options).remote()
            return actor, actor.run.remote(job, name, load, shared_manifest, replace(how, part=part))

        store = FolderStore(job.output, own_worker_name(now(), "-driver"), LEASE_S)
        crew = Crew(store, Union(""), hire, now, watch)
        with store.open_ledger() as append:
            try:
                for number in range(1, count + 1):
                    crew.start(Part(number, count))
                while crew.at_work:
                    crew.wait()
                    crew.kill_silent(how.lease_s)
            except BaseException:
                crew.dismiss(append)
                raise
            finally:
                store.claims.close()
    return crew.hired
