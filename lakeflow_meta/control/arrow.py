"""Control-table layouts as Arrow schemas. Pure; not in `tables` because pyarrow loads slowly."""

from __future__ import annotations

import pyarrow as pa

from lakeflow_meta.control.tables import TableLayout

TYPES = {
    "STRING": pa.string(),
    "INT": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
}


def arrow_schema(layout: TableLayout) -> pa.Schema:
    """Columns in order, with nullability and comments."""
    return pa.schema(
        [
            pa.field(
                column.name,
                TYPES[column.type],
                nullable=column.nullable,
                metadata={"comment": column.comment},
            )
            for column in layout.columns
        ]
    )
