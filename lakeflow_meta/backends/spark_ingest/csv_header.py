"""The first record of a CSV file, split as Spark's reader will split it.

Spark compares the header with the names that it is given (``enforceSchema=false``), so one that is
read wrongly here is an error and never wrong data.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import IO, Any

_MOST_LINES = 1000
_ESCAPES = {"\\t": "\t", "\\r": "\r", "\\b": "\b", "\\f": "\f", "\\\\": "\\", "\\0": "\0"}
_USUAL = (";", "\t", "|", ",", ":")
"""Delimiters that people use."""


def first_record(file: IO[str], options: Mapping[str, str]) -> tuple[str, ...] | None:
    """Values in the first line that is neither empty nor a comment; None where there is none.

    ``options``: of Spark's reader, names in lower case. Raises csv.Error.
    """
    comment = options.get("comment", "")
    lines = islice(_lines(file, options), _MOST_LINES)
    told = (line for line in lines if line.strip() and not (comment and line.startswith(comment)))
    record = next(_records(told, options), None)
    return None if record is None else tuple(_stripped(value, options) for value in record)


def separator(options: Mapping[str, str]) -> str:
    """The text between two values, with Spark's escapes undone (``\\t``, ``\\u0001``)."""
    text = options.get("sep", options.get("delimiter", ","))
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    return re.sub(r"\\[trbf\\0]", lambda found: _ESCAPES[found[0]], text)


def guessed_delimiter(name: str, options: Mapping[str, str]) -> str:
    """What may stand between the values of a line that was taken for one; empty: nothing does."""
    used = separator(options)
    return next((mark for mark in _USUAL if mark != used and name.count(mark)), "")


def _lines(file: IO[str], options: Mapping[str, str]) -> Iterator[str]:
    """Lines with their end. A ``lineSep`` of one's own is looked for in what is read at once."""
    mark = options.get("linesep", "")
    if not mark or mark in ("\n", "\r\n", "\r"):
        yield from file
        return
    rest = ""
    while data := file.read(2**16):
        *whole, rest = (rest + data).split(mark)
        yield from (f"{line}\n" for line in whole)
    if rest:
        yield rest


def _stripped(value: str, options: Mapping[str, str]) -> str:
    if options.get("ignoreleadingwhitespace", "").lower() == "true":
        value = value.lstrip()
    if options.get("ignoretrailingwhitespace", "").lower() == "true":
        value = value.rstrip()
    return value


def _records(lines: Iterable[str], options: Mapping[str, str]) -> Iterator[list[str]]:
    mark = separator(options)
    if len(mark) == 1:
        return iter(csv.reader(lines, **_dialect(mark, options)))
    return (split_record(line.rstrip("\r\n"), mark, options) for line in lines)


def _dialect(mark: str, options: Mapping[str, str]) -> dict[str, Any]:
    quote = options.get("quote", '"')
    escape = options.get("escape", "\\")
    if not quote or quote == "\0":
        return {"delimiter": mark, "quoting": csv.QUOTE_NONE}
    return {
        "delimiter": mark,
        "quotechar": quote,
        "doublequote": True,
        "escapechar": escape if escape and escape not in (quote, mark) else None,
    }


def split_record(line: str, mark: str, options: Mapping[str, str]) -> list[str]:
    """One line, split by a delimiter of any length; a quoted value may hold it."""
    quote, escape = options.get("quote", '"'), options.get("escape", "\\")
    values, rest = [], line
    while True:
        if quote and rest.startswith(quote):
            value, rest = _quoted(rest, quote, escape)
            tail, found, rest = rest.partition(mark)
            value += tail
        else:
            value, found, rest = rest.partition(mark)
        values.append(value)
        if not found:
            return values


def _quoted(text: str, quote: str, escape: str) -> tuple[str, str]:
    """The quoted value that a text begins with, and what follows its closing quote."""
    value, place = "", 1
    while place < len(text):
        pair = text[place : place + 2]
        if pair in (quote * 2, escape + quote) and len(pair) == 2:
            value, place = value + quote, place + 2
        elif text[place] == quote:
            return value, text[place + 1 :]
        else:
            value, place = value + text[place], place + 1
    return value, ""
