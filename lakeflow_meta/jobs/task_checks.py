"""What the tasks of one job must be to each other and to the job. Pure.

The platform would refuse each of these, some only when a run starts.

https://docs.databricks.com/api/workspace/jobs/create#tasks
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lakeflow_meta.findings import Path, did_you_mean
from lakeflow_meta.jobs.draft import DDL_KEY, TABLES_KEY, Draft, explicit_needs
from lakeflow_meta.jobs.job_context import DEPLOY_FIRST, PACKAGE_KEY, PACKAGE_NAME
from lakeflow_meta.jobs.task_order import cycles
from lakeflow_meta.jobs.task_spec import TaskDependency
from lakeflow_meta.jobs.task_types import TaskType

MAX_TASKS = 1000
_CLUSTERS = ("job_cluster_key", "existing_cluster_id", "new_cluster")
_NEED_ENVIRONMENT = ("python_wheel_task", "spark_python_task", "dbt_task")
"""``environment_key`` "is required for Python script, Python wheel and dbt tasks when using
serverless compute"."""


def check_tasks(draft: Draft) -> None:
    """Add everything that keeps the tasks from being those of one job."""
    _check_keys(draft)
    _check_dependencies(draft)
    for position, task in enumerate(draft.tasks):
        for body, path in _with_inner(task.body):
            at: Path = ("sources", position, "transformation_config", *path)
            _check_references(draft, body, at)
            _check_compute(draft, body, at)


def _check_keys(draft: Draft) -> None:
    """Every task key once, our own included; not too many."""
    own = {DDL_KEY: "ddl_targets", TABLES_KEY: "tables"}
    taken = {key: f"the module's own task for {own[key]}" for key in draft.first_keys}
    positions = draft.positions()
    for position, task in enumerate(draft.tasks):
        at: Path = ("sources", position, "source_id")
        earlier = taken.setdefault(task.key, f"source {task.source_id!r}")
        if earlier != f"source {task.source_id!r}":
            text = f"task key {task.key!r} of source {task.source_id!r} is that of {earlier}"
            draft.add(at, text, "rename one; task keys have letters, digits, _ and - only")
        elif positions[task.source_id] != position:
            draft.add(at, f"source_id {task.source_id!r} is written twice", "rename one")
    count = len(draft.tasks) + len(draft.first_keys)
    if count > MAX_TASKS:
        draft.add(("sources",), f"{count} tasks; a job takes {MAX_TASKS}", "split the module")


# --------------------------------------------------------------------------- order


def _check_dependencies(draft: Draft) -> None:
    known = {task.source_id for task in draft.tasks} | set(draft.first_keys)
    kinds = {task.source_id: getattr(task.spec, "task_type", None) for task in draft.tasks}
    for position, task in enumerate(draft.tasks):
        at: Path = ("sources", position, "transformation_config", "depends_on")
        outcomes: dict[str, str | None] = {}
        for number, need in enumerate((task.spec.depends_on if task.spec else None) or ()):
            parent = need.task_key
            if parent == task.source_id:
                draft.add((*at, number), f"{parent!r} depends on itself", "remove it")
            elif parent not in known:
                draft.add(
                    (*at, number),
                    f"depends on {parent!r}, which is no active source of the module",
                    did_you_mean(parent, known - {task.source_id}),
                )
            else:
                _check_outcome(draft, need, kinds.get(parent, ""), (*at, number))
                if outcomes.setdefault(parent, need.outcome) != need.outcome:
                    text = f"depends on {parent!r} twice, with different outcomes"
                    draft.add((*at, number), text, "keep one")
    if any(explicit_needs(task) is not None for task in draft.tasks):
        _check_cycles(draft)


def _check_outcome(draft: Draft, need: TaskDependency, kind: str | None, at: Path) -> None:
    """``kind`` is None for a task that could not be read."""
    if need.outcome is not None and kind not in (None, TaskType.CONDITION):
        text = f"{need.task_key!r} has no outcome {need.outcome}: it is no condition"
        draft.add((*at, "outcome"), text, "remove outcome")


def _check_cycles(draft: Draft) -> None:
    """Without explicit dependencies there are none."""
    positions = draft.positions()
    graph = {name: [n for n in needs if n != name] for name, needs in draft.waits().items()}
    for cycle in cycles(graph):
        at: Path = ("sources", positions.get(cycle[0], 0))
        text = f"sources wait for each other: {' → '.join(cycle)}"
        draft.add(at, text, "each waits for the next; remove one depends_on or execution_order")


# --------------------------------------------------------------------------- what tasks name


def _with_inner(body: Mapping[str, Any]) -> Sequence[tuple[Mapping[str, Any], Path]]:
    """The task, and the one that a for_each repeats, with where it is written."""
    inner = body.get("for_each_task", {}).get("task")
    return [(body, ()), (inner, ("task",))] if inner else [(body, ())]


def _check_references(draft: Draft, body: Mapping[str, Any], at: Path) -> None:
    """Tasks name clusters, environments and a repository that the job has."""
    if draft.config is None:
        return
    config, extra = draft.config, draft.config.extra
    clusters = {cluster.job_cluster_key for cluster in config.job_clusters or ()}
    environments = {e.environment_key for e in config.environments or ()}
    for name, known, kind in (
        ("job_cluster_key", clusters, "job_clusters"),
        ("environment_key", environments, "environments"),
    ):
        key = body.get(name)
        if key == PACKAGE_KEY and _is_ours(body):
            _check_deployed(draft, at)
        elif key is not None and key not in known and kind not in extra:
            hint = did_you_mean(key, known) if known else f"add it to job_config.{kind}"
            draft.add((*at, name), f"{name} {key!r} is not among the job's {kind}", hint)
    if _reads_git(body) and config.git_source is None and "git_source" not in extra:
        draft.add(at, "source GIT, and the job has no git_source", "add it to job_config")


def _check_deployed(draft: Draft, at: Path) -> None:
    if draft.context.package_missing:
        draft.add(at, draft.context.package_missing, DEPLOY_FIRST)


def _reads_git(body: Mapping[str, Any]) -> bool:
    blocks = [block for name, block in body.items() if name.endswith("_task")]
    blocks += [block["file"] for block in blocks if "file" in block]
    return any(block.get("source") == "GIT" for block in blocks)


def _is_ours(body: Mapping[str, Any]) -> bool:
    """Our own tasks get what carries them when they are applied."""
    return bool(body.get("python_wheel_task", {}).get("package_name") == PACKAGE_NAME)


def _check_compute(draft: Draft, body: Mapping[str, Any], at: Path) -> None:
    """A task without a cluster is serverless, and what it needs is in its environment.

    "An environment is required for serverless task …" and "Libraries field is not supported for
    serverless task, please specify libraries in environment", the service answers.
    https://github.com/databricks/databricks-sdk-py/issues/1228
    https://github.com/databricks/dbt-databricks/issues/943
    """
    if not draft.context.require_warehouse or _is_ours(body):
        return
    if any(name in body for name in (*_CLUSTERS, "compute")):
        return
    if "libraries" in body:
        hint = "name a cluster, or put them into an environment's spec.dependencies"
        draft.add((*at, "libraries"), "a task without a cluster takes no libraries", hint)
    elif "environment_key" not in body and any(name in body for name in _NEED_ENVIRONMENT):
        hint = "add job_cluster_key, existing_cluster_id, new_cluster or environment_key"
        draft.add(at, "the task names neither a cluster nor an environment", hint)
