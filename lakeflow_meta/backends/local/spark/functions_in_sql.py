"""Functions of SQL that take or give names: IDENTIFIER, table_changes, current_catalog. Pure.

https://docs.databricks.com/sql/language-manual/sql-ref-names-identifier-clause.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lakeflow_meta.backends.local.spark.dotted_names import Dotted, Item, items
from lakeflow_meta.backends.local.spark.names_in_sql import Edit, Parts, apply_edits
from lakeflow_meta.sql import ident, literal
from lakeflow_meta.sql_tokens import Kind, Token


def inline_identifiers(text: str, args: Any) -> str:
    """Write ``IDENTIFIER('a.b')`` and ``IDENTIFIER(:name)`` as the name itself.

    What cannot be told from the text and the arguments alone is left to Spark.
    """
    found = items(text)
    edits: list[Edit] = []
    for index in _calls(found, {"IDENTIFIER"}):
        close = _closing(found, index + 1)
        value = _constant(found[index + 2 : close], args)
        parts = _parts(value) if value is not None else None
        if parts is not None:
            name = ".".join(ident(part) for part in parts)
            edits.append(Edit(found[index].start, found[close].end, name))
    return apply_edits(text, edits)


def function_edits(
    found: Sequence[Item],
    current: Callable[[], tuple[str, str]],
    rename: Callable[[Parts], str | None],
) -> list[Edit]:
    """What to change so that these functions take and give the names that people know.

    ``current`` gives the current catalog and schema; it is asked only where it is needed.
    """
    edits: list[Edit] = []
    for index in _calls(found, {"CURRENT_CATALOG", "CURRENT_SCHEMA", "CURRENT_DATABASE"}):
        if found[index + 2 : index + 3] and _is(found[index + 2], ")"):
            value = current()[0 if found[index].word == "CURRENT_CATALOG" else 1]
            edits.append(Edit(found[index].start, found[index + 2].end, literal(value)))
    for index in _calls(found, {"TABLE_CHANGES"}):
        argument = found[index + 2] if index + 2 < len(found) else None
        parts = _parts(_string(argument)) if argument is not None else None
        new = rename(parts) if parts else None
        if argument is not None and new is not None:
            edits.append(Edit(argument.start, argument.end, literal(new)))
    return edits


def _calls(found: Sequence[Item], words: set[str]) -> list[int]:
    """Where one of these words stands before an opening parenthesis."""
    last = len(found) - 1
    return [i for i in range(last) if found[i].word in words and _is(found[i + 1], "(")]


def _is(item: Item, symbol: str) -> bool:
    return isinstance(item, Token) and item.kind is Kind.SYMBOL and item.text == symbol


def _closing(found: Sequence[Item], opening: int) -> int:
    """The parenthesis that ends a call without inner ones; the last item where there is none."""
    for index in range(opening + 1, len(found)):
        if _is(found[index], ")"):
            return index
    return len(found) - 1


def _constant(inside: Sequence[Item], args: Any) -> str | None:
    """The value of strings and named parameters joined by ``||``, None for anything else."""
    value, index = "", 0
    while index < len(inside):
        taken, piece = _operand(inside[index:], args)
        if piece is None:
            return None
        value += piece
        index += taken
        if index < len(inside):
            if [_is(item, "|") for item in inside[index : index + 2]] != [True, True]:
                return None
            index += 2
    return value or None


def _operand(inside: Sequence[Item], args: Any) -> tuple[int, str | None]:
    if _is(inside[0], ":") and len(inside) > 1 and isinstance(inside[1], Dotted):
        value = args.get(inside[1].parts[0]) if isinstance(args, Mapping) else None
        return 2, value if isinstance(value, str) else None
    return 1, _string(inside[0])


def _string(item: Item) -> str | None:
    """The value of a simple string; one with escapes is left to Spark."""
    if isinstance(item, Token) and item.kind is Kind.STRING and item.text[0] in "'\"":
        inside = item.text[1:-1]
        return inside if "\\" not in inside else None
    return None


def _parts(name: str | None) -> Parts | None:
    found = items(name or "")
    if len(found) == 1 and isinstance(found[0], Dotted):
        return found[0].parts
    return None
