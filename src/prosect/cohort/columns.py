"""The numbers of a cohort as one Parquet file: columns with types, a hundredth of the size of text."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from prosect.cohort.tables import Row
from prosect.results.statistics import COLUMNS

__all__ = ["as_parquet"]

WORDS = ("case", "name", "snomed", "laterality", "state")
TRUTHS = ("present", "touches_border", "plausible")
WHOLE = ("index",)
BATCH_ROWS = 100_000


def as_parquet(rows: Iterable[Row]) -> bytes:
    """Return a Parquet file of rows; the same rows give the same bytes with the same library.

    Its columns are those of `statistics.csv` with their types, and `state`: `present`, `absent` or `withheld`.
    """
    schema = schema_of()
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, schema, compression="zstd") as writer:
        batch: list[Row] = []
        for row in rows:
            batch.append(row)
            if len(batch) == BATCH_ROWS:
                writer.write_table(table_of(batch, schema))
                batch = []
        writer.write_table(table_of(batch, schema))
    return buffer.getvalue()


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


def table_of(rows: list[Row], schema: pa.Schema) -> pa.Table:
    """Return rows as a table."""
    columns = []
    for field in schema:
        values = [value_of(row, field.name) for row in rows]
        columns.append(pa.array(values, pa.string()) if field.name in WORDS else pa.array(values, field.type))
    plain = pa.table(columns, names=schema.names)
    return plain.cast(schema)


def value_of(row: Row, name: str) -> str | bool | int | float | None:
    """Return the value of a column, None where the cell is empty."""
    if name == "state":
        return row.state
    text = row.values.get(name, "")
    if name in WORDS:
        return text
    if not text:
        return None
    if name in TRUTHS:
        return text == "true"
    if name in WHOLE or name.startswith("bbox_"):
        return int(text)
    return float(text)
