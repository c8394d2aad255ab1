"""What changed in the definition of a table, one short line each. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lakeflow_meta.control.row_changes import RowChange
from lakeflow_meta.fingerprint import canonical_json

_LONGEST = 80


def definition_lines(change: RowChange) -> list[str]:
    """The values that came, went or changed; other columns of the row by name."""
    before, after = (_definition(row) for row in (change.before, change.after))
    names = {"definition": "", "applied_fingerprint": "synced", "applied_version": ""}
    other = [names.get(column, f"{column} changed") for column in change.columns]
    if change.before is None or change.after is None:
        other = []
    return [*_differences(before, after), *filter(None, other)]


def _definition(row: Mapping[str, Any] | None) -> dict[str, str]:
    """A definition as texts by path; nothing where it is no JSON object."""
    try:
        value = json.loads((row or {}).get("definition") or "{}")
        return dict(_flat(value, ""))
    except (ValueError, RecursionError):
        return {}


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Leaves by path; entries of a list go by their name, where they have one."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and all(isinstance(p, dict) and "name" in p for p in value):
        for part in value:
            rest = {name: held for name, held in part.items() if name != "name"}
            yield from _flat(rest or "", f"{path}.{part['name']}")
    else:
        yield path, value if isinstance(value, str) else canonical_json(value)


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old is None:
            yield f"+ {path}: {_short(new)}"
        elif new is None:
            yield f"- {path}: {_short(old)}"
        elif old != new:
            yield f"~ {path}: {_short(old)} → {_short(new)}"


def _short(text: str | None) -> str:
    found = text or ""
    return found if len(found) <= _LONGEST else f"{found[: _LONGEST - 1]}…"
