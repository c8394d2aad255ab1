"""A list of named things, a page at a time, or those whose name holds a text. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from lakeflow_meta.ui.blocks import Cell, Choice, Filter, Page, Place, Table
from lakeflow_meta.ui.paging import Part

_PAGE = 100
_Thing = TypeVar("_Thing")


def named_list(
    at: Place,
    title: str,
    columns: tuple[str, ...],
    things: Iterable[tuple[str, _Thing]],
    row: Callable[[_Thing], tuple[Cell, ...]],
    nothing: str,
) -> Page:
    """The page. ``things`` come with their names; only the rows that it shows are made.
    ``nothing`` says that there are none.
    """
    asked = at.get("name")
    found = [thing for name, thing in things if asked.casefold() in name.casefold()]
    part = Part.asked(at, _PAGE)
    rows = [row(thing) for thing in found[part.start : part.start + part.size]]
    plural = title.lower()
    empty = f"no such {plural.removesuffix('s')}" if asked else nothing
    table = Table(title, columns, rows, empty, part.pager(len(found), plural))
    return Page(at, title, [Filter(at.kind, (Choice("name", "Name holds", asked),)), table])
