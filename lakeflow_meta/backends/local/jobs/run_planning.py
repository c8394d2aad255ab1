"""From a job to a run that can be executed: everything that is wrong is found before it starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lakeflow_meta.backends.local.jobs.api_settings import INVALID
from lakeflow_meta.backends.local.jobs.references import RunContext, resolved, unknown_references
from lakeflow_meta.backends.local.jobs.run_engine import PlannedTask
from lakeflow_meta.backends.local.jobs.task_graph import nodes_of
from lakeflow_meta.backends.local.jobs.task_runners import TaskRunners
from lakeflow_meta.backends.local.jobs.task_work import (
    RetryPolicy,
    UnrunnableTaskError,
    read_policy,
    read_requirements,
    read_work,
)
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ports import LiveJob, RunState

NOT_RUNNABLE = "INVALID_RUN_CONFIGURATION"
"""The platform's termination code for a run that cannot start as it is configured."""


def job_parameters(job: LiveJob, given: Mapping[str, str]) -> dict[str, str]:
    """The declared parameters with the given values. Raises BackendError for an undeclared one."""
    declared = {item["name"]: str(item.get("default", "")) for item in _parameters(job)}
    for name in given:
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise BackendError(
                f"job {_name(job)!r} has no parameter {name!r}; it declares {known}", code=INVALID
            )
    return {**declared, **given}


def plan_tasks(job: LiveJob, context: RunContext, runners: TaskRunners) -> tuple[PlannedTask, ...]:
    """The tasks of ``job``. Raises one BackendError that lists all that keeps it from starting.

    What is switched off is not looked at: it may be switched off because it cannot run.
    """
    documents = job.settings.get("tasks", ())
    states = {task["task_key"]: RunState.QUEUED for task in documents}
    context = replace(with_parameters(context), states=states)
    problems: list[str] = []
    if "git_source" in job.settings:
        problems.append("git_source does not work on the embedded workspace; files are local")
    tasks: list[PlannedTask] = []
    for document in documents:
        found, task = _planned(document, job, context, runners)
        tasks.append(task)
        key = task.node.task_key
        problems += [] if task.node.disabled else [f"task {key!r}: {text}" for text in found]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise BackendError(f"job {_name(job)!r} cannot run:\n{lines}", code=NOT_RUNNABLE)
    return tuple(tasks)


def with_parameters(context: RunContext) -> RunContext:
    """The context with the references inside the values of job parameters replaced."""
    return replace(context, parameters=resolved(dict(context.parameters), context))


def _planned(
    document: Mapping[str, Any], job: LiveJob, context: RunContext, runners: TaskRunners
) -> tuple[list[str], PlannedTask]:
    (node,) = nodes_of([document])
    needs = read_requirements(document, job.settings)
    policy = RetryPolicy()
    try:
        policy = read_policy(document)
        context = replace(context, task_key=node.task_key)
        work = read_work(resolved(dict(document), context), context.parameters)
        problems = [*_unknown(document, context), *runners.problems(work, needs)]
    except UnrunnableTaskError as error:
        problems = [str(error)]
    return problems, PlannedTask(node, document, policy, needs)


def _unknown(document: Mapping[str, Any], context: RunContext) -> Iterator[str]:
    for reference in unknown_references(dict(document), context):
        yield f"{reference} refers to nothing that is known here"


def _parameters(job: LiveJob) -> list[dict[str, Any]]:
    return list(job.settings.get("parameters", ()))


def _name(job: LiveJob) -> str:
    return str(job.settings.get("name", job.job_id))
