"""What follows the sources of a SELECT: its list, GROUP BY, HAVING, QUALIFY, ORDER BY, LIMIT. Pure.

Names of the SELECT list that stand in GROUP BY, HAVING or QUALIFY are replaced by what they mean;
ORDER BY and ordinals go by our names of the result columns. QUALIFY becomes a query around the
query, because not every engine has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from lakeflow_meta.control.sql.calls import Place
from lakeflow_meta.control.sql.expressions import Expressions
from lakeflow_meta.control.sql.grammar import Spark4
from lakeflow_meta.control.sql.kinds import Kind, RefusalError, Value, value
from lakeflow_meta.control.sql.names import Column, Maker, Names
from lakeflow_meta.control.sql.values import ordered

QUERY_TAIL = ("order", "limit", "offset")
_MOST_ROWS = 10**15


@dataclass(frozen=True, slots=True)
class Relation:
    """A checked query and its columns."""

    tree: exp.Query
    columns: tuple[Column, ...]

    def one_column(self, what: str) -> Column:
        """The only column. Raises RefusalError where there are more."""
        if len(self.columns) != 1:
            raise RefusalError(f"{what} has one column, not {len(self.columns)}")
        return self.columns[0]


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a SELECT list: the name that people see, ours, its value."""

    name: str
    own: str
    value: Value


class SelectParts:
    """Reads the rest of one SELECT, whose sources and list are read."""

    def __init__(
        self, expressions: Expressions, maker: Maker, names: Names, items: Sequence[Item]
    ) -> None:
        self._expressions = expressions
        self._maker = maker
        self._names = names
        self._items = items

    def finish(self, node: exp.Select, tree: exp.Select) -> Relation:
        """The whole query. Raises RefusalError."""
        groups = self._groups(node)
        having = self._condition(node, "having", windows=False)
        qualify = self._condition(node, "qualify", windows=True)
        keys = self._keys(node)
        conditions = [found.tree for found in (having, qualify) if found is not None]
        used = [*(item.value.tree for item in self._items), *conditions, *(k.this for k in keys)]
        if node.args.get("group") is not None or any(map(has_aggregate, used)):
            for part in used:
                self._check_grouped(part, [group.tree for group in groups])
        elif having is not None:
            raise RefusalError("HAVING needs GROUP BY or an aggregate", having.typed)
        if groups:
            tree.set("group", exp.Group(expressions=[group.tree for group in groups]))
        if having is not None:
            tree.set("having", exp.Having(this=having.tree))
        tree.set("expressions", [named(item.value.tree, item.own) for item in self._items])
        if node.args.get("distinct"):
            only(node.args["distinct"], set())
            tree.set("distinct", exp.Distinct())
        if qualify is not None:
            tree, keys = self._qualified(node, tree, qualify, keys)
        limit(tree, node, keys)
        columns = tuple(Column(i.name, i.own, i.value.kind) for i in self._items)
        return Relation(tree, columns)

    # --- GROUP BY

    def _groups(self, node: exp.Select) -> list[Value]:
        group = node.args.get("group")
        if group is None:
            return []
        only(group, {"expressions", "all"})
        if group.args.get("all"):
            return [i.value for i in self._items if not has_aggregate(i.value.tree)]
        found = [self._group(key) for key in group.expressions]
        for key in found:
            if has_aggregate(key.tree) or key.tree.find(exp.Window):
                raise RefusalError("GROUP BY of an aggregate does not run here", key.typed)
            if key.tree.find(exp.Column) is None:
                raise RefusalError("GROUP BY of a constant does not run here", key.typed)
        return found

    def _group(self, key: exp.Expr) -> Value:
        item = by_ordinal(key, self._items)
        if item is not None:
            return Value(item.value.tree.copy(), item.value.kind, key)
        return self._expressions.read(key, Place(self._names, where="GROUP BY"))

    def _check_grouped(self, tree: exp.Expr, groups: Sequence[exp.Expr]) -> None:
        if tree in groups or tree.meta.get("aggregate"):
            return
        if isinstance(tree, exp.Column) and tree.table in self._names.own:
            name = self._shown(tree)
            hint = f"add it to GROUP BY, or write min({name})"
            typed = next(
                (i.value.typed for i in self._items if tree in list(i.value.tree.walk())), None
            )
            raise RefusalError(
                f"{name} is neither in GROUP BY nor in an aggregate", typed, hint=hint
            )
        for part in tree.iter_expressions():
            self._check_grouped(part, groups)

    def _shown(self, tree: exp.Column) -> str:
        for source in self._names.sources:
            for column in source.columns:
                if (source.own, column.own) == (tree.table, tree.name):
                    return column.name
        return tree.name

    # --- conditions and order

    def _condition(self, node: exp.Select, part: str, *, windows: bool) -> Value | None:
        given = node.args.get(part)
        if given is None:
            return None
        place = Place(self._names, aggregates=True, windows=windows, where=part.upper())
        found = self._expressions.condition(given.this, place)
        if not windows and found.tree.find(exp.Window):
            raise RefusalError("OVER cannot stand in HAVING", given, hint="write QUALIFY")
        return found

    def _keys(self, node: exp.Select) -> list[exp.Ordered]:
        keys = []
        for typed in order_of(node):
            found = named_key(typed, self._items)
            if found is None:
                found = self._expression_key(typed, bool(node.args.get("distinct")))
            if found is not None:
                keys.append(found)
        return keys

    def _expression_key(self, typed: exp.Ordered, distinct: bool) -> exp.Ordered | None:
        names = replace(self._names, aliases_first=True)
        place = Place(names, aggregates=True, windows=True, where="ORDER BY")
        found = self._expressions.read(typed.this, place)
        for item in self._items:
            if item.value.tree == found.tree:
                return ordered(typed, own_column(item.own))
        if found.tree.find(exp.Column) is None and not has_aggregate(found.tree):
            return None  # a constant orders nothing, and a number would be an ordinal
        if distinct:
            raise RefusalError("with DISTINCT, ORDER BY names what is selected", typed)
        return ordered(typed, found.tree)

    def _qualified(
        self, node: exp.Select, tree: exp.Select, qualify: Value, keys: Sequence[exp.Ordered]
    ) -> tuple[exp.Select, list[exp.Ordered]]:
        if node.args.get("distinct"):
            raise RefusalError("DISTINCT with QUALIFY does not run here", node)
        own, keep = self._maker.name("t"), self._maker.name("c")
        extra = [named(qualify.tree, keep)]
        outer_keys = []
        for key in keys:
            column = key.this
            if column.args.get("table") or not isinstance(column, exp.Column):
                name = self._maker.name("c")
                extra.append(named(column, name))
                column = own_column(name)
            column = exp.column(column.name, table=own, quoted=True)
            outer_keys.append(
                exp.Ordered(this=column, **{a: key.args[a] for a in ("desc", "nulls_first")})
            )
        tree.set("expressions", [*tree.expressions, *extra])
        outer = exp.Select(
            expressions=[
                named(exp.column(item.own, table=own, quoted=True), item.own)
                for item in self._items
            ],
            from_=exp.From(this=exp.Subquery(this=tree, alias=alias(own))),
            where=exp.Where(
                this=value(exp.column(keep, table=own, quoted=True), Kind.BOOLEAN).tree
            ),
        )
        return outer, outer_keys


