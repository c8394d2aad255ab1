"""UPDATE, DELETE and MERGE as one query that gives each row that changes. Pure.

https://docs.databricks.com/sql/language-manual/delta-merge-into.html: of the clauses of one kind
the first whose condition holds is taken. Each clause is one SELECT here, and they are put together
by UNION ALL; a row that two rows of the source would change stands in it twice, and is refused.

Timestamps are filled: ``updated_timestamp`` where a statement does not set it, and in new rows both
timestamps and ``is_active`` where they would be NULL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from lakeflow_meta.control.sql.calls import WANTED
from lakeflow_meta.control.sql.checked_query import ROW, TARGET
from lakeflow_meta.control.sql.kinds import RefusalError
from lakeflow_meta.control.sql.names import unknown_column
from lakeflow_meta.control.sql.row_edits import ACTION_NAME, AFTER, BEFORE, ROW_NAME, Action
from lakeflow_meta.control.sql.select import only
from lakeflow_meta.control.tables import LayoutColumn, TableLayout

SOURCE = "_lakeflow_source"
_THERE = "_lakeflow_there"

Assignments = Mapping[str, exp.Expr]


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a MERGE; UPDATE and DELETE are one clause without a source."""

    action: Action
    condition: exp.Expr | None
    assignments: Assignments = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clauses:
    """The clauses of a MERGE by their kind, in order."""

    matched: Sequence[Clause] = ()
    not_matched: Sequence[Clause] = ()
    by_source: Sequence[Clause] = ()


class ChangeQuery:
    """Builds the query, out of trees as they were typed; it is still to be checked as any other."""

    def __init__(self, layout: TableLayout, alias: str, clauses: Sequence[Clause]) -> None:
        self._layout = layout
        self._alias = alias
        written = {name for clause in clauses for name in clause.assignments}
        self._written = [column for column in layout.columns if column.name in written]

    def of_rows(self, clause: Clause) -> exp.Query:
        """UPDATE or DELETE."""
        return self._select(clause, exp.From(this=self._target()), [clause.condition])

    def of_merge(self, source: exp.Query, alias: str, on: exp.Expr, clauses: Clauses) -> exp.Query:
        """MERGE, whose source is a query."""
        there = (
            exp.select("*")
            .select(exp.alias_(exp.true(), _THERE))
            .from_(exp.Subquery(this=source, alias=exp.TableAlias(this=_typed(alias))))
        )
        given = exp.Table(this=_typed(SOURCE), alias=exp.TableAlias(this=_typed(alias)))
        no_target = exp.column(ROW, table=self._alias).is_(exp.null())
        no_source = exp.column(_THERE, table=alias).is_(exp.null())
        new = _without_partner(given, alias, self._target(), on, no_target)
        left_over = _without_partner(self._target(), self._alias, given, on, no_source)
        matched = exp.Join(this=given.copy(), on=on.copy())
        branches = [
            *self._branches(clauses.matched, self._target(), matched),
            *self._branches(clauses.not_matched, new, None),
            *self._branches(clauses.by_source, left_over, None),
        ]
        tree: exp.Query = branches[0]
        for branch in branches[1:]:
            tree = exp.Union(this=tree, expression=branch, distinct=False)
        cte = exp.CTE(this=there, alias=exp.TableAlias(this=_typed(SOURCE)))
        tree.set("with_", exp.With(expressions=[cte]))
        return tree

    def _branches(
        self, clauses: Sequence[Clause], first: exp.Expr, join: exp.Join | None
    ) -> list[exp.Select]:
        found = []
        earlier: list[exp.Expr] = []
        for clause in clauses:
            refused = [exp.Not(this=_surely(condition)) for condition in earlier]
            conditions = [*refused, clause.condition]
            select = self._select(clause, exp.From(this=first.copy()), conditions)
            if join is not None:
                select.set("joins", [join.copy()])
            found.append(select)
            if clause.condition is not None:
                earlier.append(clause.condition)
        return found

    def _select(
        self, clause: Clause, from_: exp.From, conditions: Sequence[exp.Expr | None]
    ) -> exp.Select:
        new = clause.action is Action.INSERT
        outputs = [
            exp.alias_(exp.Literal.string(clause.action.value), ACTION_NAME),
            exp.alias_(exp.null() if new else self._own(ROW), ROW_NAME),
            *(
                exp.alias_(
                    self._wanted(exp.null() if new else self._own(key), self._column(key)),
                    BEFORE + key,
                    quoted=True,
                )
                for key in self._layout.keys
            ),
            *(self._after(clause, column) for column in self._written),
        ]
        select = exp.Select(expressions=outputs, from_=from_)
        given = [exp.Paren(this=c.copy()) for c in conditions if c is not None]
        if given:
            select.set("where", exp.Where(this=exp.and_(*given, copy=False)))
        if clause.action is Action.DELETE:
            select.set("distinct", exp.Distinct())
        return select

    def _after(self, clause: Clause, column: LayoutColumn) -> exp.Expr:
        given = clause.assignments.get(column.name)
        if given is None:
            kept = clause.action is Action.UPDATE
            given = self._own(column.name) if kept else exp.null()
        wanted = self._wanted(given.copy(), column)
        return exp.alias_(wanted, AFTER + column.name, quoted=True)

    def _column(self, name: str) -> LayoutColumn:
        return next(column for column in self._layout.columns if column.name == name)

    def _wanted(self, given: exp.Expr, column: LayoutColumn) -> exp.Expr:
        names = [exp.Literal.string(column.name), exp.Literal.string(column.type)]
        return exp.Anonymous(this=WANTED, expressions=[given, *names])

    def _own(self, name: str) -> exp.Column:
        return exp.column(name, table=_typed(self._alias))

    def _target(self) -> exp.Table:
        return exp.Table(this=_typed(TARGET), alias=exp.TableAlias(this=_typed(self._alias)))


