"""Spark SQL statements that read and write rows of one table. Pure.

Rows travel as JSON in a few named parameters, unpacked by the engine; every other value is a
parameter of its own. What stands in the text is names, quoted, and types.

A warehouse takes at most 256 parameters a statement, so a list of values is one parameter too:
https://docs.databricks.com/sql/language-manual/sql-ref-parameter-marker.html
"""

# ruff: noqa: S608 - statements are what this module makes: names quoted, values bound

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from lakeflow_meta.errors import BackendError
from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident, idents, literal, qualified
from lakeflow_meta.sql_tokens import Kind, tokens

CHUNK_BYTES = 4 * 1024 * 1024
"""Rows are cut into parameters of about this size."""

VALUE_BYTES = 19_000_000
"""The longest text that Spark's JSON parser takes: 19 MB work, 21 MB do not (measured)."""

_THERE_NAME = "_lakeflow_there"
_OFFERED = ident("_lakeflow_offered")
_RECORDED = ident("_lakeflow_recorded")
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


def with_literals(statement: str, parameters: Mapping[str, Any]) -> str:
    """The statement with its values as literals, for an engine that loses its parameters.

    Delta's parser does that on Spark 4.1, behind Spark Connect and without
    ``spark.sql.legacy.parameterSubstitution.constantsOnly`` (measured).
    """
    parts: list[str] = []
    done, colon = 0, -1
    for token in tokens(statement):
        if token.kind is Kind.WORD and token.start == colon + 1 and token.text in parameters:
            parts += [statement[done:colon], literal(parameters[token.text])]
            done = token.end
        colon = token.start if token.text == ":" else -2
    return "".join(parts) + statement[done:]


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
        if value.tzinfo is None:
            raise ValueError("a timestamp needs a time zone")
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
    parts = _conditions(where, alias).values()
    parameters = {name: value for part in parts for name, value in part.parameters.items()}
    return Bound(" AND ".join(part.text for part in parts) or "TRUE", parameters)


def _conditions(where: Mapping[str, Any], alias: str) -> dict[str, Bound]:
    return {
        column: _one_condition(_of(alias, column), f"where_{number}", value)
        for number, (column, value) in enumerate(where.items())
    }


def _one_condition(column: str, name: str, value: Any) -> Bound:
    if value is None:
        return Bound(f"({column} IS NULL)")
    if not isinstance(value, list | tuple | set | frozenset):
        return Bound(f"({column} <=> :{name})", {name: value})
    present = [item for item in value if item is not None]
    parts = [f"{column} IS NULL"] if len(present) < len(value) else []
    if not present:
        return Bound((parts or ["FALSE"])[0])
    listed = f"from_json(:{name}, {literal(f'array<{_type_of(present[0])}>')})"
    parts.append(f"array_contains({listed}, {column})")
    text = json.dumps(sorted(set(present)), default=_json_value)
    return Bound(f"({' OR '.join(parts)})", {name: text})


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


def shape_of(table: TableName, version: int | None = None) -> str:
    """A query without rows that tells the columns and their types."""
    return f"SELECT * FROM {_at(table, version)} LIMIT 0"


def _at(table: TableName, version: int | None) -> str:
    travel = "" if version is None else f" VERSION AS OF {int(version)}"
    return qualified(table) + travel


def select_rows(
    table: TableName,
    columns: Sequence[str] | None,
    where: Mapping[str, Any] | None,
    version: int | None,
) -> Bound:
    """Rows now, or as of a version."""
    chosen = idents(columns) if columns else "*"
    bound = condition(where or {})
    text = f"SELECT {chosen} FROM {_at(table, version)} WHERE {bound.text}"
    return Bound(text, bound.parameters)


@dataclass(frozen=True, slots=True)
class TwoVersions:
    """A query for the rows that differ between two versions; None is the newest.

    ``old`` and ``new`` are the columns that the versions have. Each row of the result is the row
    before and the row after: whether it is there, then its ``names``.
    """

    table: TableName
    since: int
    until: int | None
    old: Sequence[str]
    new: Sequence[str]
    keys: Sequence[str]
    ignore: frozenset[str]
    where: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """The columns that are compared."""
        return [n for n in dict.fromkeys((*self.new, *self.old)) if n not in self.ignore]

    @property
    def bound(self) -> Bound:
        """The statement."""
        compared = (_THERE_NAME, *self.names)
        columns = ", ".join(
            f"{_of(side, name)} AS {side}_{number}"
            for side in ("b", "a")
            for number, name in enumerate(compared)
        )
        text = (
            f"SELECT {columns} FROM {self._side(self.since, self.old)} AS b"
            f" FULL OUTER JOIN {self._side(self.until, self.new)} AS a"
            f" ON {_same(self.keys, 'b', 'a')} WHERE {_differs(compared, 'b', 'a')}"
        )
        return Bound(text, condition(self.where).parameters)

    def _side(self, version: int | None, present: Sequence[str]) -> str:
        columns = [ident(n) if n in present else f"NULL AS {ident(n)}" for n in self.names]
        return (
            f"(SELECT TRUE AS {ident(_THERE_NAME)}, {', '.join(columns)}"
            f" FROM {_at(self.table, version)} WHERE {condition(self.where).text})"
        )


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
    insert: bool
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
        """Offered rows that are new or win, and the keys of rows that leave the scope.

        DISTINCT: a key that stands in the table twice (SQL can do that) would appear twice.
        """
        columns = ", ".join(
            f"IF(o.{_OFFERED}, {_of('o', c)}, {_of('t', c)}) AS {ident(c)}"
            if c in self.keys
            else _of("o", c)
            for c in self.offer.types
        )
        join = "LEFT OUTER" if self.scope is None else "FULL OUTER"
        return (
            f"SELECT DISTINCT {columns}, o.{_OFFERED} IS NULL AS {_GONE},"
            f" {literal(self.mark)} AS {_MARK}\n"
            f"FROM (SELECT *, TRUE AS {_OFFERED} FROM ({self.offer.query})) AS o\n"
            f"{join} JOIN (SELECT *, TRUE AS {_RECORDED} FROM {qualified(self.table)}) AS t\n"
            f"ON {_same(self.keys, 't', 'o')}\n"
            f"WHERE CASE WHEN o.{_OFFERED} IS NULL THEN {self._in_scope}"
            f" ELSE {self._is_new} OR {self._wins('t', 'o')} END"
        )

    @property
    def _is_new(self) -> str:
        return f"t.{_RECORDED} IS NULL" if self.insert else "FALSE"

    @property
    def _in_scope(self) -> str:
        return condition(self.scope or {}, "t").text

    @property
    def _still_in_scope(self) -> str:
        """What the key of a leaving row does not tell already."""
        parts = _conditions(self.scope or {}, "t")
        return " AND ".join(parts[c].text for c in parts if c not in self.keys) or "TRUE"

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
            yield f"WHEN MATCHED AND s.{_GONE} AND {self._still_in_scope} THEN DELETE"
        if self.empty:
            return
        if self._written:
            pairs = ", ".join(f"t.{ident(c)} = s.{ident(c)}" for c in self._written)
            wins = self._wins("t", "s")
            yield f"WHEN MATCHED AND NOT s.{_GONE} AND ({wins}) THEN UPDATE SET {pairs}"
        if not self.insert:
            return
        values = ", ".join(_of("s", c) for c in self.offer.types)
        yield (
            f"WHEN NOT MATCHED AND NOT s.{_GONE}"
            f" THEN INSERT ({idents(self.offer.types)}) VALUES ({values})"
        )
