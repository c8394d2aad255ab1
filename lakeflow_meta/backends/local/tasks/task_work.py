"""What a task of a job runs, read from the shapes of the Jobs API. Pure.

`read_work` takes one task of a settings document whose references are already resolved. A field
that has no meaning on one machine because there is nothing to choose (clusters, warehouses,
notifications) is accepted; one that would change what the task does is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakeflow_meta.backends.local.jobs.api_settings import task_type

OWN_PACKAGES = frozenset({"lakeflow_meta", "lakeflow-meta"})

Parameters = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SqlFile:
    """Statements in a file."""

    path: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """Statements in a saved query."""

    query_id: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook in source form or ``.ipynb``; ``parameters`` fill its widgets."""

    path: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class PythonFile:
    """A Python program in a process of its own."""

    path: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wheel:
    """An entry point of an installed package, or of a wheel file, in a process of its own."""

    package: str
    entry_point: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OwnTask:
    """A command of this package, run in this process."""

    arguments: tuple[str, ...]


Work = SqlFile | SqlQuery | Notebook | PythonFile | Wheel | OwnTask


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is tried again. ``max_retries`` of -1 means without end."""

    max_retries: int = 0
    min_interval_seconds: float = 0.0
    on_timeout: bool = False
    timeout_seconds: float = 0.0

    def allows_after(self, attempt: int) -> bool:
        """Whether attempt number ``attempt``, counted from 0, may be followed by another."""
        return self.max_retries < 0 or attempt < self.max_retries


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a task's libraries and environment ask for: wheel files, and installed packages."""

    wheels: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=())


# --------------------------------------------------------------------------- shapes of the API


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _SqlFileShape(_Shape):
    path: str
    source: Literal["WORKSPACE"] = "WORKSPACE"


class _QueryShape(_Shape):
    query_id: str


class _SqlShape(_Shape):
    warehouse_id: str = ""
    file: _SqlFileShape | None = None
    query: _QueryShape | None = None
    parameters: dict[str, str] = {}


class _NotebookShape(_Shape):
    notebook_path: str
    base_parameters: dict[str, str] = {}
    source: Literal["WORKSPACE"] = "WORKSPACE"
    warehouse_id: str = ""


class _PythonShape(_Shape):
    python_file: str
    parameters: list[str] = []
    source: Literal["WORKSPACE"] = "WORKSPACE"


class _WheelShape(_Shape):
    package_name: str
    entry_point: str
    parameters: list[str] = []
    named_parameters: dict[str, str] = {}


class _PolicyShape(_Shape):
    max_retries: int = Field(default=0, ge=-1)
    min_retry_interval_millis: int = Field(default=0, ge=0)
    retry_on_timeout: bool = False
    timeout_seconds: int = Field(default=0, ge=0)


class UnrunnableTaskError(ValueError):
    """The task cannot be run here; the message says what and why."""


def read_work(task: Mapping[str, Any], job_parameters: Parameters) -> Work:
    """What the task runs. Raises UnrunnableTaskError.

    Job parameters reach tasks that take key-value parameters, and win over the task's own
    (https://docs.databricks.com/jobs/job-parameters).
    """
    kind = task_type(task)
    try:
        match kind:
            case "sql_task":
                return _sql(_SqlShape.model_validate(task[kind]), job_parameters)
            case "notebook_task":
                notebook = _NotebookShape.model_validate(task[kind])
                parameters = {**notebook.base_parameters, **job_parameters}
                return Notebook(notebook.notebook_path, parameters)
            case "spark_python_task":
                python = _PythonShape.model_validate(task[kind])
                return PythonFile(python.python_file, tuple(python.parameters))
            case "python_wheel_task":
                return _wheel(_WheelShape.model_validate(task[kind]), job_parameters)
            case _:
                raise UnrunnableTaskError(f"{kind} does not run on the embedded workspace yet")
    except ValidationError as error:
        raise UnrunnableTaskError(told_first(kind, error)) from error


def read_policy(task: Mapping[str, Any]) -> RetryPolicy:
    """The task's timeout and retries. Raises UnrunnableTaskError."""
    given = {name: task[name] for name in _PolicyShape.model_fields if name in task}
    try:
        shape = _PolicyShape.model_validate(given)
    except ValidationError as error:
        raise UnrunnableTaskError(told_first("", error)) from error
    return RetryPolicy(
        max_retries=shape.max_retries,
        min_interval_seconds=shape.min_retry_interval_millis / 1000,
        on_timeout=shape.retry_on_timeout,
        timeout_seconds=float(shape.timeout_seconds),
    )


def read_requirements(task: Mapping[str, Any], settings: Mapping[str, Any]) -> Requirements:
    """What must be there for the task, from its libraries and from its job environment."""
    wheels: list[str] = []
    packages: list[str] = []
    problems: list[str] = []
    for library in task.get("libraries", ()):
        match library:
            case {"whl": str(path)}:
                wheels.append(path)
            case {"pypi": {"package": str(package)}}:
                packages.append(package)
            case _:
                kind = next(iter(library), "empty")
                problems.append(f"a library of kind {kind!r} cannot be used here")
    for dependency in _environment(task, settings).get("spec", {}).get("dependencies", ()):
        (wheels if str(dependency).endswith(".whl") else packages).append(str(dependency))
    return Requirements(tuple(wheels), tuple(packages), tuple(problems))


def _environment(task: Mapping[str, Any], settings: Mapping[str, Any]) -> Mapping[str, Any]:
    key = task.get("environment_key")
    found = (item for item in settings.get("environments", ()) if item["environment_key"] == key)
    return next(found, {})


def _sql(shape: _SqlShape, job_parameters: Parameters) -> Work:
    parameters = {**shape.parameters, **job_parameters}
    match shape:
        case _SqlShape(file=_SqlFileShape() as file, query=None):
            return SqlFile(file.path, parameters)
        case _SqlShape(file=None, query=_QueryShape() as query):
            return SqlQuery(query.query_id, parameters)
        case _:
            raise UnrunnableTaskError("sql_task needs either file or query")


def _wheel(shape: _WheelShape, job_parameters: Parameters) -> Work:
    if shape.parameters and shape.named_parameters:
        raise UnrunnableTaskError(
            "python_wheel_task takes parameters or named_parameters, not both"
        )
    arguments = tuple(shape.parameters)
    if shape.named_parameters:
        named = {**shape.named_parameters, **job_parameters}
        arguments = tuple(f"--{name}={value}" for name, value in named.items())
    if shape.package_name in OWN_PACKAGES:
        return OwnTask(arguments)
    return Wheel(shape.package_name, shape.entry_point, arguments)


def told_first(kind: str, error: ValidationError) -> str:
    """The first of what a shape refuses, by its place in the task."""
    detail = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in (kind, *detail["loc"]) if part != "")
    if detail["type"] == "extra_forbidden":
        return f"{place} does not work on the embedded workspace"
    return f"{place}: {detail['msg']}"
