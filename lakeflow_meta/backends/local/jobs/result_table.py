"""Rows of a query as a small table for a task's log. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SHOWN_ROWS = 20
_WIDEST = 60


def text_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """At most `SHOWN_ROWS` rows under their column names; says when there are more."""
    shown = [[_cell(name) for name in columns]]
    shown += [[_cell(value) for value in row] for row in rows[:SHOWN_ROWS]]
    widths = [max(len(line[i]) for line in shown) for i in range(len(columns))]
    lines = [" | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in shown]
    lines.insert(1, "-+-".join("-" * width for width in widths))
    if len(rows) > SHOWN_ROWS:
        lines.append(f"(the first {SHOWN_ROWS} rows)")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _cell(value: Any) -> str:
    text = "NULL" if value is None else str(value)
    text = text.replace("\n", "\\n").replace("\r", "\\r")
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
