"""Spark SQL statements that read and write rows of one table. Pure.

No value is ever SQL text. Rows travel as JSON in a few named parameters, unpacked by the engine;
every other value is a parameter of its own. What stands in the text is names, quoted, and types.

A warehouse takes at most 256 parameters a statement, so a list of values is one parameter too:
https://docs.databricks.com/sql/language-manual/sql-ref-parameter-marker.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from lakeflow_meta.errors import BackendError
from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident, idents, literal, qualified

if TYPE_CHECKING:
    from sqlglot import exp

MOST_PARAMETERS = 256
"""What a SQL warehouse takes in one statement."""

CHUNK_BYTES = 4 * 1024 * 1024
"""Rows are cut into parameters of about this size."""

VALUE_BYTES = 19_000_000
"""The longest text that Spark's JSON parser takes: 19 MB work, 21 MB do not (measured)."""

_GONE = ident("_lakeflow_gone")
_MARK = ident("_lakeflow_mark")


@dataclass(frozen=True, slots=True)
class Bound:
    """A statement, and the value of each parameter that it names."""

    text: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Size of text and values together, as UTF-8."""
        values = sum(len(str(value).encode()) for value in self.parameters.values())
        return len(self.text.encode()) + values


# --- rows as parameters ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer:
    """Rows to write: their columns with Spark types, and the rows as JSON arrays."""

    types: Mapping[str, str]
    chunks: tuple[str, ...]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], types: Mapping[str, str]) -> Offer:
        """Raises BackendError for a text that the engine's JSON parser cannot take."""
        return cls(types, tuple(_chunks(map(_json_row, rows))) or ("[]",))

    @property
    def parameters(self) -> dict[str, str]:
        """The rows, by parameter name."""
        return {f"rows_{number}": chunk for number, chunk in enumerate(self.chunks)}

    @property
    def query(self) -> str:
        """A query that gives the rows. ``FAILFAST``: a value of a wrong type is an error.

        https://docs.databricks.com/sql/language-manual/functions/from_json.html
        """
        fields = ", ".join(f"{ident(name)}: {kind}" for name, kind in self.types.items())
        shape = literal(f"array<struct<{fields}>>")
        return " UNION ALL ".join(
            f"SELECT inline(from_json(:{name}, {shape}, map('mode', 'FAILFAST')))"
            for name in self.parameters
        )


def _json_row(row: Mapping[str, Any]) -> str:
    for name, value in row.items():
        if isinstance(value, str) and len(value) > VALUE_BYTES // 4:
            _check_length(name, len(value.encode()))
    return json.dumps(
        row, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_json_value
    )


def _check_length(column: str, size: int) -> None:
    if size > VALUE_BYTES:
        raise BackendError(
            f"column {column}: a text of {size} bytes is longer than {VALUE_BYTES}",
            code="VALUE_TOO_LONG",
        )


