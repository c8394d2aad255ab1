"""Statements that people typed, checked by `control.statements`, as Spark SQL. Pure.

Generated from the checked tree, over full names, every text a parameter.
"""

# ruff: noqa: S608 - statements are what this module makes: names quoted, values bound

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lakeflow_meta.errors import BackendError
from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident, qualified
from lakeflow_meta.sql_rows import Bound

if TYPE_CHECKING:
    from sqlglot import exp

MOST_PARAMETERS = 256
"""What a SQL warehouse takes in one statement."""


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
