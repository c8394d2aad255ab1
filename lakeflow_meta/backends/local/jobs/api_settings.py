"""The Jobs API's rules about a job's settings document. Pure.

Promise: what is refused here is refused by the platform, and `changed_settings` gives what the
platform gives. A test compares the field lists with `databricks.sdk` (which is not imported here:
it costs most of a second).

https://docs.databricks.com/api/workspace/jobs/create
https://docs.databricks.com/api/workspace/jobs/update
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from lakeflow_meta.errors import BackendError

Settings = dict[str, Any]

INVALID = "INVALID_PARAMETER_VALUE"
MAX_TASKS = 1000


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


JOB_FIELDS = _words(
    "budget_policy_id continuous deployment description duration_target edit_mode"
    " email_notifications environment_variables environments format git_source health job_clusters"
    " max_concurrent_runs name notification_settings parameters parent_path performance_target"
    " queue run_as schedule tags tasks timeout_seconds trigger triggers usage_policy_id"
    " webhook_notifications"
)
TASK_TYPES = _words(
    "ai_runtime_task alert_task clean_rooms_notebook_task condition_task dashboard_task"
    " dbt_cloud_task dbt_platform_task dbt_task for_each_task gen_ai_compute_task notebook_task"
    " pipeline_task power_bi_task python_operator_task python_wheel_task run_job_task"
    " spark_jar_task spark_python_task spark_submit_task sql_task"
)
TASK_FIELDS = TASK_TYPES | _words(
    "task_key compute depends_on description disable_auto_optimization disabled"
    " email_notifications environment_key environment_variables_key existing_cluster_id health"
    " job_cluster_key libraries max_retries min_retry_interval_millis new_cluster"
    " notification_settings retry_on_timeout run_if timeout_seconds webhook_notifications"
)
RUN_IF = _words(
    "ALL_SUCCESS ALL_DONE NONE_FAILED AT_LEAST_ONE_SUCCESS ALL_FAILED AT_LEAST_ONE_FAILED"
)
# Lists whose entries are merged by this key in an update; every other field is replaced whole.
MERGED_BY = {"tasks": "task_key", "job_clusters": "job_cluster_key"}

_KEYED = {**MERGED_BY, "parameters": "name", "environments": "environment_key"}
_INTEGERS = frozenset(
    {"max_concurrent_runs", "timeout_seconds", "max_retries", "min_retry_interval_millis"}
)

# "[ 1 .. 100 ] characters ^[\w\-\_]+$" in the reference of jobs/create.
_TASK_KEY = re.compile(r"[\w-]{1,100}", re.ASCII)


def new_settings(settings: Mapping[str, Any]) -> Settings:
    """A private copy of a whole settings document. Raises BackendError when it is refused."""
    copy = _json_copy(settings)
    _check_fields(copy)
    _check_whole(copy)
    return copy


def changed_settings(
    current: Mapping[str, Any], changes: Mapping[str, Any], fields_to_remove: Sequence[str] = ()
) -> Settings:
    """What ``jobs/update`` makes of ``current``: removals first, then the changes.

    Raises BackendError when the request or its result is refused.
    """
    request = _json_copy(changes)
    _check_fields(request)
    result = _json_copy(current)
    for name in fields_to_remove:
        _remove(result, name)
    for name, value in request.items():
        key = MERGED_BY.get(name)
        result[name] = _merged(result.get(name, []), value, key) if key else value
    _check_whole(result)
    return result


def task_type(task: Mapping[str, Any]) -> str:
    """The name of the one field that says what the task runs, e.g. ``sql_task``."""
    return next(name for name in task if name in TASK_TYPES)


def _json_copy(settings: Mapping[str, Any]) -> Settings:
    try:
        copy: Settings = json.loads(json.dumps(dict(settings), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise _refused(f"the settings are not JSON: {error}") from error
    return copy


def _refused(message: str) -> BackendError:
    return BackendError(message, code=INVALID)


def _remove(settings: Settings, name: str) -> None:
    field, _, entry = name.partition("/")
    if field not in JOB_FIELDS:
        raise _refused(f"fields_to_remove: {_unknown(field, JOB_FIELDS)}")
    if not entry:
        settings.pop(field, None)
        return
    if field not in MERGED_BY:
        raise _refused(
            f"fields_to_remove: {name!r} is nested; only tasks/ and job_clusters/ may be"
        )
    key = MERGED_BY[field]
    kept = [item for item in settings.pop(field, []) if item[key] != entry]
    if kept:
        settings[field] = kept


def _merged(current: list[Settings], changes: list[Settings], key: str) -> list[Settings]:
    """Entries of ``changes`` replace those of the same key in place; new ones come last."""
    by_key = {item[key]: item for item in changes}
    kept = [by_key.pop(item[key], item) for item in current]
    return [*kept, *by_key.values()]


# --------------------------------------------------------------------------- what is refused


def _check_fields(settings: Settings) -> None:
    """Names and shapes: what the API's typed request would not accept."""
    for name, value in settings.items():
        if name not in JOB_FIELDS:
            raise _refused(_unknown(name, JOB_FIELDS))
        if value is None:
            raise _refused(f"{name} is null; leave it out, or name it in fields_to_remove")
    for name, key in _KEYED.items():
        _check_keyed_list(settings.get(name, []), name, key)
    for name in _INTEGERS & settings.keys():
        _check_integer(settings, name, "")
    for task in settings.get("tasks", []):
        _check_task(task)