def _json_value(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a control table")


def _chunks(rows: Iterable[str]) -> Iterator[str]:
    chunk: list[str] = []
    size = 0
    for row in rows:
        size += len(row.encode())
        chunk.append(row)
        if size > CHUNK_BYTES:
            yield f"[{','.join(chunk)}]"
            chunk, size = [], 0
    if chunk:
        yield f"[{','.join(chunk)}]"


# --- conditions --------------------------------------------------------------------------------


def condition(where: Mapping[str, Any], alias: str = "") -> Bound:
    """Columns to a value or a list of values, joined by AND; the empty mapping is always true.

    NULL, alone or in a list, means NULL itself.
    """
    texts: list[str] = []
    parameters: dict[str, Any] = {}
    for number, (column, value) in enumerate(where.items()):
        text, bound = _one_condition(_of(alias, column), f"where_{number}", value)
        texts.append(f"({text})")
        parameters |= bound
    return Bound(" AND ".join(texts) or "TRUE", parameters)


def _one_condition(column: str, name: str, value: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(value, list | tuple | set | frozenset):
        return (f"{column} IS NULL", {}) if value is None else (f"{column} <=> :{name}", {name: value})
    present = sorted({item for item in value if item is not None})
    parts = [f"{column} IS NULL"] if None in value else []
    if not present:
        return (parts or ["FALSE"])[0], {}
    listed = f"from_json(:{name}, {literal(f'array<{_type_of(present[0])}>')})"
    parts.insert(0, f"array_contains({listed}, {column})")
    return " OR ".join(parts), {name: json.dumps(present, default=_json_value)}


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "BOOLEAN"
        case str():
            return "STRING"
        case int():
            return "BIGINT"
        case float():
            return "DOUBLE"
        case datetime():
            return "TIMESTAMP"
        case _:
            raise ValueError(f"a condition cannot hold a {type(value).__name__}")


def _of(alias: str, column: str) -> str:
    return f"{alias}.{ident(column)}" if alias else ident(column)


def _same(columns: Iterable[str], left: str, right: str) -> str:
    return " AND ".join(f"({_of(left, c)} <=> {_of(right, c)})" for c in columns)


def _differs(columns: Iterable[str], left: str, right: str) -> str:
    parts = [f"NOT ({_of(left, c)} <=> {_of(right, c)})" for c in columns]
    return " OR ".join(parts) or "FALSE"


# --- statements --------------------------------------------------------------------------------


def shape_of(table: TableName) -> str:
    """A query without rows that tells the columns and their types."""
    return f"SELECT * FROM {qualified(table)} LIMIT 0"


def select_rows(
    table: TableName,
    columns: Sequence[str] | None,
    where: Mapping[str, Any] | None,
    version: int | None,
) -> Bound:
    """Rows now, or as of a version."""
    chosen = idents(columns) if columns else "*"
    travel = "" if version is None else f" VERSION AS OF {int(version)}"
    bound = condition(where or {})
    text = f"SELECT {chosen} FROM {qualified(table)}{travel} WHERE {bound.text}"
    return Bound(text, bound.parameters)


def history_of(table: TableName, limit: int | None = None) -> str:
    """The commits, newest first."""
    most = "" if limit is None else f" LIMIT {int(limit)}"
    return f"DESCRIBE HISTORY {qualified(table)}{most}"


def create_schema(table: TableName) -> str:
    """Create the schema that a table is to be in."""
    return f"CREATE SCHEMA IF NOT EXISTS {ident(table.catalog)}.{ident(table.schema)}"


def insert_rows(table: TableName, offer: Offer) -> Bound:
    """Add rows; columns that are not offered become NULL."""
    columns = idents(offer.types)
    text = f"INSERT INTO {qualified(table)} ({columns}) SELECT {columns} FROM ({offer.query})"
    return Bound(text, offer.parameters)


@dataclass(frozen=True, slots=True)
class Merge:
    """One merge, as `ControlStore.merge` describes it.

    Delta commits a MERGE whose rows all match and none differs, and copies the files (measured).
    So the source of the statement holds only rows that change something: a merge of nothing new
    has an empty source, and makes no version.

    ``mark`` ends up in the condition that the table's history shows, so that the commit is found
    again among those of other writers.
    """

    table: TableName
    offer: Offer
    empty: bool
    keys: Sequence[str]
    insert_only: Sequence[str]
    touch: Sequence[str]
    scope: Mapping[str, Any] | None
    fence: str | None
    mark: str

    @property
    def bound(self) -> Bound:
        """The statement."""
        scope = condition(self.scope or {}, "t").parameters
        return Bound(self._text, {**self.offer.parameters, **scope})

    @property
    def _text(self) -> str:
        return (
            f"MERGE INTO {qualified(self.table)} AS t USING ({self._source}) AS s\n"
            f"ON {_same(self.keys, 't', 's')} AND (s.{_MARK} = {literal(self.mark)})\n"
            + "\n".join(self._clauses)
        )

    @property
    def _source(self) -> str:
        mark = f"{literal(self.mark)} AS {_MARK}"
        changing = (
            f"SELECT o.*, FALSE AS {_GONE}, {mark} FROM offered AS o"
            f" LEFT ANTI JOIN {qualified(self.table)} AS t"
            f" ON {_same(self.keys, 't', 'o')} AND NOT ({self._wins('t', 'o')})"
        )
        parts = [changing] if self.scope is None else [changing, self._leaving(mark)]
        return f"WITH offered AS ({self.offer.query})\n" + "\nUNION ALL ".join(parts)

    def _leaving(self, mark: str) -> str:
        """Keys of rows in the scope that are not offered."""
        columns = ", ".join(
            _of("t", name) if name in self.keys else f"CAST(NULL AS {kind}) AS {ident(name)}"
            for name, kind in self.offer.types.items()
        )
        return (
            f"SELECT DISTINCT {columns}, TRUE AS {_GONE}, {mark}"
            f" FROM {qualified(self.table)} AS t"
            f" LEFT ANTI JOIN offered AS o ON {_same(self.keys, 't', 'o')}"
            f" WHERE {self._in_scope}"
        )

    @property
    def _in_scope(self) -> str:
        return condition(self.scope or {}, "t").text

    @property
    def _written(self) -> list[str]:
        return [c for c in self.offer.types if c not in {*self.keys, *self.insert_only}]

    def _wins(self, recorded: str, offered: str) -> str:
        """Whether an offered row replaces the recorded one; never NULL."""
        if not self._written:
            return "FALSE"
        if self.fence is None:
            compared = [c for c in self._written if c not in self.touch]
            return _differs(compared, recorded, offered)
        ours, theirs = _of(offered, self.fence), _of(recorded, self.fence)
        return f"coalesce({theirs} = {ours} - 1, FALSE)"

    @property
    def _clauses(self) -> Iterator[str]:
        if self.scope is not None:
            yield f"WHEN MATCHED AND s.{_GONE} AND ({self._in_scope}) THEN DELETE"
        if self.empty:
            return
        if self._written:
            pairs = ", ".join(f"t.{ident(c)} = s.{ident(c)}" for c in self._written)
            wins = self._wins("t", "s")
            yield f"WHEN MATCHED AND NOT s.{_GONE} AND ({wins}) THEN UPDATE SET {pairs}"
        values = ", ".join(_of("s", c) for c in self.offer.types)
        yield (
            f"WHEN NOT MATCHED AND NOT s.{_GONE}"
            f" THEN INSERT ({idents(self.offer.types)}) VALUES ({values})"
        )


# --- statements that people typed, checked by `control.statements` -------------------------------


def select_query(query: exp.Query, tables: Mapping[str, TableName]) -> Bound:
    """A checked query over full names, its texts bound.

    Which names are tables and which are queries of a WITH is told by scope: a name inside its own
    WITH, or outside of where the WITH holds, is a table. Raises BackendError for a table that is
    not among ``tables``, whatever the check before let through.
    """
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    tree = query.copy()
    for scope in traverse_scope(tree):
        for table in scope.tables:
            if isinstance(scope.sources.get(table.alias_or_name), exp.Table):
                _qualify(table, tables)
    for table in tree.find_all(exp.Table):
        if not table.args.get("db") and table.name.lower() not in _with_names(tree):
            raise _not_a_table(table.name)
    return _bound(tree)


def _qualify(table: exp.Table, tables: Mapping[str, TableName]) -> None:
    from sqlglot import exp

    full = tables.get(table.name) or tables.get(table.name.lower())
    if full is None or table.args.get("db"):
        raise _not_a_table(table.name)
    if not table.alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
    for part, name in (("catalog", full.catalog), ("db", full.schema), ("this", full.name)):
        table.set(part, exp.to_identifier(name, quoted=True))


def _with_names(tree: exp.Query) -> set[str]:
    from sqlglot import exp

    return {cte.alias.lower() for cte in tree.find_all(exp.CTE)}


def _not_a_table(name: str) -> BackendError:
    return BackendError(f"{name} is not a table that can be named here", code="UNKNOWN_TABLE")


def update_rows(
    table: TableName, assignments: Mapping[str, exp.Expr], where: exp.Expr | None
) -> Bound:
    """Set columns of the rows that match."""
    values = _Values()
    pairs = ", ".join(f"{ident(c)} = {values.text(e)}" for c, e in assignments.items())
    chosen = "TRUE" if where is None else values.text(where)
    return values.bound(f"UPDATE {qualified(table)} SET {pairs} WHERE {chosen}")


def delete_rows(table: TableName, where: exp.Expr | None) -> Bound:
    """Delete the rows that match."""
    values = _Values()
    chosen = "TRUE" if where is None else values.text(where)
    return values.bound(f"DELETE FROM {qualified(table)} WHERE {chosen}")


def _bound(tree: exp.Expr) -> Bound:
    values = _Values()
    return values.bound(values.text(tree))


class _Values:
    """Takes the texts out of expressions: each becomes a parameter."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def text(self, expression: exp.Expr) -> str:
        """The expression in Spark's dialect."""
        bind: Callable[[exp.Expr], exp.Expr] = self._bind
        return expression.copy().transform(bind).sql(dialect="spark")

    def bound(self, text: str) -> Bound:
        """The statement. Raises BackendError for more texts than a warehouse takes."""
        if len(self._found) > MOST_PARAMETERS:
            raise BackendError(
                f"one statement holds at most {MOST_PARAMETERS} texts, not {len(self._found)}",
                code="TOO_MANY_PARAMETERS",
            )
        return Bound(text, self._found)

    def _bind(self, node: exp.Expr) -> exp.Expr:
        from sqlglot import exp

        if not isinstance(node, exp.Literal) or not node.is_string:
            return node
        if isinstance(node.parent, exp.Escape | exp.Interval):
            return node  # the grammar wants the text itself
        name = f"text_{len(self._found)}"
        self._found[name] = str(node.this)
        return exp.Placeholder(this=name)
