"""PostgreSQL's SQL cut into tokens, by the rules of its own lexer. Pure.

As much as is needed to find brackets, ends of statements and ``:name``. White space and comments
are left out. A string or comment that is not closed reaches to the end of the text.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lakeflow_meta.sql_tokens import Kind, Token

# Order matters: the first alternative that matches wins. ``::`` and ``:=`` are one symbol each.
_TOKEN = re.compile(
    r"""
      (?P<nothing>\s+|--[^\r\n]*)
    | (?P<comment>/\*)
    | (?P<escaped>[eE]'(?:[^'\\]+|\\.|'')*(?:'|\\?\Z))
    | (?P<string>(?:[uU]&|[bBxXnN])?'(?:[^']|'')*(?:'|\Z))
    | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
    | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")*(?:"|\Z))
    | (?P<word>\w[\w$]*)
    | (?P<symbol>::|:=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_KINDS = {
    "escaped": Kind.STRING,
    "string": Kind.STRING,
    "dollar": Kind.STRING,
    "quoted": Kind.QUOTED,
    "word": Kind.WORD,
    "symbol": Kind.SYMBOL,
}


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text, in order."""
    position = 0
    while (match := _TOKEN.match(text, position)) is not None:
        kind, end = str(match.lastgroup), match.end()
        if kind == "comment":
            end = _end_of_comment(text, end)
        elif kind == "dollar":
            end = _behind(text, match[0], end)
        if kind in _KINDS:
            yield Token(_KINDS[kind], text[position:end], position)
        position = end


def _end_of_comment(text: str, position: int) -> int:
    """Comments nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, position):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


def _behind(text: str, quote: str, position: int) -> int:
    found = text.find(quote, position)
    return len(text) if found < 0 else found + len(quote)
