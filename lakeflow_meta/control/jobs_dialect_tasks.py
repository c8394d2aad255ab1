"""One task of the ``jobs:`` dialects as a ``transformation_config`` of ours. Pure.

Two spellings are read. The flat one of lakeflow-jobs-meta (``task_type``, ``file_path``,
``sql_query``, …) is ours already. The one of the Jobs API and of asset bundles puts the work into
a block (``notebook_task: {notebook_path: …}``); its fields move up to the flat spelling, and fields
of the API that have no key of ours go to ``extra``. Whatever is in neither list is refused.

https://docs.databricks.com/api/workspace/jobs/create
https://docs.databricks.com/dev-tools/bundles/job-task-types.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lakeflow_meta.findings import Finding, Path, did_you_mean
from lakeflow_meta.jobs.job_config import JobConfig
from lakeflow_meta.jobs.task_spec import TaskSpec
from lakeflow_meta.jobs.task_types import TaskType

INLINE_SQL_MARK = "-- SQL of this task, kept by lakeflow-meta\n"
"""First line of a bundle variable's description that holds a task's SQL text (see `bundle`)."""

Nested = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class FlatTask:
    """A task in the flat spelling.

    ``places`` says where a value of ``config`` was written, for those that stood elsewhere.
    """

    config: dict[str, Any]
    places: Mapping[Path, Path] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def locate(self, path: Path) -> Path:
        """A path inside ``config`` as a path inside the task as it was written."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.places:
                return (*self.places[path[:end]], *path[end:])
        return path


def flat_task(task: Mapping[str, Any]) -> FlatTask:
    """A task in either spelling; what only says who the task is must be taken out before."""
    blocks = [key for key in task if key.endswith("_task") and _is_block(key, task[key])]
    if blocks:
        return _ApiTask(task, blocks).read()
    config = {key: value for key, value in task.items() if not _says_nothing(key, value)}
    task_type = config.get("task_type")
    if task_type == TaskType.SPARK_JAR and isinstance(config.get("parameters"), dict):
        config["parameters"] = list(config["parameters"].values())
    if task_type == TaskType.FOR_EACH and isinstance(config.get("task"), dict):
        return _with_inner_task(config, config["task"], ("task",))
    return FlatTask(config)


def for_every_task(job_config: dict[str, Any]) -> Mapping[str, Any]:
    """Take ``alert_on_last_attempt`` out of a job's notification settings.

    lakeflow-jobs-meta documents it for the job; the platform has it for tasks only.
    """
    settings = job_config.get("notification_settings")
    if not isinstance(settings, dict) or "alert_on_last_attempt" not in settings:
        return {}
    kept = {k: v for k, v in settings.items() if k != "alert_on_last_attempt"}
    job_config["notification_settings"] = kept
    if not kept:
        del job_config["notification_settings"]
    return {"alert_on_last_attempt": settings["alert_on_last_attempt"]}