def has_aggregate(tree: exp.Expr) -> bool:
    """Whether an aggregate of this query, not of one inside it, is in an expression."""
    return any(
        node.meta.get("aggregate") for node in tree.walk(prune=lambda n: isinstance(n, exp.Query))
    )


# --- parts that set operations have too


def order_of(node: exp.Expr) -> list[exp.Ordered]:
    """The keys of ORDER BY as they were typed."""
    order = node.args.get("order")
    if order is None:
        return []
    only(order, {"expressions"})
    for key in order.expressions:
        only(key, {"this", "desc", "nulls_first"})
    return list(order.expressions)


def named_key(typed: exp.Ordered, items: Sequence[Item]) -> exp.Ordered | None:
    """A key that is an ordinal or the name of a result column; None for any other."""
    item = by_ordinal(typed.this, items)
    if item is None and isinstance(typed.this, exp.Column) and len(typed.this.parts) == 1:
        name = typed.this.name.lower()
        item = next((item for item in items if item.name.lower() == name), None)
    return None if item is None else ordered(typed, own_column(item.own))


def by_ordinal(key: exp.Expr, items: Sequence[Item]) -> Item | None:
    """The item that a number stands for. Raises RefusalError for a number too large."""
    if not isinstance(key, exp.Literal) or key.is_string or not str(key.this).isdigit():
        return None
    number = int(str(key.this)[:9])
    if not 1 <= number <= len(items):
        raise RefusalError(f"there is no column {number}", key, hint=f"there are {len(items)}")
    return items[number - 1]


