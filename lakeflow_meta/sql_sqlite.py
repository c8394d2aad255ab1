"""Checked queries as SQLite reads them, with Spark's meaning. Pure.

SQLite keeps only what a query is made of: sources, conditions, order, groups. What a function, a
CAST, an operator or a pattern means is in functions of ours, which are called by name: they start
with ``f_`` (the package `sql_functions`). Booleans are 0 and 1 there, timestamps microseconds since
1970 UTC, dates days since then.
"""

# ruff: noqa: S608 - statements are what this module makes: names are ours, values bound

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.sql.kinds import Kind, kind_of
from lakeflow_meta.errors import BackendError
from lakeflow_meta.sql_queries import Texts
from lakeflow_meta.sql_rows import Bound

if TYPE_CHECKING:
    from sqlglot import exp

    from lakeflow_meta.control.sql.checked_query import CheckedQuery

MOST_TEXTS = 30_000
"""SQLite takes 32,766 parameters by default. https://sqlite.org/limits.html"""

_NATIVE = frozenset(
    {"coalesce", "nullif", "count", "sum", "avg", "min", "max", "row_number", "rank", "dense_rank",
     "ntile", "lag", "lead", "first_value", "last_value"}
)  # fmt: skip
_AS_NATIVE = {"bool_and": "min", "bool_or": "max"}


def sqlite_query(query: CheckedQuery) -> Bound:
    """A checked query as SQLite reads it. Raises BackendError for more texts than it takes."""
    texts = Texts(most=MOST_TEXTS)
    text = texts.text(_rewritten(query.tree.copy()), dialect="sqlite")
    if texts.count > MOST_TEXTS:
        raise BackendError(
            f"one statement holds at most {MOST_TEXTS} different texts, not {texts.count}",
            code="TOO_MANY_PARAMETERS",
        )
    return texts.bound(text)


def rows_of_table(name: str, columns: Sequence[str]) -> tuple[str, str]:
    """Statements that make a table for rows, and that put a row into it."""
    table, names = _quoted(name), ", ".join(map(_quoted, columns))
    marks = ", ".join("?" * len(columns))
    return f"CREATE TABLE {table} ({names})", f"INSERT INTO {table} VALUES ({marks})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _rewritten(tree: exp.Expr) -> exp.Expr:
    """From the leaves up, so that what is rewritten holds what is rewritten already."""
    from sqlglot import exp

    rewriters: dict[type[exp.Expr], Callable[[Any], exp.Expr]] = {
        exp.Anonymous: _call,
        exp.Cast: _cast,
        exp.TryCast: _cast,
        exp.Neg: lambda node: _function("neg", node.this),
        exp.Add: lambda node: _function("add", node.this, node.expression),
        exp.Sub: lambda node: _function("sub", node.this, node.expression),
        exp.Mul: lambda node: _function("mul", node.this, node.expression),
        exp.Div: lambda node: _function("div", node.this, node.expression),
        exp.IntDiv: lambda node: _function("intdiv", node.this, node.expression),
        exp.Mod: lambda node: _function("mod", node.this, node.expression),
        exp.Like: lambda node: _function("like", node.this, node.expression),
        exp.ILike: lambda node: _function("ilike", node.this, node.expression),
        exp.Escape: _escape,
        exp.NullSafeEQ: lambda node: exp.Is(this=node.this, expression=node.expression),
        exp.NullSafeNEQ: lambda node: exp.Not(
            this=exp.Paren(this=exp.Is(this=node.this, expression=node.expression))
        ),
        exp.WithinGroup: _listagg,
        exp.Subquery: _subquery,
        exp.Values: _values,
        exp.Offset: _offset,
    }
    for node in reversed(list(tree.walk(bfs=True))):
        rewriter = rewriters.get(type(node))
        if rewriter is not None:
            _put(node, rewriter)
    return tree


def _put(node: exp.Expr, rewriter: Callable[[Any], exp.Expr]) -> None:
    parent, arg, index = node.parent, node.arg_key, node.index
    made = rewriter(node)
    if made is node or parent is None:
        return
    if "kind" in node.meta:
        made.meta["kind"] = node.meta["kind"]
    parent.set(str(arg), made, index=index) if index is not None else parent.set(str(arg), made)


def _function(name: str, *arguments: exp.Expr | str | int) -> exp.Expr:
    from sqlglot import exp

    return exp.Anonymous(this=f"f_{name}", expressions=[exp.convert(a) for a in arguments])


