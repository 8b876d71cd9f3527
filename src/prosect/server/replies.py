"""Replies and jobs that clients may ask for again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from prosect.errors import PromptError
from prosect.server.device import Job
from prosect.server.wire import problem_text

__all__ = ["Jobs", "Replies", "job_event"]

KEPT_S = 600.0
MOST = 200


class Jobs:
    """The newest jobs by identity. State: those."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, job: Job[Any]) -> None:
        """Remember a job, and forget the oldest one that is too many."""
        with self._lock:
            self._jobs[job.identity] = job
            while len(self._jobs) > MOST:
                self._jobs.popitem(last=False)

    def find(self, identity: str) -> Job[Any]:
        """Return a job.

        Raises:
            PromptError: There is none (`JOB_UNKNOWN`).
        """
        with self._lock:
            job = self._jobs.get(identity)
        if job is None:
            raise PromptError(f"There is no job '{identity:.40}' here.", code="JOB_UNKNOWN")
        return job


class Replies:
    """Replies by session and key: who asks again because a connection broke off gets the same one. State: those.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, session: str, key: str | None) -> bytes | None:
        """Return the reply to a request that was made with this key before, or None."""
        if key is None:
            return None
        with self._lock:
            when, reply = self._kept.get((session, key), (0.0, b""))
        fresh = bool(reply) and self._clock() - when < KEPT_S
        return reply if fresh else None

    def add(self, session: str, key: str | None, reply: bytes) -> None:
        """Keep a reply for some minutes; a request without a key is never asked again."""
        if key is None:
            return
        with self._lock:
            self._kept[(session, key)] = (self._clock(), reply)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)


def job_event(job: Job[Any], ends: bool) -> dict[str, Any]:
    """Return what pages are told of a job.

    Args:
        job: The job.
        ends: Whether its end is the end of the action; the masks of a draft still have to be taken into the session.
    """
    state = "running" if job.state == "done" and not ends else job.state
    return {
        "event": "job",
        "id": job.identity,
        "kind": job.kind,
        "state": state,
        "done": job.done,
        "total": job.total,
        "text": job_text(job),
        "problem": None if job.error is None else problem_text(job.error),
    }


def job_text(job: Job[Any]) -> str:
    """Return how far a job is, in words."""
    if job.state == "queued":
        return "waiting for the model"
    if job.state == "running" and job.total:
        return f"{job.kind}: step {job.done} of {job.total}"
    return job.state
