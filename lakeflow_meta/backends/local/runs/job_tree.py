"""Which jobs a job runs by its run_job tasks, and what is wrong with that. Pure.

"Databricks does not support jobs with circular dependencies or that nest more than three Run Job
tasks": https://docs.databricks.com/jobs/run-job
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.ports import LiveJob

MAX_NESTED = 3
"""How many run_job tasks may lie in each other."""

GetJob = Callable[[int], LiveJob]


def tree_problems(job: LiveJob, get_job: GetJob) -> Iterator[str]:
    """One line for each way down that is missing, circular or too deep."""
    yield from dict.fromkeys(_below((job,), get_job))


def run_jobs(task: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The ``run_job_task`` of a task, or of what it repeats."""
    nested = task.get("for_each_task", {}).get("task", {}) if _is_loop(task) else {}
    for document in (task, nested):
        if "run_job_task" in document and isinstance(document["run_job_task"], Mapping):
            yield document["run_job_task"]


def _is_loop(task: Mapping[str, Any]) -> bool:
    loop = task.get("for_each_task")
    return isinstance(loop, Mapping) and isinstance(loop.get("task"), Mapping)


def _below(path: tuple[LiveJob, ...], get_job: GetJob) -> Iterator[str]:
    for task in path[-1].settings.get("tasks", ()):
        for work in run_jobs(task) if not task.get("disabled") else ():
            yield from _step(path, task["task_key"], work, get_job)


def _step(
    path: tuple[LiveJob, ...], key: str, work: Mapping[str, Any], get_job: GetJob
) -> Iterator[str]:
    chain = _chain(path)
    try:
        job = get_job(work.get("job_id", 0))
    except NotFoundError:
        yield f"task {key!r} of {chain} runs job {work.get('job_id')}, which does not exist"
        return
    longer = (*path, job)
    if any(job.job_id == before.job_id for before in path):
        yield f"jobs run each other without end: {_chain(longer)}"
    elif len(path) > MAX_NESTED:
        yield f"more than {MAX_NESTED} run_job tasks lie in each other: {_chain(longer)}"
    else:
        yield from _wrong_parameters(key, work, job)
        yield from _below(longer, get_job)


def _wrong_parameters(key: str, work: Mapping[str, Any], job: LiveJob) -> Iterator[str]:
    declared = [item["name"] for item in job.settings.get("parameters", ())]
    for name in work.get("job_parameters") or ():
        if name not in declared:
            near = get_close_matches(name, declared, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it declares {declared or 'none'}"
            yield f"task {key!r}: job {_name(job)!r} has no parameter {name!r}; {hint}"


def _chain(path: tuple[LiveJob, ...]) -> str:
    return " -> ".join(_name(job) for job in path)


def _name(job: LiveJob) -> str:
    return str(job.settings.get("name", job.job_id))
