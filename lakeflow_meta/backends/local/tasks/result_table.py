"""Rows of a query as a small table for a task's log. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

SHOWN_ROWS = 20
WIDEST = 60


def text_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], widest: int = WIDEST) -> str:
    """At most `SHOWN_ROWS` rows under their column names; says when there are more."""
    shown = [[_cell(name, widest) for name in columns]]
    shown += [[_cell(value, widest) for value in row] for row in rows[:SHOWN_ROWS]]
    widths = [max(len(line[i]) for line in shown) for i in range(len(columns))]
    lines = [" | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in shown]
    lines.insert(1, "-+-".join("-" * width for width in widths))
    if len(rows) > SHOWN_ROWS:
        lines.append(f"(the first {SHOWN_ROWS} rows)")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def json_rows(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Spark's rows as JSON objects: what JSON has no type for is its text."""
    return [_json(row) for row in rows]


def _json(value: Any) -> Any:
    if hasattr(value, "asDict"):
        value = value.asDict()
    if isinstance(value, dict):
        return {str(key): _json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _cell(value: Any, widest: int) -> str:
    text = "NULL" if value is None else str(value)
    text = text.replace("\n", "\\n").replace("\r", "\\r")
    return text if len(text) <= widest else text[: widest - 1] + "…"
