"""What a running task knows of its run, and the values that tasks of one run hand to each other.

https://docs.databricks.com/jobs/task-values
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from lakeflow_meta.errors import BackendError

MAX_VALUE_BYTES = 48 * 1024
"""Of one task value as JSON; "the JSON representation of the value cannot exceed 48 KiB"."""

MAX_VALUES = 250
"""Of one run: "a maximum of 250 task values"."""


class TaskValues(Protocol):
    """The values of one run, seen by one of its tasks. A retry or a repair finds them again."""

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value under this task's key, in place of a former one.

        Raises BackendError when it is no JSON, or larger than `MAX_VALUE_BYTES`.
        """

    def get(self, task_key: str, key: str) -> Any:
        """What a task has put. Raises NotFoundError when it, or that key of it, put none."""


@dataclass(frozen=True, slots=True)
class TaskContext:
    """One attempt of one task, or of one iteration of a for_each task. Both count from 0."""

    run_id: int
    job_id: int
    job_name: str
    task_key: str
    attempt: int
    values: TaskValues
    iteration: int | None = None

    @property
    def tag(self) -> str:
        """Marks what belongs to this attempt, such as its Spark jobs."""
        each = "" if self.iteration is None else f"-each-{self.iteration}"
        return f"run-{self.run_id}-{self.task_key}{each}-{self.attempt}"


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """What a task gives back: any JSON value, for ``{{tasks.<key>.output…}}``.

    A notebook gives the text of its exit, a SQL task its rows: ``{"rows": [{…}, …]}``.
    """

    value: Any


def as_json(value: Any) -> str:
    """A JSON value as it is kept."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def value_as_json(task_key: str, key: str, value: Any) -> str:
    """The text that is kept for a value. Raises BackendError where it cannot be kept."""
    try:
        text = as_json(value)
    except (TypeError, ValueError) as error:
        raise _refused(f"task value {key!r} of {task_key!r} is not JSON: {error}") from error
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_VALUE_BYTES:
        raise _refused(
            f"task value {key!r} of {task_key!r} has {size:,} bytes as JSON;"
            f" at most {MAX_VALUE_BYTES:,} are kept: write larger data to a table or a file"
        )
    return text


def _refused(message: str) -> BackendError:
    return BackendError(message, code="INVALID_PARAMETER_VALUE")
