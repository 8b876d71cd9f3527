"""The numbers of a cohort as one Parquet file: columns with types, which programs read far faster than text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from prosect.cohort.tables import ABSENT, PRESENT, WITHHELD
from prosect.results.statistics import COLUMNS

__all__ = ["as_parquet"]

WORDS = ("case", "name", "snomed", "laterality", "state")
TRUTHS = ("present", "touches_border", "plausible")
WHOLE = ("index",)
# Text that is parsed at once: enough to be fast, and little beside a scan.
BATCH_BYTES = 16 << 20


def as_parquet(tables: Iterable[bytes]) -> bytes:
    """Return a Parquet file of the tables of many cases; the same tables give the same bytes with the same library.

    Its columns are those of `statistics.csv` with their types, and `state`: `present`, `absent` or `withheld`.

    Args:
        tables: The content of the `statistics.csv` of each case. Older ones may lack columns, which are empty then.
    """
    schema = schema_of()
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, schema, compression="zstd") as writer:
        for text in batches(tables):
            writer.write_table(table_of(text, schema))
    return buffer.getvalue()


def batches(tables: Iterable[bytes]) -> Iterator[bytes]:
    """Yield tables of one header joined to one, as long as they are small."""
    rows: list[bytes] = []
    header, size = b"", 0
    for content in tables:
        first, _, rest = content.partition(b"\n")
        if rows and (first != header or size > BATCH_BYTES):
            yield header + b"\n" + b"".join(rows)
            rows, size = [], 0
        header = first
        rows.append(rest)
        size += len(rest)
    if rows:
        yield header + b"\n" + b"".join(rows)


def schema_of() -> pa.Schema:
    """Return the columns with their types."""
    fields = []
    for name in (*COLUMNS, "state"):
        fields.append(pa.field(name, type_of(name)))
    return pa.schema(fields)


def type_of(name: str) -> pa.DataType:
    """Return the type of a column; words repeat, so they are kept once."""
    if name in WORDS:
        return pa.dictionary(pa.int32(), pa.string())
    if name in TRUTHS:
        return pa.bool_()
    if name in WHOLE or name.startswith("bbox_"):
        return pa.int32()
    return pa.float64()


def table_of(text: bytes, schema: pa.Schema) -> pa.Table:
    """Return a table of CSV with the columns of a schema."""
    plain = {}
    for name in COLUMNS:
        plain[name] = pa.string() if name in WORDS else type_of(name)
    how = pa_csv.ConvertOptions(
        column_types=plain,
        include_columns=list(COLUMNS),
        include_missing_columns=True,
        null_values=[""],
        true_values=["true"],
        false_values=["false"],
        strings_can_be_null=False,
    )
    # A name may have a line break, which stands in quotes.
    lines = pa_csv.ParseOptions(newlines_in_values=True)
    read = pa_csv.read_csv(io.BytesIO(text), parse_options=lines, convert_options=how)
    return read.append_column("state", states_of(read)).cast(schema)


def states_of(table: pa.Table) -> pa.ChunkedArray:
    """Return the state of each row, as `tables.state_of` does for one."""
    is_implausible = pc.fill_null(pc.equal(table["plausible"], False), False)
    missing = pc.if_else(is_implausible, WITHHELD, ABSENT)
    return pc.if_else(table["present"], PRESENT, missing)
