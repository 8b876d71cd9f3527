"""What a person does to a cohort: try cases again, and clear away what dead workers left."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path

from prosect.cohort.claims import FolderClaims
from prosect.cohort.ledger import RETRY
from prosect.cohort.status import last_settings, read_ledgers
from prosect.cohort.store import CLAIMS, SHARED, FolderStore, new_worker_name, sweep_shared
from prosect.cohort.union import Union
from prosect.errors import UsageError
from prosect.io.temporary import sweep
from prosect.jobs.segment import utc_now

__all__ = ["retry", "sweep_cohort"]


def retry(
    out: Path,
    cases: Collection[str] = (),
    codes: Collection[str] = (),
    *,
    now: Callable[[], datetime] = utc_now,
) -> tuple[str, ...]:
    """Let workers try refused cases again, and begin again where all were asked to leave; return the cases.

    What was held against a case until now is pardoned; what comes later counts from the start.

    Args:
        out: The folder of the results.
        cases: Only these; all that are refused where neither cases nor codes are given.
        codes: Only those refused with one of these codes.
        now: The time of day.

    Raises:
        FormatError: There is no ledger (`COHORT_MISSING`).
        UsageError: A case is not refused (`USAGE`).
    """
    ledgers = read_ledgers(out)
    union = Union(last_settings(ledgers))
    for name, events in ledgers.items():
        union.add(name, events)
    refused = union.refused_cases()
    unknown = sorted(set(cases) - set(refused))
    if unknown:
        raise UsageError(f"{unknown[0]}: this case is not refused, so there is nothing to try again.")
    chosen = []
    for case, event in refused.items():
        is_named = case in cases or event["code"] in codes
        if is_named or not (cases or codes):
            chosen.append(case)
    store = FolderStore(out, f"{new_worker_name(socket.gethostname(), os.getpid(), now())}-retry")
    with store.open_ledger() as append:
        time_text = now().isoformat(timespec="seconds")
        append({"event": RETRY, "time": time_text, "cases": sorted(chosen), "seen": dict(union.seen)})
        store.clear_stop()
    store.claims.close()
    return tuple(sorted(chosen))


def sweep_cohort(out: Path, lease_s: float) -> tuple[int, int]:
    """Remove what dead workers left, and return how many of their folders and claims there were.

    Args:
        out: The folder of the results.
        lease_s: Seconds after which a claim that is not renewed is stale.

    Raises:
        FormatError: There is no ledger (`COHORT_MISSING`).
    """
    read_ledgers(out)
    folder = out / SHARED / CLAIMS
    if not folder.is_dir():
        return sweep([out]), 0
    claims = FolderClaims(folder, "sweep", lease_s)
    # A worker between two cases has no claim, and yet it lives: its heart beats.
    alive = claims.alive()
    dead = {each.owner for each in claims.held() if each.age_s > lease_s} - alive
    removed = sum(claims.break_claims(owner) for owner in sorted(dead))
    claims.close()
    return sweep_shared(out, alive), removed
