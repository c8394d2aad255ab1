"""What people may write about a task: one model for each task type. Pure.

A task is written in ``transformation_config``. Two spellings are read: the nested one
(``notebook_path``, ``sql_task: {…}``) and the flat one (``file_path``, ``sql_query``, …). Unknown
keys are refused; a field of the Jobs API that has no key here goes under ``extra``.

https://docs.databricks.com/api/workspace/jobs/create
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from lakeflow_meta.jobs.specs import (
    MAX_INT64,
    FileSource,
    Identifier,
    Parameters,
    ParameterText,
    Spec,
    number_as_text,
)
from lakeflow_meta.jobs.task_spec import TaskSpec, at_most_one, exactly_one, written


class TaskType(StrEnum):
    """Every kind of task that a source can be."""

    NOTEBOOK = "notebook"
    SQL_QUERY = "sql_query"
    SQL_FILE = "sql_file"
    PYTHON_WHEEL = "python_wheel"
    SPARK_JAR = "spark_jar"
    SPARK_PYTHON = "spark_python"
    PIPELINE = "pipeline"
    DBT = "dbt"
    RUN_JOB = "run_job"
    FOR_EACH = "for_each"
    CONDITION = "condition"
    INGEST = "ingest"
    EXTRACT = "extract"
    DDL = "ddl"
    TABLES = "tables"


class NotebookSpec(TaskSpec):
    """A notebook. With ``notebook_path`` it is also given source_id and control_table."""

    task_type: Literal["notebook"] = "notebook"
    notebook_path: str | None = None
    file_path: str | None = None
    source: FileSource | None = None
    warehouse_id: Identifier | None = None
    parameters: Parameters | None = None
    base_parameters: Parameters | None = None

    @model_validator(mode="after")
    def _one_spelling(self) -> NotebookSpec:
        exactly_one(self, "notebook_path", "file_path")
        at_most_one(self, "parameters", "base_parameters")
        return self


class SqlTaskSpec(Spec):
    """The nested spelling of a SQL task."""

    warehouse_id: Identifier | None = None
    sql_query: str | None = None
    query_id: Identifier | None = None
    sql_file_path: str | None = None
    file_source: FileSource | None = None
    parameters: Parameters | None = None


class SqlQuerySpec(TaskSpec):
    """SQL written here, or a saved query by its id."""

    task_type: Literal["sql_query"] = "sql_query"
    sql_task: SqlTaskSpec | None = None
    warehouse_id: Identifier | None = None
    sql_query: str | None = None
    query_id: Identifier | None = None
    parameters: Parameters | None = None

    @model_validator(mode="after")
    def _one_query(self) -> SqlQuerySpec:
        sql = _one_sql_spelling(self, "warehouse_id", "sql_query", "query_id", "parameters")
        exactly_one(sql, "sql_query", "query_id")
        if sql.sql_query is not None and not sql.sql_query.strip():
            raise ValueError("sql_query is empty")
        if sql.sql_file_path is not None or sql.file_source is not None:
            raise ValueError("sql_file_path and file_source belong to task_type sql_file")
        return self

    def sql(self) -> SqlTaskSpec:
        """Either spelling as the nested one."""
        return self.sql_task or SqlTaskSpec(
            warehouse_id=self.warehouse_id,
            sql_query=self.sql_query,
            query_id=self.query_id,
            parameters=self.parameters,
        )


class SqlFileSpec(TaskSpec):
    """A file of SQL in the workspace or in the job's Git source."""

    task_type: Literal["sql_file"] = "sql_file"
    sql_task: SqlTaskSpec | None = None
    warehouse_id: Identifier | None = None
    file_path: str | None = None
    sql_file_path: str | None = None
    file_source: FileSource | None = None
    source: FileSource | None = None
    parameters: Parameters | None = None

    @model_validator(mode="after")
    def _one_file(self) -> SqlFileSpec:
        at_most_one(self, "file_path", "sql_file_path")
        at_most_one(self, "file_source", "source")
        flat = ("warehouse_id", "file_path", "sql_file_path", "file_source", "source", "parameters")
        sql = _one_sql_spelling(self, *flat)
        if sql.sql_file_path is None:
            raise ValueError("file_path (or sql_file_path) is missing")
        if sql.sql_query is not None or sql.query_id is not None:
            raise ValueError("sql_query and query_id belong to task_type sql_query")
        return self

    def sql(self) -> SqlTaskSpec:
        """Either spelling as the nested one."""
        return self.sql_task or SqlTaskSpec(
            warehouse_id=self.warehouse_id,
            sql_file_path=self.file_path or self.sql_file_path,
            file_source=self.file_source or self.source,
            parameters=self.parameters,
        )


