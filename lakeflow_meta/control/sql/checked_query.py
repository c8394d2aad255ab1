"""A query that may run: what the stores get to see of SQL that people typed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from lakeflow_meta.control.sql.kinds import Kind

TARGET = "_lakeflow_target"
"""The table that a statement changes, with a column that tells its rows apart."""

ROW = "_lakeflow_row"
"""That column. What is in it is the store's affair; NULL where there is no row."""


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """A query that may run, by our own names; ``names`` are those that people see, all different.

    ``tables`` are the control tables that it reads, in lower case, without their schema.
    """

    tree: exp.Query
    names: tuple[str, ...]
    kinds: tuple[Kind, ...]

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that the query reads, sorted."""
        return tuple(
            sorted({table.name for table in self.tree.find_all(exp.Table) if is_real(table)})
        )

    @property
    def column_names(self) -> frozenset[str]:
        """Every column name in the query, of tables and of ours."""
        return frozenset(column.name for column in self.tree.find_all(exp.Column))


def is_real(table: exp.Table) -> bool:
    """Whether this names a control table, and not a query of a WITH."""
    return bool(table.meta.get("table"))
