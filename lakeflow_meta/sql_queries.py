"""Statements that people typed, checked by `control.sql.statements`, as Spark SQL. Pure.

Generated from the checked tree, over full names, every text a parameter. Times are read in UTC,
whatever the session's time zone is, and whole numbers are 64 bits wide.
"""

# ruff: noqa: S608 - statements are what this module makes: names quoted, values bound

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.sql.kinds import Kind, kind_of
from lakeflow_meta.control.sql.row_edits import AFTER, Action
from lakeflow_meta.errors import BackendError
from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident, qualified
from lakeflow_meta.sql_rows import Bound, Offer, with_literals

if TYPE_CHECKING:
    from sqlglot import exp

    from lakeflow_meta.control.sql.checked_query import CheckedQuery

MOST_PARAMETERS = 256
"""What a SQL warehouse takes in one statement."""


@dataclass(frozen=True, slots=True)
class Target:
    """The table that a statement changes, with all its columns and which of them are timestamps."""

    table: TableName
    columns: tuple[str, ...]
    times: frozenset[str]

    def fingerprint(self, alias: str) -> str:
        """Tells a row from all that differ from it. Not by the clock of the session's zone."""
        parts = []
        for name in self.columns:
            column = f"{ident(alias)}.{ident(name)}"
            parts.append(f"unix_micros({column})" if name in self.times else column)
        named = ", ".join(f"'{number}', {part}" for number, part in enumerate(parts))
        return f"sha2(to_json(named_struct({named})), 256)"


def select_query(
    query: CheckedQuery, tables: Mapping[str, TableName], target: Target | None = None
) -> Bound:
    """A checked query over full names, its texts bound.

    Where ``target`` is given, the table that the statement changes stands in it as its different
    rows, each with its fingerprint. Raises BackendError for a table that is not among ``tables``.
    """
    from sqlglot import exp

    from lakeflow_meta.control.sql.checked_query import TARGET, is_real

    tree = query.tree.copy()
    shared = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        if not is_real(table) and table.name in shared and not table.db:
            continue
        if target is not None and is_real(table) and table.name == TARGET:
            table.replace(_rows_of(target, table.alias))
            continue
        full = tables.get(table.name) if is_real(table) else None
        if full is None:
            raise BackendError(f"{table.name} is not a table here", code="UNKNOWN_TABLE")
        for part, name in (("catalog", full.catalog), ("db", full.schema), ("this", full.name)):
            table.set(part, exp.to_identifier(name, quoted=True))
    texts = Texts()
    return texts.bound(texts.text(_rewritten(tree), dialect="databricks"))


def _rows_of(target: Target, alias: str) -> exp.Expr:
    """The different rows of the target, as a source of a query."""
    from sqlglot import exp, parse_one

    from lakeflow_meta.control.sql.checked_query import ROW

    columns = ", ".join(f"{ident('r')}.{ident(name)}" for name in target.columns)
    text = (
        f"SELECT DISTINCT {columns}, {target.fingerprint('r')} AS {ident(ROW)}"
        f" FROM {qualified(target.table)} AS {ident('r')}"
    )
    rows = parse_one(text, dialect="spark")
    source = exp.Subquery(this=rows, alias=exp.TableAlias(this=exp.to_identifier(alias)))
    for node in source.walk():
        node.meta["ours"] = True
    return source


def change_rows(target: Target, offer: Offer, written: Sequence[str], known: int) -> Bound:
    """Write edits that were worked out before, in one MERGE, all of them or none.

    ``offer`` holds for each edit its ``action``, the fingerprint of its ``row``, and the columns
    that are ``written``, each after `AFTER`; ``known`` of the edits are of different rows that are
    there. Where one of these rows is no longer as it was, the source is empty: nothing is written.
    """
    new = f"s.action = '{Action.INSERT}'"
    pairs = {ident(name): f"s.{ident(AFTER + name)}" for name in written}
    clauses = [f"WHEN MATCHED AND s.action = '{Action.DELETE}' THEN DELETE"]
    if pairs:
        sets = ", ".join(f"t.{name} = {value}" for name, value in pairs.items())
        names, values = ", ".join(pairs), ", ".join(pairs.values())
        clauses.append(f"WHEN MATCHED THEN UPDATE SET {sets}")
        clauses.append(f"WHEN NOT MATCHED AND {new} THEN INSERT ({names}) VALUES ({values})")
    text = (
        f"MERGE INTO {qualified(target.table)} AS t USING ({_if_fresh(target, offer, known)}) AS s"
        f" ON NOT {new} AND {target.fingerprint('t')} = s.row {' '.join(clauses)}"
    )
    return Bound(text, offer.parameters)


def _if_fresh(target: Target, offer: Offer, known: int) -> str:
    """What is offered, if every row that it knows is as it was; nothing if not."""
    rows = f"SELECT {target.fingerprint('r')} AS row FROM {qualified(target.table)} AS r"
    found = (
        f"SELECT count(DISTINCT n.row) = {int(known)} AS fresh FROM ({rows}) AS n"
        f" WHERE n.row IN (SELECT q.row FROM ({offer.query}) AS q)"
    )
    return f"SELECT o.* FROM ({offer.query}) AS o CROSS JOIN ({found}) AS f WHERE f.fresh"


