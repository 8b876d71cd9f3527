"""The numbers of a whole cohort in one table: long for programs, wide for people.

Three things look alike in a table of volumes and are not: a structure that is absent from a scan, one that was found
and withheld because it cannot be there, and one that nobody asked for. Each has a word of its own here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prosect.cohort.ledger import Event
from prosect.cohort.report import TABLE_ENDING

__all__ = ["ABSENT", "PRESENT", "WITHHELD", "Row", "case_tables", "read_rows", "state_of", "wide_table"]

PRESENT, ABSENT, WITHHELD = "present", "absent", "withheld"


@dataclass(frozen=True)
class Row:
    """One structure of one case.

    Attributes:
        case: The case.
        name: The structure.
        state: `present`, `absent` or `withheld`; of what nobody asked for there is no row.
        volume_ml: Its volume; None where it is not present.
        touches_border: Whether it reaches the edge of the scan, so that the volume is only a part.
        values: All columns as the table of the case has them.
    """

    case: str
    name: str
    state: str
    volume_ml: float | None
    touches_border: bool
    values: Mapping[str, str]


def state_of(values: Mapping[str, str]) -> str:
    """Return whether a structure is present, absent or withheld, by the columns of its row."""
    if values["present"] == "true":
        return PRESENT
    if values.get("plausible") == "false":
        return WITHHELD
    return ABSENT


def read_rows(tables: Iterable[tuple[str, bytes]]) -> Iterator[Row]:
    """Yield the rows of the tables of cases.

    Args:
        tables: The content of the `statistics.csv` of each case, by case.
    """
    for case, content in tables:
        for values in csv.DictReader(io.StringIO(content.decode("utf-8", "replace"))):
            yield row_of(case, values)


def case_tables(read: Callable[[str], bytes | None], done: Mapping[str, Event]) -> Iterator[tuple[str, bytes]]:
    """Yield each finished case that has a table, and the content of it, by case; one that is gone is passed over.

    Args:
        read: Returns a result by its name, None where there is none.
        done: The `done` event of each case.
    """
    for case in sorted(done):
        for name in done[case]["files"]:
            content = None
            if name.endswith(TABLE_ENDING):
                content = read(name)
            if content is not None:
                yield case, content


def row_of(case: str, values: Mapping[str, str]) -> Row:
    """Return a row of a table."""
    state = state_of(values)
    volume_ml = None
    if state == PRESENT:
        volume_ml = float(values["volume_ml"])
    return Row(case, values["name"], state, volume_ml, values["touches_border"] == "true", values)


def wide_table(rows: Iterable[Row], cases: Sequence[str]) -> bytes:
    """Return a table with a row per case and a column per structure, as CSV.

    A cell has the volume in mL, the word `absent` or `withheld`, or nothing where the structure was not asked for.

    Args:
        rows: The rows of all cases.
        cases: All cases that are done; one without any row is listed, too.
    """
    volumes: dict[str, dict[str, str]] = {case: {} for case in cases}
    names: dict[str, int] = {}
    for row in rows:
        names.setdefault(row.name, int(row.values["index"]))
        if row.volume_ml is None:
            volumes[row.case][row.name] = row.state
        else:
            volumes[row.case][row.name] = row.values["volume_ml"]
    columns = sorted(names, key=lambda name: names[name])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", *columns])
    for case in sorted(volumes):
        writer.writerow([case, *(volumes[case].get(name, "") for name in columns)])
    return text.getvalue().encode("utf-8", "replace")