def _check_keyed_list(entries: Any, name: str, key: str) -> None:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _refused(f"{name} is not a list of objects")
    keys = [entry.get(key) for entry in entries]
    if not all(isinstance(value, str) and value for value in keys):
        raise _refused(f"an entry of {name} has no {key}")
    repeated = [value for value, count in Counter(keys).items() if count > 1]
    if repeated:
        raise _refused(f"{name} holds {key} {repeated[0]!r} more than once")


def _check_integer(document: Settings, name: str, where: str) -> None:
    value = document[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refused(f"{where}{name} is {value!r}; it is a whole number")


def _check_task(task: Settings) -> None:
    key = task["task_key"]
    if not _TASK_KEY.fullmatch(key):
        raise _refused(f"task_key {key!r}: 1 to 100 letters, digits, '_' and '-'")
    for name in task:
        if name not in TASK_FIELDS:
            raise _refused(f"task {key!r}: {_unknown(name, TASK_FIELDS)}")
    types = [name for name in task if name in TASK_TYPES]
    if len(types) != 1:
        found = ", ".join(types) or "none"
        raise _refused(f"task {key!r} needs exactly one field that says what it runs; has {found}")
    _check_keyed_list(task.get("depends_on", []), f"task {key!r}: depends_on", "task_key")
    for name in _INTEGERS & task.keys():
        _check_integer(task, name, f"task {key!r}: ")
    if task.get("run_if", "ALL_SUCCESS") not in RUN_IF:
        raise _refused(f"task {key!r}: {_unknown(task['run_if'], RUN_IF, 'run_if value')}")


def _check_whole(settings: Settings) -> None:
    """References between the parts of a complete document."""
    tasks = settings.get("tasks", [])
    if len(tasks) > MAX_TASKS:
        raise _refused(f"{len(tasks)} tasks; a job has at most {MAX_TASKS}")
    if "schedule" in settings and "continuous" in settings:
        raise _refused("only one of schedule and continuous can be used")
    _check_clusters(settings)
    keys = {task["task_key"] for task in tasks}
    for task in tasks:
        for parent in dependencies(task):
            if parent not in keys:
                raise _refused(f"task {task['task_key']!r} depends on {parent!r}, which is no task")
    _check_outcomes(tasks)
    cycle = find_cycle({task["task_key"]: tuple(dependencies(task)) for task in tasks})
    if cycle:
        raise _refused(f"tasks depend on each other: {' -> '.join(cycle)}")


def _check_outcomes(tasks: list[Settings]) -> None:
    conditions = {task["task_key"] for task in tasks if "condition_task" in task}
    for task in tasks:
        for edge in task.get("depends_on", ()):
            if "outcome" in edge and edge["task_key"] not in conditions:
                raise _refused(
                    f"task {task['task_key']!r} asks for an outcome of {edge['task_key']!r},"
                    " which is no condition task"
                )


def _check_clusters(settings: Settings) -> None:
    clusters = {cluster["job_cluster_key"] for cluster in settings.get("job_clusters", [])}
    for task in settings.get("tasks", []):
        key = task.get("job_cluster_key")
        if key is not None and key not in clusters:
            raise _refused(
                f"task {task['task_key']!r} names job cluster {key!r}, which is not defined"
            )


def _unknown(name: str, known: frozenset[str], what: str = "field") -> str:
    near = get_close_matches(str(name), sorted(known), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {name!r}{hint}"


# --------------------------------------------------------------------------- dependencies


def dependencies(task: Mapping[str, Any]) -> Iterator[str]:
    """The keys of the tasks that this one depends on."""
    for dependency in task.get("depends_on", ()):
        yield dependency["task_key"]


def find_cycle(parents: Mapping[str, Sequence[str]]) -> list[str]:
    """One cycle as ``[a, b, a]``, each depending on the next; empty when there is none.

    Not recursive: a chain of a thousand tasks is fine.
    """
    waiting = dict(parents)
    while True:
        free = [key for key, needs in waiting.items() if not any(n in waiting for n in needs)]
        if not free:
            break
        for key in free:
            del waiting[key]
    if not waiting:
        return []
    path = [next(iter(waiting))]
    while path[-1] not in path[:-1]:
        path.append(next(need for need in waiting[path[-1]] if need in waiting))
    return path[path.index(path[-1]) :]