# --- what Spark would read in another way


def _rewritten(tree: exp.Expr) -> exp.Expr:
    from sqlglot import exp

    rewriters: dict[type[exp.Expr], Callable[[Any], exp.Expr]] = {
        exp.Anonymous: _call,
        exp.Cast: _cast,
        exp.TryCast: _cast,
        exp.Neg: _wide,
        exp.Add: _wide,
        exp.Sub: _wide,
        exp.Mul: _wide,
        exp.Mod: _wide,
        exp.IntDiv: _wide,
    }
    for node in reversed(list(tree.walk(bfs=True))):
        rewriter = None if node.meta.get("ours") else rewriters.get(type(node))
        if rewriter is None:
            continue
        parent, arg, index = node.parent, node.arg_key, node.index
        made = rewriter(node)
        if made is not node and parent is not None:
            made.meta.update({k: v for k, v in node.meta.items() if k == "kind"})
            if index is None:
                parent.set(str(arg), made)
            else:
                parent.set(str(arg), made, index=index)
    return tree


_OF_MOMENT = frozenset(
    {"date_format", "year", "quarter", "month", "day", "dayofweek", "weekday", "dayofyear",
     "weekofyear", "hour", "minute", "second"}
)  # fmt: skip


def _call(node: exp.Anonymous) -> exp.Expr:
    from sqlglot import exp

    name, arguments = str(node.this), node.expressions
    if name in _OF_MOMENT:
        return exp.Anonymous(this=name, expressions=[_in_utc(arguments[0]), *arguments[1:]])
    if name == "date_trunc":
        unit, moment = arguments
        return _from_utc(exp.Anonymous(this=name, expressions=[unit, _in_utc(moment)]))
    if name == "_shift":
        moment, amount = arguments
        micros = exp.Anonymous(this="unix_micros", expressions=[moment])
        total = exp.Add(this=micros, expression=exp.Paren(this=amount))
        return exp.Anonymous(this="timestamp_micros", expressions=[total])
    return node


def _cast(node: exp.Cast) -> exp.Expr:
    from sqlglot import exp

    source, target = _kind(node.this), _kind(node)
    if isinstance(node.this, exp.Literal):
        return node
    if source is Kind.TIME and target in (Kind.DATE, Kind.TEXT):
        node.set("this", _in_utc(node.this))
    elif source is Kind.DATE and target is Kind.TIME:
        return _from_utc(node)
    return node


def _kind(node: exp.Expr) -> Kind | None:
    return kind_of(node) if "kind" in node.meta else None


def _in_utc(node: exp.Expr) -> exp.Expr:
    """A timestamp whose clock in the session's zone shows what it is in UTC; a date as it is."""
    from sqlglot import exp

    if _kind(node) is not Kind.TIME:
        return node
    return exp.Anonymous(this="to_utc_timestamp", expressions=[node, _zone()])


def _from_utc(node: exp.Expr) -> exp.Expr:
    from sqlglot import exp

    return exp.Anonymous(this="from_utc_timestamp", expressions=[node, _zone()])


def _zone() -> exp.Expr:
    from sqlglot import exp

    return exp.Anonymous(this="current_timezone")


def _wide(node: exp.Expr) -> exp.Expr:
    """Whole numbers are BIGINT before they are added, so that no sum is too large for an INT."""
    from sqlglot import exp

    if _kind(node) is Kind.INTEGER:
        node.set("this", exp.cast(node.this, "bigint"))
    return node


# --- texts as parameters


class Texts:
    """Takes the texts out of an expression: each different one becomes a parameter."""

    def __init__(self, most: int = MOST_PARAMETERS) -> None:
        self._most = most
        self._names: dict[str, str] = {}

    @property
    def count(self) -> int:
        """How many different texts were found."""
        return len(self._names)

    def text(self, tree: exp.Expr, *, dialect: str) -> str:
        """The expression in a dialect. The tree is changed."""
        bind: Callable[[exp.Expr], exp.Expr] = self._bind
        return tree.transform(bind, copy=False).sql(dialect=dialect, comments=False)

    def bound(self, text: str) -> Bound:
        """The statement. Texts beyond what the engine takes as parameters become literals."""
        parameters = {name: value for value, name in self._names.items()}
        names = list(parameters)
        few = {name: parameters[name] for name in names[: self._most]}
        rest = {name: parameters[name] for name in names[self._most :]}
        return Bound(with_literals(text, rest) if rest else text, few)

    def _bind(self, node: exp.Expr) -> exp.Expr:
        from sqlglot import exp

        if not isinstance(node, exp.Literal) or not node.is_string or node.meta.get("ours"):
            return node
        if isinstance(node.parent, exp.Escape):
            return node  # the grammar wants the text itself
        name = self._names.setdefault(str(node.this), f"text_{len(self._names)}")
        return exp.Placeholder(this=name)
