"""Declared tables as they are recorded, read one by one: each bad row is its own problem. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from lakeflow_meta.errors import Problem
from lakeflow_meta.findings import path_text, validation_findings
from lakeflow_meta.schema.table import DeltaTable, TableSpec

_REMEDY = "correct the row with `lakeflow-meta sql`"


def read_definition(row: Mapping[str, Any], table: str) -> dict[str, Any] | Problem:
    """The ``definition`` of a row, or why it has none; ``table`` names the control table."""
    try:
        value = json.loads(row["definition"] or "")
    except json.JSONDecodeError as error:
        return Problem(table, 0, 0, row["table_name"], f"definition is no JSON: {error}", _REMEDY)
    if not isinstance(value, dict):
        message = "definition is JSON, but not an object"
        return Problem(table, 0, 0, row["table_name"], message, _REMEDY)
    return value


def read_tables(
    rows: Iterable[Mapping[str, Any]], table: str
) -> tuple[list[DeltaTable], list[Problem]]:
    """Tables that can be read, and what is wrong with the others."""
    tables, problems = [], []
    for row in rows:
        name, definition = row["table_name"], read_definition(row, table)
        if isinstance(definition, Problem):
            problems.append(definition)
            continue
        try:
            tables.append(TableSpec.model_validate({"table": name, **definition}).to_table())
        except ValidationError as error:
            problems += [
                Problem(table, 0, 0, f"{name}: {path_text(f.path)}", f.message, f.hint or _REMEDY)
                for f in validation_findings(error, TableSpec)
            ]
    return tables, problems
