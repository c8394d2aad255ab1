"""SQL expressions over rows that are Python values: just as much as checks and questions need.

sqlglot reads them as Databricks SQL; what is not known here is an error of the test.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import sqlglot
from sqlglot import exp

Row = Mapping[str, Any]
"""By lower-case name of the column; structs are mappings, too."""


class UnresolvedColumnError(Exception):
    """The expression speaks of a column that is not there."""


@lru_cache(maxsize=4096)
def parsed(text: str) -> exp.Expr:
    """One expression, or one query."""
    return sqlglot.parse_one(text, read="databricks")


def value_of(text: str, row: Row) -> Any:
    """What the expression is for a row."""
    return _value(parsed(text), row)


def paths_in(text: str) -> set[tuple[str, ...]]:
    """The columns and fields that an expression speaks of, in lower case."""
    return {_path(column) for column in parsed(text).find_all(exp.Column)}


def counted(query: str, rows: list[dict[str, Any]]) -> dict[str, int]:
    """The answer of ``SELECT count_if(…) AS q0, … FROM (SELECT … FROM table) AS rows``."""
    select = parsed(query)
    assert isinstance(select, exp.Select), query
    inner = select.args["from_"].this.this
    assert isinstance(inner, exp.Select), query
    shaped = [
        {one.alias.lower(): _value(one.this, row) for one in inner.expressions} for row in rows
    ]
    if not rows:  # names are resolved all the same
        nothing = dict.fromkeys(_names(query), None)
        shaped_once = {one.alias.lower(): _value(one.this, nothing) for one in inner.expressions}
        shaped = [shaped_once]
    counts = {}
    for one in select.expressions:
        assert isinstance(one.this, exp.CountIf), query
        found = [_value(one.this.this, row) for row in shaped]
        counts[one.alias] = sum(value is True for value in found) if rows else 0
    return counts


def table_of(query: str) -> tuple[str, str, str]:
    """The one table of a query."""
    (table,) = parsed(query).find_all(exp.Table)
    return table.catalog, table.db, table.name


def source_paths(query: str) -> set[tuple[str, ...]]:
    """The columns of the table that a query reads."""
    inner = parsed(query).args["from_"].this.this
    return {_path(column) for column in inner.find_all(exp.Column)}


def _names(query: str) -> set[str]:
    return {path[0] for path in source_paths(query)}


def _path(column: exp.Column) -> tuple[str, ...]:
    return tuple(part.name.lower() for part in column.parts)


def _value(node: exp.Expr, row: Row) -> Any:  # noqa: C901 - a flat match
    match node:
        case exp.Paren():
            return _value(node.this, row)
        case exp.Column():
            return _reached(row, _path(node))
        case exp.Dot():
            return _reached(_value(node.this, row), (node.expression.name.lower(),))
        case exp.Literal():
            return node.this if node.is_string else float(node.this)
        case exp.Null():
            return None
        case exp.Boolean():
            return node.this
        case exp.Neg():
            return -_value(node.this, row)
        case exp.Not():
            value = _value(node.this, row)
            return None if value is None else not value
        case exp.And():
            return _and(_value(node.this, row), _value(node.expression, row))
        case exp.Is():
            assert isinstance(node.expression, exp.Null)
            return _value(node.this, row) is None
        case exp.NullSafeEQ():
            return _value(node.this, row) == _value(node.expression, row)
        case exp.Coalesce():
            values = [_value(part, row) for part in [node.this, *node.expressions]]
            return next((value for value in values if value is not None), None)
        case exp.If():
            chosen = node.args["true"] if _value(node.this, row) is True else node.args["false"]
            return _value(chosen, row)
        case exp.Struct():
            return {e.this.name.lower(): _value(e.expression, row) for e in node.expressions}
        case exp.Length():
            value = _value(node.this, row)
            return None if value is None else float(len(value))
        case exp.CurrentTimestamp():
            return "2026-01-01 00:00:00"
        case exp.Cast() | exp.TryCast():
            return cast(_value(node.this, row), node.to)
        case exp.Binary() if type(node) in _COMPARED:
            one, other = _value(node.this, row), _value(node.expression, row)
            return None if one is None or other is None else _COMPARED[type(node)](one, other)
        case _:
            raise AssertionError(f"not known: {node!r}")


_COMPARED: dict[type, Callable[[Any, Any], bool]] = {
    exp.GT: lambda a, b: a > b,
    exp.GTE: lambda a, b: a >= b,
    exp.LT: lambda a, b: a < b,
    exp.LTE: lambda a, b: a <= b,
    exp.EQ: lambda a, b: a == b,
    exp.NEQ: lambda a, b: a != b,
}


def _and(one: Any, other: Any) -> Any:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _reached(value: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        if value is None:
            return None
        if step not in value:
            raise UnresolvedColumnError(".".join(path))
        value = value[step]
    return value


def cast(value: Any, kind: exp.DataType) -> Any:
    """A cast that gives NULL where it cannot be done; structs are cast by position."""
    if value is None:
        return None
    if kind.is_type("struct"):
        names = [field.name.lower() for field in kind.expressions]
        assert len(names) == len(value)
        return {
            name: cast(old, field.args["kind"])
            for name, old, field in zip(names, value.values(), kind.expressions, strict=True)
        }
    if kind.is_type("text", "varchar", "char"):
        return value if isinstance(value, str) else f"{value:g}"
    try:
        number = float(value)
    except ValueError:
        return None
    if kind.is_type("tinyint", "smallint", "int", "bigint"):
        bits = {"tinyint": 7, "smallint": 15, "int": 31, "bigint": 63}
        limit = 2 ** bits[kind.this.name.lower()]
        return float(int(number)) if -limit <= number < limit else None
    return number
