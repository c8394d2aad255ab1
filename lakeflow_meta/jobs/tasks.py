"""One source becomes one task, in the shape of the Jobs API's ``Task``. Pure.

Only what was written is sent: there is no default timeout, retry or cluster. Inline SQL cannot be
sent as it is (a SQL task names a saved query), so it is handed on as an `InlineQuery`, and
whoever saves it fills in the id.

https://docs.databricks.com/api/workspace/jobs/create
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from pydantic import ValidationError

from lakeflow_meta.control.rows import Source
from lakeflow_meta.findings import Finding, did_you_mean
from lakeflow_meta.ingest.source import is_file_source
from lakeflow_meta.jobs.job_context import DEPLOY_FIRST, JobContext, JsonDict, package_task
from lakeflow_meta.jobs.specs import body, spec_findings
from lakeflow_meta.jobs.task_spec import MAX_DESCRIPTION, TaskSpec
from lakeflow_meta.jobs.task_types import (
    TASK_SPECS,
    AnyTaskSpec,
    ConditionSpec,
    DbtSpec,
    DdlSpec,
    ExtractSpec,
    ForEachSpec,
    IngestSpec,
    NotebookSpec,
    PipelineSpec,
    PythonWheelSpec,
    RunJobSpec,
    SparkJarSpec,
    SparkPythonSpec,
    SqlFileSpec,
    SqlQuerySpec,
    SqlTaskSpec,
    TablesSpec,
    TaskType,
)

_TASK_TYPES = frozenset(TaskType)
_KEY = re.compile(r"[A-Za-z0-9_-]{1,100}")
_PLACEHOLDER = re.compile(r"your[-_ ]?(sql[-_ ])?warehouse[-_ ]?id|<.*>|", re.IGNORECASE)

_PLAIN_FIELDS = (
    "run_if",
    "disabled",
    "timeout_seconds",
    "max_retries",
    "min_retry_interval_millis",
    "retry_on_timeout",
    "disable_auto_optimization",
    "job_cluster_key",
    "existing_cluster_id",
    "new_cluster",
    "environment_key",
    "libraries",
)
MAX_PARAMETERS_BYTES = 10**6
"""The JSON of a notebook's ``base_parameters`` "cannot exceed 1MB"."""

_COMPUTE = ("job_cluster_key", "existing_cluster_id", "new_cluster", "environment_key")


@dataclass(frozen=True, slots=True)
class InlineQuery:
    """SQL that must be saved as a query before its task can be sent."""

    task_key: str
    text: str
    warehouse_id: str | None
    inside_loop: bool = False


@dataclass(frozen=True, slots=True)
class ReadTask:
    """A source as a task; ``body`` lacks ``depends_on``, and is {} where ``findings`` forbid it."""

    source_id: str
    key: str
    spec: TaskSpec | None = None
    body: JsonDict = field(default_factory=dict)
    inline: InlineQuery | None = None
    findings: tuple[Finding, ...] = ()


def task_key(source_id: str) -> str:
    """A key that the API takes: 1 to 100 letters, digits, ``_`` and ``-``.

    A usable id stays as it is. Two ids can come to the same key; that is for the caller to see.
    """
    if _KEY.fullmatch(source_id):
        return source_id
    digest = hashlib.sha256(source_id.encode()).hexdigest()[:8]
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", source_id)
    if not plain.strip("_-"):
        return f"task_{digest}"
    return plain if len(plain) <= 100 else f"{plain[:91]}_{digest}"


def read_task(source: Source, context: JobContext) -> ReadTask:
    """The source as a task, or everything that is wrong with it (paths inside the source)."""
    return _read(source, task_key(source.source_id), context)


def _read(source: Source, key: str, context: JobContext) -> ReadTask:
    found = _task_type(source)
    if isinstance(found, Finding):
        return ReadTask(source.source_id, key, findings=(found,))
    model = TASK_SPECS[found]
    try:
        spec = model.model_validate({**source.transformation_config, "task_type": found.value})
    except ValidationError as error:
        findings = [f.under("transformation_config") for f in spec_findings(error, model)]
        return ReadTask(source.source_id, key, findings=tuple(findings))
    return _Builder(source, key, context).build(spec)


def _task_type(source: Source) -> TaskType | Finding:
    written = source.transformation_config.get("task_type")
    at = ("transformation_config", "task_type")
    if written is None:
        return _inferred_type(source) or Finding(
            at[:1],
            "says nothing of the task to run",
            f"add task_type: one of {', '.join(TaskType)}",
        )
    if not isinstance(written, str) or written not in _TASK_TYPES:
        return Finding(at, f"unknown task type {written!r}", did_you_mean(str(written), TaskType))
    return TaskType(written)


def _inferred_type(source: Source) -> TaskType | None:
    config = source.transformation_config
    sql = config.get("sql_task")
    keys = {*config, *(sql if isinstance(sql, Mapping) else ())}
    if "notebook_path" in keys:
        return TaskType.NOTEBOOK
    if "sql_file_path" in keys:
        return TaskType.SQL_FILE
    if keys & {"sql_query", "query_id"}:
        return TaskType.SQL_QUERY
    return TaskType.INGEST if is_file_source(source) else None


