"""What a person does to a cohort: try cases again, and clear away what dead workers left."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from prosect.cohort.ledger import RETRY
from prosect.cohort.places import Place, require_ledgers
from prosect.cohort.status import union_of
from prosect.errors import UsageError
from prosect.jobs.segment import utc_now

__all__ = ["retry", "sweep_cohort"]


def retry(
    place: Place,
    cases: Collection[str] = (),
    codes: Collection[str] = (),
    *,
    now: Callable[[], datetime] = utc_now,
) -> tuple[str, ...]:
    """Let workers try refused cases again, and begin again where all were asked to leave; return the cases.

    What was held against a case until now is pardoned; what comes later counts from the start.

    Args:
        place: Where the results lie.
        cases: Only these; all that are refused where neither cases nor codes are given.
        codes: Only those refused with one of these codes.
        now: The time of day.

    Raises:
        FormatError: There is no ledger (`COHORT_MISSING`).
        UsageError: A case is not refused (`USAGE`).
    """
    union = union_of(require_ledgers(place))
    refused = union.refused_cases()
    unknown = sorted(set(cases) - set(refused))
    if unknown:
        raise UsageError(f"{unknown[0]}: this case is not refused, so there is nothing to try again.")
    chosen = []
    for case, event in refused.items():
        is_named = case in cases or event["code"] in codes
        if is_named or not (cases or codes):
            chosen.append(case)
    moment = now()
    time_text = moment.isoformat(timespec="seconds")
    place.append({"event": RETRY, "time": time_text, "cases": sorted(chosen), "seen": dict(union.seen)}, moment)
    place.clear_stop()
    return tuple(sorted(chosen))


def sweep_cohort(place: Place, lease_s: float) -> tuple[int, int]:
    """Remove what dead workers left, and return how many of their folders and claims there were.

    Args:
        place: Where the results lie.
        lease_s: Seconds after which a claim that is not renewed is stale.

    Raises:
        FormatError: There is no ledger (`COHORT_MISSING`).
    """
    require_ledgers(place)
    return place.sweep(lease_s)
