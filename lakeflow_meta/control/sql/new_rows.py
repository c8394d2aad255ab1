"""The rows of an INSERT: which columns they fill, and literals as values of these columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlglot import exp

from lakeflow_meta.control.sql.calls import WANTED
from lakeflow_meta.control.sql.changes import given_or_default
from lakeflow_meta.control.sql.kinds import (
    KIND_OF_TYPE,
    NUMBERS,
    TYPE_OF_KIND,
    Kind,
    RefusalError,
    become,
    number_value,
    read_time,
    text_value,
)
from lakeflow_meta.control.tables import LayoutColumn, TableLayout


class _NotPlainError(Exception):
    """A value that has to be worked out by an engine."""


class NewRows:
    """The columns that an INSERT names, or all of them where it names none (``positional``)."""

    def __init__(self, layout: TableLayout, columns: Sequence[str], *, positional: bool) -> None:
        by_name = {column.name: column for column in layout.columns}
        self._columns = [by_name[name] for name in columns]
        self._positional = positional

    def given(self, width: int, typed: exp.Expr) -> tuple[str, ...]:
        """The columns that ``width`` values fill; without names the last ones may be left out.

        Raises RefusalError.
        """
        names = [column.name for column in self._columns]
        if width > len(names) or (width < len(names) and not self._positional):
            message = f"{width} value(s) for {len(names)} column(s)"
            raise RefusalError(message, typed, hint=", ".join(names))
        return tuple(names[:width])

    def plain(self, values: exp.Values, now: datetime) -> tuple[tuple[Any, ...], ...] | None:
        """The rows, where every value is a literal; None where one has to be worked out.

        Raises RefusalError for rows of different lengths and for values of a wrong kind.
        """
        rows = [_cells(row) for row in values.expressions]
        if len({len(row) for row in rows}) != 1:
            raise RefusalError("the rows of VALUES differ in length", values)
        self.given(len(rows[0]), values)
        try:
            return tuple(
                tuple(
                    _plain(given_or_default(cell), column, now)
                    for cell, column in zip(row, self._columns, strict=False)
                )
                for row in rows
            )
        except _NotPlainError:
            return None

    def query(self, values: exp.Values) -> exp.Values:
        """The rows as a query, each value for its column."""
        rows = [
            [
                exp.Anonymous(
                    this=WANTED,
                    expressions=[
                        given_or_default(cell).copy(),
                        exp.Literal.string(column.name),
                        exp.Literal.string(column.type),
                    ],
                )
                for cell, column in zip(_cells(row), self._columns, strict=False)
            ]
            for row in values.expressions
        ]
        return exp.Values(expressions=[exp.Tuple(expressions=row) for row in rows])

    def check_kinds(self, kinds: Sequence[Kind], typed: exp.Expr) -> None:
        """Raises RefusalError where a query gives something else than a column holds."""
        for column, kind in zip(self._columns, kinds, strict=False):
            wanted = KIND_OF_TYPE[column.type]
            if kind not in (wanted, Kind.NOTHING) and (kind, wanted) != (
                Kind.INTEGER,
                Kind.DOUBLE,
            ):
                raise RefusalError(
                    f"column {column.name} wants {wanted}, not {kind}",
                    typed,
                    hint=f"write CAST(… AS {TYPE_OF_KIND[wanted]})",
                )


def _cells(row: exp.Expr) -> list[exp.Expr]:
    return list(row.expressions) if isinstance(row, exp.Tuple) else [row]


def _plain(node: exp.Expr, column: LayoutColumn, now: datetime) -> Any:
    """A literal as a value of the column. Raises RefusalError, _NotPlainError."""
    wanted = KIND_OF_TYPE[column.type]
    match node:
        case exp.Null():
            return None
        case exp.Literal() if node.is_string:
            return _plain_text(str(node.this), wanted, column.name, node)
        case exp.Boolean() if wanted is Kind.BOOLEAN:
            return bool(node.this)
        case exp.CurrentTimestamp() if wanted is Kind.TIME:
            return now
        case exp.Literal() if wanted in NUMBERS:
            whole = number_value(str(node.this), node).kind is Kind.INTEGER
            if whole or wanted is Kind.DOUBLE:
                return int(node.this) if whole else float(node.this)
    raise _NotPlainError


def _plain_text(text: str, wanted: Kind, name: str, node: exp.Expr) -> Any:
    if wanted is Kind.TEXT:
        return text
    if wanted is Kind.TIME:
        return read_time(text, node)
    found = become(text_value(text, node), wanted, f"column {name}")
    if wanted is Kind.BOOLEAN:
        return bool(found.tree.this)
    whole = found.whole_number
    return float(text) if whole is None else whole
