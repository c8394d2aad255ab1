"""The tokens of a SQL text, with their positions. Pure.

Only what finding names needs: strings, quoted and plain identifiers, comments, everything else
as single characters. The rules are those of Spark's lexer (SqlBaseLexer.g4): backslash escapes in
strings, raw strings, nested block comments, dollar-quoted bodies. Any text can be read; what is
not closed runs to the end, and Spark says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """What a token is."""

    WORD = auto()
    """A plain identifier, a keyword or a number."""
    QUOTED = auto()
    """An identifier in backticks."""
    STRING = auto()
    """A string in any of Spark's quotes."""
    SYMBOL = auto()
    """One other character."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token; ``text[start:end]`` of the SQL is ``text``."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        """The position behind the token."""
        return self.start + len(self.text)

    @property
    def word(self) -> str:
        """The keyword this may be, in upper case; empty for everything that is quoted."""
        return self.text.upper() if self.kind is Kind.WORD else ""

    @property
    def name(self) -> str:
        """The identifier without its quotes."""
        if self.kind is Kind.QUOTED:
            return self.text[1:].removesuffix("`").replace("``", "`")
        return self.text


_TOKEN = re.compile(
    r"""
      (?P<skip>   \s+ | --(?:\\\r?\n|[^\r\n])* )
    | (?P<block>  /\* )
    | (?P<string> [rR]'[^']*(?:'|\Z) | [rR]"[^"]*(?:"|\Z)
                | '(?:[^'\\]|\\.)*(?:'|\\?\Z) | "(?:[^"\\]|\\.)*(?:"|\\?\Z)
                | \$(?P<tag>[A-Za-z]*)\$.*?(?:\$(?P=tag)\$|\Z) )
    | (?P<quoted> `(?:[^`]|``)*(?:`|\Z) )
    | (?P<word>   \w+ )
    | (?P<symbol> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_KINDS = {"string": Kind.STRING, "quoted": Kind.QUOTED, "word": Kind.WORD, "symbol": Kind.SYMBOL}


def tokens(text: str) -> Iterator[Token]:
    """The tokens in order, without white space and comments."""
    position = 0
    while match := _TOKEN.match(text, position):
        position = match.end()
        group = str(match.lastgroup)
        if group == "block":
            position = _end_of_block(text, position)
        elif group in _KINDS:
            yield Token(_KINDS[group], match.group(), match.start())


def _end_of_block(text: str, position: int) -> int:
    depth = 1
    while depth:
        edge = _BLOCK_EDGE.search(text, position)
        if edge is None:
            return len(text)
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return position


@dataclass(frozen=True, slots=True)
class Dotted:
    """A name of one or more parts, as it stands in the text."""

    parts: tuple[str, ...]
    start: int
    end: int
    plain: bool
    """Whether no part is in backticks: only then can it be a keyword."""

    @property
    def word(self) -> str:
        """The keyword this may be, in upper case, else empty."""
        return self.parts[0].upper() if self.plain and len(self.parts) == 1 else ""


Item = Token | Dotted


def items(text: str) -> list[Item]:
    """The tokens with every dotted name joined into one item."""
    found: list[Item] = []
    stream = list(tokens(text))
    index = 0
    while index < len(stream):
        if stream[index].kind in (Kind.WORD, Kind.QUOTED):
            last = _last_part(stream, index)
            found.append(_dotted(stream[index : last + 1 : 2]))
            index = last + 1
        else:
            found.append(stream[index])
            index += 1
    return found


def _last_part(stream: list[Token], first: int) -> int:
    last = first
    while last + 2 < len(stream) and stream[last + 1].text == "." and _is_part(stream[last + 2]):
        last += 2
    return last


def _is_part(token: Token) -> bool:
    return token.kind in (Kind.WORD, Kind.QUOTED)


def _dotted(parts: list[Token]) -> Dotted:
    return Dotted(
        tuple(part.name for part in parts),
        parts[0].start,
        parts[-1].end,
        all(part.kind is Kind.WORD for part in parts),
    )