def _without_partner(
    side: exp.Expr, alias: str, other: exp.Expr, on: exp.Expr, missing: exp.Expr
) -> exp.Expr:
    """The rows of one side that match none of the other, whose columns cannot be named then."""
    every = exp.Column(this=exp.Star(), table=_typed(alias))
    join = exp.Join(this=other.copy(), side="LEFT", on=on.copy())
    rows = exp.Select(
        expressions=[every],
        from_=exp.From(this=side.copy()),
        joins=[join],
        where=exp.Where(this=missing),
    )
    return exp.Subquery(this=rows, alias=exp.TableAlias(this=_typed(alias)))


def _typed(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def _surely(condition: exp.Expr) -> exp.Expr:
    """A condition that is false where it would be NULL."""
    return exp.Anonymous(this="coalesce", expressions=[condition.copy(), exp.false()])


# --- what clauses set


def updated(layout: TableLayout, items: Sequence[exp.Expr], named: Sequence[str]) -> Assignments:
    """What ``SET`` gives, and that the row changed. Raises RefusalError.

    Who changed it is not known here: it is emptied, rather than left to name somebody else.
    ``named`` are the names by which the table may be called before a column.
    """
    found: dict[str, exp.Expr] = {}
    for item in items:
        if not isinstance(item, exp.EQ) or not isinstance(item.this, exp.Column):
            raise RefusalError("UPDATE takes SET column = value", item)
        column = item.this
        if column.table and column.table.lower() not in named:
            raise RefusalError(f"SET {column.table}.{column.name}: not the table", column)
        name = known(layout, column)
        if name in found:
            raise RefusalError(f"column {name} is set twice", column)
        found[name] = given_or_default(item.expression)
    for name in layout.stamps.changed_by:
        found.setdefault(name, exp.null())
    for name in layout.stamps.changed:
        if name in layout.names:
            found[name] = _filled(found.get(name, exp.null()), layout, name)
    return found


def inserted(layout: TableLayout, given: Assignments) -> Assignments:
    """The columns of a new row; what is always filled is filled where it would be NULL."""
    found = dict(given)
    for name in filled_columns(layout):
        found[name] = _filled(found.get(name, exp.null()), layout, name)
    return found


def filled_columns(layout: TableLayout) -> list[str]:
    """The columns that no new row leaves NULL."""
    wanted = (*dict(layout.switches), *layout.stamps.times)
    return [name for name in wanted if name in layout.names]


def _filled(given: exp.Expr, layout: TableLayout, name: str) -> exp.Expr:
    switch = dict(layout.switches).get(name)
    filler = exp.CurrentTimestamp() if switch is None else exp.Boolean(this=switch)
    if isinstance(given, exp.Null):
        return filler
    return exp.Anonymous(this="coalesce", expressions=[given.copy(), filler])


def given_or_default(value: exp.Expr) -> exp.Expr:
    """A value, or NULL where DEFAULT is written: control tables have no other defaults."""
    word = isinstance(value, exp.Var) or (
        isinstance(value, exp.Column) and len(value.parts) == 1 and not value.this.args["quoted"]
    )
    return exp.null() if word and value.name.upper() == "DEFAULT" else value


def known(layout: TableLayout, column: exp.Expr) -> str:
    """The name of a column of the table. Raises RefusalError."""
    name = column.name.lower()
    if name not in layout.names:
        raise unknown_column(column.name, layout.names, column)
    return name


# --- the clauses of a MERGE


class MergeClauses:
    """Reads WHEN … THEN … of a MERGE. ``source`` are the columns that its source has."""

    def __init__(
        self, layout: TableLayout, target_names: Sequence[str], source: Sequence[str], alias: str
    ) -> None:
        self._layout = layout
        self._target_names = target_names
        self._source = source
        self._alias = alias

    def read(self, tree: exp.Merge) -> Clauses:
        """All clauses. Raises RefusalError."""
        kinds: dict[str, list[Clause]] = {"matched": [], "not_matched": [], "by_source": []}
        for when in tree.args["whens"].expressions:
            only(when, {"matched", "source", "condition", "then"})
            matched, by_source = bool(when.args.get("matched")), bool(when.args.get("source"))
            clauses = kinds["matched" if matched else "by_source" if by_source else "not_matched"]
            if clauses and clauses[-1].condition is None:
                hint = "only the last clause of its kind has no AND"
                raise RefusalError("this WHEN is never reached", when, hint=hint)
            clauses.append(self._clause(when, new=not matched and not by_source))
        return Clauses(**kinds)

    def _clause(self, when: exp.When, *, new: bool) -> Clause:
        then, condition = when.args["then"], when.args.get("condition")
        match then:
            case exp.Insert() if new:
                return Clause(Action.INSERT, condition, self._inserted(then))
            case exp.Update() if not new:
                return Clause(Action.UPDATE, condition, self._updated(then, when))
            case exp.Var() if not new and then.name.upper() == "DELETE":
                return Clause(Action.DELETE, condition)
            case _:
                hint = "matched rows take UPDATE SET or DELETE, other rows INSERT"
                raise RefusalError("this THEN does not run here", when, hint=hint)

    def _updated(self, then: exp.Update, when: exp.When) -> Assignments:
        only(then, {"expressions"})
        if [type(item) for item in then.expressions] != [exp.Star]:
            return updated(self._layout, then.expressions, self._target_names)
        if when.args.get("source"):
            raise RefusalError("UPDATE SET * has no source row here", when)
        items = [
            exp.EQ(this=exp.column(name), expression=value) for name, value in self._every().items()
        ]
        return updated(self._layout, items, self._target_names)

    def _inserted(self, then: exp.Insert) -> Assignments:
        only(then, {"this", "expression"})
        if isinstance(then.this, exp.Star):
            return inserted(self._layout, self._every())
        columns = then.this.expressions if isinstance(then.this, exp.Tuple) else None
        values = then.expression
        items = values.expressions if isinstance(values, exp.Tuple) else [values]
        if columns is None:
            columns = [exp.column(name) for name in self._layout.names[: len(items)]]
        if len(columns) != len(items):
            raise RefusalError(f"{len(items)} value(s) for {len(columns)} column(s)", then)
        names = [known(self._layout, column) for column in columns]
        if len(set(names)) != len(names):
            raise RefusalError("a column is named twice", then)
        given = [given_or_default(item) for item in items]
        return inserted(self._layout, dict(zip(names, given, strict=True)))

    def _every(self) -> dict[str, exp.Expr]:
        """``*``: the source's columns, all of which the table has."""
        for name in self._source:
            if name.lower() not in self._layout.names:
                raise RefusalError(
                    f"* holds {name}, which is no column of the table",
                    hint="name the columns in SET and INSERT",
                )
        return {
            name.lower(): exp.column(name, table=_typed(self._alias), quoted=True)
            for name in self._source
        }
