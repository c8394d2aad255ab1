"""The statement that gives the rows of a run, with its values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

import pyarrow as pa

from lakeflow_meta import sql_extracts as sql
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.rules import object_name
from lakeflow_meta.extract.selection import Selection, column_index
from lakeflow_meta.extract.words import LoadMode, RefusedError, SourceKind
from lakeflow_meta.warehouse.dialects import Dialect


@dataclass(frozen=True, slots=True)
class Statement:
    """``:name`` stands for a value. ``dropped`` is a column that is read and not written."""

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)
    read_only: bool = True
    dropped: str | None = None


@dataclass(frozen=True, slots=True)
class SourceQuery:
    """What an extract asks its datastore.

    ``rendered``: of a template. ``is_procedure``: of a routine, as its datastore says.
    """

    extract: Extract
    dialect: Dialect
    rendered: Statement | None = None
    is_procedure: bool = False

    def columns(self) -> Statement:
        """Gives no rows, and all columns that conditions can name."""
        rows, values = self._place()
        return Statement(sql.select_rows(rows, self.dialect, limit=0), values)

    def rows(self, selection: Selection, columns: pa.Schema | None = None) -> Statement:
        """The rows of a run; ``columns`` are what `columns` gave, where somebody asked.

        Raises RefusedError, ConfigError.
        """
        source = self.extract.source
        if source.kind is SourceKind.PROCEDURE:
            return self._call()
        conditions, values = self._conditions(selection, columns)
        if not conditions and not source.columns and source.kind not in _NAMED:
            return self._text()
        rows, own = self._place()
        dropped = self._watermark_to_drop(columns)
        text = sql.select_rows(
            rows,
            self.dialect,
            columns=[*source.columns, *([dropped] if dropped else [])],
            conditions=conditions,
        )
        return Statement(text, {**own, **values}, dropped=dropped)

    # --- where rows are

    def _place(self) -> tuple[str, Mapping[str, Any]]:
        """A table, or a query in the place of one."""
        source = self.extract.source
        match source.kind:
            case SourceKind.TABLE | SourceKind.VIEW:
                parts = object_name(source.table or source.view or "", source.datastore)
                return sql.object_text(parts, self.dialect), {}
            case SourceKind.QUERY | SourceKind.TEMPLATE:
                found = self._text()
                return sql.as_rows(found.text, self.dialect), found.values
            case SourceKind.PROCEDURE:
                found = self._call()
                return found.text, found.values
            case _:
                assert_never(source.kind)

    def _text(self) -> Statement:
        source = self.extract.source
        if source.query is None:
            if self.rendered is None:
                raise RefusedError("templates are not rendered here", "write a query")
            return replace(self.rendered, text=sql.one_statement(self.rendered.text, self.dialect))
        text = sql.one_statement(source.query, self.dialect)
        return Statement(text, dict(source.parameters))

    def _call(self) -> Statement:
        source = self.extract.source
        parts = object_name(source.procedure or "", source.datastore)
        text = sql.call_of(parts, source.parameters, is_procedure=self.is_procedure)
        return Statement(text, dict(source.parameters), read_only=False)

    # --- which of them

    def _conditions(
        self, selection: Selection, columns: pa.Schema | None
    ) -> tuple[list[str], dict[str, Any]]:
        where, load = self.extract.source.where, self.extract.load
        found = [sql.bracketed(where, self.dialect)] if where is not None else []
        if selection.after is not None:
            name = _exact(load.watermark_column or "", columns)
            return [*found, sql.is_after(name, self.dialect)], {sql.AFTER: selection.after.value}
        if selection.period is not None:
            name = _exact(load.period_column or "", columns)
            values = {sql.FROM: selection.period.start, sql.UNTIL: selection.period.until}
            return [*found, sql.is_within(name, self.dialect)], values
        return found, {}

    def _watermark_to_drop(self, columns: pa.Schema | None) -> str | None:
        """The column of the watermark, where it is not among those that are written."""
        chosen = self.extract.source.columns
        if self.extract.load.mode is not LoadMode.INCREMENTAL or not chosen:
            return None
        name = _exact(self.extract.load.watermark_column or "", columns)
        return None if name.lower() in map(str.lower, chosen) else name


_NAMED = (SourceKind.TABLE, SourceKind.VIEW)


def _exact(column: str, columns: pa.Schema | None) -> str:
    """The column as the datastore writes it."""
    return column if columns is None else columns.field(column_index(columns, column)).name
