"""Expressions in SQL on control tables, read into a checked form that is built here and only here.

Nothing of what was typed is taken over: each kind of node that may stand in a statement has its own
way to be read, and every other is refused by its name. The result holds no names of people, no
function that is not in `statement_functions`, and a kind for each value. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from lakeflow_meta.control.sql.calls import Calls, Place
from lakeflow_meta.control.sql.functions import check_pattern
from lakeflow_meta.control.sql.kinds import (
    KIND_OF_TYPE,
    NUMBERS,
    Kind,
    RefusalError,
    Value,
    agree,
    become,
    date_value,
    nothing,
    text_value,
    time_value,
    value,
)
from lakeflow_meta.control.sql.names import Names
from lakeflow_meta.control.sql.values import (
    SHIFT,
    as_text,
    call_tree,
    check_like,
    convert,
    interval,
    json_path,
    literal,
    negated,
    node_name,
    number,
    wrapped,
)

if TYPE_CHECKING:
    from lakeflow_meta.control.sql.select import Relation

_COMPARISONS = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ,
)  # fmt: skip
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.IntDiv)
_ARITHMETIC_KINDS: dict[type[exp.Expr], Kind] = {
    exp.Div: Kind.DOUBLE,
    exp.IntDiv: Kind.INTEGER,
}
_MATCHES = (exp.Like, exp.ILike, exp.RegexpLike)

ReadQuery = Callable[[exp.Expr, Names], "Relation"]


class Expressions:
    """Reads expressions. ``now`` stands for ``current_timestamp()``; a query inside is given to
    ``read_query``."""

    def __init__(self, read_query: ReadQuery, now: datetime) -> None:
        self._read_query = read_query
        self._now = now
        self._calls = Calls(self.read, now)
        self._readers: dict[type[exp.Expr], Callable[[Any, Place], Value]] = {
            exp.Paren: lambda node, place: self.read(node.this, place),
            exp.Column: self._column,
            exp.Null: lambda _node, _place: nothing(),
            exp.Boolean: lambda node, _: value(exp.Boolean(this=node.this), Kind.BOOLEAN, node),
            exp.Literal: lambda node, _: literal(node),
            exp.RawString: lambda node, _: text_value(str(node.this), node),
            exp.Concat: self._adjacent_texts,
            exp.Neg: self._negative,
            exp.Not: lambda node, place: negated(self.condition(node.this, place), node),
            exp.And: self._both,
            exp.Or: self._both,
            exp.Is: self._is,
            exp.In: self._in,
            exp.Between: self._between,
            exp.Escape: self._escaped,
            exp.DPipe: self._joined_texts,
            exp.Case: self._case,
            exp.If: self._if,
            exp.Cast: self._cast,
            exp.TryCast: self._cast,
            exp.JSONExtract: self._json_path,
            exp.Extract: self._extract,
            exp.CurrentTimestamp: lambda node, _: time_value(self._now, node),
            exp.CurrentDate: lambda node, _: date_value(self._now.date(), node),
            exp.Anonymous: self._call,
            exp.Any: self._any,
            exp.Bracket: self._element,
            exp.Window: self._calls.window,
            exp.WithinGroup: self._calls.within_group,
            exp.Filter: self._calls.filtered,
            exp.Exists: self._exists,
            exp.Subquery: self._scalar,
            **dict.fromkeys(_COMPARISONS, self._compared),
            **dict.fromkeys(_ARITHMETIC, self._arithmetic),
            **dict.fromkeys(_MATCHES, self._matched),
        }

    def read(self, node: exp.Expr, place: Place) -> Value:
        """The value of an expression. Raises RefusalError."""
        reader = self._readers.get(type(node))
        if reader is None:
            raise RefusalError(f"{node_name(node)} does not run here", node)
        found = reader(node, place)
        return found if found.typed is not None else Value(found.tree, found.kind, node)

    def condition(self, node: exp.Expr, place: Place) -> Value:
        """A condition. Raises RefusalError for what is neither true nor false."""
        return become(self.read(node, place), Kind.BOOLEAN, "a condition")

    # --- names and literals

    def _column(self, node: exp.Column, place: Place) -> Value:
        if not isinstance(node.this, exp.Identifier):
            raise RefusalError(f"{node_name(node.this)} does not run here", node)
        return place.names.column(node)

    def _adjacent_texts(self, node: exp.Concat, place: Place) -> Value:
        parts = [self.read(part, place).text for part in node.expressions]
        return text_value("".join(part for part in parts if part is not None), node)

    def _negative(self, node: exp.Neg, place: Place) -> Value:
        found = number(self.read(node.this, place), "a minus sign")
        return value(exp.Neg(this=wrapped(found.tree)), found.kind, node)

    # --- conditions

    def _both(self, node: exp.Binary, place: Place) -> Value:
        left = self.condition(node.this, place)
        right = self.condition(node.expression, place)
        tree = type(node)(this=wrapped(left.tree), expression=wrapped(right.tree))
        return value(tree, Kind.BOOLEAN, node)

    def _is(self, node: exp.Is, place: Place) -> Value:
        if isinstance(node.expression, exp.Null):
            found = self.read(node.this, place)
            return value(exp.Is(this=wrapped(found.tree), expression=exp.Null()), Kind.BOOLEAN)
        if not isinstance(node.expression, exp.Boolean):
            raise RefusalError(f"IS {node_name(node.expression)} does not run here", node)
        found = self.condition(node.this, place)
        wanted = exp.Boolean(this=node.expression.this)
        return value(exp.Is(this=wrapped(found.tree), expression=wanted), Kind.BOOLEAN)

    def _compared(self, node: exp.Binary, place: Place) -> Value:
        sides = [self.read(node.this, place), self.read(node.expression, place)]
        (left, right), _ = agree(sides, "a comparison")
        tree = type(node)(this=wrapped(left.tree), expression=wrapped(right.tree))
        return value(tree, Kind.BOOLEAN, node)

    def _between(self, node: exp.Between, place: Place) -> Value:
        if node.args.get("symmetric"):
            raise RefusalError("BETWEEN SYMMETRIC does not run here", node)
        found = [self.read(node.args[part], place) for part in ("this", "low", "high")]
        (this, low, high), _ = agree(found, "BETWEEN")
        tree = exp.Between(this=wrapped(this.tree), low=wrapped(low.tree), high=wrapped(high.tree))
        return value(tree, Kind.BOOLEAN, node)

    def _in(self, node: exp.In, place: Place) -> Value:
        for name in ("unnest", "field", "is_global"):
            if node.args.get(name):
                raise RefusalError(f"IN {name.upper()} does not run here", node)
        this = self.read(node.this, place)
        query = node.args.get("query")
        if query is not None:
            return self._in_query(this, query, place, node)
        items = [self.read(item, place) for item in node.expressions]
        (this, *items), _ = agree([this, *items], "IN")
        tree = exp.In(this=wrapped(this.tree), expressions=[wrapped(i.tree) for i in items])
        return value(tree, Kind.BOOLEAN, node)

    def _in_query(self, this: Value, query: exp.Expr, place: Place, node: exp.In) -> Value:
        relation = self._inner_query(query, place)
        column = relation.one_column("a query inside IN")
        other = Value(exp.Null(), column.kind, query)
        if this.kind is not column.kind and not {this.kind, column.kind} <= NUMBERS:
            (this, _), _ = agree([this, other], "IN")
        inner = exp.Subquery(this=relation.tree)
        return value(exp.In(this=wrapped(this.tree), query=inner), Kind.BOOLEAN, node)

    def _matched(self, node: exp.Binary, place: Place) -> Value:
        if isinstance(node.expression, exp.Any | exp.All | exp.Tuple):
            raise RefusalError("LIKE ANY and LIKE ALL do not run here", node, hint="write OR, AND")
        found = self._like(node, place, None)
        return negated(found, node) if node.args.get("negate") else found

    def _escaped(self, node: exp.Escape, place: Place) -> Value:
        inner = node.this
        text = self.read(node.expression, place).text
        if not isinstance(inner, exp.Like | exp.ILike) or text is None or len(text) != 1:
            raise RefusalError("ESCAPE takes one character, after LIKE", node)
        found = self._like(inner, place, text)
        return negated(found, node) if inner.args.get("negate") else found

    def _like(self, node: exp.Binary, place: Place, escape: str | None) -> Value:
        left = become(self.read(node.this, place), Kind.TEXT, "LIKE")
        right = become(self.read(node.expression, place), Kind.TEXT, "LIKE")
        if isinstance(node, exp.RegexpLike):
            return call_tree("regexp_like", [left, _pattern(right)], Kind.BOOLEAN, node)
        if right.text is not None:
            check_like(right.text, escape or "\\", node)
        tree: exp.Expr = type(node)(this=wrapped(left.tree), expression=wrapped(right.tree))
        if escape is not None:
            tree = exp.Escape(this=tree, expression=exp.Literal.string(escape))
        return value(tree, Kind.BOOLEAN, node)

    def _element(self, node: exp.Bracket, place: Place) -> Value:
        self.read(node.this, place)
        raise RefusalError("[…] after a value does not run here", node)

    def _exists(self, node: exp.Exists, place: Place) -> Value:
        relation = self._inner_query(node.this, place)
        return value(exp.Exists(this=relation.tree), Kind.BOOLEAN, node)

    def _any(self, node: exp.Any, place: Place) -> Value:
        """``any(condition)``, which the grammar takes for the word before a query."""
        if not isinstance(node.this, exp.Paren):
            raise RefusalError("ANY before a query does not run here", node, hint="write IN")
        return self._calls.call("bool_or", [node.this.this], place, node)

    # --- choices

    def _case(self, node: exp.Case, place: Place) -> Value:
        subject = node.args.get("this")
        conditions = [self._when(subject, item, place) for item in node.args["ifs"]]
        default = node.args.get("default")
        results = [self.read(item.args["true"], place) for item in node.args["ifs"]]
        results.append(nothing() if default is None else self.read(default, place))
        results, kind = agree(results, "CASE")
        ifs = [
            exp.If(this=condition.tree, true=result.tree)
            for condition, result in zip(conditions, results[:-1], strict=True)
        ]
        return value(exp.Case(ifs=ifs, default=results[-1].tree), kind, node)

    def _when(self, subject: exp.Expr | None, item: exp.If, place: Place) -> Value:
        if subject is None:
            return self.condition(item.this, place)
        return self._compared(exp.EQ(this=subject, expression=item.this), place)

    def _if(self, node: exp.If, place: Place) -> Value:
        condition = self.condition(node.this, place)
        other = node.args.get("false")
        results = [self.read(node.args["true"], place)]
        results.append(nothing() if other is None else self.read(other, place))
        (yes, no), kind = agree(results, "IF")
        ifs = [exp.If(this=condition.tree, true=yes.tree)]
        return value(exp.Case(ifs=ifs, default=no.tree), kind, node)

    # --- texts, numbers, times

    def _joined_texts(self, node: exp.DPipe, place: Place) -> Value:
        sides = [self.read(node.this, place), self.read(node.expression, place)]
        left, right = (as_text(side) for side in sides)
        tree = exp.DPipe(this=wrapped(left.tree), expression=wrapped(right.tree), safe=True)
        return value(tree, Kind.TEXT, node)

    def _arithmetic(self, node: exp.Binary, place: Place) -> Value:
        if isinstance(node, exp.Add | exp.Sub):
            shift = interval(node.expression)
            if shift is not None:
                return self._shifted(node, -shift if isinstance(node, exp.Sub) else shift, place)
        left = number(self.read(node.this, place), "arithmetic")
        right = number(self.read(node.expression, place), "arithmetic")
        _, kind = agree([left, right], "arithmetic")
        if kind is Kind.NOTHING:
            return nothing()
        kind = _ARITHMETIC_KINDS.get(type(node), kind)
        tree = type(node)(this=wrapped(left.tree), expression=wrapped(right.tree))
        return value(tree, kind, node)

    def _shifted(self, node: exp.Binary, microseconds: int, place: Place) -> Value:
        moment = self.read(node.this, place)
        if moment.kind is Kind.DATE:
            raise RefusalError("a date takes no INTERVAL", node, hint="write date_add(date, days)")
        moment = become(moment, Kind.TIME, "INTERVAL")
        amount = value(exp.Literal.number(str(abs(microseconds))), Kind.INTEGER)
        if microseconds < 0:
            amount = value(exp.Neg(this=amount.tree), Kind.INTEGER)
        return call_tree(SHIFT, [moment, amount], Kind.TIME, node)

    def _extract(self, node: exp.Extract, place: Place) -> Value:
        return self._calls.call(node.this.name, [node.expression], place, node)

    def _call(self, node: exp.Anonymous, place: Place) -> Value:
        return self._calls.call(node.name, node.expressions, place, node)

    def _cast(self, node: exp.Cast, place: Place) -> Value:
        wanted = node.args["to"]
        for name in ("format", "action", "default"):
            if node.args.get(name):
                raise RefusalError(f"CAST with {name.upper()} does not run here", node)
        name = wanted.sql(dialect="databricks").upper() if isinstance(wanted, exp.DataType) else ""
        if name not in KIND_OF_TYPE:
            types = ", ".join(KIND_OF_TYPE)
            raise RefusalError(f"CAST AS {name} does not run here", node, hint=f"types: {types}")
        safe = isinstance(node, exp.TryCast)
        return convert(self.read(node.this, place), name, node, safe=safe)

    def _json_path(self, node: exp.JSONExtract, place: Place) -> Value:
        """``column:path``; https://docs.databricks.com/semi-structured/json.html"""
        if not node.args.get("variant_extract"):
            raise RefusalError("-> does not run here", node, hint="write column:path")
        path = json_path(node.expression, node)
        text = become(self.read(node.this, place), Kind.TEXT, "a JSON path")
        return call_tree("get_json_object", [text, text_value(path)], Kind.TEXT, node)

    # --- queries inside

    def _scalar(self, node: exp.Subquery, place: Place) -> Value:
        relation = self._inner_query(node, place)
        column = relation.one_column("a query that stands for a value")
        return value(exp.Subquery(this=relation.tree), column.kind, node)

    def _inner_query(self, node: exp.Expr, place: Place) -> Relation:
        return self._read_query(node, place.names)


def _pattern(found: Value) -> Value:
    if found.text is None:
        raise RefusalError("RLIKE wants a pattern that is written out", found.typed)
    try:
        check_pattern(found.text)
    except RefusalError as refusal:
        raise RefusalError(str(refusal), found.typed, hint=refusal.hint) from refusal
    return found
