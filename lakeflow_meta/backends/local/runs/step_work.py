"""What an attempt of a step does: references are replaced, then its work is run.

The callables that are made here run in the thread of their attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TextIO

from lakeflow_meta.backends.local.runs.control_tasks import (
    ForEach,
    RunJob,
    inputs_of,
    read_condition,
    read_run_job,
)
from lakeflow_meta.backends.local.runs.references import NOTHING, RunContext, TaskFacts, resolved
from lakeflow_meta.backends.local.runs.run_plan import PlannedTask, RunPlan, Step, TaskKind
from lakeflow_meta.backends.local.runs.run_store import Parent
from lakeflow_meta.backends.local.runs.task_graph import Ended
from lakeflow_meta.backends.local.runs.value_store import RunValues, ValueStore
from lakeflow_meta.backends.local.tasks.task_attempt import StopSignal, TaskFailedError
from lakeflow_meta.backends.local.tasks.task_context import TaskContext, TaskOutput
from lakeflow_meta.backends.local.tasks.task_runners import TaskRunners
from lakeflow_meta.backends.local.tasks.task_work import read_work
from lakeflow_meta.ports import JobRun, RunState

Work = Callable[[TextIO, StopSignal], TaskOutput | None]


class ChildRuns(Protocol):
    """Runs that run_job tasks start, in this process."""

    def start_child(self, work: RunJob, parent: Parent, former: int | None) -> int:
        """Start a run of another job; its id. ``former`` is the run that a repair goes on with."""

    def cancel_run(self, run_id: int) -> None:
        """Ask it to stop."""

    def wait_for(self, run_id: int) -> JobRun:
        """Wait until it has ended; how it ended."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How far the run is when a step starts: the tasks that have ended, and their attempts."""

    ended: Mapping[str, Ended]
    attempts: Mapping[Step, int]


class StepWork:
    """Makes the work of the steps of one run."""

    def __init__(
        self, plan: RunPlan, runners: TaskRunners, values: ValueStore, children: ChildRuns
    ) -> None:
        self._plan = plan
        self._run_id = plan.context.run_id
        self._runners = runners
        self._values = values
        self._children = children

    def inputs(self, task: PlannedTask, loop: ForEach, attempt: int, at: Moment) -> list[Any]:
        """The elements of a for_each task. Raises UnrunnableTaskError."""
        return inputs_of(loop, self._context(task, attempt, at))

    def outcome(self, task: PlannedTask, attempt: int, at: Moment) -> bool:
        """What a condition task decides. Raises UnrunnableTaskError."""
        return read_condition(resolved(task.document, self._context(task, attempt, at))).holds()

    def of(
        self, task: PlannedTask, step: Step, attempt: int, at: Moment, value: Any = NOTHING
    ) -> Work:
        """What an attempt does; ``value`` is the element of an iteration."""

        def work(output: TextIO, stop: StopSignal) -> TaskOutput | None:
            context = replace(self._context(task, attempt, at), input=value)
            document = resolved(task.document, context)
            if task.kind is TaskKind.RUN_JOB:
                self._run_job(read_run_job(document), step, attempt, output, stop)
                return None
            what = read_work(document, context.parameters)
            return self._runners.run(what, task.needs, self._for(step, attempt), output, stop)

        return work

    def _for(self, step: Step, attempt: int) -> TaskContext:
        context = self._plan.context
        return TaskContext(
            run_id=self._run_id,
            job_id=context.job_id,
            job_name=context.job_name,
            task_key=step.task_key,
            attempt=attempt,
            values=RunValues(self._values, self._run_id, step.label),
            iteration=step.iteration,
        )

    def _context(self, task: PlannedTask, attempt: int, at: Moment) -> RunContext:
        named = [key for key in task.named if key in at.ended]
        outputs = self._values.outputs(self._run_id, named) if named else {}
        facts = {
            key: TaskFacts(
                state=at.ended[key].state,
                attempts=at.attempts.get(Step(key), 0) + 1,
                values=self._values.of_task(self._run_id, key),
                output=outputs.get(key, NOTHING),
            )
            for key in named
        }
        key = task.node.task_key
        return replace(self._plan.context, task_key=key, attempt=attempt, tasks=facts)

    def _run_job(
        self, work: RunJob, step: Step, attempt: int, output: TextIO, stop: StopSignal
    ) -> None:
        """Run another job to its end. Its failure is this task's."""
        stop.check()
        former = self._plan.before.children.get(step)
        parent = Parent(self._run_id, step.label, attempt, self._plan.path)
        run_id = self._children.start_child(work, parent, former)
        output.write(f"run {run_id} of job {work.job_id}\n")
        output.flush()
        with stop.by(lambda: self._children.cancel_run(run_id)):
            run = self._children.wait_for(run_id)
        output.write(f"run {run_id} of job {run.job_name}: {run.state}\n")
        stop.check()
        if run.state not in (RunState.SUCCESS, RunState.SUCCESS_WITH_FAILURES):
            failed = next((task for task in run.tasks if task.error), None)
            cause = run.error or (f"task {failed.label}: {failed.error}" if failed else "")
            told = f"run {run_id} of job {run.job_name!r} is {run.state}"
            raise TaskFailedError(f"{told}; {cause}" if cause else told)
