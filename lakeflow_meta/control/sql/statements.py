"""SQL that people type at the control tables: parsed, checked, and taken apart. Pure.

The text is read with Databricks' grammar. What runs is built anew from what was understood, and
holds nothing that was typed but values: SELECT, INSERT, UPDATE, DELETE and MERGE on control tables
pass, with functions from a list. The engine under a store may be able to read and write files, and
is never asked to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlglot import exp

from lakeflow_meta.control.sql.changes import (
    ChangeQuery,
    Clause,
    MergeClauses,
    known,
    updated,
)
from lakeflow_meta.control.sql.checked_query import TARGET, CheckedQuery
from lakeflow_meta.control.sql.grammar import Parsed, Text
from lakeflow_meta.control.sql.kinds import RefusalError
from lakeflow_meta.control.sql.new_rows import NewRows
from lakeflow_meta.control.sql.queries import Queries
from lakeflow_meta.control.sql.row_edits import Action
from lakeflow_meta.control.sql.select import only
from lakeflow_meta.control.sql.values import node_name
from lakeflow_meta.control.tables import ControlTables, TableLayout
from lakeflow_meta.errors import Problem, SpecError
from lakeflow_meta.names import TableName


@dataclass(frozen=True, slots=True)
class Select:
    """A query."""

    query: CheckedQuery
    name: str = "SELECT"

    @property
    def tables(self) -> tuple[str, ...]:
        """The control tables that it names, in lower case and without their schema."""
        return self.query.tables


@dataclass(frozen=True, slots=True)
class Insert:
    """New rows: their columns, and the rows or a query that gives them."""

    table: TableName
    layout: TableLayout
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...] = ()
    query: CheckedQuery | None = None
    name: str = "INSERT"

    @property
    def tables(self) -> tuple[str, ...]:
        """The control tables that it names, in lower case and without their schema."""
        return (self.table.name.lower(), *(self.query.tables if self.query else ()))


@dataclass(frozen=True, slots=True)
class Change:
    """UPDATE, DELETE or MERGE: a query that gives the rows that change, see `row_edits`."""

    table: TableName
    layout: TableLayout
    query: CheckedQuery
    name: str

    @property
    def tables(self) -> tuple[str, ...]:
        """The control tables that it names, in lower case and without their schema."""
        return (self.table.name.lower(), *(t for t in self.query.tables if t != TARGET))


Statement = Select | Insert | Change


def parse_statements(text: str, tables: ControlTables, *, now: datetime) -> list[Statement]:
    """Read one or several statements. ``now`` stands for ``current_timestamp()``.

    Raises SpecError that names everything that may not run.
    """
    typed = Text(text)
    statements: list[Statement] = []
    problems: list[Problem] = []
    for parsed in typed.statements():
        try:
            statements.append(_statement(parsed, tables, now))
        except RefusalError as refusal:
            problems.append(parsed.problem or typed.problem(parsed.number, refusal, parsed.start))
    if not problems and not statements:
        problems = [Problem("statement", 0, 0, "", "there is no statement")]
    if problems:
        raise SpecError(problems)
    return statements


def _statement(parsed: Parsed, tables: ControlTables, now: datetime) -> Statement:
    if parsed.tree is None:
        raise RefusalError("the text cannot be read")
    try:
        return _Reader(tables, now).read(parsed.tree)
    except RecursionError as error:
        raise RefusalError("the statement is nested too deep") from error


class _Reader:
    """Turns one parsed tree into a statement, or says why not."""

    def __init__(self, tables: ControlTables, now: datetime) -> None:
        self._tables = tables.all()
        self._now = now

    def read(self, tree: exp.Expr) -> Statement:
        match tree:
            case exp.Insert():
                return self._insert(tree)
            case exp.Update():
                return self._update(tree)
            case exp.Delete():
                return self._delete(tree)
            case exp.Merge():
                return self._merge(tree)
            case exp.Query() | exp.Values():
                return Select(self._queries().checked(tree))
            case _:
                raise RefusalError(f"{node_name(tree)} does not run here", tree)

    def _queries(self, target: TableLayout | None = None) -> Queries:
        return Queries(self._tables, self._now, target)

    # --- INSERT

    def _insert(self, tree: exp.Insert) -> Insert:
        only(tree, {"this", "expression", "with_"})
        target, named = tree.this, None
        if isinstance(target, exp.Schema):
            named, target = target.expressions, target.this
        table, layout = self._queries().resolve(target)
        columns = layout.names if named is None else [known(layout, column) for column in named]
        if len(set(columns)) != len(columns):
            raise RefusalError("a column is named twice", tree.this)
        wanted = NewRows(layout, columns, positional=named is None)
        source, shared = tree.expression, tree.args.get("with_")
        if isinstance(source, exp.Values):
            if shared is not None:
                raise RefusalError("WITH before INSERT … VALUES does not run here", shared)
            rows = wanted.plain(source, self._now)
            if rows is not None:
                return Insert(table, layout, wanted.given(len(rows[0]), source), rows)
            source = wanted.query(source)
        elif not isinstance(source, exp.Query):
            raise RefusalError("INSERT takes VALUES or a SELECT", tree)
        if shared is not None:
            source.set("with_", shared)
        query = self._queries().checked(source)
        given = wanted.given(len(query.names), source)
        wanted.check_kinds(query.kinds, source)
        return Insert(table, layout, given, query=query)

    # --- UPDATE, DELETE, MERGE

    def _update(self, tree: exp.Update) -> Change:
        only(tree, {"this", "expressions", "where"})
        table, layout = self._queries().resolve(tree.this)
        assignments = updated(layout, tree.expressions, _names(tree.this, table))
        return self._rows(tree, table, layout, Clause(Action.UPDATE, _where(tree), assignments))

    def _delete(self, tree: exp.Delete) -> Change:
        only(tree, {"this", "where"})
        table, layout = self._queries().resolve(tree.this)
        return self._rows(tree, table, layout, Clause(Action.DELETE, _where(tree)))

    def _rows(
        self, tree: exp.Expr, table: TableName, layout: TableLayout, clause: Clause
    ) -> Change:
        alias = tree.this.alias or table.name
        built = ChangeQuery(layout, alias, [clause]).of_rows(clause)
        return Change(table, layout, self._queries(layout).checked(built), node_name(tree))

    def _merge(self, tree: exp.Merge) -> Change:
        only(tree, {"this", "using", "on", "whens", "with_"})
        table, layout = self._queries().resolve(tree.this)
        target, using = tree.this.alias or table.name, tree.args["using"]
        alias = using.alias_or_name
        if not alias or alias.lower() == target.lower():
            raise RefusalError("give the source of MERGE a name of its own", using)
        source = exp.select("*").from_(using.copy())
        if tree.args.get("with_") is not None:
            source.set("with_", tree.args["with_"].copy())
        columns = [column.name for column in self._queries().read(source).columns]
        names = _names(tree.this, table)
        clauses = MergeClauses(layout, names, columns, alias).read(tree)
        every = [*clauses.matched, *clauses.not_matched, *clauses.by_source]
        built = ChangeQuery(layout, target, every).of_merge(source, alias, tree.args["on"], clauses)
        return Change(table, layout, self._queries(layout).checked(built), "MERGE")


def _names(typed: exp.Table, table: TableName) -> tuple[str, ...]:
    """The names by which the table may be called before a column, in lower case."""
    return (typed.alias.lower(),) if typed.alias else (table.name.lower(),)


def _where(tree: exp.Expr) -> exp.Expr | None:
    where = tree.args.get("where")
    return None if where is None else where.this
