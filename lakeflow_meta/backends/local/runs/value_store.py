"""What tasks of a run hand to each other, kept in ``workspace.db``: values and outputs.

It stays with the run, so that a retry and a repair find it again.
https://docs.databricks.com/jobs/task-values
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from lakeflow_meta.backends.local.jobs.workspace_db import WorkspaceDb
from lakeflow_meta.backends.local.tasks.task_context import MAX_VALUES, value_as_json
from lakeflow_meta.errors import BackendError, NotFoundError


class ValueStore:
    """Values of all runs. Every call is one transaction."""

    def __init__(self, database: WorkspaceDb) -> None:
        self._database = database

    def put(self, run_id: int, task_key: str, key: str, value: Any) -> None:
        """Keep one value. Raises BackendError where it cannot be kept."""
        text = value_as_json(task_key, key, value)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO task_values (run_id, task_key, key, value)"
                " VALUES (?, ?, ?, ?)",
                (run_id, task_key, key, text),
            )
            query = "SELECT count(*) FROM task_values WHERE run_id = ?"
            (count,) = connection.execute(query, (run_id,)).fetchone()
            if count > MAX_VALUES:
                message = f"run {run_id} has {MAX_VALUES} task values already; it may have no more"
                raise BackendError(message, code="INVALID_PARAMETER_VALUE")

    def get(self, run_id: int, task_key: str, key: str) -> Any:
        """One value. Raises NotFoundError, which says what the task has set."""
        values = self.of_task(run_id, task_key)
        if key not in values:
            known = f"it set {', '.join(sorted(values))}" if values else "it set none"
            message = f"task {task_key!r} has set no task value {key!r}; {known}"
            raise NotFoundError(message, code="RESOURCE_DOES_NOT_EXIST")
        return values[key]

    def of_task(self, run_id: int, task_key: str) -> dict[str, Any]:
        """All values of a task, by their keys."""
        query = "SELECT key, value FROM task_values WHERE run_id = ? AND task_key = ?"
        rows = self._database.rows(query, (run_id, task_key))
        return {row["key"]: json.loads(row["value"]) for row in rows}

    def outputs(self, run_id: int, task_keys: Collection[str]) -> dict[str, Any]:
        """What these tasks gave back, where they did."""
        query = "SELECT task_key, output FROM task_outputs WHERE run_id = ?"
        rows = self._database.rows(query, (run_id,))
        return {r["task_key"]: json.loads(r["output"]) for r in rows if r["task_key"] in task_keys}


@dataclass(frozen=True, slots=True)
class RunValues:
    """The `TaskValues` of one task. ``owner`` is the task's label: iterations keep theirs apart."""

    store: ValueStore
    run_id: int
    owner: str

    def put(self, key: str, value: Any) -> None:
        """See `TaskValues.put`."""
        self.store.put(self.run_id, self.owner, key, value)

    def get(self, task_key: str, key: str) -> Any:
        """See `TaskValues.get`."""
        return self.store.get(self.run_id, task_key, key)
