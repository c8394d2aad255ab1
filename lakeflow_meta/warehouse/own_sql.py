"""SQL that people wrote themselves, on its way into a larger statement. Pure.

It runs with the rights of whoever runs it, so nothing is forbidden. What is refused is text that
would mean something else inside of brackets: a second statement, a bracket that closes ours.
"""

from __future__ import annotations

from collections.abc import Iterator

from lakeflow_meta import sql_tokens
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.warehouse import postgres_tokens
from lakeflow_meta.warehouse.dialects import Dialect

_PAIRS = {"(": ")", "[": "]", "{": "}"}


def checked_sql(text: str, dialect: Dialect) -> str:
    """One query or condition, without the semicolon at its end, on lines of its own: a comment at
    its end comments nothing of ours out. Raises ConfigError.
    """
    body = text.strip()
    found = list(_tokens(body, dialect))
    while found and found[-1].text == ";":
        body = body[: found.pop().start].rstrip()
    if not found:
        raise ConfigError("there is no SQL in this text")
    _check_brackets(body, [token.text for token in found])
    return f"\n{body}\n"


def _tokens(text: str, dialect: Dialect) -> Iterator[sql_tokens.Token]:
    if dialect is Dialect.DATABRICKS:
        return sql_tokens.tokens(text)
    return postgres_tokens.tokens(text)


def _check_brackets(body: str, pieces: list[str]) -> None:
    expected: list[str] = []
    for piece in pieces:
        if piece == ";":
            raise ConfigError(f"this is more than one statement: {_short(body)}")
        if piece in _PAIRS:
            expected.append(_PAIRS[piece])
        elif piece in _PAIRS.values() and (not expected or expected.pop() != piece):
            raise ConfigError(f"a bracket closes that was not opened: {_short(body)}")
    if expected:
        raise ConfigError(f"a bracket is not closed: {_short(body)}")


def _short(body: str) -> str:
    line = " ".join(body.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
