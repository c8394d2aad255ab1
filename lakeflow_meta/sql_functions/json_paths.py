"""Values out of JSON texts."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from lakeflow_meta.control.sql.functions import json_steps
from lakeflow_meta.sql_functions.numbers import double_text


def get_json_object(text: str, path: str) -> str | None:
    """What a path leads to: a text as it is, all else as JSON; NULL where there is nothing."""
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    for step in _steps(path):
        found = _inside(found, step)
    return found if found is None or isinstance(found, str) else _text(found)


def _inside(found: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return found[step] if isinstance(found, list) and step < len(found) else None
    return found.get(step) if isinstance(found, dict) else None


@lru_cache(maxsize=256)
def _steps(path: str) -> tuple[str | int, ...]:
    return tuple(json_steps(path))


def _text(value: Any) -> str:
    """JSON without white space, its numbers as Java writes them."""
    match value:
        case float():
            return double_text(value)
        case dict():
            return f"{{{','.join(f'{_text(k)}:{_text(v)}' for k, v in value.items())}}}"
        case list():
            return f"[{','.join(map(_text, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _no_constant(name: str) -> Any:
    raise ValueError(name)
