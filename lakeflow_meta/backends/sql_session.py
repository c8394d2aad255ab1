"""`SqlSession` on any `RunSql`: a SQL warehouse runs DDL scripts and table changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeflow_meta.backends.sql_store import RunSql
from lakeflow_meta.ports import Row


class RunSqlSession:
    """Every statement goes out as one that writes, so at most once: what it does is not known."""

    def __init__(self, run: RunSql) -> None:
        self._run = run

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run one statement; its rows, if it has any. Raises BackendError."""
        rows: list[Row] = self._run.change(statement, parameters).to_pylist()
        return rows