class _Builder:
    """Builds the body of one task, collecting what is wrong on the way."""

    def __init__(self, source: Source, key: str, context: JobContext) -> None:
        self._source = source
        self._key = key
        self._context = context
        self._findings: list[Finding] = []
        self._inline: InlineQuery | None = None

    def build(self, spec: AnyTaskSpec) -> ReadTask:
        """The finished task."""
        fields = {**_common(spec), **self._work(spec)}
        description = spec.description or self._source.description
        if len(description) > MAX_DESCRIPTION:
            text = f"a task's description has at most {MAX_DESCRIPTION} characters"
            self._findings.append(Finding(("description",), text, "write it shorter"))
        task = {"task_key": self._key, "description": description, **fields}
        task = {name: value for name, value in task.items() if value not in (None, "", {}, [])}
        task = self._with_extra(task, spec.extra)
        findings = tuple(self._findings)
        return ReadTask(
            self._source.source_id,
            self._key,
            spec,
            {} if findings else task,
            None if findings else self._inline,
            findings,
        )

    def _work(self, spec: AnyTaskSpec) -> JsonDict:
        match spec:
            case NotebookSpec():
                return {"notebook_task": self._notebook(spec)}
            case SqlQuerySpec():
                return {"sql_task": self._sql_query(spec.sql())}
            case SqlFileSpec():
                return {"sql_task": self._sql_file(spec.sql())}
            case ForEachSpec():
                return {"for_each_task": self._loop(spec)}
            case DbtSpec():
                return {"dbt_task": self._dbt(spec)}
            case IngestSpec() | ExtractSpec() | DdlSpec() | TablesSpec():
                return self._package_task(spec, self._arguments(spec))
            case _:
                return _plain_work(spec)

    def _notebook(self, spec: NotebookSpec) -> JsonDict:
        parameters = dict(spec.parameters or spec.base_parameters or {})
        if spec.notebook_path is not None:
            told = {"source_id": self._source.source_id}
            told["control_table"] = self._context.control_table
            parameters = {**told, **parameters}
        if _is_too_long(parameters):
            self._add("the parameters of a notebook are more than 1 MB", "", "parameters")
        return _sent(
            notebook_path=spec.notebook_path or spec.file_path,
            base_parameters=parameters,
            source=spec.source,
            warehouse_id=spec.warehouse_id,
        )

    def _sql_query(self, sql: SqlTaskSpec) -> JsonDict:
        warehouse = self._warehouse(sql)
        if sql.sql_query is not None:
            self._inline = InlineQuery(self._key, sql.sql_query, warehouse)
        query = {"query_id": sql.query_id or ""}
        return _sent(warehouse_id=warehouse, query=query, parameters=sql.parameters)

    def _sql_file(self, sql: SqlTaskSpec) -> JsonDict:
        file = _sent(path=sql.sql_file_path, source=sql.file_source)
        return _sent(warehouse_id=self._warehouse(sql), file=file, parameters=sql.parameters)

    def _dbt(self, spec: DbtSpec) -> JsonDict:
        """dbt with a catalog or schema runs on a warehouse; else its profile says where."""
        work = _own_fields(spec)
        work.pop("warehouse_id", None)
        named = spec.warehouse_id is not None or bool({"catalog", "schema"} & work.keys())
        return {**work, **_sent(warehouse_id=self._warehouse(spec) if named else None)}

    def _warehouse(self, spec: SqlTaskSpec | DbtSpec) -> str | None:
        for candidate in (spec.warehouse_id, self._context.default_warehouse_id):
            if candidate is not None and not _PLACEHOLDER.fullmatch(candidate):
                return candidate
        if self._context.require_warehouse:
            self._add("warehouse_id is missing", "name a SQL warehouse, or set a default one")
        return None

    def _loop(self, spec: ForEachSpec) -> JsonDict:
        nested = {name: value for name, value in spec.task.items() if name != "task_key"}
        if nested.get("task_type") == TaskType.FOR_EACH:
            self._add("the task of a for_each cannot be a for_each", "", "task", "task_type")
            return {}
        key = task_key(str(spec.task.get("task_key", f"{self._key}_iteration")))
        inner = _read(replace(self._source, transformation_config=nested), key, self._context)
        self._findings += [
            Finding(("transformation_config", "task", *f.path[1:]), f.message, f.hint)
            for f in inner.findings
        ]
        if inner.spec is not None and inner.spec.depends_on is not None:
            self._add("the task of a for_each depends on nothing", "", "task", "depends_on")
        if inner.inline is not None:
            self._inline = replace(inner.inline, task_key=self._key, inside_loop=True)
        return _sent(inputs=spec.inputs, concurrency=spec.concurrency, task=inner.body)

    def _arguments(self, spec: IngestSpec | ExtractSpec | DdlSpec | TablesSpec) -> list[str]:
        source = self._source
        match spec:
            case IngestSpec():
                return ["ingest", "--module", source.module_name, *_names([source.source_id])]
            case ExtractSpec():
                if spec.group is not None:
                    return ["extract", "run", "--group", spec.group]
                return ["extract", "run", *_names(spec.extracts or [source.source_id])]
            case DdlSpec():
                return ["ddl", "run", *_names(spec.targets or [source.source_id])]
            case TablesSpec():
                if spec.tables:
                    return ["tables", "sync", *_names(spec.tables)]
                return ["tables", "sync", "--module", source.module_name]
            case _:
                assert_never(spec)

    def _package_task(self, spec: TaskSpec, arguments: Sequence[str]) -> JsonDict:
        own = package_task(self._context, arguments)
        chosen = {name for name in _COMPUTE if getattr(spec, name) is not None}
        if chosen:
            own = {name: own[name] for name in own if name not in (*_COMPUTE, "libraries")}
        if chosen - {"environment_key"} and self._context.package_libraries:
            own["libraries"] = [dict(library) for library in self._context.package_libraries]
        if "environment_key" not in chosen and spec.libraries is None:
            self._check_package()
        return {name: own[name] for name in own if getattr(spec, name, None) is None}

    def _check_package(self) -> None:
        if self._context.package_missing:
            self._findings.append(Finding((), self._context.package_missing, DEPLOY_FIRST))

    def _with_extra(self, task: JsonDict, extra: Mapping[str, Any]) -> JsonDict:
        merged, clashes = merged_extra(task, extra)
        for path in clashes:
            self._add(f"{path[-1]} is already set by its own key", "write it once", "extra", *path)
        return merged

    def _add(self, message: str, hint: str, *path: str) -> None:
        self._findings.append(Finding(("transformation_config", *path), message, hint))


