"""Which types Delta changes in place, without writing data anew. Pure.

https://docs.databricks.com/delta/type-widening.html#supported-type-changes
"""

from __future__ import annotations

from lakeflow_meta.schema.types import (
    Array,
    Binary,
    Boolean,
    Byte,
    Char,
    DataType,
    Date,
    Decimal,
    Double,
    Float,
    Integer,
    Long,
    Map,
    Short,
    String,
    Struct,
    Timestamp,
    TimestampNtz,
    Varchar,
    Void,
)

_WIDER: dict[type, tuple[type, ...]] = {
    Byte: (Short, Integer, Long, Double),
    Short: (Integer, Long, Double),
    Integer: (Long, Double),
    Float: (Double,),
    Date: (TimestampNtz,),
}
_DIGITS: dict[type, int] = {Byte: 10, Short: 10, Integer: 10, Long: 20}
"""Digits before the point that a decimal needs to take any value of the type."""


def can_widen(before: DataType, after: DataType) -> bool:
    """Whether every value of one type is a value of the other, and Delta knows the change."""
    match before, after:
        case Decimal(precision, scale), Decimal(more, finer):
            return finer >= scale and more - finer >= precision - scale
        case ((Byte() | Short() | Integer() | Long()), Decimal(precision, scale)):
            return precision - scale >= _DIGITS[type(before)]
        case _:
            return type(after) in _WIDER.get(type(before), ())


def only_loosens(before: DataType, after: DataType) -> bool:
    """Whether what Delta stores stays the same: a text may be longer, or a void gets a type.

    Spark 4.1, CheckAnalysis.canAlterColumnType: char to varchar, and varchar to a longer one.
    """
    match before, after:
        case ((Char() | Varchar()), String()):
            return True
        case ((Char(length) | Varchar(length)), Varchar(longer)):
            return longer >= length
        case Void(), _:
            return not isinstance(after, Array | Map | Struct | Char | Varchar)
        case _:
            return False


_NUMBERS = (Byte, Short, Integer, Long, Float, Double, Decimal)
_TEXTS = (Char, Varchar, String)
_TIMES = (Date, Timestamp, TimestampNtz)


def can_cast_back(before: DataType, after: DataType) -> bool:
    """Whether Spark casts between the types in both directions, so that values can be tried."""
    groups = [(*_NUMBERS, Boolean, *_TEXTS), (*_TIMES, *_TEXTS), (Binary, *_TEXTS)]
    return any(isinstance(before, group) and isinstance(after, group) for group in groups)
