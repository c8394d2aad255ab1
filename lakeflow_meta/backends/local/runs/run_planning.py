"""From a job to a run that can be executed: everything that is wrong is found before it starts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from lakeflow_meta.backends.local.jobs.api_settings import INVALID, dependencies, task_type
from lakeflow_meta.backends.local.runs.control_tasks import (
    inputs_of,
    read_condition,
    read_for_each,
    read_run_job,
)
from lakeflow_meta.backends.local.runs.job_tree import GetJob, tree_problems
from lakeflow_meta.backends.local.runs.references import (
    RunContext,
    Surroundings,
    is_known_late,
    named_tasks,
    reference_problems,
    resolved,
)
from lakeflow_meta.backends.local.runs.run_plan import PlannedTask, TaskKind
from lakeflow_meta.backends.local.runs.task_graph import TaskNode, nodes_of
from lakeflow_meta.backends.local.tasks.task_runners import TaskRunners
from lakeflow_meta.backends.local.tasks.task_work import (
    RetryPolicy,
    UnrunnableTaskError,
    read_policy,
    read_requirements,
    read_work,
)
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ports import LiveJob

NOT_RUNNABLE = "INVALID_RUN_CONFIGURATION"
"""The platform's termination code for a run that cannot start as it is configured."""

_KINDS = {
    "condition_task": TaskKind.CONDITION,
    "for_each_task": TaskKind.FOR_EACH,
    "run_job_task": TaskKind.RUN_JOB,
}
_ARGUMENTS = frozenset({"parameters", "base_parameters", "named_parameters"})


def job_parameters(job: LiveJob, given: Mapping[str, str]) -> dict[str, str]:
    """The declared parameters with the given values. Raises BackendError for an undeclared one."""
    declared = {item["name"]: str(item.get("default", "")) for item in _parameters(job)}
    for name in given:
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            near = get_close_matches(name, declared, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BackendError(
                f"job {_name(job)!r} has no parameter {name!r}; it declares {known}{hint}",
                code=INVALID,
            )
    return {**declared, **given}


@dataclass(frozen=True, slots=True)
class Planner:
    """Looks at every task of one job. ``context`` is that of a run without an id yet."""

    job: LiveJob
    context: RunContext
    runners: TaskRunners
    get_job: GetJob

    def plan(self, only: Collection[str] | None = None) -> tuple[PlannedTask, ...]:
        """The tasks of the job. Raises one BackendError that lists all that keeps it from starting.

        What is switched off is not looked at: it may be switched off because it cannot run. Nor is
        what a repair leaves alone: ``only`` names what it runs.
        """
        problems: list[str] = []
        if "git_source" in self.job.settings:
            problems.append("git_source does not work on the embedded workspace; files are local")
        problems += tree_problems(self.job, self.get_job)
        tasks: list[PlannedTask] = []
        parents = {task["task_key"]: tuple(dependencies(task)) for task in self._documents}
        for document in self._documents:
            around = Surroundings(parents, _above(document, parents))
            found, task = self._planned(document, around)
            tasks.append(task)
            key = task.node.task_key
            if not task.node.disabled and (only is None or key in only):
                problems += [f"task {key!r}: {text}" for text in found]
        if problems:
            lines = "\n".join(f"  {problem}" for problem in problems)
            raise BackendError(f"job {_name(self.job)!r} cannot run:\n{lines}", code=NOT_RUNNABLE)
        return tuple(tasks)

    @property
    def _documents(self) -> list[Mapping[str, Any]]:
        return list(self.job.settings.get("tasks", ()))

    def _planned(
        self, document: Mapping[str, Any], around: Surroundings
    ) -> tuple[list[str], PlannedTask]:
        (node,) = nodes_of([document])
        planned = PlannedTask(
            node,
            document,
            RetryPolicy(),
            read_requirements(document, self.job.settings),
            _KINDS.get(task_type(document), TaskKind.WORK),
            named_tasks(dict(document)),
        )
        context = replace(self.context, task_key=node.task_key)
        problems = list(reference_problems(_without_nested(document), context, around))
        try:
            planned = replace(planned, policy=read_policy(document))
            more, planned = self._looked_at(planned, context, around)
        except UnrunnableTaskError as error:
            more = [str(error)]
        return [*more, *problems], planned

    def _looked_at(
        self, task: PlannedTask, context: RunContext, around: Surroundings
    ) -> tuple[list[str], PlannedTask]:
        document = resolved(dict(task.document), context)
        match task.kind:
            case TaskKind.CONDITION:
                condition = read_condition(document)
                if not is_known_late([condition.left, condition.right]):
                    condition.holds()
                return [], task
            case TaskKind.RUN_JOB:
                read_run_job(document)
                return [], task
            case TaskKind.FOR_EACH:
                return self._loop(task, context, around)
        return self._work_problems(task, document, context), task

    def _loop(
        self, task: PlannedTask, context: RunContext, around: Surroundings
    ) -> tuple[list[str], PlannedTask]:
        loop = read_for_each(task.document)
        if not is_known_late(loop.inputs):
            inputs_of(loop, context)
        problems, nested = self._planned(loop.task, around)
        nested = replace(nested, node=TaskNode(nested.node.task_key))
        return problems, replace(task, loop=loop, nested=nested)

    def _work_problems(
        self, task: PlannedTask, document: Mapping[str, Any], context: RunContext
    ) -> list[str]:
        """What keeps it from starting. Files that are named during the run are not looked for."""
        work = read_work(document, context.parameters)
        kind = task_type(document)
        places = {name: v for name, v in document[kind].items() if name not in _ARGUMENTS}
        if is_known_late(places):
            return list(task.needs.problems)
        return self.runners.problems(work, task.needs)


def with_parameters(context: RunContext) -> RunContext:
    """The context with the references inside the values of job parameters replaced."""
    return replace(context, parameters=resolved(dict(context.parameters), context))


def _without_nested(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a task, without the task that it repeats: that is looked at by itself."""
    loop = document.get("for_each_task")
    if not isinstance(loop, Mapping):
        return dict(document)
    outer = {name: value for name, value in loop.items() if name != "task"}
    return {**document, "for_each_task": outer}


def _above(document: Mapping[str, Any], parents: Mapping[str, Collection[str]]) -> frozenset[str]:
    """All tasks that one depends on, directly or not; none where no reference asks for them."""
    found: set[str] = set()
    waiting = list(parents[document["task_key"]]) if named_tasks(dict(document)) else []
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += parents[key]
    return frozenset(found)


def _parameters(job: LiveJob) -> Iterator[dict[str, Any]]:
    yield from job.settings.get("parameters", ())


def _name(job: LiveJob) -> str:
    return str(job.settings.get("name", job.job_id))