def _plain_work(
    spec: PythonWheelSpec
    | SparkJarSpec
    | SparkPythonSpec
    | PipelineSpec
    | RunJobSpec
    | ConditionSpec,
) -> JsonDict:
    """Tasks whose keys are the API's own."""
    work = _own_fields(spec)
    match spec:
        case SparkPythonSpec():
            work["python_file"] = work.pop("file_path", None) or work["python_file"]
            return {"spark_python_task": work}
        case PythonWheelSpec():
            return {"python_wheel_task": work}
        case SparkJarSpec():
            return {"spark_jar_task": work}
        case PipelineSpec():
            return {"pipeline_task": work}
        case RunJobSpec():
            return {"run_job_task": work}
        case ConditionSpec():
            return {"condition_task": work}
        case _:
            assert_never(spec)


def _is_too_long(parameters: Mapping[str, str]) -> bool:
    """Encoded only where it can matter: JSON writes a letter in 12 bytes at most."""
    letters = sum(map(len, parameters.values()))
    return letters * 12 > MAX_PARAMETERS_BYTES and len(json.dumps(parameters)) > (
        MAX_PARAMETERS_BYTES
    )


def _own_fields(spec: TaskSpec) -> JsonDict:
    """What only this kind of task has."""
    own = spec.model_dump(by_alias=True, exclude_none=True, exclude=set(TaskSpec.model_fields))
    return {name: value for name, value in own.items() if value not in ({}, [])}


def _common(spec: TaskSpec) -> JsonDict:
    """Fields that every task has; e-mails go where the API wants them."""
    silence = body(spec.notification_settings)
    emails = silence.pop("email_notifications", None) or body(spec.email_notifications)
    return {
        **{name: getattr(spec, name) for name in _PLAIN_FIELDS},
        "notification_settings": silence,
        "email_notifications": emails,
        "webhook_notifications": body(spec.webhook_notifications),
        "health": body(spec.health),
    }


def merged_extra(
    settings: Mapping[str, Any], extra: Mapping[str, Any]
) -> tuple[JsonDict, list[tuple[str, ...]]]:
    """``settings`` with the fields of ``extra`` added, and the paths that both of them set.

    A null says nothing, here as elsewhere.
    """
    merged = dict(settings)
    clashes: list[tuple[str, ...]] = []
    for name, value in extra.items():
        present = merged.get(name)
        if value is None:
            continue
        if name not in merged:
            merged[name] = value
        elif isinstance(present, dict) and isinstance(value, Mapping):
            merged[name], inner = merged_extra(present, value)
            clashes += [(name, *path) for path in inner]
        else:
            clashes.append((name,))
    return merged, clashes


def _names(names: Sequence[str]) -> list[str]:
    """Names as arguments; ``--`` keeps one that starts with ``-`` from being an option."""
    return ["--", *names] if any(name.startswith("-") for name in names) else list(names)


def _sent(**fields: Any) -> JsonDict:
    """The fields that hold something."""
    return {name: value for name, value in fields.items() if value not in (None, {}, [])}
