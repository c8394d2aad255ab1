"""How columns are generated, from the text of SHOW CREATE TABLE. Pure.

Grammar of a column: https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-create-table-using.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lakeflow_meta.schema.table import Identity
from lakeflow_meta.sql_tokens import Kind, Token, tokens

_START = re.compile(r"START\s+WITH\s+([+-]?\s*\d+)", re.IGNORECASE)
_STEP = re.compile(r"INCREMENT\s+BY\s+([+-]?\s*\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated column has an expression, an identity column an identity."""

    expression: str = ""
    identity: Identity | None = None


def generated_columns(statement: str) -> dict[str, Generated]:
    """The columns that are generated, by lower-case name.

    Raises ValueError where the statement has no columns, or GENERATED is followed by something else
    than the grammar has.
    """
    found: dict[str, Generated] = {}
    for part in _definitions(statement):
        words = [token.word for token in part]
        if "GENERATED" in words[(after := _after_type(part)) :]:
            rest = part[words.index("GENERATED", after) + 1 :]
            found[part[0].name.lower()] = _generated(statement, rest)
    return found


def _definitions(statement: str) -> Iterator[list[Token]]:
    """The parts of the first list in parentheses; commas inside types and calls part nothing."""
    depth, angles = 0, 0
    part: list[Token] = []
    for token in tokens(statement):
        sign = token.text if token.kind is Kind.SYMBOL else ""
        depth += (sign == "(") - (sign == ")")
        if depth == 0 and sign == ")":
            yield part
            return
        if depth == 0 or (depth == 1 and sign == "(" and not part):
            continue
        angles = _angles(angles, sign, part)
        if sign == "," and depth == 1 and not angles:
            yield part
            part = []
        else:
            part.append(token)
    raise ValueError("the statement that creates the table has no list of columns")


def _angles(open_before: int, sign: str, part: Sequence[Token]) -> int:
    """Open angle brackets: they belong to the type, which is the second word of a definition."""
    if sign == "<" and (open_before or len(part) == 2):
        return open_before + 1
    return open_before - 1 if sign == ">" and open_before else open_before


def _after_type(part: Sequence[Token]) -> int:
    """Where the properties of a column start."""
    angles = 0
    for position, token in enumerate(part):
        sign = token.text if token.kind is Kind.SYMBOL else ""
        angles = _angles(angles, sign, part[:position])
        if position > 1 and not angles and sign != ">":
            return position
    return len(part)


def _generated(statement: str, rest: Sequence[Token]) -> Generated:
    words = [token.word for token in rest]
    if words[:2] == ["ALWAYS", "AS"] and len(rest) > 2 and rest[2].text == "(":
        return Generated(_inside(statement, rest[2:]))
    for start, always in ((["ALWAYS", "AS", "IDENTITY"], True), (["BY", "DEFAULT", "AS"], False)):
        if words[:3] == start:
            return Generated(identity=_identity(statement, rest[3 if always else 4 :], always))
    raise ValueError(f"GENERATED {' '.join(token.text for token in rest)} is not understood")


def _identity(statement: str, rest: Sequence[Token], always: bool) -> Identity:
    options = _inside(statement, rest) if rest and rest[0].text == "(" else ""
    return Identity(_number(_START, options), _number(_STEP, options), always)


def _number(pattern: re.Pattern[str], options: str) -> int:
    match = pattern.search(options)
    return int("".join(match[1].split())) if match else 1


def _inside(statement: str, rest: Sequence[Token]) -> str:
    """The text between the first parenthesis and the one that closes it."""
    depth = 0
    for token in rest:
        sign = token.text if token.kind is Kind.SYMBOL else ""
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return statement[rest[0].end : token.start].strip()
    raise ValueError("a parenthesis of the statement that creates the table is not closed")
