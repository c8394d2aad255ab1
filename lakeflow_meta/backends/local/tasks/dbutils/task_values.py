"""``dbutils.jobs.taskValues``: values that tasks of one run hand to each other.

https://docs.databricks.com/jobs/task-values
"""

from __future__ import annotations

from typing import Any

from lakeflow_meta.backends.local.tasks.dbutils.utility import Utility
from lakeflow_meta.backends.local.tasks.task_context import TaskValues
from lakeflow_meta.errors import NotFoundError

_NONE_GIVEN = object()


class TaskValuesUtility(Utility):
    """Values that tasks of one run hand to each other."""

    TITLE = "dbutils.jobs.taskValues"

    def __init__(self, values: TaskValues) -> None:
        self._values = values

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value under this task's key."""
        self._values.put(key, value)

    def get(
        self,
        taskKey: str,  # noqa: N803 - the platform's name
        key: str,
        default: Any = _NONE_GIVEN,
        debugValue: Any = None,  # noqa: ARG002, N803 - for notebooks outside of jobs
    ) -> Any:
        """What another task has kept; the default where it kept nothing."""
        try:
            return self._values.get(taskKey, key)
        except NotFoundError:
            if default is _NONE_GIVEN:
                raise
            return default


class Jobs(Utility):
    """What a notebook has of the job that runs it."""

    TITLE = "dbutils.jobs"

    def __init__(self, values: TaskValues) -> None:
        self.taskValues = TaskValuesUtility(values)
