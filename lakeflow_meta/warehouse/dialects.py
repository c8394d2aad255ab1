"""The dialects of SQL that templates are rendered in, and how each writes a name and a value. Pure.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html
https://docs.databricks.com/sql/language-manual/sql-ref-identifiers.html
https://learn.microsoft.com/sql/t-sql/data-types/constants-transact-sql
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from lakeflow_meta import sql
from lakeflow_meta.errors import ConfigError

Value = str | bool | int | float | Decimal | date | datetime | bytes | None


class Dialect(StrEnum):
    """A dialect; its value is sqlglot's name for it. Templates are written in PostgreSQL's."""

    POSTGRES = "postgres"
    DATABRICKS = "databricks"
    TSQL = "tsql"


CANONICAL = Dialect.POSTGRES


def dialect_of(name: str) -> Dialect:
    """The dialect of a name. Raises ConfigError that lists them."""
    try:
        return Dialect(name.lower())
    except ValueError:
        known = ", ".join(Dialect)
        raise ConfigError(f"Unsupported dialect: {name}. Supported dialects are: {known}") from None


def identifier(name: str, dialect: Dialect) -> str:
    """A name in the quotes of a dialect. Any character survives; none can end the quote.

    Raises ConfigError for no text, and for one that no database takes as a name.
    """
    check_name(name)
    match dialect:
        case Dialect.POSTGRES:
            return '"' + name.replace('"', '""') + '"'
        case Dialect.DATABRICKS:
            return sql.ident(name)
        case Dialect.TSQL:
            return "[" + name.replace("]", "]]") + "]"
        case _:
            assert_never(dialect)


def check_name(name: object) -> None:
    """Raise ConfigError unless this is text that can be a name."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise ConfigError(f"a name is text of at least one character, without NUL: {name!r}")


def literal(value: Value, dialect: Dialect) -> str:
    """A value as text that the dialect reads back as exactly this value.

    Raises ConfigError for NaN, infinities, times without a zone, and what is of no known type.
    """
    _check(value)
    if dialect is Dialect.DATABRICKS and not isinstance(value, bytes):
        return sql.literal(value)
    match value:
        case None:
            return "NULL"
        case bool():
            return _boolean(value, dialect)
        case str():
            return _text(value, dialect)
        case bytes():
            return _bytes(value, dialect)
        case int():
            return str(value)
        case float():
            return f"{value!r}" if dialect is Dialect.TSQL else f"'{value!r}'::double precision"
        case Decimal():
            return f"{value:f}"
        case date():
            return _moment(value, dialect)
        case _:
            assert_never(value)


def _check(value: object) -> None:
    known = (str, bool, int, float, Decimal, date, bytes, type(None))
    if not isinstance(value, known):
        raise ConfigError(f"a {type(value).__name__} cannot be a value of a template")
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise ConfigError("NaN and infinities cannot be values of a template")
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ConfigError("a time in a template needs a zone")
    if isinstance(value, str) and "\0" in value:
        raise ConfigError("text in a template cannot hold NUL")


def _boolean(value: bool, dialect: Dialect) -> str:
    if dialect is Dialect.TSQL:
        return "1" if value else "0"
    return "TRUE" if value else "FALSE"


def _text(value: str, dialect: Dialect) -> str:
    quoted = "'" + value.replace("'", "''") + "'"
    if dialect is Dialect.TSQL:
        return "N" + quoted
    if "\\" in value:  # E'…' means the same whatever standard_conforming_strings is
        return "E" + quoted.replace("\\", "\\\\")
    return quoted


def _bytes(value: bytes, dialect: Dialect) -> str:
    match dialect:
        case Dialect.POSTGRES:
            return f"'\\x{value.hex()}'::bytea"
        case Dialect.DATABRICKS:
            return f"X'{value.hex()}'"
        case Dialect.TSQL:
            return f"0x{value.hex()}"
        case _:
            assert_never(dialect)


def _moment(value: date, dialect: Dialect) -> str:
    if isinstance(value, datetime):
        text = value.astimezone(UTC).isoformat(sep=" ")
        kind = "DATETIMEOFFSET" if dialect is Dialect.TSQL else "TIMESTAMPTZ"
    else:
        text, kind = value.isoformat(), "DATE"
    return f"CAST('{text}' AS {kind})"
