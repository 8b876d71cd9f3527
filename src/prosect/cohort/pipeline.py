"""Reading the next scans and saving the last ones while the present one is computed, in threads beside the caller's.

At most `slots` scans are in memory at once: a scan takes a slot before it is read and gives it back when its result is
saved. With three, one is read, one computed and one saved. More of them even out scans that take longer to read than
others, and from five on two threads read and two save. The computation stays in the caller's thread, so that an
interrupt reaches it at once. Where several scans are computed together, further threads do the same beside it.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from prosect.cohort.manifest import Scan
from prosect.errors import ProsectError

__all__ = ["GPU_SLOTS", "SLOTS", "Outcome", "Pipeline", "Work", "run"]

SLOTS = 3
# A GPU is as fast as the reading of a scan, and waits for each that takes longer to read than it takes to compute.
GPU_SLOTS = 5
# For one scan that is read and one that is saved, beside those that are computed.
ROOM_BESIDE = 2
# Too large beside the scans before and after it: worth a second try, alone.
MEMORY_CODES = ("MEMORY_EXHAUSTED", "MEMORY_INSUFFICIENT", "GPU_MEMORY", "RESOURCE_EXHAUSTED")
# No later scan can do better, and none must be computed in vain.
FATAL_CODES = ("DISK_FULL", "COHORT_CHANGED")
# After an interrupt the result that is being saved may finish; longer than this nobody waits.
PATIENCE_S = 4.0

V = TypeVar("V")
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Work(Generic[V, R]):
    """What is done with one scan.

    Attributes:
        read: Returns what is computed on; runs in the reading thread.
        compute: Returns the result; runs in the caller's thread.
        save: Writes the result and returns what is to be remembered of it; runs in the saving thread.
    """

    read: Callable[[Scan], V]
    compute: Callable[[Scan, V], R]
    save: Callable[[Scan, V, R], Mapping[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """How one scan ended.

    Attributes:
        scan: The scan.
        code: Empty where it is done, else the code of the error.
        message: What the error says.
        trace: The traceback of an error that should not exist.
        kept: What `save` returned.
        seconds: Time taken by reading, computing and saving.
    """

    scan: Scan
    code: str = ""
    message: str = ""
    trace: str = ""
    kept: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Job(Generic[V, R]):
    """A scan on its way, with what is in memory for it."""

    outcome: Outcome
    volume: V | None = None
    result: R | None = None


def run(
    scans: Sequence[Scan],
    work: Work[V, R],
    record: Callable[[Outcome], None],
    *,
    alone: Sequence[Scan] = (),
    slots: int = SLOTS,
    together: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Read, compute and save every scan; one that fails is recorded and the rest is done.

    A scan that does not fit in memory is tried again at the end with nothing beside it.

    Args:
        scans: What to do, in this order.
        work: How.
        record: Called once for each scan in a saving thread, after its result is saved or its error is known; never
            twice at a time.
        alone: What to do after them with nothing beside it.
        slots: How many scans may be in memory at once.
        together: How many of them are computed at once; they take slots beside those of reading and saving.
        clock: Seconds.

    Raises:
        ProsectError: The disk is full; nothing is lost, and the same scans can be run again.
    """
    again: list[Scan] = []
    Pipeline(work, record, again.append if slots > 1 else None, slots, clock, together).run(scans)
    if again or alone:
        Pipeline(work, record, None, 1, clock).run([*again, *alone])