def with_notification_settings(
    config: dict[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The task with these settings where it says nothing else; conditions notify nobody."""
    own = config.get("notification_settings") or {}
    silent = config.get("task_type") == TaskType.CONDITION
    if not settings or silent or not isinstance(own, dict):
        return config
    return {**config, "notification_settings": {**settings, **own}}


def _says_nothing(key: str, value: Any) -> bool:
    """No dependencies, written as such: sources without an order wait for nothing anyway."""
    return key == "depends_on" and value in ([], None)


def _is_block(key: str, value: Any) -> bool:
    """``sql_task`` is also a key of our own nested spelling."""
    nested = ("sql_query", "query_id", "sql_file_path")
    return key != "sql_task" or not (isinstance(value, dict) and any(k in value for k in nested))


def _with_inner_task(config: dict[str, Any], inner: Mapping[str, Any], at: Path) -> FlatTask:
    """A for_each: the task inside is a task as well."""
    who = {key: inner[key] for key in ("task_key", "description") if key in inner}
    rest = {key: value for key, value in inner.items() if key not in who}
    found = flat_task(rest)
    places = {("task", *ours): (*at, *written) for ours, written in found.places.items()}
    places.setdefault(("task",), at)
    findings = tuple(finding.under(*at) for finding in found.findings)
    return FlatTask({**config, "task": {**who, **found.config}}, places, findings)


# --------------------------------------------------------------------------- the API's spelling


@dataclass(frozen=True, slots=True)
class _Block:
    """What a block of the API may hold: fields with a key of ours, and fields without one."""

    task_type: TaskType
    fields: Mapping[str, str]
    passed: frozenset[str] = frozenset()

    @property
    def known(self) -> list[str]:
        return [*self.fields, *self.passed]


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_BLOCKS: Mapping[str, _Block] = {
    "notebook_task": _Block(
        TaskType.NOTEBOOK,
        {"notebook_path": "file_path", **_same("base_parameters", "source", "warehouse_id")},
    ),
    "spark_python_task": _Block(
        TaskType.SPARK_PYTHON, _same("python_file", "parameters", "source")
    ),
    "python_wheel_task": _Block(
        TaskType.PYTHON_WHEEL,
        _same("package_name", "entry_point", "parameters", "named_parameters"),
    ),
    "spark_jar_task": _Block(
        TaskType.SPARK_JAR,
        _same("main_class_name", "parameters"),
        frozenset({"jar_uri", "run_as_repl"}),
    ),
    "pipeline_task": _Block(
        TaskType.PIPELINE,
        _same("pipeline_id", "full_refresh", "full_refresh_selection", "refresh_selection"),
        frozenset({"parameters", "refresh_flow_selection", "reset_checkpoint_selection"}),
    ),
    "dbt_task": _Block(
        TaskType.DBT,
        _same(
            "commands",
            "project_directory",
            "profiles_directory",
            "catalog",
            "schema",
            "warehouse_id",
            "source",
        ),
    ),
    "run_job_task": _Block(
        TaskType.RUN_JOB,
        _same("job_id", "job_parameters"),
        frozenset(
            {
                "dbt_commands",
                "jar_params",
                "notebook_params",
                "pipeline_params",
                "python_named_params",
                "python_params",
                "spark_submit_params",
                "sql_params",
            }
        ),
    ),
    "condition_task": _Block(TaskType.CONDITION, _same("op", "left", "right")),
    "for_each_task": _Block(TaskType.FOR_EACH, _same("inputs", "concurrency", "task")),
    "sql_task": _Block(TaskType.SQL_QUERY, _same("warehouse_id", "parameters")),
}
_SQL_PARTS: Mapping[str, tuple[TaskType, Mapping[str, str]]] = {
    "query": (TaskType.SQL_QUERY, {"query_id": "query_id"}),
    "file": (TaskType.SQL_FILE, {"path": "file_path", "source": "file_source"}),
}

_COMMON = frozenset(TaskSpec.model_fields) - {"task_type", "extra"}
_PASSED = frozenset({"compute", "environment_variables_key"})
_MAINTENANCE = frozenset({"on_maintenance_complete", "on_maintenance_start"})
TASK_NESTED: Nested = {
    "email_notifications": _MAINTENANCE,
    "webhook_notifications": _MAINTENANCE,
}
JOB_NESTED: Nested = {
    **TASK_NESTED,
    "schedule": frozenset({"sql_condition"}),
    "trigger": frozenset({"model", "sql_condition"}),
    "continuous": frozenset({"maintenance_window"}),
    "git_source": frozenset({"git_snapshot", "job_source", "sparse_checkout"}),
}
"""Fields inside objects that we read strictly; an object that has one goes to ``extra`` whole."""

JOB_FIELDS = frozenset(JobConfig.model_fields) - {"extra"}
JOB_PASSED = frozenset(
    {
        "deployment",
        "duration_target",
        "environment_variables",
        "format",
        "parent_path",
        "triggers",
        "usage_policy_id",
    }
)
"""Fields of the API's JobSettings that ``job_config`` has no key for."""


def goes_to_extra(key: str, value: Any, passed: frozenset[str], nested: Nested) -> bool:
    """Whether the API has the field and we have no key for it, or for something inside it."""
    return key in passed or (
        isinstance(value, dict) and bool(nested.get(key, set()) & value.keys())
    )


class _ApiTask:
    """Reads one task in the API's spelling."""

    def __init__(self, task: Mapping[str, Any], blocks: list[str]) -> None:
        self._task = task
        self._blocks = blocks
        self._config: dict[str, Any] = {}
        self._extra: dict[str, Any] = {}
        self._places: dict[Path, Path] = {}
        self._findings: list[Finding] = []

    def read(self) -> FlatTask:
        for key, value in self._task.items():
            if key not in self._blocks:
                self._read_common(key, value)
        if len(self._blocks) > 1:
            text = f"{' and '.join(self._blocks)} exclude each other; a task does one thing"
            self._add((self._blocks[1],), text)
        else:
            self._read_block(self._blocks[0])
        if self._extra:
            self._config["extra"] = self._extra
        return FlatTask(self._config, self._places, tuple(self._findings))

    def _read_common(self, key: str, value: Any) -> None:
        if goes_to_extra(key, value, _PASSED, TASK_NESTED):
            self._extra[key] = value
            self._places["extra", key] = (key,)
        elif key in _COMMON:
            if not _says_nothing(key, value):
                self._config[key] = value
        elif key == "task_type":
            self._add((key,), f"task_type and {self._blocks[0]} exclude each other", "keep one")
        else:
            known = did_you_mean(key, {*_COMMON, *_PASSED, *_BLOCKS})
            self._add((key,), f"unknown key {key!r}", known)

    def _read_block(self, name: str) -> None:
        block = _BLOCKS.get(name)
        if block is None:
            self._add(
                (name,), f"{name} is no task that can be recorded", did_you_mean(name, _BLOCKS)
            )
            return
        value = self._mapping(self._task[name], (name,))
        self._config["task_type"] = block.task_type.value
        self._places["task_type",] = (name,)
        if name == "sql_task":
            value = self._sql_part(value)
        for key, item in value.items():
            self._read_field(name, block, key, item)

    def _read_field(self, name: str, block: _Block, key: str, value: Any) -> None:
        if key in block.passed:
            self._extra.setdefault(name, {})[key] = value
            self._places["extra", name, key] = (name, key)
        elif key not in block.fields:
            self._add((name, key), f"unknown key {key!r}", did_you_mean(key, block.known))
        elif name == "for_each_task" and key == "task" and isinstance(value, dict):
            inner = _with_inner_task({}, value, (name, key))
            self._config |= inner.config
            self._places |= inner.places
            self._findings += inner.findings
        else:
            self._put(block.fields[key], value, (name, key))

    def _sql_part(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Read what a SQL task runs; the rest of its fields."""
        parts = [key for key in ("query", "file", "alert", "dashboard") if key in value]
        rest = {key: item for key, item in value.items() if key not in parts}
        if len(parts) != 1 or parts[0] not in _SQL_PARTS:
            text = f"a sql_task has query or file, not {' and '.join(parts) or 'neither'}"
            self._add(("sql_task",), text, "alerts and dashboards cannot be recorded")
            return rest
        part = parts[0]
        task_type, fields = _SQL_PARTS[part]
        self._config["task_type"] = task_type.value
        for key, item in self._mapping(value[part], ("sql_task", part)).items():
            if key not in fields:
                at = ("sql_task", part, key)
                self._add(at, f"unknown key {key!r}", did_you_mean(key, fields))
            elif key == "query_id" and isinstance(item, dict):
                self._read_lookup(item)
            else:
                self._put(fields[key], item, ("sql_task", part, key))
        return rest

    def _read_lookup(self, variable: Mapping[str, Any]) -> None:
        """A variable that the bundle looks up: our own carry the SQL text, others only a name."""
        at = ("sql_task", "query", "query_id")
        text = variable.get("description")
        if isinstance(text, str) and text.startswith(INLINE_SQL_MARK):
            self._put("sql_query", text.removeprefix(INLINE_SQL_MARK), at)
        else:
            self._add(at, "a lookup is not resolved here", "write the id of the query")

    def _put(self, key: str, value: Any, at: Path) -> None:
        self._config[key] = value
        self._places[key,] = at

    def _mapping(self, value: Any, at: Path) -> Mapping[str, Any]:
        if isinstance(value, dict):
            return value
        self._add(at, f"{at[-1]} is a mapping")
        return {}

    def _add(self, path: Path, message: str, hint: str = "") -> None:
        self._findings.append(Finding(path, message, hint))


def api_fields() -> Iterator[tuple[str, frozenset[str]]]:
    """What this module knows of the API, object by object: for a test against the SDK's types."""
    yield "Task", frozenset({*_COMMON, *_PASSED, *_BLOCKS, "task_key"})
    yield "JobSettings", JOB_FIELDS | JOB_PASSED | {"tasks"}
    for name, block in _BLOCKS.items():
        yield name, frozenset(block.known)
