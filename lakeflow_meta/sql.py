"""The one home of SQL text: identifiers, literals and every statement that is built, not bound.

Values travel as bound parameters or as rows wherever the platform takes them; what is left (DDL,
comments, properties) is written here, quoted by `ident` and `literal` and by nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, assert_never

from lakeflow_meta.names import TableName
from lakeflow_meta.sql_tokens import Kind, Token, tokens

if TYPE_CHECKING:
    from lakeflow_meta.schema.table import Column, DeltaTable

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


# --- scripts ------------------------------------------------------------------------------------


def split_statements(text: str) -> list[str]:
    """The statements of a Spark SQL script, without the semicolons between them.

    A semicolon in a string, a quoted name, a comment, ``$$ … $$`` or a ``BEGIN … END`` block ends
    nothing. Each statement is its own text unchanged, comments included, trimmed; what holds no
    more than comments is left out.
    """
    statements: list[str] = []
    start, block, empty = 0, _Block(), True
    for token in [*tokens(text), Token(Kind.SYMBOL, ";", len(text))]:
        last = token.start == len(text)
        if token.text != ";" or (block.open and not last):
            block.read(token)
            empty = False
            continue
        if not empty:
            statements.append(text[start : token.start].strip())
        start, block, empty = token.end, _Block(), True
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


# --- DDL of tables: Spark SQL, as open-source Delta and Databricks both read it ------------------


def create_table(table: DeltaTable, *, if_absent: bool = False) -> str:
    """Create a Delta table as declared, without its keys and checks.

    A plain CREATE by default: somebody else's table of that name must not look like ours.
    https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-create-table-using.html

    Delta 4.4 cuts CLUSTER BY out of the text at an offset that is one too small for each character
    beyond U+FFFF before it, and so writes a damaged table (measured). Literals escape such
    characters; where a name holds one, CLUSTER BY is left out (`clusters_late`).
    """
    columns = ",\n  ".join(column_definition(column) for column in table.columns)
    create = "CREATE TABLE IF NOT EXISTS" if if_absent else "CREATE TABLE"
    lines = [f"{create} {qualified(table.full_name)} (\n  {columns}\n)", "USING delta"]
    if table.comment:
        lines.append(f"COMMENT {_ddl_text(table.comment)}")
    if table.properties:
        lines.append(f"TBLPROPERTIES ({_assignments(table.properties)})")
    if table.partitioned_by:
        lines.append(f"PARTITIONED BY ({idents(table.partitioned_by)})")
    if table.clustered_by and not clusters_late(table):
        lines.append(f"CLUSTER BY ({idents(table.clustered_by)})")
    return "\n".join(lines)


_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")


def clusters_late(table: DeltaTable) -> bool:
    """Whether the clustering of a new table has to be set by a second statement."""
    names = [str(table.full_name), *(f"{c.name} {c.data_type}" for c in table.columns)]
    return bool(table.clustered_by) and any(map(_BEYOND_16_BITS.search, names))


def _ddl_text(value: str) -> str:
    """A text literal without characters beyond U+FFFF; Spark reads ``\\UXXXXXXXX`` back."""
    return _BEYOND_16_BITS.sub(lambda match: f"\\U{ord(match[0]):08X}", literal(value))


def column_definition(column: Column) -> str:
    """One column of a CREATE TABLE or ADD COLUMNS."""
    parts = [ident(column.name), str(column.data_type)]
    if not column.nullable:
        parts.append("NOT NULL")
    if column.comment:
        parts.append(f"COMMENT {_ddl_text(column.comment)}")
    return " ".join(parts)


def add_columns(table: TableName, columns: Iterable[tuple[Column, str | None]]) -> str:
    """Add columns, each after the named one: None puts it first, "" puts it last."""
    parts = [column_definition(column) + _position(after) for column, after in columns]
    return f"ALTER TABLE {qualified(table)} ADD COLUMNS ({', '.join(parts)})"


def _position(after: str | None) -> str:
    if after is None:
        return " FIRST"
    return f" AFTER {ident(after)}" if after else ""


def comment_columns(table: TableName, comments: Mapping[str, str]) -> str:
    """Set comments of columns; an empty comment clears."""
    parts = [f"{ident(name)} COMMENT {_ddl_text(text)}" for name, text in comments.items()]
    return f"ALTER TABLE {qualified(table)} ALTER COLUMN {', '.join(parts)}"


def comment_table(table: TableName, comment: str) -> str:
    """Set the comment of a table; an empty comment clears."""
    return f"COMMENT ON TABLE {qualified(table)} IS {_ddl_text(comment)}"


def set_properties(table: TableName, properties: Mapping[str, str]) -> str:
    """Set table properties."""
    return f"ALTER TABLE {qualified(table)} SET TBLPROPERTIES ({_assignments(properties)})"


def cluster_by(table: TableName, columns: Iterable[str]) -> str:
    """Set the clustering columns; data is rewritten by later OPTIMIZE runs, not now."""
    return f"ALTER TABLE {qualified(table)} CLUSTER BY ({idents(columns)})"


def add_check(table: TableName, name: str, expression: str) -> str:
    """Add a CHECK constraint; refused by Delta where existing rows break it."""
    constraint = f"ADD CONSTRAINT {ident(name)} CHECK ({expression})"
    return f"ALTER TABLE {qualified(table)} {constraint}"


def add_primary_key(table: TableName, name: str, columns: Iterable[str]) -> str:
    """Add a primary key; Unity Catalog keeps it and does not enforce it."""
    constraint = f"ADD CONSTRAINT {ident(name)} PRIMARY KEY ({idents(columns)})"
    return f"ALTER TABLE {qualified(table)} {constraint}"


def add_foreign_key(
    table: TableName,
    name: str,
    columns: Iterable[str],
    parent: TableName,
    referenced: Iterable[str],
) -> str:
    """Add a foreign key; Unity Catalog keeps it and does not enforce it."""
    constraint = f"ADD CONSTRAINT {ident(name)} FOREIGN KEY ({idents(columns)})"
    target = f"REFERENCES {qualified(parent)} ({idents(referenced)})"
    return f"ALTER TABLE {qualified(table)} {constraint} {target}"


def _assignments(properties: Mapping[str, str]) -> str:
    return ", ".join(
        f"{_ddl_text(key)} = {_ddl_text(value)}" for key, value in sorted(properties.items())
    )


# --- privileges of Unity Catalog ------------------------------------------------------------------


def grant(privileges: Iterable[str], kind: str, name: Iterable[str], principal: str) -> str:
    """Let a principal do something with an object; again it changes nothing.

    ``privileges`` and ``kind`` (CATALOG, SCHEMA, VOLUME) are words of the language, never input.
    https://docs.databricks.com/sql/language-manual/security-grant.html
    """
    words = ", ".join(privileges)
    return f"GRANT {words} ON {kind} {'.'.join(map(ident, name))} TO {ident(principal)}"
