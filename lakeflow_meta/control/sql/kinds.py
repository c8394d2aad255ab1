"""Kinds of values in SQL on control tables, and how they meet. Pure.

Kinds never change in silence: two engines coerce differently, so a text meets a number only where
somebody wrote a CAST. A literal in quotes is read as what stands beside it; a time without a zone
is UTC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

from sqlglot import exp


class Kind(StrEnum):
    """What a value is."""

    TEXT = "text"
    INTEGER = "integer"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    TIME = "timestamp"
    DATE = "date"
    NOTHING = "NULL"
    """The kind of a bare NULL: it goes with every other."""


NUMBERS = frozenset({Kind.INTEGER, Kind.DOUBLE})

KIND_OF_TYPE = {
    "STRING": Kind.TEXT,
    "INT": Kind.INTEGER,
    "BIGINT": Kind.INTEGER,
    "DOUBLE": Kind.DOUBLE,
    "BOOLEAN": Kind.BOOLEAN,
    "TIMESTAMP": Kind.TIME,
    "DATE": Kind.DATE,
}
"""Kinds of the types that columns have and that CAST takes."""

TYPE_OF_KIND = {
    Kind.TEXT: "STRING",
    Kind.INTEGER: "BIGINT",
    Kind.DOUBLE: "DOUBLE",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.TIME: "TIMESTAMP",
    Kind.DATE: "DATE",
}


class RefusalError(Exception):
    """Why a statement may not run, what to write instead, and the part of it that is meant."""

    def __init__(self, message: str, node: exp.Expr | None = None, *, hint: str = "") -> None:
        super().__init__(message)
        self.node = node
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Value:
    """An expression in its checked form. ``typed`` is the node that somebody typed."""

    tree: exp.Expr
    kind: Kind
    typed: exp.Expr | None = None

    @property
    def text(self) -> str | None:
        """What stands between the quotes, where this is a text literal."""
        if isinstance(self.tree, exp.Literal) and self.tree.is_string:
            return str(self.tree.this)
        return None

    @property
    def whole_number(self) -> int | None:
        """The number, where this is a literal whole number."""
        node, sign = self.tree, 1
        if isinstance(node, exp.Neg):
            node, sign = node.this, -1
        if isinstance(node, exp.Literal) and not node.is_string and self.kind is Kind.INTEGER:
            return sign * int(node.this)
        return None


def value(tree: exp.Expr, kind: Kind, typed: exp.Expr | None = None) -> Value:
    """A value that carries its kind in its tree as well, for those who write it as text."""
    tree.meta["kind"] = kind
    return Value(tree, kind, typed)


def kind_of(tree: exp.Expr) -> Kind:
    """The kind of a checked expression."""
    return Kind(tree.meta["kind"])


# --- literals


def nothing() -> Value:
    """NULL."""
    return value(exp.Null(), Kind.NOTHING)


def text_value(text: str, typed: exp.Expr | None = None) -> Value:
    """A text literal."""
    return value(exp.Literal.string(text), Kind.TEXT, typed)


def number_value(text: str, typed: exp.Expr | None = None) -> Value:
    """A number as it was typed: 64-bit integers and doubles. Raises RefusalError."""
    if text.isascii() and text.isdigit():
        if len(text) > 19 or int(text) > 2**63 - 1:
            raise RefusalError(f"{text[:30]} is larger than a BIGINT", typed)
        return value(exp.Literal.number(str(int(text))), Kind.INTEGER, typed)
    try:
        number = float(text)
    except ValueError as error:
        raise RefusalError(f"{text[:30]!r} is not a number", typed) from error
    if not math.isfinite(number):
        raise RefusalError(f"{text[:30]} is larger than a DOUBLE", typed)
    return cast_tree(value(exp.Literal.number(repr(number)), Kind.DOUBLE, typed), "DOUBLE")


def time_value(moment: datetime, typed: exp.Expr | None = None) -> Value:
    """An aware time as a literal that every engine reads alike."""
    literal = text_value(moment.astimezone(UTC).isoformat(), typed)
    return cast_tree(literal, "TIMESTAMP")


def date_value(day: date, typed: exp.Expr | None = None) -> Value:
    """A date as a literal."""
    return cast_tree(text_value(day.isoformat(), typed), "DATE")


def cast_tree(found: Value, type_name: str, *, safe: bool = False) -> Value:
    """``found`` as another type; NULL where it cannot be, if ``safe``. Not checked here."""
    shape = exp.TryCast if safe else exp.Cast
    tree = shape(this=found.tree, to=exp.DataType.build(type_name, dialect="databricks"))
    tree.meta["type"] = type_name
    return value(tree, KIND_OF_TYPE[type_name], found.typed)


def read_time(text: str, typed: exp.Expr | None = None) -> datetime:
    """A time in quotes; without a zone it is UTC. Raises RefusalError."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        hint = "write '2025-01-31T08:00:00+00:00'"
        raise RefusalError(f"{text[:60]!r} is not a timestamp", typed, hint=hint) from error


