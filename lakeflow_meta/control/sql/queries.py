"""Queries over control tables, read into a checked form: SELECT, WITH, set operations, VALUES.

Each part of a query that may be there has its own way to be read; any other is refused by name.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlglot import exp

from lakeflow_meta.control.sql.calls import Place
from lakeflow_meta.control.sql.checked_query import ROW, TARGET, CheckedQuery
from lakeflow_meta.control.sql.expressions import Expressions
from lakeflow_meta.control.sql.kinds import (
    KIND_OF_TYPE,
    Kind,
    RefusalError,
    Value,
    agree,
    value,
)
from lakeflow_meta.control.sql.names import (
    Column,
    Maker,
    Names,
    Source,
    did_you_mean,
    unique_names,
)
from lakeflow_meta.control.sql.select import (
    QUERY_TAIL,
    Item,
    Relation,
    SelectParts,
    alias,
    limit,
    named,
    named_key,
    only,
    order_of,
    quoted,
    renamed,
    shown_name,
    without,
)
from lakeflow_meta.control.sql.values import node_name
from lakeflow_meta.control.tables import TableLayout
from lakeflow_meta.names import TableName

_SELECT_PARTS = frozenset(
    {"expressions", "from_", "joins", "where", "group", "having", "qualify", "distinct", "with_",
     *QUERY_TAIL}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Shared:
    """A query of a WITH: our name for it, and its columns."""

    own: str
    columns: tuple[Column, ...]


_Withs = Mapping[str, _Shared]


class Queries:
    """Reads queries. ``target`` is the table that the statement changes, where it is one."""

    def __init__(
        self,
        tables: Mapping[TableName, TableLayout],
        now: datetime,
        target: TableLayout | None = None,
    ) -> None:
        self._tables = {table.name.lower(): (table, layout) for table, layout in tables.items()}
        self._target = target
        self._maker = Maker()
        self._withs: _Withs = {}
        self._expressions = Expressions(self._inner, now)

    def checked(self, node: exp.Expr) -> CheckedQuery:
        """A whole query. Raises RefusalError."""
        relation = self.read(node)
        return CheckedQuery(
            relation.tree,
            tuple(unique_names([column.name for column in relation.columns])),
            tuple(column.kind for column in relation.columns),
        )

    def read(self, node: exp.Expr, outer: Names | None = None) -> Relation:
        """A query of any shape. Raises RefusalError."""
        before = self._withs
        try:
            match node:
                case exp.Select() | exp.SetOperation():
                    shared = self._shared(node)
                    found = self._plain(node, outer)
                    if shared:
                        found.tree.set("with_", exp.With(expressions=shared))
                    return found
                case exp.Subquery() if not node.alias:
                    only(node, {"this"})
                    return self.read(node.this, outer)
                case exp.Values() if not node.alias:
                    return self._all_of(*self._values(node, ""))
                case _:
                    raise RefusalError(f"{node_name(node)} is not a query that runs here", node)
        finally:
            self._withs = before

    def _plain(self, node: exp.Select | exp.SetOperation, outer: Names | None) -> Relation:
        if isinstance(node, exp.Select):
            return self._select(node, outer)
        return self._set_operation(node, outer)

    def resolve(self, node: exp.Expr) -> tuple[TableName, TableLayout]:
        """The control table that a name means. Raises RefusalError."""
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            raise RefusalError("only control tables can be named here", node)
        only(node, {"this", "db", "catalog", "alias"})
        given = ".".join(part.name for part in node.parts).lower()
        found = self._tables.get(node.name.lower())
        if found is None or not f".{found[0].key}".endswith(f".{given}"):
            hint = did_you_mean(given, sorted(self._tables))
            raise RefusalError(f"{given[:80]} is not a control table", node, hint=hint)
        return found

    # --- WITH

    def _shared(self, node: exp.Query) -> list[exp.CTE]:
        """The queries of a WITH; from here on they can be named."""
        given = node.args.get("with_")
        if given is None:
            return []
        only(given, {"expressions"})
        return [self._share(cte) for cte in given.expressions]

    def _share(self, cte: exp.CTE) -> exp.CTE:
        only(cte, {"this", "alias"})
        relation = self.read(cte.this)
        columns = renamed(relation.columns, cte.args["alias"])
        own = self._maker.name("w")
        self._withs = {**self._withs, cte.alias.lower(): _Shared(own, columns)}
        return exp.CTE(this=relation.tree, alias=alias(own))

    # --- FROM

    def _source(self, node: exp.Expr, names: Names) -> exp.Expr:
        """Read one source and add its names. Raises RefusalError."""
        match node:
            case exp.Table():
                tree, source = self._table(node)
            case exp.Subquery():
                only(node, {"this", "alias"})
                tree, source = self._derived(self.read(node.this), node.args.get("alias"))
            case exp.Values():
                tree, source = self._values(node, node.alias)
            case _:
                raise RefusalError(f"{node_name(node)} in FROM does not run here", node)
        names.add(source, node)
        return tree

    def _table(self, node: exp.Table) -> tuple[exp.Expr, Source]:
        if node.alias_column_names:
            raise RefusalError("a table takes no column names here", node, hint="name them in AS")
        own = self._maker.name("t")
        shared = self._withs.get(node.name.lower()) if not node.db else None
        if shared is not None:
            only(node, {"this", "alias"})
            tree = exp.Table(this=quoted(shared.own), alias=alias(own))
            return tree, Source(node.alias_or_name, own, shared.columns)
        if node.name == TARGET and self._target is not None:
            columns = (*layout_columns(self._target), Column(ROW, ROW, Kind.INTEGER))
            return _real(TARGET, own), Source(node.alias, own, columns)
        table, layout = self.resolve(node)
        full = "" if node.alias else table.key
        source = Source(node.alias_or_name, own, layout_columns(layout), full)
        return _real(table.name.lower(), own), source

    def _derived(self, relation: Relation, given: exp.TableAlias | None) -> tuple[exp.Expr, Source]:
        own = self._maker.name("t")
        columns = renamed(relation.columns, given)
        name = "" if given is None else given.name
        return exp.Subquery(this=relation.tree, alias=alias(own)), Source(name, own, columns)

    def _values(self, node: exp.Values, name: str) -> tuple[exp.Expr, Source]:
        only(node, {"expressions", "alias"})
        place = Place(Names(), where="VALUES")
        rows = [
            [self._expressions.read(item, place) for item in _items_of(row)]
            for row in node.expressions
        ]
        if len({len(row) for row in rows}) != 1:
            raise RefusalError("the rows of VALUES differ in length", node)
        columns, agreed = [], []
        for number, cells in enumerate(zip(*rows, strict=True), 1):
            same, kind = agree(cells, f"column {number} of VALUES")
            agreed.append([cell.tree for cell in same])
            columns.append(Column(f"col{number}", self._maker.name("c"), kind))
        own = self._maker.name("t")
        tree = exp.Values(
            expressions=[exp.Tuple(expressions=list(row)) for row in zip(*agreed, strict=True)],
            alias=exp.TableAlias(this=quoted(own), columns=[quoted(c.own) for c in columns]),
        )
        return tree, Source(name, own, renamed(columns, node.args.get("alias")))

    def _join(self, node: exp.Join, names: Names) -> exp.Join:
        side, kind = (str(node.args.get(part) or "").upper() for part in ("side", "kind"))
        if kind in ("SEMI", "ANTI"):
            raise RefusalError(f"{kind} JOIN does not run here", node, hint="write EXISTS")
        only(node, {"this", "side", "kind", "on", "using"})
        if side not in ("", "LEFT", "RIGHT", "FULL") or kind not in ("", "INNER", "OUTER", "CROSS"):
            raise RefusalError(f"{side} {kind} JOIN does not run here", node)
        before = Names(names.outer, [*names.sources], {**names.joined})
        tree = self._source(node.this, names)
        using, condition = node.args.get("using"), node.args.get("on")
        if using:
            on = self._using(using, side, before, names)
        elif condition is not None:
            on = self._expressions.condition(condition, Place(names, where="ON")).tree
        elif side:
            raise RefusalError(f"{side} JOIN without ON does not run here", node)
        else:
            return exp.Join(this=tree, kind="CROSS")
        return exp.Join(this=tree, side=side or None, kind=None if side else "INNER", on=on)

    def _using(self, using: Sequence[exp.Expr], side: str, before: Names, names: Names) -> exp.Expr:
        after = Names(None, names.sources[-1:])
        conditions: list[exp.Expr] = []
        for item in using:
            typed = exp.column(item.name)
            sides = [before.find(typed), after.find(typed)]
            left, right = (found for found in sides)
            if left is None or right is None:
                raise RefusalError(f"USING: {item.name} is not a column of both sides", item)
            (left, right), kind = agree([left, right], "USING")
            equal = exp.EQ(this=left.tree.copy(), expression=right.tree.copy())
            conditions.append(value(equal, Kind.BOOLEAN).tree)
            both = exp.Anonymous(this="coalesce", expressions=[left.tree.copy(), right.tree.copy()])
            chosen = {"RIGHT": right.tree, "FULL": both}.get(side, left.tree)
            names.joined[item.name.lower()] = value(chosen, kind)
        return exp.and_(*conditions, copy=False)

    # --- SELECT

    def _select(self, node: exp.Select, outer: Names | None) -> Relation:
        only(node, _SELECT_PARTS)
        names, tree = Names(outer), exp.Select()
        if node.args.get("from_") is not None:
            only(node.args["from_"], {"this"})
            tree.set("from_", exp.From(this=self._source(node.args["from_"].this, names)))
        elif node.args.get("joins"):
            raise RefusalError("JOIN without FROM does not run here", node)
        tree.set("joins", [self._join(join, names) for join in node.args.get("joins") or ()])
        if node.args.get("where") is not None:
            condition = self._condition(node, "where", Place(names, where="WHERE"))
            tree.set("where", exp.Where(this=condition.tree))
        items = self._items(node, names)
        return SelectParts(self._expressions, self._maker, names, items).finish(node, tree)

    def _condition(self, node: exp.Expr, part: str, place: Place) -> Value:
        return self._expressions.condition(node.args[part].this, place)

    def _items(self, node: exp.Select, names: Names) -> list[Item]:
        place = Place(names, aggregates=True, windows=True, where="SELECT")
        items: list[Item] = []
        for typed in node.expressions:
            for name, found in self._item(typed, place):
                items.append(Item(name, self._maker.name("c"), found))
                if isinstance(typed, exp.Alias):
                    names.aliases.setdefault(name.lower(), found)
        if not items:
            raise RefusalError("SELECT has no columns", node)
        return items

    def _item(self, typed: exp.Expr, place: Place) -> list[tuple[str, Value]]:
        star = typed.this if isinstance(typed, exp.Column) else typed
        if isinstance(star, exp.Star):
            only(star, {"except_"})
            found = place.names.star(typed, typed if isinstance(typed, exp.Column) else None)
            return without(found, star.args.get("except_") or ())
        if isinstance(typed, exp.Alias):
            return [(typed.alias, self._expressions.read(typed.this, place))]
        return [(shown_name(typed), self._expressions.read(typed, place))]

    # --- set operations

    def _set_operation(self, node: exp.SetOperation, outer: Names | None) -> Relation:
        only(node, {"this", "expression", "distinct", "with_", *QUERY_TAIL})
        every = not node.args.get("distinct")
        if every and not isinstance(node, exp.Union):
            raise RefusalError(f"{node_name(node)} ALL does not run here", node)
        sides = [self.read(node.this, outer), self.read(node.expression, outer)]
        widths = [len(side.columns) for side in sides]
        if widths[0] != widths[1]:
            raise RefusalError(f"{widths[0]} columns meet {widths[1]} here", node)
        left, right, columns = self._alike(sides, node)
        tree = type(node)(this=left, expression=right, distinct=not every)
        if not any(node.args.get(part) for part in QUERY_TAIL):
            return Relation(tree, columns)
        found = self._all_of(*self._derived(Relation(tree, columns), None))
        items = [Item(c.name, c.own, Value(exp.Null(), c.kind)) for c in found.columns]
        limit(found.tree, node, [_result_key(key, items) for key in order_of(node)])
        return found

    def _alike(
        self, sides: Sequence[Relation], node: exp.Expr
    ) -> tuple[exp.Select, exp.Select, tuple[Column, ...]]:
        """Both sides with columns of the same kinds."""
        trees, sources = zip(*(self._derived(side, None) for side in sides), strict=True)
        outputs: list[list[exp.Expr]] = [[], []]
        columns = []
        for pair in zip(*(source.columns for source in sources), strict=True):
            given = [
                source.value(column, node) for source, column in zip(sources, pair, strict=True)
            ]
            same, kind = agree(given, f"column {pair[0].name} of {node_name(node)}")
            own = self._maker.name("c")
            columns.append(Column(pair[0].name, own, kind))
            for output, found in zip(outputs, same, strict=True):
                output.append(named(found.tree, own))
        left, right = (
            exp.Select(expressions=output, from_=exp.From(this=tree))
            for output, tree in zip(outputs, trees, strict=True)
        )
        return left, right, tuple(columns)

    def _all_of(self, tree: exp.Expr, source: Source) -> Relation:
        """Every column of one source, as a query."""
        columns = [replace(column, own=self._maker.name("c")) for column in source.columns]
        outputs = [
            named(source.value(old).tree, new.own)
            for old, new in zip(source.columns, columns, strict=True)
        ]
        select = exp.Select(expressions=outputs, from_=exp.From(this=tree))
        return Relation(select, tuple(columns))

    def _inner(self, node: exp.Expr, names: Names) -> Relation:
        return self.read(node, names)


def layout_columns(layout: TableLayout) -> tuple[Column, ...]:
    """The columns of a control table."""
    return tuple(Column(c.name, c.name, KIND_OF_TYPE[c.type]) for c in layout.columns)


def _real(name: str, own: str) -> exp.Table:
    tree = exp.Table(this=quoted(name), alias=alias(own))
    tree.meta["table"] = True
    return tree


def _items_of(row: exp.Expr) -> list[exp.Expr]:
    return list(row.expressions) if isinstance(row, exp.Tuple) else [row]


def _result_key(typed: exp.Ordered, items: Sequence[Item]) -> exp.Ordered:
    found = named_key(typed, items)
    if found is None:
        raise RefusalError("here ORDER BY takes a column of the result, or its number", typed)
    return found
