"""How far a cohort is, told from its ledgers and claims alone, whoever runs it and whether anyone does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prosect.cohort import pages
from prosect.cohort.claims import Held
from prosect.cohort.ledger import DONE, READING, REFUSED, START, Event, digest
from prosect.cohort.places import Place, require_ledgers
from prosect.cohort.store import LINES
from prosect.cohort.union import Union

__all__ = ["CohortStatus", "WorkerStatus", "as_page", "as_text", "done_of", "look", "union_of"]

RATE_WINDOW_S = 3600.0
SHOWN = 20


@dataclass(frozen=True)
class WorkerStatus:
    """One worker.

    Attributes:
        name: Its name.
        done: How many cases it has done.
        refused: How many it has refused.
        last: When it wrote its last event, as text.
    """

    name: str
    done: int
    refused: int
    last: str


@dataclass(frozen=True)
class CohortStatus:
    """How far a cohort is.

    Attributes:
        total: How many cases there are; None where no worker has said so.
        done: How many are done.
        refused: Cases that were refused, with their code and message.
        at_work: Claims, the oldest first.
        workers: Every worker that has a ledger.
        per_hour: Cases with an outcome in the last hour in which there was any.
        left_s: Seconds until the end at that rate; None where it cannot be told.
        busy_percent: Share of the time of all workers in which they computed; None where it cannot be told.
        stopped: Why everyone was asked to leave; None where nobody was.
        stacks: Files that tell what hung.
    """

    total: int | None
    done: int
    refused: Mapping[str, tuple[str, str]]
    at_work: tuple[Held, ...]
    workers: tuple[WorkerStatus, ...]
    per_hour: float
    left_s: float | None
    busy_percent: float | None
    stopped: str | None
    stacks: tuple[str, ...] = field(default=())

    @property
    def codes(self) -> Mapping[str, int]:
        """How many cases were refused, by code."""
        return Counter(code for code, _ in self.refused.values())

    @property
    def left(self) -> int | None:
        """How many cases have no outcome."""
        if self.total is None:
            return None
        return max(0, self.total - self.done - len(self.refused))


def look(place: Place) -> CohortStatus:
    """Return how far the cohort is whose results lie in a place.

    Raises:
        FormatError: There is no ledger (`COHORT_MISSING`).
    """
    ledgers = require_ledgers(place)
    outcomes, refused, total = add_up(ledgers)
    done = sum(event["event"] == DONE for event in outcomes.values())
    per_hour = rate_of(outcomes.values())
    left_s = None
    if total is not None and per_hour:
        left_s = max(0, total - len(outcomes)) / per_hour * 3600
    return CohortStatus(
        total=total,
        done=done,
        refused=refused,
        at_work=tuple(sorted(place.held(), key=lambda held: -held.age_s)),
        workers=tuple(worker_of(name, events) for name, events in ledgers.items() if events),
        per_hour=per_hour,
        left_s=left_s,
        busy_percent=busy_of(ledgers.values()),
        stopped=place.stop_reason(),
        stacks=place.stacks(),
    )


def add_up(ledgers: Mapping[str, list[Event]]) -> tuple[dict[str, Event], dict[str, tuple[str, str]], int | None]:
    """Return the last outcome of each case, why those were refused that are, and how many cases there are."""
    union, total = union_of(ledgers), None
    for events in ledgers.values():
        for event in events:
            if event["event"] == START and "total" in event:
                total = int(event["total"])
    refused_events = union.refused_cases()
    refused = {case: (str(event["code"]), str(event["message"])) for case, event in refused_events.items()}
    return {**refused_events, **union.done_cases()}, refused, total


def union_of(ledgers: Mapping[str, list[Event]]) -> Union:
    """Return what ledgers say together, under what was asked last."""
    union = Union(last_settings(ledgers))
    for name, events in ledgers.items():
        union.add(name, events)
    return union


def last_settings(ledgers: Mapping[str, list[Event]]) -> str:
    """Return the digest of what was asked last."""
    found, latest = "", ""
    for events in ledgers.values():
        for event in events:
            if event["event"] == START and str(event.get("time", "")) >= latest:
                found, latest = digest(event["settings"]), str(event.get("time", ""))
    return found


def worker_of(name: str, events: list[Event]) -> WorkerStatus:
    """Return what a ledger says of its worker."""
    kinds = Counter(event["event"] for event in events)
    return WorkerStatus(name.removesuffix(LINES), kinds[DONE], kinds[REFUSED], str(events[-1].get("time", "")))


def rate_of(outcomes: Iterable[Event]) -> float:
    """Return cases per hour, over the last hour in which there was an outcome; 0 where there are too few."""
    times = sorted(datetime.fromisoformat(event["time"]).timestamp() for event in outcomes)
    recent = []
    for moment in times:
        if moment >= times[-1] - RATE_WINDOW_S:
            recent.append(moment)
    if len(recent) < 2 or recent[-1] == recent[0]:
        return 0.0
    return (len(recent) - 1) / (recent[-1] - recent[0]) * 3600


def busy_of(ledgers: Iterable[list[Event]]) -> float | None:
    """Return the share of the workers' time in which a model computed, in percent; None where there is no outcome.

    The time of a worker begins with its first case, so that loading the model is left out.
    """
    computing, whole = 0.0, 0.0
    for events in ledgers:
        begin, end, together = "", "", 1
        for event in events:
            if event["event"] == START:
                together = event.get("together", 1)
            elif event["event"] == READING:
                begin = begin or event["time"]
            elif event["event"] == DONE and begin:
                end = event["time"]
                # Where several scans are computed at once, each takes its share of the device.
                computing += event["seconds"].get("segmenting", 0.0) / together
        if end:
            whole += (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
    if whole > 0:
        return min(100.0, 100 * computing / whole)
    return None


def as_text(status: CohortStatus) -> str:
    """Return the status in lines."""
    lines = [headline(status)]
    if status.stopped is not None:
        lines.append(f"all workers were asked to leave: {status.stopped}")
    if status.per_hour:
        pace = f"{status.per_hour:.0f} scans an hour"
        if status.left_s:
            pace += f", {status.left_s / 3600:.1f} h left"
        if status.busy_percent is not None:
            pace += f"; models computed for {status.busy_percent:.0f} % of the time"
        lines.append(pace)
    for code, count in sorted(status.codes.items()):
        lines.append(f"refused [{code}]: {count}")
    for held in status.at_work[:SHOWN]:
        lines.append(f"at work: {held.case} ({held.owner}, {life_of(held)})")
    for worker in status.workers[:SHOWN]:
        lines.append(f"worker {worker.name}: {worker.done} done, {worker.refused} refused, last {worker.last}")
    if len(status.workers) > SHOWN:
        lines.append(f"and {len(status.workers) - SHOWN} more workers")
    lines += [f"what hung: {name}" for name in status.stacks]
    return "\n".join(lines)


def life_of(held: Held) -> str:
    """Return in words when the holder of a claim was last known to live."""
    if held.has_ended:
        return "its process has ended"
    return f"renewed {held.age_s:.0f} s ago"


def headline(status: CohortStatus) -> str:
    """Return the counts in a line."""
    if status.total is None:
        whole = ""
    else:
        whole = f" of {status.total}"
    if status.left is None:
        left = ""
    else:
        left = f", {status.left} left"
    return f"{status.done}{whole} scans done, {len(status.refused)} refused, {len(status.at_work)} at work{left}"


def as_page(status: CohortStatus) -> str:
    """Return the status as a page that needs no server and asks for itself again every 30 seconds."""
    value = status.done + len(status.refused)
    whole = status.total or max(1, value)
    blocks = []
    if status.stopped is not None:
        reason = pages.escape(f"All workers were asked to leave: {status.stopped}")
        blocks.append(f'<div class="card bad">{reason}</div>')
    blocks += [f'<progress max="{whole}" value="{value}"></progress>', pages.tiles(facts_of(status))]
    at_work = []
    for held in status.at_work:
        at_work.append((held.case, held.owner, life_of(held)))
    workers = []
    for worker in status.workers:
        workers.append((worker.name, str(worker.done), str(worker.refused), worker.last))
    refused = []
    for case, (code, message) in sorted(status.refused.items()):
        refused.append((case, code, message))
    blocks += [
        pages.table("Refused, by reason", ("code", "scans"), sorted((c, str(n)) for c, n in status.codes.items())),
        pages.table("At work", ("scan", "worker", "sign of life"), at_work),
        pages.table("Workers", ("worker", "done", "refused", "last event"), workers),
        pages.table("Refused scans", ("scan", "code", "why"), refused),
        pages.table("What hung", ("file",), [(name,) for name in status.stacks]),
    ]
    return pages.page(headline(status), blocks, foot="This page asks for itself every 30 seconds.", refresh_s=30)


def facts_of(status: CohortStatus) -> list[tuple[str, str]]:
    """Return the numbers that are seen first, each with what it counts."""
    facts = [(str(status.done), "done"), (str(len(status.refused)), "refused"), (str(len(status.at_work)), "at work")]
    if status.left is not None:
        facts.append((str(status.left), "left"))
    if status.per_hour:
        facts.append((f"{status.per_hour:.0f}", "scans an hour"))
    if status.left_s:
        facts.append((f"{status.left_s / 3600:.1f} h", "time left"))
    if status.busy_percent is not None:
        facts.append((f"{status.busy_percent:.0f} %", "models busy"))
    return facts


def done_of(place: Place) -> dict[str, Event]:
    """Return the `done` event of each case that is done under the last settings, by case.

    Raises:
        FormatError: There is no ledger (`COHORT_MISSING`).
    """
    done = union_of(require_ledgers(place)).done_cases()
    found: dict[str, Event] = {}
    for case in sorted(done):
        found[case] = done[case]
    return found
