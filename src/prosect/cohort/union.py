"""What the ledgers of many workers say together, in whatever order they are read.

Clocks of machines differ, so nothing here depends on the time of an event: a case that any worker has done is done, and
one that any has refused is refused until `cohort retry` asks for it again. Within one ledger lines have an order, and
that is all that is needed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from prosect.cohort.ledger import DONE, OVERDUE, READING, REFUSED, RETRY, SAVING, START, STOPPED, Event

__all__ = ["MOST_ATTEMPTS", "Union"]

# A case during which so many workers died, each with nothing else at work, is given up.
MOST_ATTEMPTS = 3


class Union:
    """The state of every case, kept up to date by `add`.

    Args:
        settings: Digest of what is asked; what was done for something else does not count.
    """

    def __init__(self, settings: str) -> None:
        self._mine = settings
        self.settings: dict[str, Mapping[str, Any]] = {}
        self.begun: set[str] = set()
        self.events = 0
        # Ledgers whose present run saves results of something else, which must never lie beside ours.
        self.others: set[str] = set()
        self._seen: Counter[str] = Counter()
        self._runs: Counter[str] = Counter()
        self._done: defaultdict[str, list[Event]] = defaultdict(list)
        self._refused: defaultdict[str, list[tuple[str, int, Event]]] = defaultdict(list)
        # By case, by run of a worker: where the attempt stands in the ledger, and whether it was alone.
        self._open: defaultdict[str, dict[str, tuple[str, int, bool]]] = defaultdict(dict)
        self._pardons: defaultdict[str, Counter[str]] = defaultdict(Counter)

    @property
    def seen(self) -> Mapping[str, int]:
        """How many events of each ledger were added; a pardon names them, so that later ones are not pardoned too."""
        return dict(self._seen)

    def add(self, ledger: str, events: Iterable[Event]) -> None:
        """Take further events of one ledger, in their order."""
        for event in events:
            self._seen[ledger] += 1
            self.events += 1
            self._add_one(ledger, event)

    def _add_one(self, ledger: str, event: Event) -> None:
        kind, number = event["event"], self._seen[ledger]
        if kind == START:
            # A ledger that one process after another writes holds several runs; each may have died.
            self._runs[ledger] += 1
            self.settings[ledger] = event["settings"]
            self.others.discard(ledger)
        run = f"{ledger}#{self._runs[ledger]}"
        if kind == STOPPED:
            self._forgive(run)
        if kind == RETRY:
            for name in event["cases"]:
                self._pardons[name] |= Counter(event["seen"])
        if "case" not in event:
            return
        case = event["case"]
        if kind == READING:
            self._open[case][run] = (ledger, number, bool(event.get("alone")))
        elif kind == OVERDUE:
            self._forgive(run, but=case)
            self._open[case][run] = (ledger, number, True)
        elif kind in (DONE, REFUSED):
            self._close(case, run)
        self._note(ledger, number, event)

    def _note(self, ledger: str, number: int, event: Event) -> None:
        """Remember what an event says of results."""
        kind, case = event["event"], event["case"]
        if kind in (SAVING, DONE):
            self.begun.add(case)
            if event.get("settings", self._mine) != self._mine:
                self.others.add(ledger)
        if event.get("settings") != self._mine:
            return
        if kind == DONE:
            self._done[case].append(event)
        elif kind == REFUSED:
            self._refused[case].append((ledger, number, event))

    def _forgive(self, run: str, but: str = "") -> None:
        """Hold nothing against the cases that a run had at work, apart from one."""
        for case in list(self._open):
            if case != but:
                self._close(case, run)

    def _close(self, case: str, run: str) -> None:
        """Take an attempt from those that have no outcome."""
        attempts = self._open.get(case, {})
        attempts.pop(run, None)
        # Only cases at work are kept here, so that a run that stops need not look at all that are done.
        if not attempts:
            self._open.pop(case, None)

    def done(self, case: str) -> tuple[Event, ...]:
        """Return each event that says that a case is done; more than one where it was done again."""
        return tuple(self._done.get(case, ()))

    def refused(self, case: str) -> Event | None:
        """Return why a case was refused, None where it was not, or was pardoned since."""
        for ledger, number, event in self._refused.get(case, ()):
            if number > self._pardoned(case, ledger):
                return event
        return None

    def attempts(self, case: str, *, by_others_than: str = "") -> tuple[int, int]:
        """Return how many attempts at a case have no outcome, and how many of those were alone.

        They count only for who holds the claim of the case: nobody else is at work on it then, so each of these
        attempts ended with its worker.

        Args:
            case: The case.
            by_others_than: The ledger of who asks.
        """
        number, alone = 0, 0
        for ledger, place, was_alone in self._open.get(case, {}).values():
            if ledger != by_others_than and place > self._pardoned(case, ledger):
                number += 1
                alone += was_alone
        return number, alone

    def open_cases(self) -> frozenset[str]:
        """Return the cases with attempts that have no outcome: at work, or left by a worker that died."""
        return frozenset(case for case in self._open if self.attempts(case)[0])

    def refused_cases(self) -> dict[str, Event]:
        """Return why each case that is refused is so."""
        found = {}
        for case in self._refused:
            event = self.refused(case)
            if event is not None and not self._done.get(case):
                found[case] = event
        return found

    def done_cases(self) -> dict[str, Event]:
        """Return for each case that is done its last such event."""
        found: dict[str, Event] = {}
        for case, events in self._done.items():
            if events:
                found[case] = events[-1]
        return found

    def _pardoned(self, case: str, ledger: str) -> int:
        """Return up to which event of a ledger nothing is held against a case."""
        if case not in self._pardons:
            return 0
        return self._pardons[case][ledger]