def read_date(text: str, typed: exp.Expr | None = None) -> date:
    """A date in quotes. Raises RefusalError."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        hint = "write '2025-01-31'"
        raise RefusalError(f"{text[:60]!r} is not a date", typed, hint=hint) from error


# --- kinds that meet


def agree(values: Sequence[Value], what: str) -> tuple[list[Value], Kind]:
    """The values as one kind. Raises RefusalError where only a CAST could make them one."""
    firm = {v.kind for v in values if v.text is None} - {Kind.NOTHING}
    kinds = firm or {v.kind for v in values} - {Kind.NOTHING}
    match sorted(kinds):
        case []:
            common = Kind.NOTHING
        case [only]:
            common = only
        case [Kind.DATE, Kind.TIME]:
            common = Kind.TIME
        case [Kind.DOUBLE, Kind.INTEGER]:
            common = Kind.DOUBLE
        case several:
            names = " and ".join(several)
            raise RefusalError(f"{what} mixes {names}", values[-1].typed, hint="CAST one of them")
    return [become(v, common, what) for v in values], common


def become(found: Value, kind: Kind, what: str) -> Value:
    """``found`` where a value of ``kind`` is wanted. Raises RefusalError."""
    if found.kind in (kind, Kind.NOTHING) or Kind.NOTHING is kind:
        return found
    if found.kind is Kind.INTEGER and kind is Kind.DOUBLE:
        return found
    if found.kind is Kind.DATE and kind is Kind.TIME:
        return cast_tree(found, "TIMESTAMP")
    text = found.text
    if text is None:
        hint = f"write CAST(… AS {TYPE_OF_KIND[kind]})"
        raise RefusalError(f"{what} wants {kind}, not {found.kind}", found.typed, hint=hint)
    return _literal(text, kind, found.typed)


def _literal(text: str, kind: Kind, typed: exp.Expr | None) -> Value:
    match kind:
        case Kind.TIME:
            return time_value(read_time(text, typed), typed)
        case Kind.DATE:
            return date_value(read_date(text, typed), typed)
        case Kind.BOOLEAN if text.strip().lower() in ("true", "false"):
            return value(exp.Boolean(this=text.strip().lower() == "true"), kind, typed)
        case Kind.INTEGER | Kind.DOUBLE:
            return _quoted_number(text, kind, typed)
        case _:
            raise RefusalError(f"{text[:60]!r} is not a {kind}", typed)


def _quoted_number(text: str, kind: Kind, typed: exp.Expr | None) -> Value:
    digits = text.strip()
    negative = digits.startswith("-")
    found = number_value(digits.removeprefix("-"), typed)
    if kind is Kind.INTEGER and found.kind is not Kind.INTEGER:
        raise RefusalError(f"{text[:60]!r} is not an integer", typed)
    return value(exp.Neg(this=found.tree), found.kind, typed) if negative else found
