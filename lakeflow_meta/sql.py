"""The one home of SQL text: identifiers, literals and every statement that is built, not bound.

Values travel as bound parameters or as rows wherever the platform takes them; what is left (DDL,
comments, properties) is written here, quoted by `ident` and `literal` and by nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, assert_never

from lakeflow_meta.names import TableName

Scalar = str | bool | int | float | Decimal | date | datetime | None


def ident(name: str) -> str:
    """Quote one identifier in backticks. Any character survives; none can end the quote.

    https://docs.databricks.com/sql/language-manual/sql-ref-identifiers.html
    """
    if not name:
        raise ValueError("an identifier has at least one character")
    return "`" + name.replace("`", "``") + "`"


def qualified(table: TableName) -> str:
    """Quote a three-level table name."""
    return ".".join(ident(part) for part in (table.catalog, table.schema, table.name))


def idents(names: Iterable[str]) -> str:
    """Quote several identifiers, separated by commas."""
    return ", ".join(ident(name) for name in names)


def literal(value: Scalar) -> str:
    """Write one value as a Spark SQL literal that reads back as exactly this value.

    Backslash, quote and ``$`` are escaped: Spark substitutes ``${env:X}`` even inside quotes
    (spark.sql.variable.substitute), and reads ``\\u0024`` as ``$``.
    Raises ValueError for NaN, infinities and naive datetimes.
    """
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case str():
            return "'" + _escaped(value) + "'"
        case int():
            return str(value)
        case float():
            if not math.isfinite(value):
                raise ValueError("NaN and infinities have no literal")
            return f"{value!r}D"
        case Decimal():
            return f"{value:f}BD"
        case datetime():
            if value.tzinfo is None:
                raise ValueError("a timestamp needs a time zone")
            return f"TIMESTAMP '{value.astimezone(UTC).isoformat(sep=' ')}'"
        case date():
            return f"DATE '{value.isoformat()}'"
        case _:
            assert_never(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\u0024")


# --- predicates of delta-rs: DataFusion's dialect, values as literals of one function -----------


def datafusion_ident(name: str, alias: str = "") -> str:
    """Quote one column for DataFusion, which folds unquoted names to lower case."""
    quoted = '"' + name.replace('"', '""') + '"'
    return f"{alias}.{quoted}" if alias else quoted


def datafusion_literal(value: Scalar) -> str:
    """Write one value as a DataFusion literal: quotes doubled, nothing else is special."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case int() | float() | Decimal():
            return str(value)
        case datetime():
            if value.tzinfo is None:
                raise ValueError("a timestamp needs a time zone")
            return f"TIMESTAMP '{value.astimezone(UTC).isoformat()}'"
        case date():
            return f"DATE '{value.isoformat()}'"
        case _:
            assert_never(value)


def datafusion_where(where: Mapping[str, Any], alias: str = "") -> str:
    """Columns to a value or a list of values, joined by AND; the empty mapping is always true."""
    parts = [_datafusion_condition(column, value, alias) for column, value in where.items()]
    return " AND ".join(parts) if parts else "TRUE"


def _datafusion_condition(column: str, value: Any, alias: str) -> str:
    name = datafusion_ident(column, alias)
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted({datafusion_literal(item) for item in value})
        return f"({name} IN ({', '.join(items)}))" if items else "FALSE"
    return f"({name} IS NOT DISTINCT FROM {datafusion_literal(value)})"


def datafusion_same(columns: Iterable[str], left: str, right: str) -> str:
    """Whether all columns of two aliases agree, NULLs included."""
    return " AND ".join(
        f"({datafusion_ident(c, left)} IS NOT DISTINCT FROM {datafusion_ident(c, right)})"
        for c in columns
    )


def datafusion_differs(columns: Iterable[str], left: str, right: str) -> str:
    """Whether any column of two aliases differs, NULLs included."""
    parts = [
        f"({datafusion_ident(c, left)} IS DISTINCT FROM {datafusion_ident(c, right)})"
        for c in columns
    ]
    return " OR ".join(parts) if parts else "FALSE"
