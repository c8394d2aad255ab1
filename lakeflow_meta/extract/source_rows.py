"""The rows of one extract, from its datastore: which of them, checked, as a stream. A verb."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import date
from functools import cached_property
from typing import Any

import pyarrow as pa

from lakeflow_meta import sql_extracts as sql
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.rules import object_name
from lakeflow_meta.extract.selection import (
    Period,
    Selection,
    Watermark,
    WatermarkKind,
    column_index,
)
from lakeflow_meta.extract.source_query import SourceQuery, Statement
from lakeflow_meta.extract.words import Datastore, LoadMode, RefusedError
from lakeflow_meta.ports import RenderTemplate, RowSource, RowStream
from lakeflow_meta.warehouse.dialects import Dialect


class SourceRows:
    """What an extract takes from one datastore."""

    def __init__(
        self, extract: Extract, source: RowSource, render: RenderTemplate | None = None
    ) -> None:
        self._extract = extract
        self._source = source
        self._render = render
        self.dropped: str | None = None
        """A column that `rows` gave and that is not to be written; the last one."""

    def selection(self, before: Watermark | None) -> Selection:
        """Which rows this run takes; ``before`` is the recorded watermark. Raises RefusedError."""
        match self._extract.load.mode:
            case LoadMode.FULL:
                return Selection()
            case LoadMode.INCREMENTAL:
                return Selection(after=self._after(before))
            case LoadMode.PERIOD:
                query = self._extract.load.period_query or ""
                rows = self._source.query(sql.one_statement(query, self._dialect))
                if len(rows) != 1:
                    hint = "it gives one row with the dates start_date and end_date"
                    raise RefusedError(f"period_query gives {len(rows)} rows", hint)
                return Selection(period=Period.of_row(rows[0]))

    def validate(self) -> None:
        """Raises RefusedError where the data is not as it has to be, BackendError where the
        procedure that checks it fails.
        """
        validation = self._extract.validation
        if validation is None:
            return
        if validation.query is not None:
            (row,) = self._source.query(sql.count_of(validation.query, self._dialect))
            found, allowed = int(row["failed_rows"]), validation.max_failed_rows or 0
            if found > allowed:
                raise RefusedError(f"validation failed: {found} rows are wrong, {allowed} may be")
        if validation.procedure is not None:
            parts = object_name(validation.procedure, Datastore.WAREHOUSE)
            is_procedure = self._is_procedure(parts[1], parts[2])
            self._source.query(sql.call_of(parts, (), is_procedure=is_procedure))

    def rows(self, selection: Selection) -> AbstractContextManager[RowStream]:
        """The rows of a run. Raises RefusedError, BackendError."""
        asks = self._extract.load.mode is not LoadMode.FULL
        statement = self._query.rows(selection, self._columns if asks else None)
        self.dropped = statement.dropped
        return self._stream(statement)

    def planned(self, before: Watermark | None) -> str:
        """The statement of the next run, without asking the datastore anything: a routine is shown
        as a function, and values by their names.
        """
        load = self._extract.load
        after = before
        if after is None and load.initial_watermark is not None:
            after = Watermark(
                load.watermark_column or "", WatermarkKind.TEXT, load.initial_watermark
            )
        period = Period(date.min, date.min) if load.mode is LoadMode.PERIOD else None
        query = SourceQuery(self._extract, self._dialect, self._rendered)
        return query.rows(Selection(after=after, period=period)).text

    # --- inside

    @property
    def _dialect(self) -> Dialect:
        return Dialect(self._source.dialect)

    @cached_property
    def _query(self) -> SourceQuery:
        return SourceQuery(self._extract, self._dialect, self._rendered, self._calls_procedure)

    @property
    def _rendered(self) -> Statement | None:
        source = self._extract.source
        if source.template is None or self._render is None:
            return None
        return Statement(self._render(source.template, source.parameters, self._dialect))

    @property
    def _calls_procedure(self) -> bool:
        source = self._extract.source
        if source.procedure is None:
            return False
        _, schema, name = object_name(source.procedure, source.datastore)
        return self._is_procedure(schema, name)

    def _is_procedure(self, schema: str, name: str) -> bool:
        values = {"schema": schema, "name": name}
        kinds = {_text(row["kind"]) for row in self._source.query(sql.ROUTINE_KIND, values)}
        if not kinds:
            message = f"there is no function or procedure {schema}.{name}"
            raise NotFoundError(message, code="UNDEFINED_FUNCTION")
        return kinds == {"p"}

    @cached_property
    def _columns(self) -> pa.Schema:
        with self._stream(self._query.columns()) as stream:
            return stream.schema

    def _after(self, before: Watermark | None) -> Watermark | None:
        load = self._extract.load
        column = load.watermark_column or ""
        kind = WatermarkKind.of(self._columns.field(column_index(self._columns, column)).type)
        if before is None:
            text = load.initial_watermark
            return None if text is None else Watermark.parse(column, kind, text)
        if before.column.lower() != column.lower() or before.kind is not kind:
            raise RefusedError(
                f"the recorded watermark is {before.kind} {before.text} of column"
                f" {before.column!r}, and not {kind} of {column!r}",
                f"forget it: lakeflow-meta extract reset {self._extract.extract_name}",
            )
        return before

    def _stream(self, statement: Statement) -> AbstractContextManager[RowStream]:
        return self._source.stream(
            statement.text, dict(statement.values) or None, read_only=statement.read_only
        )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
