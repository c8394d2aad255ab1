"""SQL of extracts: the rows that a run takes, in the dialect of the datastore that has them.

Values are bound, by name (``:name``); names of objects and columns are quoted; what people wrote
(queries, conditions) stands in brackets, unchanged.
"""

# ruff: noqa: S608 - statements are what this module makes: names quoted, values bound

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lakeflow_meta.warehouse.dialects import Dialect, identifier
from lakeflow_meta.warehouse.own_sql import checked_sql

ROUTINE_KIND = """\
SELECT p.prokind AS kind
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = :schema AND p.proname = :name"""
"""``p`` for a procedure, else a function: https://www.postgresql.org/docs/current/catalog-pg-proc.html"""

AFTER, FROM, UNTIL = "lakeflow_after", "lakeflow_from", "lakeflow_until"
"""Names of the parameters that this module binds."""


def object_text(parts: Iterable[str | None], dialect: Dialect) -> str:
    """The name of a table, view or routine; parts that are None are left out."""
    return ".".join(identifier(part, dialect) for part in parts if part is not None)


def one_statement(text: str, dialect: Dialect) -> str:
    """A query without the semicolon at its end. Raises ConfigError where there are several."""
    return checked_sql(text, dialect).strip()


def as_rows(query: str, dialect: Dialect) -> str:
    """A query in the place of a table. Raises ConfigError."""
    return f"({checked_sql(query, dialect)}) AS extract_rows"


def select_rows(
    rows: str,
    dialect: Dialect,
    *,
    columns: Sequence[str] = (),
    conditions: Sequence[str] = (),
    limit: int | None = None,
) -> str:
    """Columns (all where none is named) of the rows that every condition holds for."""
    chosen = ", ".join(identifier(column, dialect) for column in columns) or "*"
    text = f"SELECT {chosen} FROM {rows}"
    if conditions:
        text += " WHERE " + " AND ".join(conditions)
    return text if limit is None else f"{text} LIMIT {limit:d}"


def bracketed(condition: str, dialect: Dialect) -> str:
    """A condition that people wrote. Raises ConfigError."""
    return f"({checked_sql(condition, dialect)})"


def is_after(column: str, dialect: Dialect) -> str:
    """The column is higher than the watermark."""
    return f"{identifier(column, dialect)} > :{AFTER}"


def is_within(column: str, dialect: Dialect) -> str:
    """The column lies in the period, its last day included."""
    name = identifier(column, dialect)
    return f"{name} >= :{FROM} AND {name} < :{UNTIL}"


def count_of(query: str, dialect: Dialect) -> str:
    """How many rows a query gives. Raises ConfigError."""
    return f"SELECT count(*) AS failed_rows FROM {as_rows(query, dialect)}"


def call_of(parts: Iterable[str | None], parameters: Iterable[str], *, is_procedure: bool) -> str:
    """A routine of PostgreSQL with its arguments by name."""
    given = [f"{identifier(name, Dialect.POSTGRES)} => :{name}" for name in parameters]
    routine = f"{object_text(parts, Dialect.POSTGRES)}({', '.join(given)})"
    return f"CALL {routine}" if is_procedure else f"SELECT * FROM {routine}"
