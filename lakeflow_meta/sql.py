"""The one home of SQL text: identifiers, literals and every statement that is built, not bound.

Values travel as bound parameters or as rows wherever the platform takes them; what is left (DDL,
comments, properties) is written here and in `sql_tables`, quoted by `ident` and `literal` alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol, assert_never

from lakeflow_meta.names import TableName
from lakeflow_meta.sql_tokens import Kind, Token, tokens

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


def literal(value: Scalar) -> str:  # noqa: C901 (a flat match over a closed union)
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


_ESCAPE = re.compile(r"\\(U[0-9a-fA-F]{8}|u[0-9a-fA-F]{4}|[0-3][0-7]{2}|.)|''", re.DOTALL)
_CONTROLS = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}


def text_of_literal(quoted: str) -> str:
    """The text that a quoted literal of Spark SQL stands for.

    https://spark.apache.org/docs/latest/sql-ref-literals.html#string-literal
    """
    return _ESCAPE.sub(_unescaped, quoted[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    escaped = match[1] or "'"
    if len(escaped) == 3:
        return chr(int(escaped, 8))
    if len(escaped) > 1:
        return chr(int(escaped[1:], 16))
    return match[0] if escaped in "%_" else _CONTROLS.get(escaped, escaped)


# --- scripts ------------------------------------------------------------------------------------


def split_statements(text: str) -> list[str]:
    """The statements of a Spark SQL script, without the semicolons between them.

    A semicolon in a string, a quoted name, a comment, ``$$ … $$`` or a ``BEGIN … END`` block ends
    nothing. Each statement is its own text unchanged, comments included, trimmed; what holds no
    more than comments is left out.
    """
    return [each.text for each in locate_statements(text)]


@dataclass(frozen=True, slots=True)
class LocatedStatement:
    """One statement of a script; it is ``script[start:start + len(text)]``."""

    text: str
    start: int


def locate_statements(text: str) -> list[LocatedStatement]:
    """`split_statements`, each with its place in the text."""
    return _located(text, tokens(text), _Block)


class Block(Protocol):
    """Whether a statement is inside of what a semicolon does not end."""

    @property
    def open(self) -> bool: ...

    def read(self, token: Token) -> None:
        """The next token of the statement."""


def split_tokens(text: str, found: Iterable[Token], new_block: Callable[[], Block]) -> list[str]:
    """The statements of a text whose tokens are ``found``, by the rules of `split_statements`."""
    return [each.text for each in _located(text, found, new_block)]


def _located(
    text: str, found: Iterable[Token], new_block: Callable[[], Block]
) -> list[LocatedStatement]:
    statements: list[LocatedStatement] = []
    start, block, empty = 0, new_block(), True
    for token in [*found, Token(Kind.SYMBOL, ";", len(text))]:
        last = token.start == len(text)
        if token.text != ";" or (block.open and not last):
            block.read(token)
            empty = False
            continue
        if not empty:
            whole = text[start : token.start]
            left = len(whole) - len(whole.lstrip())
            statements.append(LocatedStatement(whole.strip(), start + left))
        start, block, empty = token.end, new_block(), True
    return statements


_END_OF_NO_BLOCK = frozenset({"IF", "WHILE", "FOR", "LOOP", "REPEAT"})


class _Block:
    """How deep inside ``BEGIN … END`` a statement is (SQL scripting of Spark and Databricks).

    Counted only where a block can start: ``BEGIN``, ``label: BEGIN``, and the body of CREATE
    PROCEDURE; elsewhere these words may be names of columns. ``END IF`` and its like close
    statements that are not counted, because they hold no text outside the block.
    https://spark.apache.org/docs/latest/sql-ref-scripting.html
    """

    def __init__(self) -> None:
        self._depth = 0
        self._start: list[str] = []
        self._pending_end = False

    @property
    def open(self) -> bool:
        return self._depth > (1 if self._pending_end else 0)

    def read(self, token: Token) -> None:
        word = ":" if token.text == ":" else token.word
        if self._may_hold_blocks(word):
            self._count(word)

    def _may_hold_blocks(self, word: str) -> bool:
        if len(self._start) < 5:
            self._start.append(word)
        match self._start:
            case ["BEGIN", ("TRANSACTION" | "WORK"), *_]:
                self._depth = 0
                return False
            case ["BEGIN", *_] | [_, ":", "BEGIN", *_]:
                return True
            case ["CREATE", *rest]:
                return "PROCEDURE" in rest
        return False

    def _count(self, word: str) -> None:
        if self._pending_end:
            self._pending_end = False
            self._depth -= 0 if word in _END_OF_NO_BLOCK else 1
            if word == "CASE":
                return
        if word in {"BEGIN", "CASE"}:
            self._depth += 1
        elif word == "END":
            self._pending_end = True


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


# --- privileges of Unity Catalog ------------------------------------------------------------------


def grant(privileges: Iterable[str], kind: str, name: Iterable[str], principal: str) -> str:
    """Let a principal do something with an object; again it changes nothing.

    ``privileges`` and ``kind`` (CATALOG, SCHEMA, VOLUME) are words of the language, never input.
    https://docs.databricks.com/sql/language-manual/security-grant.html
    """
    words = ", ".join(privileges)
    return f"GRANT {words} ON {kind} {'.'.join(map(ident, name))} TO {ident(principal)}"