def _call(node: exp.Anonymous) -> exp.Expr:
    from sqlglot import exp

    name = str(node.this)
    if name == "count_if":
        case = exp.Case(ifs=[exp.If(this=node.expressions[0], true=exp.Literal.number("1"))])
        return exp.Anonymous(this="count", expressions=[case])
    if name == "nvl2":
        this, yes, no = node.expressions
        given = exp.Not(
            this=exp.Paren(this=exp.Is(this=exp.Paren(this=this), expression=exp.Null()))
        )
        return exp.Case(ifs=[exp.If(this=given, true=yes)], default=no)
    if name == "coalesce" and len(node.expressions) == 1:
        only: exp.Expr = node.expressions[0]
        return only
    if name in _AS_NATIVE:
        return exp.Anonymous(this=_AS_NATIVE[name], expressions=node.expressions)
    if name in _NATIVE or name.startswith("f_"):
        return node
    moment = node.expressions and _is_date(node.expressions[0])
    marked = f"{name.removeprefix('_')}_of_date" if moment and name in _OF_MOMENT else name
    return _function(marked.removeprefix("_"), *node.expressions)


_OF_MOMENT = frozenset(
    {"date_format", "year", "quarter", "month", "day", "dayofweek", "weekday", "dayofyear",
     "weekofyear"}
)  # fmt: skip


def _is_date(node: exp.Expr) -> bool:
    return "kind" in node.meta and kind_of(node) is Kind.DATE


def _cast(node: exp.Cast) -> exp.Expr:
    from sqlglot import exp

    if isinstance(node.this, exp.Literal) and node.this.is_string and node.meta["type"] in _STORED:
        return _STORED[node.meta["type"]](str(node.this.this))
    source = kind_of(node.this) if "kind" in node.this.meta else Kind.NOTHING
    if source is Kind.NOTHING:
        return exp.Null()
    safe = "try_cast" if isinstance(node, exp.TryCast) else "cast"
    return _function(safe, node.this, source.value, node.meta["type"])


def _stored_time(text: str) -> exp.Expr:
    from sqlglot import exp

    delta = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    made: exp.Expr = exp.convert(delta // timedelta(microseconds=1))
    return made


def _stored_date(text: str) -> exp.Expr:
    from sqlglot import exp

    return exp.convert((date.fromisoformat(text) - date(1970, 1, 1)).days)


_STORED = {"TIMESTAMP": _stored_time, "DATE": _stored_date}
"""Literals that a checked query holds in one form, as they are in SQLite's columns."""


def _escape(node: exp.Escape) -> exp.Expr:
    call: exp.Expr = node.this
    call.append("expressions", node.expression)
    return call


def _listagg(node: exp.WithinGroup) -> exp.Expr:
    """The keys go along with each value: SQLite's aggregates had no order before 3.44."""
    from sqlglot import exp

    first, *rest = node.this.expressions
    distinct = isinstance(first, exp.Distinct)
    item = first.expressions[0] if distinct else first
    keys = node.expression.expressions
    order = "".join(
        ("d" if key.args.get("desc") else "a") + ("f" if key.args.get("nulls_first") else "l")
        for key in keys
    )
    delimiter = rest[0] if rest else exp.Literal.string("")
    flags = ("u" if distinct else "") + order
    return _function("listagg", item, delimiter, flags, *(key.this for key in keys))


def _subquery(node: exp.Subquery) -> exp.Expr:
    """A query that stands for a value has at most one row; SQLite would take the first."""
    from sqlglot import exp

    if node.args.get("alias") is not None or isinstance(node.parent, exp.In):
        return node
    inner = exp.Subquery(this=node.this, alias=exp.TableAlias(this=exp.to_identifier("q")))
    name = node.this.selects[0].alias_or_name if node.this.selects else ""
    only = _function("single", exp.column(name, quoted=True))
    return exp.Subquery(this=exp.Select(expressions=[only], from_=exp.From(this=inner)))


def _values(node: exp.Values) -> exp.Expr:
    """SQLite names the columns of VALUES itself: column1, column2, …"""
    from sqlglot import exp

    alias = node.args["alias"]
    outputs = [
        exp.Alias(this=exp.column(f"column{number}"), alias=column.copy())
        for number, column in enumerate(alias.args["columns"], 1)
    ]
    rows = exp.Values(expressions=node.expressions)
    inner = exp.Select(expressions=outputs, from_=exp.From(this=exp.Subquery(this=rows)))
    return exp.Subquery(this=inner, alias=exp.TableAlias(this=alias.this))


def _offset(node: exp.Offset) -> exp.Expr:
    """SQLite has OFFSET after LIMIT only."""
    from sqlglot import exp

    if node.parent is not None and not node.parent.args.get("limit"):
        node.parent.set("limit", exp.Limit(expression=exp.Literal.number("-1")))
    return node
