"""Values of a statement, as psycopg takes them. Pure.

``:name`` in a statement stands for a value of a mapping, as it does on Databricks; in a string, a
quoted name, a comment or a cast (``::``) it stands for itself. A sequence is for ``%s``.

https://www.psycopg.org/psycopg3/docs/basic/params.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.ports import Parameters
from lakeflow_meta.sql_tokens import Kind, Token
from lakeflow_meta.warehouse.postgres_tokens import tokens


def bound(
    statement: str, parameters: Parameters
) -> tuple[str, Mapping[str, Any] | Sequence[Any] | None]:
    """Statement and values for psycopg. Raises ConfigError for values that have no place."""
    if isinstance(parameters, str | bytes):
        raise ConfigError("the values of a statement are a mapping or a list")
    if not parameters:
        return statement, None
    if not isinstance(parameters, Mapping):
        return statement, parameters
    return _named(statement, parameters), parameters


def _named(statement: str, parameters: Mapping[str, Any]) -> str:
    pieces: list[str] = []
    used: set[str] = set()
    end = 0
    for start, name in _markers(statement):
        if name in parameters:
            pieces += [_escaped(statement[end:start]), f"%({name})s"]
            used.add(name)
            end = start + 1 + len(name)
    pieces.append(_escaped(statement[end:]))
    unused = sorted(parameters.keys() - used)
    if unused:
        raise ConfigError(
            f"the statement has no place for: {', '.join(unused)}; write :name where a value goes"
        )
    return "".join(pieces)


def _escaped(text: str) -> str:
    """A percent sign is psycopg's marker once there are values."""
    return text.replace("%", "%%")


def _markers(statement: str) -> list[tuple[int, str]]:
    """Where ``:name`` stands. In ``a[1:n]`` the colon belongs to what is before it."""
    found = []
    before = colon = Token(Kind.SYMBOL, "", -1)
    for token in tokens(statement):
        follows = colon.text == ":" and colon.end == token.start
        of_a_value = before.end == colon.start and (
            before.kind is not Kind.SYMBOL or before.text in (")", "]")
        )
        if token.kind is Kind.WORD and follows and not of_a_value:
            found.append((colon.start, token.text))
        before, colon = colon, token
    return found