def _one_sql_spelling(spec: SqlQuerySpec | SqlFileSpec, *flat: str) -> SqlTaskSpec:
    if spec.sql_task is not None and (given := written(spec, *flat)):
        raise ValueError(f"write {', '.join(given)} inside sql_task, or everything outside of it")
    return spec.sql()


class PythonWheelSpec(TaskSpec):
    """An entry point of a wheel. ``parameters`` as a mapping are sent by name."""

    task_type: Literal["python_wheel"] = "python_wheel"
    package_name: str
    entry_point: str
    parameters: list[ParameterText] | None = None
    named_parameters: Parameters | None = None

    @model_validator(mode="before")
    @classmethod
    def _mapping_is_by_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("parameters"), dict):
            if "named_parameters" in value:
                raise ValueError("parameters and named_parameters exclude each other; keep one")
            value = {**value, "named_parameters": value["parameters"]}
            del value["parameters"]
        return value

    @model_validator(mode="after")
    def _one_kind_of_parameters(self) -> PythonWheelSpec:
        at_most_one(self, "parameters", "named_parameters")
        return self


class SparkJarSpec(TaskSpec):
    """The main class of a JAR that ``libraries`` brings."""

    task_type: Literal["spark_jar"] = "spark_jar"
    main_class_name: str
    parameters: list[ParameterText] | None = None


class SparkPythonSpec(TaskSpec):
    """A Python file."""

    task_type: Literal["spark_python"] = "spark_python"
    python_file: str | None = None
    file_path: str | None = None
    source: FileSource | None = None
    parameters: list[ParameterText] | None = None

    @model_validator(mode="after")
    def _one_file(self) -> SparkPythonSpec:
        exactly_one(self, "python_file", "file_path")
        return self


class PipelineSpec(TaskSpec):
    """An update of a declarative pipeline."""

    task_type: Literal["pipeline"] = "pipeline"
    pipeline_id: Identifier
    full_refresh: bool | None = None
    full_refresh_selection: list[str] | None = None
    refresh_selection: list[str] | None = None


MAX_COMMANDS = 10
"""Of one dbt task (jobs/create, dbt_task)."""


def _is_dbt_command(command: str) -> bool:
    return command.split()[:1] in (["dbt"], ["edr"])


class DbtSpec(TaskSpec):
    """dbt commands, run in order."""

    task_type: Literal["dbt"] = "dbt"
    commands: Annotated[list[str], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)]
    project_directory: str | None = None
    profiles_directory: str | None = None
    catalog: str | None = None
    schema_: Annotated[str | None, Field(alias="schema")] = None
    warehouse_id: Identifier | None = None
    source: FileSource | None = None

    @model_validator(mode="after")
    def _only_dbt(self) -> DbtSpec:
        if not self.commands:
            raise ValueError("commands is empty")
        if len(self.commands) > MAX_COMMANDS:
            raise ValueError(f"{len(self.commands)} commands; a task takes {MAX_COMMANDS}")
        for command in self.commands:
            if not _is_dbt_command(command):
                raise ValueError(f"command {command!r} does not start with the word dbt or edr")
        return self


def _digits_as_number(value: Any) -> Any:
    """An id that came by a variable, or in quotes, is text."""
    digits = isinstance(value, str) and value.isascii() and value.isdecimal()
    return int(value) if digits else value


