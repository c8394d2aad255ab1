"""Single values of an extract: what each may be, whatever the others are. Pure.

Time zones and encodings are those that this machine's Python knows.
"""

from __future__ import annotations

import codecs
import math
import re
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, PlainValidator

from lakeflow_meta.extract.file_names import check_file_name
from lakeflow_meta.extract.timestamps import TimestampPattern
from lakeflow_meta.extract.words import Effort, RefusedError, one_of

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"})
"""Codecs that Python calls encodings of text, and no reader of files knows."""


def _known_name(text: str) -> str:
    if text != text.strip() or _CONTROL.search(text):
        raise RefusedError(f"{text!r} is no name", "write it without spaces around it")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise RefusedError("there is nothing but spaces", "write it, or remove the key")
    return text


def _one_character(text: str) -> str:
    if len(text) != 1 or text in "\r\n\0":
        raise RefusedError(f"{text!r} is not one character", "write one, which ends no line")
    return text


def _encoding(name: str) -> str:
    try:
        known = codecs.lookup(name).name.replace("-", "_")
        "x".encode(name)
    except (LookupError, ValueError, UnicodeError) as error:
        raise RefusedError(f"unknown encoding {name!r}", "for example utf-8, cp1252") from error
    if known in _NO_CHARSETS:
        raise RefusedError(f"{name!r} is no encoding of files", "for example utf-8, cp1252")
    return name


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise RefusedError(f"unknown time zone {name!r}", "for example Europe/Berlin") from error
    return name


def _pattern(text: str) -> str:
    return TimestampPattern.parse(text).text


def _dates(text: str) -> str:
    if not TimestampPattern.parse(text).only_dates:
        raise RefusedError(f"{text!r} writes a time, and a date has none", "write yyyy-MM-dd")
    return text


def _extension(text: str) -> str:
    check_file_name(f"x.{text.removeprefix('.')}")
    return text


def _parameter(value: Any) -> Any:
    is_number = isinstance(value, float) and math.isfinite(value)
    if value is None or is_number or isinstance(value, str | int):
        return value
    raise RefusedError(f"{value!r} is no text, number or boolean", "put it in quotes")


def _level(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        return one_of(Effort)(value)
    raise RefusedError(f"{value!r} is no level", "write minimum, normal, maximum or a number")


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_known_name)]
Sql = Annotated[str, AfterValidator(_not_blank)]
Column = Annotated[str, Field(min_length=1)]
Character = Annotated[str, AfterValidator(_one_character)]
Pattern = Annotated[str, AfterValidator(_pattern)]
DatePattern = Annotated[str, AfterValidator(_dates)]
Encoding = Annotated[str, AfterValidator(_encoding)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Extension = Annotated[str, AfterValidator(_extension)]
Count = Annotated[int, Field(ge=1, lt=2**63)]
_Scalar = str | int | float | bool | None
Parameter = Annotated[_Scalar, PlainValidator(_parameter, json_schema_input_type=_Scalar)]
Level = Annotated[Any, PlainValidator(_level, json_schema_input_type=int | Effort)]