def limit(tree: exp.Query, node: exp.Expr, keys: Sequence[exp.Ordered]) -> None:
    """Give a checked query its ORDER BY, LIMIT and OFFSET. Raises RefusalError."""
    if keys:
        tree.set("order", exp.Order(expressions=list(keys)))
    for part, shape in (("limit", exp.Limit), ("offset", exp.Offset)):
        given = node.args.get(part)
        if given is not None:
            only(given, {"expression"})
            tree.set(part, shape(expression=_count(given, part)))


def _count(given: exp.Expr, part: str) -> exp.Expr:
    node = given.expression
    text = str(node.this) if isinstance(node, exp.Literal) and not node.is_string else ""
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > _MOST_ROWS:
        raise RefusalError(f"{part.upper()} takes a whole number that is written out", given)
    return exp.Literal.number(str(int(text)))


_PART_NAMES = {
    "laterals": ("LATERAL VIEW", "get_json_object() takes values out of JSON"),
    "version": ("time travel", "`lakeflow-meta history` and `restore` know old versions"),
    "windows": ("a named WINDOW", "write OVER (…)"),
    "rollup": ("ROLLUP", "write UNION ALL"),
    "cube": ("CUBE", "write UNION ALL"),
    "grouping_sets": ("GROUPING SETS", "write UNION ALL"),
    "method": ("a join of that kind", "write JOIN … ON or USING"),
    "sample": ("TABLESAMPLE", ""),
    "pivots": ("PIVOT", "write CASE inside aggregates"),
    "recursive": ("WITH RECURSIVE", ""),
    "on": ("DISTINCT ON", "write QUALIFY row_number() OVER (…) = 1"),
    "from_": ("FROM", "name the rows in WHERE … IN (SELECT …), or write MERGE"),
    "overwrite": ("OVERWRITE", "write DELETE, then INSERT"),
    "using": ("USING", "write WHERE … IN (SELECT …), or MERGE"),
    "hint": ("a hint", ""),
}


def only(node: exp.Expr, allowed: Iterable[str]) -> None:
    """Raises RefusalError for a part that is none of ``allowed``."""
    for part, given in node.args.items():
        if part in allowed or given is None or given is False or given == [] or given == "":
            continue
        name, hint = _PART_NAMES.get(part, (part.strip("_").upper().replace("_", " "), ""))
        raise RefusalError(f"{name} does not run here", node, hint=hint)


def without(
    found: Sequence[tuple[str, Value]], left_out: Iterable[exp.Expr]
) -> list[tuple[str, Value]]:
    """``* EXCEPT (…)``. Raises RefusalError for a name that is not there."""
    names = {item.name.lower(): item for item in left_out}
    for name, item in names.items():
        if name not in {known.lower() for known, _ in found}:
            raise RefusalError(f"EXCEPT: there is no column {item.name}", item)
    return [(name, kept) for name, kept in found if name.lower() not in names]


def shown_name(typed: exp.Expr) -> str:
    """What a result column is called where nobody named it."""
    if isinstance(typed, exp.Column):
        return typed.name
    return typed.sql(dialect=Spark4, normalize_functions=False)[:80]


def quoted(name: str) -> exp.Identifier:
    """One of our names, quoted."""
    return exp.to_identifier(name, quoted=True)


def alias(own: str) -> exp.TableAlias:
    """Our name of a source."""
    return exp.TableAlias(this=quoted(own))


def own_column(own: str) -> exp.Column:
    """A result column by our name."""
    return exp.column(own, quoted=True)


def named(tree: exp.Expr, own: str) -> exp.Alias:
    """A result column with our name."""
    return exp.Alias(this=tree, alias=quoted(own))


def renamed(columns: Sequence[Column], given: exp.TableAlias | None) -> tuple[Column, ...]:
    """Columns as ``alias (a, b, …)`` names them. Raises RefusalError."""
    names = [] if given is None else [column.name for column in given.args.get("columns") or ()]
    if not names:
        return tuple(columns)
    if len(names) != len(columns):
        raise RefusalError(f"{len(names)} names for {len(columns)} columns", given)
    return tuple(Column(n, c.own, c.kind) for n, c in zip(names, columns, strict=True))
