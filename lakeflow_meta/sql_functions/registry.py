"""Every function and aggregate, by the name that SQL calls it by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lakeflow_meta.sql_functions import casts, json_paths, numbers, patterns, texts, times
from lakeflow_meta.sql_functions.aggregates import Listagg, Single

AGGREGATES: dict[str, type[Single] | type[Listagg]] = {"f_single": Single, "f_listagg": Listagg}

_NULLS_TOO = (texts.concat_ws, numbers.greatest, numbers.least)

_NAMED: dict[str, Callable[..., Any]] = {
    "abs": numbers.absolute,
    "round": numbers.rounded,
    "upper": str.upper,
    "lower": str.lower,
    "length": len,
    "trim": lambda text: text.strip(" "),
    "ltrim": lambda text: text.lstrip(" "),
    "rtrim": lambda text: text.rstrip(" "),
    "reverse": lambda text: text[::-1],
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": lambda text, part: part in text,
    "instr": lambda text, part: text.find(part) + 1,
    "locate": lambda part, text: text.find(part) + 1,
    **{name: times.of_time(name) for name in times.PARTS},
    **{f"{name}_of_date": times.of_date(name) for name in times.PARTS},
}
_BY_THEIR_NAME = (
    numbers.add, numbers.sub, numbers.mul, numbers.neg, numbers.div, numbers.intdiv, numbers.mod,
    numbers.ceil, numbers.floor, numbers.greatest, numbers.least,
    texts.replace, texts.substring, texts.left, texts.right, texts.lpad, texts.rpad, texts.repeat,
    texts.split_part, texts.concat, texts.concat_ws, texts.md5, texts.sha2,
    patterns.like, patterns.ilike, patterns.regexp_like, patterns.regexp_extract,
    patterns.regexp_replace, json_paths.get_json_object,
    times.shift, times.date_trunc, times.datediff, times.date_add, times.date_sub,
    times.add_months, times.last_day, times.unix_timestamp, times.date_format,
    times.date_format_of_date, casts.cast, casts.try_cast,
)  # fmt: skip


def sql_functions() -> dict[str, Callable[..., Any]]:
    """Every function by the name that SQL calls it by."""
    found = {**_NAMED, **{function.__name__: function for function in _BY_THEIR_NAME}}
    return {
        f"f_{name}": function if function in _NULLS_TOO else _strict(function)
        for name, function in found.items()
    }


def _strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """NULL where an argument is NULL."""

    def call(*arguments: Any) -> Any:
        return None if None in arguments else function(*arguments)

    return call