class RunJobSpec(TaskSpec):
    """A run of another job."""

    task_type: Literal["run_job"] = "run_job"
    job_id: Annotated[int, BeforeValidator(_digits_as_number), Field(ge=1, le=MAX_INT64)]
    job_parameters: Parameters | None = None


def _list_as_text(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


class ForEachSpec(TaskSpec):
    """One task, run once for each element of ``inputs`` (a list, or a reference such as
    ``{{job.parameters.regions}}``)."""

    task_type: Literal["for_each"] = "for_each"
    inputs: Annotated[str, BeforeValidator(_list_as_text)]
    concurrency: Annotated[int, Field(ge=1, le=100)] | None = None
    task: dict[str, Any]


_NOT_FOR_CONDITIONS = (
    "max_retries",
    "min_retry_interval_millis",
    "retry_on_timeout",
    "email_notifications",
    "webhook_notifications",
    "notification_settings",
)


class ConditionSpec(TaskSpec):
    """A comparison; dependants name the ``outcome`` that they wait for.

    It "does not support retries or notifications" (jobs/create, condition_task).
    """

    task_type: Literal["condition"] = "condition"
    op: Literal[
        "EQUAL_TO",
        "NOT_EQUAL",
        "GREATER_THAN",
        "GREATER_THAN_OR_EQUAL",
        "LESS_THAN",
        "LESS_THAN_OR_EQUAL",
    ]
    left: Annotated[str, BeforeValidator(number_as_text)]
    right: Annotated[str, BeforeValidator(number_as_text)]

    @model_validator(mode="after")
    def _no_retries(self) -> ConditionSpec:
        given = self.model_dump(include=set(_NOT_FOR_CONDITIONS), exclude_none=True)
        if wanted := [name for name, value in given.items() if value]:
            raise ValueError(f"a condition takes no retries and no notifications: {wanted[0]}")
        return self


class IngestSpec(TaskSpec):
    """This package's ingestor, on this source's ``source_config`` and ``target_config``."""

    task_type: Literal["ingest"] = "ingest"


class ExtractSpec(TaskSpec):
    """This package's extractor: the named extracts, or a group; the source's own id if neither."""

    task_type: Literal["extract"] = "extract"
    extracts: list[str] | None = None
    group: str | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> ExtractSpec:
        at_most_one(self, "extracts", "group")
        return self


class DdlSpec(TaskSpec):
    """Run-once DDL scripts of these targets; the source's own id if none is named."""

    task_type: Literal["ddl"] = "ddl"
    targets: list[str] | None = None


class TablesSpec(TaskSpec):
    """The schema engine: the named tables, or all tables of the module."""

    task_type: Literal["tables"] = "tables"
    tables: list[str] | None = None


AnyTaskSpec = (
    NotebookSpec
    | SqlQuerySpec
    | SqlFileSpec
    | PythonWheelSpec
    | SparkJarSpec
    | SparkPythonSpec
    | PipelineSpec
    | DbtSpec
    | RunJobSpec
    | ForEachSpec
    | ConditionSpec
    | IngestSpec
    | ExtractSpec
    | DdlSpec
    | TablesSpec
)

TASK_SPECS: Mapping[TaskType, type[AnyTaskSpec]] = {
    TaskType.NOTEBOOK: NotebookSpec,
    TaskType.SQL_QUERY: SqlQuerySpec,
    TaskType.SQL_FILE: SqlFileSpec,
    TaskType.PYTHON_WHEEL: PythonWheelSpec,
    TaskType.SPARK_JAR: SparkJarSpec,
    TaskType.SPARK_PYTHON: SparkPythonSpec,
    TaskType.PIPELINE: PipelineSpec,
    TaskType.DBT: DbtSpec,
    TaskType.RUN_JOB: RunJobSpec,
    TaskType.FOR_EACH: ForEachSpec,
    TaskType.CONDITION: ConditionSpec,
    TaskType.INGEST: IngestSpec,
    TaskType.EXTRACT: ExtractSpec,
    TaskType.DDL: DdlSpec,
    TaskType.TABLES: TablesSpec,
}
