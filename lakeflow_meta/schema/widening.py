"""Which types Delta changes in place, without writing data anew. Pure.

https://docs.databricks.com/delta/type-widening.html#supported-type-changes
"""

from __future__ import annotations

from lakeflow_meta.schema.types import (
    Byte,
    Char,
    DataType,
    Date,
    Decimal,
    Double,
    Float,
    Integer,
    Long,
    Short,
    String,
    TimestampNtz,
    Varchar,
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
    """Whether a text only loses the limit of its length; Delta stores all texts alike."""
    return isinstance(before, Char | Varchar) and isinstance(after, String)
