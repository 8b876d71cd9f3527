"""One worker of many: it claims cases, does them in the pipeline, and ends when every case has an outcome.

All executors run this loop, each in its own way of starting processes; who starts them decides nothing about a case.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from prosect.cohort.ledger import DONE, OVERDUE, READING, REFUSED, SAVING, STOPPED, Event
from prosect.cohort.local import outcome_event
from prosect.cohort.manifest import Scan
from prosect.cohort.pipeline import SLOTS, Outcome, Pipeline, Work
from prosect.cohort.plan import identity, is_same_input
from prosect.cohort.store import Append, Store
from prosect.cohort.union import MOST_ATTEMPTS, Union
from prosect.cohort.watchdog import Watchdog, stacks_of_threads
from prosect.errors import CancelledError, FormatError, ProsectError

__all__ = ["Part", "SharedWork", "order_of"]

# What stops one worker stops all.
STOPPING_CODES = ("DISK_FULL",)

V = TypeVar("V")
R = TypeVar("R")


@dataclass(frozen=True)
class Part:
    """Which share of the cases a worker does first, from 1.

    A part is a preference and no border: when its own cases are done, a worker goes on with those of others, so that
    what a dead worker leaves is not left for good.
    """

    number: int = 1
    total: int = 1


def order_of(scans: Sequence[Scan], part: Part) -> tuple[Scan, ...]:
    """Return all scans in the order in which the worker of a part looks for work: its own, then the next part's, ...

    The part of a case depends on its name alone, so that it stays the same when scans are added.
    """

    def distance(scan: Scan) -> int:
        digits = hashlib.sha256(scan.name.encode("utf-8", "surrogateescape")).digest()[:8]
        own = int.from_bytes(digits, "big") % part.total
        return (own - part.number + 1) % part.total

    return tuple(sorted(scans, key=distance))


class SharedWork(Generic[V, R]):
    """What one worker does with the cases that it gets.

    Args:
        scans: All cases, in the order in which it looks for work.
        work: How a case is done; `save` writes into the store's folder of work and returns its files.
        store: Where all meet.
        append: Writes into the ledger of this worker.
        settings: Digest of what is asked.
        watch: Told of each outcome of this worker.
        planned: The files of a case by its name.
        case_time_s: Seconds that one step of a case may take; see `Watchdog`.
        slots: How many scans may be in memory at once.
        together: How many of them are computed at once.
        poll_s: Seconds between looks at what others do, where nothing is left to claim.
        now: Says the time of an event.
        clock: Seconds.
        sleep: Waits between looks at what others do.
    """

    def __init__(
        self,
        scans: Sequence[Scan],
        work: Work[V, R],
        store: Store,
        append: Append,
        settings: str,
        *,
        watch: Callable[[Outcome], None],
        planned: Callable[[str], Sequence[str]],
        case_time_s: float | None = None,
        slots: int = SLOTS,
        together: int = 1,
        poll_s: float = 2.0,
        now: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._scans, self._work, self._store = scans, work, store
        self._append_line, self._settings, self._watch, self._planned = append, settings, watch, planned
        self._slots, self._together = slots, together
        self._poll_s, self._now, self._clock, self._sleep = poll_s, now, clock, sleep
        self.watchdog = Watchdog(case_time_s, self._tell_overdue, clock)
        self.union = Union(settings)
        self.settled: set[str] = set()
        self.changed: set[str] = set()
        self._postponed: list[Scan] = []
        self._identities: dict[str, Mapping[str, Any]] = {}
        self._outcomes = 0
        self._is_leaving = False
        # The reading thread asks the union, the saving thread adds to it.
        self._lock = threading.RLock()

    @property
    def total(self) -> int:
        """How many cases there are."""
        return len(self._scans)

    @property
    def ledger_name(self) -> str:
        """How the union calls the ledger of this worker."""
        return f"{self._store.worker}.jsonl"

    def run(self) -> bool:
        """Do cases until each has an outcome, and return whether that is so; False where everyone was asked to leave.

        Raises:
            ProsectError: The disk is full, or the store cannot be written; everyone is asked to leave.
        """
        try:
            return self._run()
        except BaseException as failure:
            with self._lock:
                self._is_leaving = True
                with suppress(ProsectError):  # the disk may be full
                    self.note(STOPPED)
            if isinstance(failure, ProsectError) and failure.code in STOPPING_CODES:
                with suppress(ProsectError):
                    self._store.stop(f"{failure.code}: {failure}")
            raise
        finally:
            self._store.claims.close()

    def _run(self) -> bool:
        while True:
            before = self._outcomes
            self._pass(self._cases_in_company(), alone=False)
            # A worker has died of one of these, or beside it: with nothing beside it, it is known of which.
            self._pass(self._cases_alone(), alone=True)
            self.refresh()
            if self._all_settled():
                return True
            if self._store.stop_reason() is not None:
                return False
            if self._outcomes == before:
                self._sleep(self._poll_s)

    def _pass(self, scans: Iterator[Scan], *, alone: bool) -> None:
        slots, together = self._slots, self._together
        if alone:
            slots = together = 1
        is_alone = slots == together == 1
        if is_alone:
            postpone = None
        else:
            postpone = self._postponed.append
        Pipeline(self._watched(is_alone), self._record, postpone, slots, self._clock, together).run(scans)

    def refresh(self) -> None:
        """Read what others have written since."""
        with self._lock:
            for ledger, events in self._store.new_events():
                self.union.add(ledger, events)

    def _all_settled(self) -> bool:
        return all(self.is_settled(scan) for scan in self._scans)

    def is_settled(self, scan: Scan) -> bool:
        """Return whether a case has an outcome that still stands."""
        if scan.name in self.settled:
            return True
        with self._lock:
            done, refused = self.union.done(scan.name), self.union.refused(scan.name)
        is_settled = any(self._stands(scan, event) for event in reversed(done))
        if not is_settled and refused is not None and not done:
            is_settled = is_same_input(refused["input"], scan)
        if is_settled:
            self.settled.add(scan.name)
        return is_settled

    def _stands(self, scan: Scan, event: Event) -> bool:
        """Return whether a result is still there and still that of the scan; one that somebody changed is theirs."""
        states = self._store.states(event["files"])
        if "changed" in states:
            self.changed.add(scan.name)
            return True
        return "missing" not in states and is_same_input(event["input"], scan)

    def _cases_in_company(self) -> Iterator[Scan]:
        """Yield cases that are ours now and that nothing speaks against."""
        for scan in self._scans:
            if self.is_settled(scan) or self._attempts(scan)[0]:
                continue
            # Asked where a case is begun and not for each of a million that are settled.
            if self._store.stop_reason() is not None:
                return
            if not self._claim(scan):
                continue
            if self._attempts(scan)[0]:
                self._store.claims.release(scan.name)  # left for the end
                continue
            yield scan

    def _cases_alone(self) -> Iterator[Scan]:
        """Yield cases that are ours now and that a worker may have died of, and those that need all memory."""
        while self._postponed:
            yield self._postponed.pop(0)
        for scan in self._scans:
            if self.is_settled(scan) or not self._attempts(scan)[0]:
                continue
            if self._store.stop_reason() is not None:
                return
            if not self._claim(scan):
                continue
            attempts, alone = self._attempts(scan)
            if alone >= MOST_ATTEMPTS:
                self._give_up(scan, attempts)
                continue
            yield scan

    def _claim(self, scan: Scan) -> bool:
        """Return whether a case is ours now and still to be done."""
        if not self._store.claims.take(scan.name):
            return False
        # What its last holder wrote, it wrote before it gave the case back.
        self.refresh()
        self._refuse_mixture()
        if self.is_settled(scan):
            self._store.claims.release(scan.name)
            return False
        with self._lock:
            is_ours = scan.name in self.union.begun
        if is_ours:
            foreign = []
        else:
            foreign = [name for name in self._planned(scan.name) if self._store.exists(name)]
        if foreign:
            words = "Choose another folder, or remove it."
            message = f"{foreign[0]}: in the way, and not written by an earlier run of this command. {words}"
            self._record(Outcome(scan, "OUTPUT_EXISTS", message))
            return False
        return True

    def _refuse_mixture(self) -> None:
        """Refuse to save beside a worker that was asked something else.

        Raises:
            FormatError: There is one (`COHORT_CHANGED`).
        """
        with self._lock:
            others = sorted(self.union.others)
        if others:
            raise FormatError(
                f"{others[0]}: this worker saves results of another model or of other parameters in the same folder. "
                "Give each command a folder of its own.",
                code="COHORT_CHANGED",
            )

    def _attempts(self, scan: Scan) -> tuple[int, int]:
        with self._lock:
            return self.union.attempts(scan.name, by_others_than=self.ledger_name)

    def _give_up(self, scan: Scan, attempts: int) -> None:
        """Record that a case has cost too many workers."""
        message = (
            f"{attempts} workers ended without a word while they had this case, {MOST_ATTEMPTS} of them with nothing "
            "beside it. See their messages; `prosect cohort retry` tries it again."
        )
        self._record(Outcome(scan, "CASE_QUARANTINED", message))

    def _watched(self, alone: bool) -> Work[V, R]:
        """Return the steps of a case, with their lines in the ledger and the watchdog beside them."""

        def read(scan: Scan) -> V:
            self._note_reading(scan, alone)
            # Before it is read: one that is replaced meanwhile is another input, and is done again by the next run.
            self._identities[scan.name] = identity(scan)
            with self.watchdog.step(scan.name):
                return self._work.read(scan)

        def compute(scan: Scan, volume: V) -> R:
            with self.watchdog.step(scan.name):
                return self._work.compute(scan, volume)

        def save(scan: Scan, volume: V, result: R) -> Mapping[str, Any]:
            self.note(SAVING, case=scan.name, settings=self._settings)
            # Two that begin at once see nothing of each other at first: each says that it will save before it looks.
            self.refresh()
            self._refuse_mixture()
            with self.watchdog.step(scan.name):
                kept = self._work.save(scan, volume, result)
                return {**kept, "files": self._publish(scan, kept["files"])}

        return Work(read, compute, save)

    def _note_reading(self, scan: Scan, alone: bool) -> None:
        """Write down that a case is begun.

        Raises:
            CancelledError: This worker leaves. What began after its last word would count as what it died of.
        """
        with self._lock:
            if self._is_leaving:
                raise CancelledError(f"{scan.name}: not begun, because this worker leaves.")
            self.note(READING, case=scan.name, alone=alone)

    def _publish(self, scan: Scan, paths: Sequence[Any]) -> dict[str, Any]:
        """Give files their place, and return the size and SHA-256 of each."""
        known: Mapping[str, Any] = {}
        # Where our claim was taken over, the successor may be done already: its result stays.
        if not self._store.claims.holds(scan.name):
            self.refresh()
            with self._lock:
                done = self.union.done(scan.name)
            known = {}
            if done:
                known = done[-1]["files"]
        files = {}
        for path in paths:
            name = path.relative_to(self._store.work).as_posix()
            files[name] = self._store.publish(name, known.get(name))
        return files

    def _record(self, outcome: Outcome) -> None:
        """Write down how a case ended, and give it back."""
        known = self._identities.pop(outcome.scan.name, None) or identity(outcome.scan)
        kind, what = outcome_event(outcome, self._settings, known)
        self.note(kind, **what)
        assert kind in (DONE, REFUSED)
        self.settled.add(outcome.scan.name)
        self._outcomes += 1
        self._store.claims.release(outcome.scan.name)
        self._watch(outcome)

    def note(self, kind: str, **what: Any) -> None:
        """Write an event into the ledger of this worker and wait until it is kept.

        Raises:
            ProsectError: The ledger cannot be written, or the disk is full.
        """
        self._append_line({"event": kind, "time": self._now(), **what})

    def _tell_overdue(self, case: str, seconds: float) -> None:
        """Write down which case this worker leaves because of, and give all back."""
        with suppress(Exception):
            self._store.keep_stacks(f"{case}: {seconds:.0f} s\n{stacks_of_threads()}")
        with suppress(Exception):
            self.note(OVERDUE, case=case, seconds=round(seconds, 3))
        self._store.claims.close()
