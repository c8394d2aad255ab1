"""The execution log as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_COLUMNS = (
    ("GUID", "script_id", 40),
    ("Object Name", "script_name", 30),
    ("Status", "execution_status", 10),
    ("Timestamp", "update_date", 20),
)
_RULE = "=" * 80


def log_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """A table under its title; the error of a failure on a line of its own."""
    lines = [_RULE, "DDL EXECUTION LOG", _RULE, _line(title for title, _, _ in _COLUMNS)]
    for row in rows:
        lines.append(_line(_shown(row[column]) for _, column, _ in _COLUMNS))
        if row.get("error"):
            lines.append(f"    {' '.join(row['error'].split())}")
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    widths = (width for _, _, width in _COLUMNS)
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return " ".join(padded).rstrip()


def _shown(value: Any) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S") if hasattr(value, "strftime") else str(value)