class Pipeline(Generic[V, R]):
    """One pass over scans."""

    def __init__(
        self, work: Work[V, R], record: Callable[[Outcome], None], postpone: Callable[[Scan], None] | None,
        slots: int, clock: Callable[[], float], together: int = 1,
    ) -> None:  # fmt: skip
        self._work, self._record, self._postpone, self._clock = work, record, postpone, clock
        self._together = together
        if together > 1:
            slots = max(slots, together + ROOM_BESIDE)
        self._slots = threading.Semaphore(slots)
        # A reader and a saver for every two scans beside those that are computed.
        self._helpers = max(1, (slots - together) // 2)
        self._reading = self._helpers
        self._taking, self._recording = threading.Lock(), threading.Lock()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._read: SimpleQueue[Job[V, R] | None] = SimpleQueue()
        self._computed: SimpleQueue[Job[V, R] | None] = SimpleQueue()

    def run(self, scans: Iterable[Scan]) -> None:
        """Do all scans, or stop in order: whatever ends this ends all threads.

        Args:
            scans: Asked for the next one in a reading thread, when there is room for it and not before.
        """
        waiting, savers = iter(scans), []
        for _ in range(self._helpers):
            self._start("reader", lambda: self._read_all(waiting))
            savers.append(self._start("saver", self._save_all))
        others = [self._start("computer", self._compute_all) for _ in range(self._together - 1)]
        try:
            self._compute_all()
            for other in others:
                other.join()
            self._dismiss_savers()
            for saver in savers:
                saver.join()
        finally:
            self._halt()
            for helper in (*others, *savers):
                helper.join(PATIENCE_S)
        if self._failure is not None:
            raise self._failure

    def _start(self, name: str, body: Callable[[], None]) -> threading.Thread:
        """Start a thread that never outlives the process and whose failure ends the run."""

        def guarded() -> None:
            try:
                body()
            except BaseException as failure:
                self._failure = failure
                self._halt()

        thread = threading.Thread(target=guarded, name=f"prosect-{name}", daemon=True)
        thread.start()
        return thread

    def _halt(self) -> None:
        """Wake everyone who waits; each sees that the run is over."""
        self._stop.set()
        self._slots.release(self._helpers)
        self._read.put(None)
        self._dismiss_savers()

    def _dismiss_savers(self) -> None:
        """Let each saver end when it has saved what is there."""
        for _ in range(self._helpers):
            self._computed.put(None)

    def _read_all(self, waiting: Iterator[Scan]) -> None:
        while True:
            self._slots.acquire()
            if self._stop.is_set():
                return
            with self._taking:
                scan = next(waiting, None)
                if scan is None:
                    self._reading -= 1
                    is_last = self._reading == 0
                    break
            self._read.put(self._loaded(scan))
        # The other readers need the room, too, to see that nothing is left.
        self._slots.release()
        if is_last:
            self._read.put(None)

    def _compute_all(self) -> None:
        while (job := self._read.get()) is not None and not self._stop.is_set():
            self._computed.put(self._segmented(job))
            del job  # while this thread waits, the scan belongs to the saver alone
        self._read.put(None)  # for those who compute beside

    def _save_all(self) -> None:
        while (job := self._computed.get()) is not None and not self._stop.is_set():
            outcome = self._saved(job)
            del job
            with self._recording:
                if self._postpone is not None and outcome.code in MEMORY_CODES:
                    self._postpone(outcome.scan)
                else:
                    self._record(outcome)
            self._slots.release()

    def _loaded(self, scan: Scan) -> Job[V, R]:
        outcome, volume = self._attempt(Outcome(scan), "reading", lambda: self._work.read(scan))
        return Job(outcome, volume)

    def _segmented(self, job: Job[V, R]) -> Job[V, R]:
        scan, volume = job.outcome.scan, job.volume
        if volume is None:
            return job
        outcome, result = self._attempt(job.outcome, "segmenting", lambda: self._work.compute(scan, volume))
        return Job(outcome, volume, result)

    def _saved(self, job: Job[V, R]) -> Outcome:
        scan, volume, result = job.outcome.scan, job.volume, job.result
        if volume is None or result is None:
            return job.outcome
        outcome, kept = self._attempt(job.outcome, "saving", lambda: self._work.save(scan, volume, result))
        return replace(outcome, kept=kept or {})

    def _attempt(self, outcome: Outcome, stage: str, step: Callable[[], T]) -> tuple[Outcome, T | None]:
        """Return what a step gives, or None and the outcome with its error.

        Only the words of an error are kept: its traceback would hold the scan in memory.
        """
        begin = self._clock()
        result: T | None = None
        try:
            result = step()
        except ProsectError as error:
            if error.code in FATAL_CODES:
                raise
            outcome = replace(outcome, code=error.code, message=str(error))
        except MemoryError:
            outcome = replace(outcome, code="MEMORY_EXHAUSTED", message="The memory is not sufficient.")
        except Exception as error:
            cause = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            outcome = replace(outcome, code="INTERNAL_BUG", message=cause, trace=traceback.format_exc())
        return replace(outcome, seconds={**outcome.seconds, stage: self._clock() - begin}), result
