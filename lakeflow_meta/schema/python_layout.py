"""Python expressions laid out as ``ruff format`` leaves them: one line, or one line a part. Pure.

Only what `python_text` writes: calls, lists, mappings of texts, texts, and words as they are. A
text that does not fit on its line is written as several, which Python joins.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

WIDTH = 100
_STEP = 4
_LEAST = 30
"""Characters that a part of a text has, also where it stands too far to the right."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    values: Sequence[Code]


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping of texts to texts."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """A call with arguments by place, then by name."""

    name: str
    values: Sequence[Code] = ()
    named: Mapping[str, Code] = field(default_factory=dict)


Code = Text | Items | Entries | Call | str
"""A str is a word that is written as it is."""


def line(text: str) -> bool:
    """Whether the text is not wider than a line."""
    return width(text) <= WIDTH


def width(text: str) -> int:
    """Columns on a screen: wide characters of East Asia and emoji take two, marks none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.east_asian_width(character) in ("W", "F"):
        return 2
    return 0 if unicodedata.category(character) in ("Mn", "Me") else 1


def layout(before: str, code: Code, indent: int = 0, after: str = "") -> str:
    """``before``, the code and ``after`` as lines that begin ``indent`` characters to the right."""
    start = " " * indent + before
    whole = f"{start}{_flat(code)}{after}"
    if line(whole):
        return whole
    inner = indent + _STEP
    match code:
        case Call(name, values, named) if values or named:
            lines = [layout("", value, inner, ",") for value in values]
            lines += [layout(f"{key}=", value, inner, ",") for key, value in named.items()]
            return _enclosed(f"{start}{name}(", lines, " " * indent + f"){after}")
        case Items(values):
            lines = [layout("", value, inner, ",") for value in values]
            return _enclosed(f"{start}[", lines, " " * indent + f"]{after}")
        case Entries(values):
            lines = [
                layout(f"{literal(key)}: ", Text(value), inner, ",")
                for key, value in values.items()
            ]
            return _enclosed(f"{start}{{", lines, " " * indent + f"}}{after}")
        case Text(text):
            parts = [" " * inner + literal(part) for part in _parts(text, WIDTH - inner)]
            return _enclosed(f"{start}(", parts, " " * indent + f"){after}")
        case _:
            return whole


def _enclosed(first: str, lines: Sequence[str], last: str) -> str:
    return "\n".join([first, *lines, last])


def _flat(code: Code) -> str:
    match code:
        case Text(text):
            return literal(text)
        case Items(values):
            return f"[{', '.join(map(_flat, values))}]"
        case Entries(values):
            inside = (f"{literal(key)}: {literal(value)}" for key, value in values.items())
            return f"{{{', '.join(inside)}}}"
        case Call(name, values, named):
            arguments = [*map(_flat, values), *(f"{k}={_flat(v)}" for k, v in named.items())]
            return f"{name}({', '.join(arguments)})"
        case word:
            return word


# --------------------------------------------------------------------------- texts


_CAREFUL = frozenset("\"'\\")
"""Printable characters that need care."""


def literal(text: str) -> str:
    """The text in double quotes, or in single ones where that spares backslashes."""
    if text.isprintable() and _CAREFUL.isdisjoint(text):
        return f'"{text}"'
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(_escaped(character, quote) for character in text) + quote


def _escaped(character: str, quote: str) -> str:
    if character in "\"'":
        return f"\\{character}" if character == quote else character
    return repr(character)[1:-1]


def _parts(text: str, room: int) -> list[str]:
    """The text cut behind line breaks and blanks, so that each part fits; whole where it does."""
    if width(literal(text)) <= room:
        return [text]
    parts = [""]
    for word in re.findall(r"[^\S\n]*\S*(?:[^\S\n]+|\n)|\S+|\s", text):
        for piece in _pieces(word, max(room, _LEAST)):
            joined = parts[-1] + piece
            if parts[-1].endswith("\n") or width(literal(joined)) > max(room, _LEAST):
                parts.append(piece)
            else:
                parts[-1] = joined
    return [part for part in parts if part]


def _pieces(word: str, room: int) -> Iterator[str]:
    """A word that is longer than a line, cut where the line ends."""
    if width(literal(word)) <= room:
        yield word
        return
    piece = ""
    for character in word:
        if width(literal(piece + character)) > room:
            yield piece
            piece = ""
        piece += character
    yield piece
