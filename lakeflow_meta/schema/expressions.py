"""SQL expressions of checks, defaults and generated columns, as parts of statements. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lakeflow_meta.sql_tokens import Kind, Token, dotted_names, tokens


def expression_problem(expression: str) -> str:
    """Why the text cannot stand as one expression in a statement; "" where it can."""
    if not expression.strip():
        return "the expression is empty"
    if "${" in expression:
        return "Spark would replace ${…}; write the value"
    if _holds_comment(expression):
        return "comments are not possible here"
    depth = 0
    for token in tokens(expression):
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0 or token.text == ";" or not _is_closed(token):
            return f"the expression is not closed or ends too early at {token.text[:1]!r}"
    return "a parenthesis is not closed" if depth else ""


def _holds_comment(expression: str) -> bool:
    """Whether something other than blanks stands between the tokens."""
    position = 0
    for token in tokens(expression):
        if expression[position : token.start].strip():
            return True
        position = token.end
    return bool(expression[position:].strip())


def _is_closed(token: Token) -> bool:
    if token.kind not in (Kind.STRING, Kind.QUOTED):
        return True
    return len(token.text) > 1 and token.text[-1] == token.text.lstrip("rR")[0]


def same_expression(one: str, other: str) -> bool:
    """Whether two expressions are the same tokens; words are compared without regard to case.

    Delta keeps an expression with other blanks than it was given.
    """
    return _words(one) == _words(other)


def _words(expression: str) -> list[str]:
    plain = (Kind.WORD, Kind.SYMBOL)
    return [t.text.lower() if t.kind in plain else t.text for t in tokens(expression)]


def same_query(one: str, other: str) -> bool:
    """As `same_expression`, but ``a.b`` and `` `a`.`b` `` are one name: catalogs quote these."""
    return _with_plain_names(one) == _with_plain_names(other)


def _with_plain_names(query: str) -> list[str]:
    """Quotes are kept where no dot tells that this is a name: `` `date` `` may be a column."""
    found = list(tokens(query))
    beside_dots = {
        index + step for index, token in enumerate(found) if token.text == "." for step in (-1, 1)
    }
    return [
        token.name.lower()
        if token.kind is Kind.WORD or (token.kind is Kind.QUOTED and index in beside_dots)
        else token.text
        for index, token in enumerate(found)
    ]


def hangs_on(expression: str, path: Sequence[str]) -> bool:
    """Whether an expression speaks of a column or field, of what is in it, or of what it is in."""
    wanted = [part.lower() for part in path]
    return any(_one_begins_the_other(names, wanted) for names in dotted_names(expression.lower()))


def _one_begins_the_other(one: Sequence[str], other: Sequence[str]) -> bool:
    return all(a == b for a, b in zip(one, other, strict=False))
