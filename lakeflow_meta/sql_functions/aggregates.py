"""Aggregates that SQLite lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cmp_to_key
from typing import Any

from lakeflow_meta.sql_functions.faults import SqlValueError


class Single:
    """The value of a query that may have one row at most."""

    def __init__(self) -> None:
        self._values: list[Any] = []

    def step(self, value: Any) -> None:
        self._values.append(value)

    def finalize(self) -> Any:
        if len(self._values) > 1:
            raise SqlValueError("a query that stands for a value gives more than one row")
        return self._values[0] if self._values else None


class Listagg:
    """Texts in the order of their keys, with a delimiter between them; NULLs are left out.

    ``flags``: ``u`` for different texts only, then for each key ``a`` or ``d`` (descending) and
    ``f`` or ``l`` (where its NULLs stand).
    """

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._delimiter = self._flags = ""

    def step(self, value: str | None, delimiter: str | None, flags: str, *keys: Any) -> None:
        self._delimiter, self._flags = delimiter or "", flags
        if value is not None:
            self._rows.append((value, *keys))

    def finalize(self) -> str | None:
        flags = self._flags.removeprefix("u")
        orders = [flags[i : i + 2] for i in range(0, len(flags), 2)]
        rows = sorted(self._rows, key=cmp_to_key(_comparison(orders)))
        texts = [row[0] for row in rows]
        if self._flags.startswith("u"):
            texts = list(dict.fromkeys(texts))
        return self._delimiter.join(texts) if texts else None


def _comparison(orders: Sequence[str]) -> Callable[[Sequence[Any], Sequence[Any]], int]:
    """Compares rows by their keys, which follow the value."""

    def compare(left: Sequence[Any], right: Sequence[Any]) -> int:
        for a, b, order in zip(left[1:], right[1:], orders, strict=True):
            if a != b:
                return _compared(a, b, order)
        return 0

    return compare


def _compared(a: Any, b: Any, order: str) -> int:
    if a is None or b is None:
        return -1 if (a is None) == (order[1] == "f") else 1
    return (-1 if _bytes(a) < _bytes(b) else 1) * (1 if order[0] == "a" else -1)


def _bytes(value: Any) -> Any:
    """Texts are ordered by their bytes in UTF-8."""
    return value.encode() if isinstance(value, str) else value
