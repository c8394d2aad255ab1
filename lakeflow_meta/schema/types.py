"""Column types as frozen values. Pure.

``str()`` writes a type in Spark's own notation, which is valid SQL; `type_text.parse_type` reads it
back as an equal value, `read_delta_type` reads Delta's schema JSON. A type that is not known is an
error, never a column left out: a column that cannot be seen would look as if it were absent.

Not modelled, because SQL has no words for it: whether array elements and map values may be NULL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lakeflow_meta.sql import ident, literal

MAX_PRECISION = 38
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class UnknownTypeError(ValueError):
    """A type that this package does not know; ``hint`` says what may be meant."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class _Plain:
    """A type without parameters: its word in SQL, and in Delta's schema JSON."""

    __slots__ = ()
    word: ClassVar[str]
    delta: ClassVar[str]

    def __str__(self) -> str:
        return self.word


@dataclass(frozen=True, slots=True)
class Byte(_Plain):
    """8 bits, signed."""

    word, delta = "tinyint", "byte"


@dataclass(frozen=True, slots=True)
class Short(_Plain):
    """16 bits, signed."""

    word, delta = "smallint", "short"


@dataclass(frozen=True, slots=True)
class Integer(_Plain):
    """32 bits, signed."""

    word, delta = "int", "integer"


@dataclass(frozen=True, slots=True)
class Long(_Plain):
    """64 bits, signed."""

    word, delta = "bigint", "long"


@dataclass(frozen=True, slots=True)
class Float(_Plain):
    """32 bits, IEEE 754."""

    word, delta = "float", "float"


@dataclass(frozen=True, slots=True)
class Double(_Plain):
    """64 bits, IEEE 754."""

    word, delta = "double", "double"


@dataclass(frozen=True, slots=True)
class Boolean(_Plain):
    """True or false."""

    word, delta = "boolean", "boolean"


@dataclass(frozen=True, slots=True)
class String(_Plain):
    """Unicode text of any length, compared by its bytes (UTF8_BINARY)."""

    word, delta = "string", "string"


@dataclass(frozen=True, slots=True)
class Binary(_Plain):
    """Bytes."""

    word, delta = "binary", "binary"


@dataclass(frozen=True, slots=True)
class Date(_Plain):
    """A day without a time zone."""

    word, delta = "date", "date"


@dataclass(frozen=True, slots=True)
class Timestamp(_Plain):
    """A point in time, microseconds, shown in the session's time zone."""

    word, delta = "timestamp", "timestamp"


@dataclass(frozen=True, slots=True)
class TimestampNtz(_Plain):
    """A wall-clock time without a time zone, microseconds."""

    word, delta = "timestamp_ntz", "timestamp_ntz"


@dataclass(frozen=True, slots=True)
class Variant(_Plain):
    """Semi-structured data."""

    word, delta = "variant", "variant"


@dataclass(frozen=True, slots=True)
class Void(_Plain):
    """Nothing but NULL: a column whose type is not known yet."""

    word, delta = "void", "void"


@dataclass(frozen=True, slots=True)
class Char:
    """Text of exactly ``length`` characters, padded with blanks; Delta keeps it as a string."""

    length: int

    def __post_init__(self) -> None:
        _check_length(self.length)

    def __str__(self) -> str:
        return f"char({self.length})"


@dataclass(frozen=True, slots=True)
class Varchar:
    """Text of at most ``length`` characters; Delta keeps it as a string."""

    length: int

    def __post_init__(self) -> None:
        _check_length(self.length)

    def __str__(self) -> str:
        return f"varchar({self.length})"


def _check_length(length: int) -> None:
    if type(length) is not int or length < 1:
        raise ValueError(f"the length of a text type is at least 1, not {length!r}")


@dataclass(frozen=True, slots=True)
class Decimal:
    """A decimal number with ``precision`` digits, ``scale`` of them after the point."""

    precision: int = 10
    scale: int = 0

    def __post_init__(self) -> None:
        if type(self.precision) is not int or type(self.scale) is not int:
            raise ValueError("precision and scale of a decimal are whole numbers")
        if not 1 <= self.precision <= MAX_PRECISION:
            raise ValueError(f"decimal precision {self.precision} is not in 1 to {MAX_PRECISION}")
        if not 0 <= self.scale <= self.precision:
            raise ValueError(f"decimal scale {self.scale} is not in 0 to {self.precision}")

    def __str__(self) -> str:
        return f"decimal({self.precision},{self.scale})"


@dataclass(frozen=True, slots=True)
class Array:
    """A list of values of one type."""

    element: DataType

    def __post_init__(self) -> None:
        check_type(self.element, "the element of an array")

    def __str__(self) -> str:
        return f"array<{self.element}>"


