"""Rows for people: a table where it fits the terminal, else one block of lines a row.

Control tables have a dozen columns, some with JSON of a thousand characters: squeezed into one
line, nothing of it can be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakeflow_meta.cli.output import Output

_BETWEEN_COLUMNS = 2


def show_rows(output: Output, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print the rows, and how many there are."""
    texts = [[_cell(value) for value in row] for row in rows]
    if _width(columns, texts) <= output.console().width:
        output.table(columns, texts)
    else:
        for line in _blocks(columns, texts):
            output.line(line)
    output.line(f"({len(rows)} row{'' if len(rows) == 1 else 's'})")


def _cell(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")
        case _:
            return str(value)


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    if any("\n" in text for row in rows for text in row):
        return 1_000_000
    widths = [max(map(len, texts)) for texts in zip(columns, *rows, strict=True)]
    return sum(widths) + _BETWEEN_COLUMNS * len(widths)


def _blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widest = max(map(len, columns))
    for number, row in enumerate(rows, 1):
        yield f"─ {number} " + "─" * max(0, 40 - len(str(number)))
        for column, text in zip(columns, row, strict=True):
            first, *rest = _pretty(text).splitlines() or [""]
            yield f"{column.ljust(widest)}  {first}"
            yield from (" " * (widest + 2) + line for line in rest)


def _pretty(text: str) -> str:
    """JSON objects and lists over several lines, as long as they are not short."""
    if len(text) < 60 or text[0] not in "{[":
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
