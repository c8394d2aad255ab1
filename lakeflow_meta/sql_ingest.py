"""Statements of the ingestor: a merge of rows, a clustered table, questions to a table. Pure.

Rows are offered as a temporary view of the session that runs the statement.
"""

# ruff: noqa: S608 - statements are what this module makes: every name in them is quoted

from __future__ import annotations

from collections.abc import Sequence

from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident, idents, qualified


def merge_view(
    table: TableName,
    view: str,
    keys: Sequence[str],
    columns: Sequence[str],
    *,
    sequence_by: str | None = None,
    evolve: bool = False,
) -> str:
    """Rows of a view into a table: they replace rows of equal keys, and are added where none is.

    ``columns`` are those of the view; what else the table has stays as it is in rows that are
    replaced, and is NULL or its default in new ones. With ``sequence_by`` a row never replaces one
    of a higher value. ``evolve``: the table gets the columns that it lacks.
    https://docs.databricks.com/sql/language-manual/delta-merge-into.html
    """
    same = " AND ".join(f"t.{ident(key)} = s.{ident(key)}" for key in keys)
    newer = ""
    if sequence_by is not None:
        name = ident(sequence_by)
        newer = f" AND (t.{name} IS NULL OR t.{name} <= s.{name})"
    assigned = ", ".join(f"t.{ident(name)} = s.{ident(name)}" for name in columns)
    values = ", ".join(f"s.{ident(name)}" for name in columns)
    update = "UPDATE SET *" if evolve else f"UPDATE SET {assigned}"
    insert = "INSERT *" if evolve else f"INSERT ({idents(columns)}) VALUES ({values})"
    return (
        f"MERGE {'WITH SCHEMA EVOLUTION ' if evolve else ''}INTO {qualified(table)} AS t\n"
        f"USING {ident(view)} AS s\nON {same}\n"
        f"WHEN MATCHED{newer} THEN {update}\nWHEN NOT MATCHED THEN {insert}"
    )


def create_clustered(
    table: TableName, view: str, columns: Sequence[str], *, maps_columns: bool = False
) -> str:
    """Create a Delta table with the columns and the rows of a view, clustered; if it is absent.

    ``maps_columns``: with column mapping, so that its columns may have any names.
    """
    mapped = "TBLPROPERTIES ('delta.columnMapping.mode' = 'name')\n" if maps_columns else ""
    return (
        f"CREATE TABLE IF NOT EXISTS {qualified(table)} USING delta\n"
        f"CLUSTER BY ({idents(columns)})\n{mapped}AS SELECT * FROM {ident(view)}"
    )


def describe_detail(table: TableName) -> str:
    """Where a table lies, its id and its properties, in one row.

    https://docs.delta.io/latest/delta-utility.html#retrieve-delta-table-details
    """
    return f"DESCRIBE DETAIL {qualified(table)}"


def describe_extended(table: TableName) -> str:
    """Columns, and rows with the table's ``Location`` and ``Table Properties``.

    Unlike DESCRIBE DETAIL it does not look at the files of the table.
    https://docs.databricks.com/sql/language-manual/sql-ref-syntax-aux-describe-table.html
    """
    return f"DESCRIBE TABLE EXTENDED {qualified(table)}"
