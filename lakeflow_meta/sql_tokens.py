"""Spark SQL text cut into tokens, by the rules of Spark's own lexer. Pure.

Only what must be known to find where statements end and where names stand: words, quoted names,
strings, and every other character by itself. White space and comments are left out; each token
knows its place in the text. Any text can be read: a string or comment that is not closed reaches
to the end, and Spark says what is wrong with it.

Rules: SqlBaseLexer.g4 of Apache Spark 4.1 (STRING_LITERAL, DOUBLEQUOTED_STRING,
BACKQUOTED_IDENTIFIER, SIMPLE_COMMENT, BRACKETED_COMMENT, BEGIN_DOLLAR_QUOTED_STRING).
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
    """One token; it is ``text[start:end]`` of the SQL."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        """The position behind the token."""
        return self.start + len(self.text)

    @property
    def word(self) -> str:
        """The keyword that this may be, in upper case; empty for whatever is quoted."""
        return self.text.upper() if self.kind is Kind.WORD else ""

    @property
    def name(self) -> str:
        """The identifier without its quotes."""
        if self.kind is Kind.QUOTED:
            return self.text[1:].removesuffix("`").replace("``", "`")
        return self.text


# Order matters: the first alternative that matches wins. A '--' comment goes on after a backslash
# at the end of its line. Raw strings have no escapes. '$$' and '$tag$' quote until their like.
_TOKEN = re.compile(
    r"""
      (?P<nothing>\s+|--(?:\\\r?\n|[^\r\n])*)
    | (?P<comment>/\*)
    | (?P<raw>[rR](?:'[^']*(?:'|\Z)|"[^"]*(?:"|\Z)))
    | (?P<string>'(?:[^'\\]+|\\.)*(?:'|\\?\Z)|"(?:[^"\\]+|\\.)*(?:"|\\?\Z))
    | (?P<dollar>\$[A-Za-z]*\$)
    | (?P<quoted>`(?:``|[^`])*(?:`|\Z))
    | (?P<word>\w+)
    | (?P<symbol>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_KINDS = {
    "raw": Kind.STRING,
    "string": Kind.STRING,
    "dollar": Kind.STRING,
    "quoted": Kind.QUOTED,
    "word": Kind.WORD,
    "symbol": Kind.SYMBOL,
}


def tokens(text: str) -> Iterator[Token]:
    """The tokens of ``text``, in order."""
    position = 0
    while (match := _TOKEN.match(text, position)) is not None:
        group = str(match.lastgroup)
        end = match.end()
        if group == "comment":
            end = _comment_end(text, end)
        elif group == "dollar":
            end = _after(text, match.group(), end)
        if group in _KINDS:
            yield Token(_KINDS[group], text[position:end], position)
        position = end


def dotted_names(text: str) -> Iterator[tuple[str, ...]]:
    """Names as they stand, in parts and without quotes: ``("a", "b")`` for ``a.b``; words too."""
    parts: tuple[str, ...] = ()
    dotted = False
    for token in tokens(text):
        if token.kind in (Kind.WORD, Kind.QUOTED):
            if parts and not dotted:
                yield parts
                parts = ()
            parts = (*parts, token.name)
            dotted = False
            continue
        dotted = token.text == "." and bool(parts)
        if parts and not dotted:
            yield parts
            parts = ()
    if parts:
        yield parts


def names_in_query(text: str) -> frozenset[tuple[str, ...]]:
    """Every ``a.b.c`` in a text: three-level names, and what looks like one."""
    return frozenset(parts[:3] for parts in dotted_names(text) if len(parts) >= 3)


def parameter_names(text: str) -> frozenset[str]:
    """The names that stand as ``:name`` markers, where Spark binds a parameter.

    https://spark.apache.org/docs/latest/sql-ref-parameter-markers.html
    """
    found = set()
    before = colon = Token(Kind.SYMBOL, "", -1)
    for token in tokens(text):
        follows_colon = colon.text == ":" and colon.end == token.start
        of_a_value = before.end == colon.start and before.kind is not Kind.SYMBOL
        if token.kind is Kind.WORD and follows_colon and not of_a_value:
            found.add(token.text)
        before, colon = colon, token
    return frozenset(found)


def _comment_end(text: str, position: int) -> int:
    """Bracketed comments nest in Spark."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, position):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


def _after(text: str, quote: str, position: int) -> int:
    found = text.find(quote, position)
    return len(text) if found < 0 else found + len(quote)
