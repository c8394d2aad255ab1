"""What a target can do with tables beyond plain Delta. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What `plan` may use.

    ``keys``: primary and foreign keys are kept. ``tags``: tables and columns have tags.
    ``set_not_null``: an existing column can become NOT NULL. ``many_columns``: one ALTER COLUMN may
    change several columns. ``moves_tables``: a table may be renamed into another schema.
    """

    name: str
    keys: bool
    tags: bool
    set_not_null: bool
    many_columns: bool
    moves_tables: bool


# Measured on Spark 4.1 with Delta 4.4: ADD CONSTRAINT … KEY is UNSUPPORTED_FEATURE.TABLE_OPERATION,
# SET TAGS a syntax error, and SET NOT NULL "cannot change nullable column to non-nullable".
OPEN_SOURCE_DELTA = Capabilities(
    "open-source Delta",
    keys=False,
    tags=False,
    set_not_null=False,
    many_columns=True,
    moves_tables=True,
)
# Several columns in one ALTER COLUMN need a recent runtime, so one statement a column is sent.
# https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-alter-table-manage-column.html
UNITY_CATALOG = Capabilities(
    "Unity Catalog", keys=True, tags=True, set_not_null=True, many_columns=False, moves_tables=False
)
