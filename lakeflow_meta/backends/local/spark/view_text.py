"""What the statements that made a view say of it: its query and its comment. Pure.

A view is noted as the statements themselves, the first of them a CREATE VIEW.
https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-create-view.html
https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-alter-view.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lakeflow_meta.backends.local.spark.dotted_names import Dotted, Item, items
from lakeflow_meta.sql import text_of_literal
from lakeflow_meta.sql_tokens import Kind, Token

_COMMENT = "comment"
_BINDINGS = {"BINDING", "COMPENSATION", "EVOLUTION", "TYPE"}


@dataclass(frozen=True, slots=True)
class ViewText:
    """``query`` is its text as it was written, without a semicolon at the end."""

    query: str
    comment: str = ""


def read_view(statements: Sequence[str]) -> ViewText:
    """The view after these statements. Raises ValueError for a text that makes no view."""
    if not statements:
        raise ValueError("no statement made the view")
    view = _created(statements[0], items(statements[0]))
    for text in statements[1:]:
        view = _altered(view, text, items(text))
    return view


def _created(text: str, found: Sequence[Item]) -> ViewText:
    """The clauses stand between the name and the first AS outside brackets, in any order."""
    comment = ""
    for at, item in _outside_brackets(found, _behind_name(found)):
        if item.word == "COMMENT":
            comment = _string(found, at + 1)
        if item.word == "AS":
            return ViewText(_query(text, found, at + 1), comment)
    raise ValueError(f"no query is in {text!r}")


def _altered(view: ViewText, text: str, found: Sequence[Item]) -> ViewText:
    at = _behind_name(found)
    match [item.word for item in found[at : at + 3]]:
        case ["SET", "TBLPROPERTIES", *_]:
            return replace(view, comment=_comment_set(found, at + 2, view.comment))
        case ["UNSET", "TBLPROPERTIES", *_]:
            unset = any(_is_comment_key(item) for item in found[at + 2 :])
            return replace(view, comment="" if unset else view.comment)
        case ["WITH", "SCHEMA", word] if word in _BINDINGS:
            return view
        case ["AS", *_]:
            return replace(view, query=_query(text, found, at + 1))
        case _:
            return replace(view, query=_query(text, found, at))


def _behind_name(found: Sequence[Item]) -> int:
    """The position behind ``… VIEW [IF [NOT] EXISTS] name``."""
    words = [item.word for item in found]
    at = words.index("VIEW") + 1
    if words[at : at + 1] == ["IF"]:
        at = words.index("EXISTS", at) + 1
    return at + 1


def _outside_brackets(found: Sequence[Item], start: int) -> Iterator[tuple[int, Item]]:
    depth = 0
    for at in range(start, len(found)):
        item = found[at]
        if isinstance(item, Token) and item.text in "()":
            depth += 1 if item.text == "(" else -1
        elif depth == 0:
            yield at, item


def _query(text: str, found: Sequence[Item], first: int) -> str:
    """All that stands behind the item before, comments too, up to a last semicolon."""
    last = len(found)
    while last > first and _symbol(found[last - 1]) == ";":
        last -= 1
    if last <= first:
        raise ValueError(f"no query is in {text!r}")
    end = found[last].start if last < len(found) else len(text)
    return text[found[first - 1].end : end].strip()


def _comment_set(found: Sequence[Item], start: int, before: str) -> str:
    """The value of the property ``comment``; the sign between key and value may be left out."""
    for at in range(start, len(found) - 1):
        if _symbol(found[at - 1]) in ("(", ",") and _is_comment_key(found[at]):
            return _string(found, at + (2 if _symbol(found[at + 1]) == "=" else 1))
    return before


def _is_comment_key(item: Item) -> bool:
    if isinstance(item, Dotted):
        return item.parts == (_COMMENT,)
    return item.kind is Kind.STRING and _literal(item) == _COMMENT


def _symbol(item: Item) -> str:
    return item.text if isinstance(item, Token) and item.kind is Kind.SYMBOL else ""


def _string(found: Sequence[Item], first: int) -> str:
    """One text: literals side by side are joined, and ``'it''s'`` is two that share a quote."""
    pieces: list[str] = []
    before: Token | None = None
    for item in found[first:]:
        if not (isinstance(item, Token) and item.kind is Kind.STRING):
            break
        if before is not None and before.end == item.start and before.text[-1] == item.text[0]:
            pieces.append(item.text[0])
        pieces.append(_literal(item))
        before = item
    return "".join(pieces)


def _literal(token: Token) -> str:
    """Raw strings have no escapes."""
    return token.text[2:-1] if token.text[0] in "rR" else text_of_literal(token.text)
