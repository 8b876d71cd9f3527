"""All model work of a server, done by one thread: clicks first, then drafts, fair between sessions.

A draft asks between two windows whether somebody has clicked; if so, that click is answered first. So nobody waits for
another person's draft. One thread only, because a GPU's settings belong to a thread, and because two passes at once
would each take twice as long.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from prosect.errors import CancelledError, ResourceError
from prosect.progress import Watch

__all__ = ["CAPACITY", "Device", "Job", "JobState", "result_in_time"]

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
Result = TypeVar("Result")
Listener = Callable[["Job[Any]"], None]

CAPACITY = 32


class Job(Generic[Result]):
    """One piece of model work, and what became of it.

    Attributes:
        identity: Random, so that nobody can guess another person's.
        owner: The session that it is for.
        kind: `click`, `draft`, ...
        urgent: Whether it goes before drafts.
        state: `queued`, `running`, `done`, `failed` or `cancelled`.
        done: Windows or patches so far.
        total: Of how many; 0 while that is not known.
        error: Why it failed.
        waited_s: How long it was in the queue.
        worked_s: How long it ran; a draft's time includes clicks that went before it.
    """

    def __init__(
        self,
        owner: str,
        kind: str,
        urgent: bool,
        work: Callable[[Watch], Result],
        listen: Listener,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = secrets.token_urlsafe(16)
        self.owner, self.kind, self.urgent = owner, kind, urgent
        self.state: JobState = "queued"
        self.done, self.total = 0, 0
        self.error: BaseException | None = None
        self.waited_s, self.worked_s = 0.0, 0.0
        self._work, self._listen, self._clock = work, listen, clock
        self._since = clock()
        self._result: Result | None = None
        self._cancelled = threading.Event()
        self._ended = threading.Event()

    def cancel(self) -> None:
        """Ask for an end; a running job stops before its next window and changes nothing."""
        self._cancelled.set()

    @property
    def ended(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self._ended.is_set()

    def result(self, timeout_s: float | None = None) -> Result:
        """Wait for the end and return what the work returned.

        Raises:
            TimeoutError: It has not ended in time.
            CancelledError: It was cancelled.
            Exception: Whatever the work raised.
        """
        if not self._ended.wait(timeout_s):
            raise TimeoutError(f"The {self.kind} has not ended after {timeout_s} s.")
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]

    def run(self, between: Callable[[], None]) -> None:
        """Do the work; `between` is called before each window."""

        def watch(done: int, total: int) -> None:
            self.done, self.total = done, total
            self._listen(self)
            if self._cancelled.is_set():
                raise CancelledError("The work was cancelled.")
            between()

        if self._cancelled.is_set():
            self._end("cancelled", CancelledError("The work was cancelled before it began."))
            return
        self.state = "running"
        self.waited_s, self._since = self._clock() - self._since, self._clock()
        self._listen(self)
        try:
            self._result = self._work(watch)
        except CancelledError as error:
            self._end("cancelled", error)
        except BaseException as error:  # whoever waits for the result is told, whatever it is
            self._end("failed", error)
        else:
            self._end("done", None)

    def _end(self, state: JobState, error: BaseException | None) -> None:
        if self.state == "running":
            self.worked_s = self._clock() - self._since
        self.state, self.error = state, error
        # Told before waiting threads go on, so that a page never sees a result of a job that still "runs".
        self._listen(self)
        self._ended.set()


class Device:
    """The thread that does all model work.

    Args:
        capacity: Jobs that may wait.
        note: Told of each job when it has ended.
        clock: Seconds that only grow.

    Attributes are private; its state is the queue, one of the places that design.md names.
    """

    def __init__(
        self, capacity: int = CAPACITY, note: Listener | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._capacity, self._note, self._clock = capacity, note, clock
        self._queues: OrderedDict[str, deque[Job[Any]]] = OrderedDict()
        self._changed = threading.Condition()
        self._stopping = False
        self._running: list[Job[Any]] = []
        self._thread = threading.Thread(target=self._serve, name="prosect-device", daemon=True)
        self._thread.start()

    def submit(
        self,
        owner: str,
        work: Callable[[Watch], Result],
        *,
        kind: str = "click",
        urgent: bool = True,
        listen: Listener | None = None,
    ) -> Job[Result]:
        """Put work into the queue and return its job.

        Raises:
            ResourceError: Too much waits already (`QUEUE_FULL`), or the server stops (`SERVER_STOPPING`).
        """
        job = Job(owner, kind, urgent, work, listen or (lambda _job: None), self._clock)
        with self._changed:
            if self._stopping:
                raise ResourceError("The server stops; try again when it is back.", code="SERVER_STOPPING")
            if not self.is_alive:
                raise ResourceError("The model's thread has ended; start the server again.", code="SERVER_STOPPING")
            waiting = sum(len(queue) for queue in self._queues.values())
            if waiting >= self._capacity:
                raise ResourceError(
                    f"{waiting} requests wait for the model already; try again in some seconds.", code="QUEUE_FULL"
                )
            self._queues.setdefault(owner, deque()).append(job)
            self._changed.notify_all()
        return job

    def position(self, job: Job[Any]) -> int:
        """Return how many jobs are ahead of a queued one, the running one included."""
        with self._changed:
            waiting = itertools.chain.from_iterable(self._queues.values())
            ahead = [each for each in waiting if each is not job and (each.urgent or not job.urgent)]
            return len(ahead) + len(self._running)

    @property
    def is_alive(self) -> bool:
        """Whether its thread does work still."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        with self._changed:
            return sum(len(queue) for queue in self._queues.values())

    def stop(self, timeout_s: float = 10.0) -> None:
        """Refuse new work, cancel what waits and what runs, and wait for the thread."""
        with self._changed:
            self._stopping = True
            for job in itertools.chain(self._running, *self._queues.values()):
                job.cancel()
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _serve(self) -> None:
        while True:
            with self._changed:
                job = self._take(urgent_only=False)
                while job is None:
                    if self._stopping:
                        return
                    self._changed.wait()
                    job = self._take(urgent_only=False)
            self._run(job)

    def _run(self, job: Job[Any]) -> None:
        self._running.append(job)
        try:
            job.run(between=self._nothing if job.urgent else self._urgent_first)
        finally:
            self._running.remove(job)
            if self._note is not None:
                self._note(job)

    def _nothing(self) -> None:
        """Leave a click alone: it is short, and nothing goes before it."""

    def _urgent_first(self) -> None:
        """Do the clicks that wait, on this thread, while a draft pauses between two windows."""
        while True:
            with self._changed:
                job = self._take(urgent_only=True)
            if job is None:
                return
            self._run(job)

    def _take(self, urgent_only: bool) -> Job[Any] | None:
        """Return the next job, clicks first; the session that was served goes to the end of the row."""
        for wanted in (True, False)[: 1 if urgent_only else 2]:
            for owner, queue in self._queues.items():
                job = next((each for each in queue if each.urgent is wanted), None)
                if job is None:
                    continue
                queue.remove(job)
                self._queues.move_to_end(owner)
                if not queue:
                    del self._queues[owner]
                return job
        return None


def result_in_time(job: Job[Result], most_s: float) -> Result:
    """Return the result of a job, which is cancelled where it takes too long.

    Raises:
        ResourceError: It took too long (`MODEL_SLOW`); it has stopped before its next pass and changed nothing.
        ProsectError: What the work raised.
    """
    try:
        return job.result(most_s)
    except TimeoutError:
        job.cancel()
    try:
        return job.result()  # its last pass may have ended meanwhile
    except CancelledError as error:
        raise ResourceError(
            f"The model had not answered after {most_s:.0f} s, which is as long as other viewers wait; nothing has "
            "changed. Try again when less is going on, or on the page of the server, which waits.",
            code="MODEL_SLOW",
        ) from error
