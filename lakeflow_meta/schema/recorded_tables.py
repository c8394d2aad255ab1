"""Declared tables as they are recorded, read one by one: each bad row is its own problem. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from lakeflow_meta.errors import ConfigError, Problem
from lakeflow_meta.findings import path_text, validation_findings
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.table import Declared
from lakeflow_meta.schema.table_spec import TableSpec

_REMEDY = "correct the row with `lakeflow-meta sql`"

Row = Mapping[str, Any]


def table_key(name: str | None) -> str:
    """The identity of a table by its name as people wrote it, also one that is no usable name."""
    text = name or ""
    try:
        return TableName.parse(text).key
    except ConfigError:
        return text.lower()


def read_definition(row: Row, table: str) -> dict[str, Any] | Problem:
    """The ``definition`` of a row, or why it has none; ``table`` names the control table."""
    try:
        value = json.loads(row["definition"] or "")
    except json.JSONDecodeError as error:
        return _problem(row, table, f"definition is no JSON: {error}")
    if not isinstance(value, dict):
        return _problem(row, table, "definition is JSON, but not an object")
    return value


def read_tables(rows: Iterable[Row], table: str) -> tuple[list[Declared], dict[str, list[Problem]]]:
    """Tables that can be read, and what is wrong with the others, by `table_key`.

    Rows whose names differ in case only are one table, declared twice: none of them is read.
    """
    by_key: dict[str, list[Row]] = {}
    for row in rows:
        by_key.setdefault(table_key(row["table_name"]), []).append(row)
    tables: list[Declared] = []
    problems: dict[str, list[Problem]] = {}
    for key, same in by_key.items():
        found = _read(same[0], table) if len(same) == 1 else _doubles(same, table)
        if isinstance(found, list):
            problems[key] = found
        else:
            tables.append(found)
    return tables, problems


def _read(row: Row, table: str) -> Declared | list[Problem]:
    definition = read_definition(row, table)
    if isinstance(definition, Problem):
        return [definition]
    try:
        return TableSpec.model_validate({"table": row["table_name"], **definition}).to_table()
    except ValidationError as error:
        return [
            _problem(row, table, f.message, f.hint, path_text(f.path))
            for f in validation_findings(error, TableSpec)
        ]


def _doubles(rows: Sequence[Row], table: str) -> list[Problem]:
    names = sorted(str(row["table_name"]) for row in rows)
    message = f"the table is declared {len(rows)} times: {', '.join(names)}"
    hint = "names are compared without case; delete all rows but one with `lakeflow-meta sql`"
    return [_problem(row, table, message, hint) for row in rows]


def _problem(row: Row, table: str, message: str, hint: str = "", path: str = "") -> Problem:
    name = row["table_name"] or "NULL"
    return Problem(table, 0, 0, f"{name}: {path}" if path else name, message, hint or _REMEDY)