@dataclass(frozen=True, slots=True)
class Map:
    """Keys to values. A key cannot be, or hold, a map or a variant (Spark, data types)."""

    key: DataType
    value: DataType

    def __post_init__(self) -> None:
        check_type(self.key, "the key of a map")
        check_type(self.value, "the value of a map")
        if any(isinstance(part, Map | Variant) for part in nested_types(self.key)):
            raise ValueError(f"{self.key} cannot be the key of a map")

    def __str__(self) -> str:
        return f"map<{self.key},{self.value}>"


@dataclass(frozen=True, slots=True)
class StructField:
    """One named part of a struct."""

    name: str
    data_type: DataType
    nullable: bool = True
    comment: str = ""

    def __post_init__(self) -> None:
        check_type(self.data_type, f"struct field {self.name!r}")
        if not self.name:
            raise ValueError("a struct field has a name")

    def __str__(self) -> str:
        name = self.name if PLAIN_NAME.fullmatch(self.name) else ident(self.name)
        comment = f" comment {literal(self.comment)}" if self.comment else ""
        return f"{name}:{self.data_type}{'' if self.nullable else ' not null'}{comment}"


@dataclass(frozen=True, slots=True)
class Struct:
    """Named parts in order; names are unique without regard to case."""

    fields: Sequence[StructField]

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", tuple(self.fields))
        names = [field.name.lower() for field in self.fields]
        if not names:
            raise ValueError("a struct has at least one field")
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"struct field named twice: {', '.join(twice)}")

    def __str__(self) -> str:
        return f"struct<{','.join(map(str, self.fields))}>"


DataType = (
    Byte | Short | Integer | Long | Float | Double | Decimal | Boolean | String | Char | Varchar
    | Binary | Date | Timestamp | TimestampNtz | Variant | Void | Array | Map | Struct
)  # fmt: skip

PLAIN_TYPES: tuple[DataType, ...] = (
    Byte(), Short(), Integer(), Long(), Float(), Double(), Boolean(), String(), Binary(),
    Date(), Timestamp(), TimestampNtz(), Variant(), Void(),
)  # fmt: skip
DELTA_WORDS = {kind.delta: kind for kind in PLAIN_TYPES if isinstance(kind, _Plain)}


def check_type(value: object, where: str) -> None:
    """Refuse what is not a type value. Raises TypeError naming ``where``."""
    if not isinstance(value, DataType):
        shown = value.__name__ if isinstance(value, type) else repr(value)
        raise TypeError(f"{where}: {shown} is no type; give a value such as Integer()")


def nested_types(data_type: DataType) -> Iterator[DataType]:
    """The type itself and every type inside it."""
    pending: list[DataType] = [data_type]
    while pending:
        current = pending.pop()
        yield current
        match current:
            case Array(element):
                pending.append(element)
            case Map(key, value):
                pending += [key, value]
            case Struct(fields):
                pending += [field.data_type for field in fields]
            case _:
                pass


def same_type(one: DataType, other: DataType) -> bool:
    """Whether two types hold the same values; names of struct fields are compared without case.

    Comments of struct fields, and whether these may be NULL, do not matter.
    """
    return one == other or _bare(one) == _bare(other)


def _bare(data_type: DataType) -> str:
    match data_type:
        case Array(element):
            return f"array<{_bare(element)}>"
        case Map(key, value):
            return f"map<{_bare(key)},{_bare(value)}>"
        case Struct(fields):
            parts = (f"{ident(field.name.lower())}:{_bare(field.data_type)}" for field in fields)
            return f"struct<{','.join(parts)}>"
        case _:
            return str(data_type)


# --------------------------------------------------------------------------- from Delta


_DELTA_DECIMAL = re.compile(r"decimal\((\d+),\s*(-?\d+)\)")


def read_delta_type(value: Any) -> DataType:
    """Read a type from Delta's schema JSON.

    https://github.com/delta-io/delta/blob/master/PROTOCOL.md#schema-serialization-format
    Raises UnknownTypeError.
    """
    if isinstance(value, str):
        return _read_delta_word(value)
    if isinstance(value, Mapping):
        match value.get("type"):
            case "array":
                return Array(read_delta_type(value["elementType"]))
            case "map":
                return Map(read_delta_type(value["keyType"]), read_delta_type(value["valueType"]))
            case "struct":
                return Struct(tuple(_read_delta_field(field) for field in value["fields"]))
            case _:
                pass
    raise UnknownTypeError(f"type {value!r} is not known")


def _read_delta_word(word: str) -> DataType:
    if word in DELTA_WORDS:
        return DELTA_WORDS[word]
    if word == "decimal":
        return Decimal()
    match = _DELTA_DECIMAL.fullmatch(word)
    if match is None:
        raise UnknownTypeError(f"type {word!r} is not known")
    return Decimal(int(match[1]), int(match[2]))


def _read_delta_field(field: Mapping[str, Any]) -> StructField:
    comment = (field.get("metadata") or {}).get("comment", "")
    return StructField(field["name"], read_delta_type(field["type"]), field["nullable"], comment)
