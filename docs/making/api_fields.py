"""Which field of the Jobs API a key of a task becomes: found by asking the builder of tasks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lakeflow_meta.control.rows import Source
from lakeflow_meta.jobs.job_context import JobContext
from lakeflow_meta.jobs.task_types import TASK_SPECS, TaskType
from lakeflow_meta.jobs.tasks import read_task

_CONTEXT = JobContext("a.b.c")
_NOWHERE: Mapping[str, str] = {
    "extra": "each key itself",
    "permissions": "Permissions API: `access_control_list`",
    "task_type": "",
    "depends_on": "`depends_on`",
    "task": "`for_each_task.task`",
}


def job_field(name: str) -> str:
    """The field of ``JobSettings`` that a key of ``job_config`` becomes."""
    return _NOWHERE.get(name, f"`{name}`")


_LEAST: Mapping[TaskType, Sequence[Mapping[str, Any]]] = {
    TaskType.NOTEBOOK: [{"notebook_path": "/a"}, {"file_path": "/a"}],
    TaskType.SQL_QUERY: [{"query_id": "q"}, {"sql_query": "SELECT 1"}],
    TaskType.SQL_FILE: [{"file_path": "a.sql"}, {"sql_file_path": "a.sql"}],
    TaskType.PYTHON_WHEEL: [{"package_name": "p", "entry_point": "e"}],
    TaskType.SPARK_JAR: [{"main_class_name": "M"}],
    TaskType.SPARK_PYTHON: [{"python_file": "a.py"}, {"file_path": "a.py"}],
    TaskType.PIPELINE: [{"pipeline_id": "p"}],
    TaskType.DBT: [{"commands": ["dbt run"]}],
    TaskType.RUN_JOB: [{"job_id": 1}],
    TaskType.FOR_EACH: [{"inputs": "[1]", "task": {"task_type": "run_job", "job_id": 1}}],
    TaskType.CONDITION: [{"op": "EQUAL_TO", "left": "1", "right": "1"}],
    TaskType.INGEST: [{}],
    TaskType.EXTRACT: [{}],
    TaskType.DDL: [{}],
    TaskType.TABLES: [{}],
}
"""The least that makes a task of each type: a key is found by what it changes."""

_OTHER = [
    "GIT",
    "other",
    7,
    True,
    ["dbt other"],
    ["other"],
    {"other": "value"},
    [{"whl": "other"}],
    "AT_LEAST_ONE_SUCCESS",
    "NOT_EQUAL",
    {"on_start": ["other"]},
    {"on_start": [{"id": "other"}]},
    {"no_alert_for_skipped_runs": True},
    {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 9}]},
    {"task_type": "run_job", "job_id": 8},
]
"""Values to try, until one of them is taken."""

_OWN = {TaskType.INGEST, TaskType.EXTRACT, TaskType.DDL, TaskType.TABLES}


def task_field(kind: TaskType) -> Callable[[str], str]:
    def shown(name: str) -> str:
        if name in _NOWHERE:
            return _NOWHERE[name]
        if name == "sql_task":
            return "`sql_task`"
        if (kind, name) == (TaskType.SQL_QUERY, "sql_query"):
            return "a saved query: `sql_task.query.query_id`"
        if kind in _OWN:
            return "`python_wheel_task.parameters`: this package"
        return f"`{_place(kind, name)}`"

    return shown


def _place(kind: TaskType, name: str) -> str:
    """Where the value of a key ends in the task that the builder makes."""
    key = TASK_SPECS[kind].model_fields[name].alias or name
    for least, value in itertools.product(_LEAST[kind], _OTHER):
        for base in (
            least,
            {k: v for k, v in least.items() if k != key and len(least) > 1} or least,
        ):
            before, after = _body(kind, base), _body(kind, {**base, key: value})
            if before and after and (changed := _changed(before, after)):
                return changed
    raise LookupError(f"{kind}.{name} reaches no field of the Jobs API")


def _body(kind: TaskType, config: Mapping[str, Any]) -> dict[str, Any]:
    source = Source("m", "s", transformation_config={**config, "task_type": kind.value})
    return dict(read_task(source, _CONTEXT).body)


def _changed(before: Any, after: Any) -> str:
    """The path of the first difference; inside lists the list."""
    if before == after:
        return ""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return ""
    for key in after:
        if key not in before:
            inner = after[key]
            deeper = isinstance(inner, dict) and key.endswith("_task") and len(inner) == 1
            return f"{key}.{next(iter(inner))}" if deeper else key
        if before[key] != after[key]:
            deeper_path = _changed(before[key], after[key])
            return f"{key}.{deeper_path}" if deeper_path else key
    return ""
