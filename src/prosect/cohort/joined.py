"""The numbers of a whole cohort in one file, beside the results: wide for people, Parquet for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from prosect.cohort.ledger import Event
from prosect.cohort.tables import case_tables, read_rows, wide_table
from prosect.lazy import lazy_module

if TYPE_CHECKING:
    from prosect.cohort import columns
else:
    columns = lazy_module("prosect.cohort.columns")

__all__ = ["JOINED", "joined_tables", "require_joined"]

# What each kind of table is called.
JOINED = {"wide": "statistics_wide.csv", "parquet": "statistics.parquet"}


def require_joined(kinds: Sequence[str]) -> None:
    """Load what writes tables, so that what is missing is said before the work and not after it.

    Raises:
        ImportError: The extra `cohort` is not installed.
    """
    if "parquet" in kinds:
        assert columns.as_parquet is not None


def joined_tables(
    kinds: Sequence[str], read: Callable[[str], bytes | None], done: Mapping[str, Event]
) -> dict[str, bytes]:
    """Return the content of each table by its name.

    Args:
        kinds: Of `JOINED`.
        read: Returns a result by its name, None where there is none.
        done: The `done` event of each case.
    """
    found = {}
    if "wide" in kinds:
        found[JOINED["wide"]] = wide_table(read_rows(case_tables(read, done)), list(done))
    if "parquet" in kinds:
        tables = (content for _, content in case_tables(read, done))
        found[JOINED["parquet"]] = columns.as_parquet(tables)
    return found
