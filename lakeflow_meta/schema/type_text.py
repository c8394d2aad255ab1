"""Types read from SQL text. Pure."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache

from lakeflow_meta.schema.types import (
    DELTA_WORDS,
    PLAIN_NAME,
    PLAIN_TYPES,
    Array,
    Char,
    DataType,
    Decimal,
    Float,
    Map,
    Struct,
    StructField,
    Timestamp,
    UnknownTypeError,
    Varchar,
)
from lakeflow_meta.sql import text_of_literal

# https://docs.databricks.com/sql/language-manual/sql-ref-datatypes.html
_BY_WORD: dict[str, DataType] = {
    **{str(kind): kind for kind in PLAIN_TYPES},
    **DELTA_WORDS,
    "real": Float(),
    "timestamp_ltz": Timestamp(),
    "decimal": Decimal(),
    "dec": Decimal(),
    "numeric": Decimal(),
}
_WITH_PARAMETERS = ("array", "map", "struct", "char", "varchar")
_MEANT = {
    "text": "string",
    "nvarchar": "string",
    "datetime": "timestamp",
    "bool": "boolean",
    "number": "decimal(p,s)",
    "bit": "boolean",
    "json": "variant",
    "uuid": "string",
}


@lru_cache(maxsize=4096)
def parse_type(text: str) -> DataType:
    """Read a type as SQL writes it, e.g. ``decimal(10,2)`` or ``struct<a:int,b:array<string>>``.

    Kept, because a thousand tables have a few dozen types. Raises UnknownTypeError for an unknown
    word, ValueError for text that is no type.
    """
    return _TypeText(text).read()


_TOKEN = re.compile(
    r"""\s*(?:[A-Za-z_][A-Za-z0-9_]*|`(?:[^`]|``)+`|\d+|[<>(),:]"""
    r"""|'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*")""",
    re.DOTALL,
)


class _TypeText:
    """A recursive-descent reader of one type text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text.strip())
        self._position = 0

    def read(self) -> DataType:
        """The type; nothing may follow it."""
        data_type = self._type()
        if self._position < len(self._tokens):
            raise self._error(f"{self._peek()!r} is not expected here")
        return data_type

    def _split(self, text: str) -> list[str]:
        tokens: list[str] = []
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._error(f"cannot be read at {text[position:].strip()[:10]!r}")
            tokens.append(match.group().strip())
            position = match.end()
        return tokens

    def _type(self) -> DataType:
        word = self._next().lower()
        match word:
            case "array":
                return Array(self._between(1)[0])
            case "map":
                key, value = self._between(2)
                return Map(key, value)
            case "struct":
                return self._struct()
            case "decimal" | "dec" | "numeric":
                return self._decimal()
            case "char" | "character":
                return Char(self._length())
            case "varchar":
                return Varchar(self._length())
            case "interval":
                # https://docs.databricks.com/sql/language-manual/data-types/interval-type.html
                message = f"type {self._text!r}: Delta does not store intervals"
                raise UnknownTypeError(message, "store a bigint of seconds, or a string")
            case _:
                return self._plain(word)

    def _plain(self, word: str) -> DataType:
        if word not in _BY_WORD:
            raise _unknown(word, self._text)
        return _BY_WORD[word]

    def _decimal(self) -> Decimal:
        if self._peek() != "(":
            return Decimal()
        self._expect("(")
        numbers = [self._number()]
        if self._peek() == ",":
            self._expect(",")
            numbers.append(self._number())
        self._expect(")")
        return Decimal(*numbers)

    def _length(self) -> int:
        self._expect("(")
        length = self._number()
        self._expect(")")
        return length

    def _number(self) -> int:
        token = self._next()
        if not token.isdigit():
            raise self._error(f"a number is expected, not {token!r}")
        return int(token)

    def _between(self, count: int) -> list[DataType]:
        self._expect("<")
        inner = [self._type()]
        while len(inner) < count:
            self._expect(",")
            inner.append(self._type())
        self._expect(">")
        return inner

    def _struct(self) -> Struct:
        self._expect("<")
        fields = [self._field()]
        while self._peek() == ",":
            self._expect(",")
            fields.append(self._field())
        self._expect(">")
        return Struct(tuple(fields))

    def _field(self) -> StructField:
        name = self._next()
        if name.startswith("`"):
            name = name[1:-1].replace("``", "`")
        elif not PLAIN_NAME.fullmatch(name):
            raise self._error(f"a field name is expected, not {name!r}")
        if self._peek() == ":":
            self._expect(":")
        data_type = self._type()
        nullable = self._peek().lower() != "not"
        if not nullable:
            self._expect("not")
            self._expect("null")
        return StructField(name, data_type, nullable, self._comment())

    def _comment(self) -> str:
        if self._peek().lower() != "comment":
            return ""
        self._expect("comment")
        token = self._next()
        if token[0] not in "'\"":
            raise self._error(f"a quoted comment is expected, not {token!r}")
        return text_of_literal(token)

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise self._error("the text ends too early")
        self._position += 1
        return token

    def _expect(self, token: str) -> None:
        found = self._peek()
        if found.lower() != token:
            raise self._error(f"{token!r} is expected, not {found or 'the end'!r}")
        self._position += 1

    def _error(self, message: str) -> ValueError:
        return ValueError(f"type {self._text!r}: {message}")


def _unknown(word: str, text: str) -> UnknownTypeError:
    close = get_close_matches(word, [*_BY_WORD, *_WITH_PARAMETERS], n=1)
    meant = _MEANT.get(word) or (close[0] if close else "")
    named = f"type {word!r}" if word == text.strip().lower() else f"type {word!r} in {text!r}"
    return UnknownTypeError(f"{named} is not known", f"did you mean {meant}?" if meant else "")
