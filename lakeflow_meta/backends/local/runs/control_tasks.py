"""Tasks that steer a run instead of doing work: condition, for_each and run_job. Pure.

https://docs.databricks.com/jobs/if-else
https://docs.databricks.com/jobs/for-each
https://docs.databricks.com/jobs/run-job
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from operator import ge, gt, le, lt
from typing import Any, Literal, TypeVar, assert_never

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakeflow_meta.backends.local.jobs.api_settings import TASK_TYPES
from lakeflow_meta.backends.local.runs.references import RunContext, resolved
from lakeflow_meta.backends.local.tasks.task_work import UnrunnableTaskError, told_first

MAX_CONCURRENCY = 100
"""Iterations of one for_each task at once."""

_NOT_INSIDE = ("depends_on", "disabled")
_SHOWN = 80

NOT_NESTED = frozenset({"condition_task", "for_each_task"})
"""What a for_each task cannot repeat."""


class Op(StrEnum):
    """How a condition compares. "EQUAL_TO and NOT_EQUAL perform string comparison", the others
    compare numbers (jobs/create, ``condition_task.op``)."""

    EQUAL_TO = "EQUAL_TO"
    NOT_EQUAL = "NOT_EQUAL"
    GREATER_THAN = "GREATER_THAN"
    GREATER_THAN_OR_EQUAL = "GREATER_THAN_OR_EQUAL"
    LESS_THAN = "LESS_THAN"
    LESS_THAN_OR_EQUAL = "LESS_THAN_OR_EQUAL"


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of two texts."""

    op: Op
    left: str
    right: str

    def holds(self) -> bool:
        """Whether it is true. Raises UnrunnableTaskError where numbers are asked for."""
        match self.op:
            case Op.EQUAL_TO:
                return self.left == self.right
            case Op.NOT_EQUAL:
                return self.left != self.right
            case Op.GREATER_THAN:
                return self._compared(gt)
            case Op.GREATER_THAN_OR_EQUAL:
                return self._compared(ge)
            case Op.LESS_THAN:
                return self._compared(lt)
            case Op.LESS_THAN_OR_EQUAL:
                return self._compared(le)
            case _:
                assert_never(self.op)

    def _compared(self, compare: Callable[[Decimal, Decimal], bool]) -> bool:
        return compare(self._number(self.left), self._number(self.right))

    def _number(self, text: str) -> Decimal:
        try:
            number = Decimal(text.strip())
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise UnrunnableTaskError(f"{self.op} compares numbers, and {text!r} is none")
        return number


@dataclass(frozen=True, slots=True)
class ForEach:
    """``inputs`` as it is written, and the task that is run for each of its elements."""

    inputs: str
    task: Mapping[str, Any]
    concurrency: int


@dataclass(frozen=True, slots=True)
class RunJob:
    """Another job of this workspace."""

    job_id: int
    parameters: Mapping[str, str]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _ConditionShape(_Shape):
    op: Literal[
        "EQUAL_TO",
        "NOT_EQUAL",
        "GREATER_THAN",
        "GREATER_THAN_OR_EQUAL",
        "LESS_THAN",
        "LESS_THAN_OR_EQUAL",
    ]
    left: str
    right: str


class _ForEachShape(_Shape):
    inputs: str
    task: dict[str, Any]
    concurrency: int = Field(default=1, ge=1, le=MAX_CONCURRENCY)


class _RunJobShape(_Shape):
    job_id: int
    job_parameters: dict[str, str] = {}


_S = TypeVar("_S", bound=_Shape)


def read_condition(task: Mapping[str, Any]) -> Condition:
    """A condition task whose references are resolved. Raises UnrunnableTaskError.

    "It does not support retries" (jobs/create), so they are refused, not left out.
    """
    if task.get("max_retries"):
        raise UnrunnableTaskError("condition_task takes no max_retries: it is the same each time")
    shape = _read(_ConditionShape, "condition_task", task)
    return Condition(Op(shape.op), shape.left, shape.right)


def read_for_each(task: Mapping[str, Any]) -> ForEach:
    """A for_each task as it is written. Raises UnrunnableTaskError, also for what it repeats."""
    shape = _read(_ForEachShape, "for_each_task", task)
    types = sorted(TASK_TYPES & shape.task.keys())
    if len(types) != 1 or not isinstance(shape.task.get("task_key"), str):
        raise UnrunnableTaskError("for_each_task.task needs a task_key and one field of its work")
    if types[0] in NOT_NESTED:
        raise UnrunnableTaskError(f"for_each_task cannot repeat a {types[0]}")
    if shape.task.get("run_if", "ALL_SUCCESS") != "ALL_SUCCESS":
        raise UnrunnableTaskError("for_each_task.task takes no run_if: the task around it does")
    if refused := sorted(name for name in _NOT_INSIDE if shape.task.get(name)):
        raise UnrunnableTaskError(
            f"for_each_task.task takes no {refused[0]}: the task around it does"
        )
    return ForEach(shape.inputs, shape.task, shape.concurrency)


def read_run_job(task: Mapping[str, Any]) -> RunJob:
    """A run_job task. Raises UnrunnableTaskError."""
    shape = _read(_RunJobShape, "run_job_task", task)
    return RunJob(shape.job_id, shape.job_parameters)


def inputs_of(loop: ForEach, context: RunContext) -> list[Any]:
    """The elements of a for_each task. Raises UnrunnableTaskError when they are no JSON array.

    References inside an array that is written out are replaced element by element, so that no
    value can add or break one; a text that is a reference as a whole becomes the array.
    """
    try:
        given = json.loads(loop.inputs)
    except json.JSONDecodeError:
        given = None
    if isinstance(given, list):
        found: list[Any] = resolved(given, context)
        return found
    return _array(resolved(loop.inputs, context))


def _array(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, list):
        short = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        raise UnrunnableTaskError(f"for_each_task.inputs is no JSON array: {short}")
    return found


def _read(shape: type[_S], kind: str, task: Mapping[str, Any]) -> _S:
    try:
        return shape.model_validate(task[kind])
    except ValidationError as error:
        raise UnrunnableTaskError(told_first(kind, error)) from error
