"""Which rows of its source a run takes: all, those after the last watermark, those of a period.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, assert_never

import pyarrow as pa
import pyarrow.compute as pc

from lakeflow_meta.extract.words import RefusedError

WatermarkValue = int | Decimal | date | datetime | str


class WatermarkKind(StrEnum):
    """What a watermark is compared as."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"
    ZONED_TIMESTAMP = "zoned_timestamp"
    TEXT = "text"

    @classmethod
    def of(cls, kind: pa.DataType) -> WatermarkKind:
        """Of a column's type. Raises RefusedError where its values do not rise one by one."""
        if pa.types.is_timestamp(kind):
            return cls.TIMESTAMP if kind.tz is None else cls.ZONED_TIMESTAMP
        for matches, found in _KINDS:
            if matches(kind):
                return found
        hint = "use a number, a date, a timestamp or a text"
        raise RefusedError(f"a column of type {kind} is no watermark", hint)


_KINDS = (
    (pa.types.is_integer, WatermarkKind.INTEGER),
    (pa.types.is_decimal, WatermarkKind.DECIMAL),
    (pa.types.is_date, WatermarkKind.DATE),
    (pa.types.is_string, WatermarkKind.TEXT),
    (pa.types.is_large_string, WatermarkKind.TEXT),
)


@dataclass(frozen=True, slots=True)
class Watermark:
    """The highest value of a column that was ever written."""

    column: str
    kind: WatermarkKind
    text: str

    @classmethod
    def of(cls, column: str, kind: WatermarkKind, value: WatermarkValue) -> Watermark:
        """Of a value as Python has it."""
        written = value.isoformat() if isinstance(value, date) else str(value)
        return cls(column, kind, written)

    @classmethod
    def parse(cls, column: str, kind: WatermarkKind, text: str) -> Watermark:
        """Of a text that people wrote. Raises RefusedError."""
        try:
            return cls.of(column, kind, _value(kind, text))
        except (ValueError, InvalidOperation) as error:
            message = f"initial_watermark {text!r} is no {kind}, as column {column!r} is"
            raise RefusedError(message, "write it as the column has it") from error

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Watermark:
        """What `to_dict` gave."""
        return cls(value["column"], WatermarkKind(value["kind"]), value["text"])

    @property
    def value(self) -> WatermarkValue:
        """As Python has it, to be bound to a query."""
        return _value(self.kind, self.text)

    def to_dict(self) -> dict[str, str]:
        """As JSON."""
        return {"column": self.column, "kind": str(self.kind), "text": self.text}


def _value(kind: WatermarkKind, text: str) -> WatermarkValue:
    match kind:
        case WatermarkKind.INTEGER:
            return int(text)
        case WatermarkKind.DECIMAL:
            return Decimal(text)
        case WatermarkKind.DATE:
            return date.fromisoformat(text)
        case WatermarkKind.TIMESTAMP:
            return datetime.fromisoformat(text).replace(tzinfo=None)
        case WatermarkKind.ZONED_TIMESTAMP:
            moment = datetime.fromisoformat(text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        case WatermarkKind.TEXT:
            return text
        case _:
            assert_never(kind)


class HighestValue:
    """The highest value of one column, over the batches that are written."""

    def __init__(self, column: str, schema: pa.Schema) -> None:
        self._column = column
        self._index = column_index(schema, column)
        self._kind = WatermarkKind.of(schema.field(self._index).type)
        self._highest: Any = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch into account."""
        column = batch.column(self._index)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        found = pc.max(column).as_py()
        if found is not None and (self._highest is None or found > self._highest):
            self._highest = found

    def watermark(self, before: Watermark | None) -> Watermark | None:
        """The new watermark; the former one where no row had a higher value."""
        if self._highest is None:
            return before
        value = self._highest
        if self._kind is WatermarkKind.ZONED_TIMESTAMP:
            value = value.astimezone(UTC)
        if before is not None and before.kind is self._kind and before.value >= value:
            return before
        return Watermark.of(self._column, self._kind, value)


def column_index(schema: pa.Schema, column: str) -> int:
    """Where a column is, whatever case it is written in. Raises RefusedError."""
    names = [name.lower() for name in schema.names]
    if names.count(column.lower()) != 1:
        shown = ", ".join(schema.names)
        raise RefusedError(f"the rows have no column {column!r}", f"they have {shown}")
    return names.index(column.lower())


@dataclass(frozen=True, slots=True)
class Period:
    """From the begin of ``start`` to the end of ``end``, both of them included."""

    start: date
    end: date

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Period:
        """From the row of a period query. Raises RefusedError."""
        values = {name.lower(): value for name, value in row.items()}
        found = [_day(values.get(name)) for name in ("start_date", "end_date")]
        start, end = found
        if start is None or end is None:
            hint = "it gives one row with the dates start_date and end_date"
            raise RefusedError("period_query gives no period", hint)
        if start > end:
            raise RefusedError(f"period_query gives a period from {start} to {end}", "swap them")
        return cls(start, end)

    @property
    def until(self) -> date:
        """The first day after it."""
        return self.end + timedelta(days=1)

    def moments(self) -> tuple[datetime, datetime]:
        """Begin of the first day and of the last one, UTC, for the table of runs."""
        return (
            datetime.combine(self.start, time(), tzinfo=UTC),
            datetime.combine(self.end, time(), tzinfo=UTC),
        )


def _day(value: Any) -> date | None:
    if isinstance(value, datetime):
        return value.date() if value.time() == time() else None
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, date) else None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows a run takes. At most one of the two is set."""

    after: Watermark | None = None
    period: Period | None = None
