"""One for_each task under way: which of its iterations wait, run, and failed. Pure.

"If an iteration fails, the others go on; the task fails when all have ended":
https://docs.databricks.com/jobs/for-each
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakeflow_meta.backends.local.runs.run_plan import PlannedTask, Step
from lakeflow_meta.backends.local.tasks.task_context import as_json
from lakeflow_meta.ports import RunState, TaskRun


@dataclass(slots=True)
class Loop:
    """One attempt of a for_each task. ``began`` is in monotonic seconds; ``tries`` count from 0."""

    task: PlannedTask
    record: TaskRun
    inputs: Sequence[Any]
    began: float
    tries: int
    pending: deque[int] = field(default_factory=deque)
    active: set[int] = field(default_factory=set)
    failures: list[TaskRun] = field(default_factory=list)
    stopping: RunState | None = None
    reason: str = ""

    @property
    def key(self) -> str:
        """The task's."""
        return self.task.node.task_key

    @property
    def is_finished(self) -> bool:
        """Whether nothing of it waits or runs."""
        return not self.pending and not self.active

    @property
    def done(self) -> int:
        """How many elements are done with, well or badly, those of former attempts among them."""
        return len(self.inputs) - len(self.pending) - len(self.active)

    def await_all_but(self, is_done: Callable[[Step, str], bool]) -> None:
        """Let every element wait for its iteration, unless it has had one that succeeded."""
        for number in range(len(self.inputs)):
            if not is_done(Step(self.key, number), self.input(number)):
                self.pending.append(number)

    def next_ones(self) -> list[Step]:
        """Iterations that may start now; they count as active from here on."""
        limit = self.task.loop.concurrency if self.task.loop else 1
        found: list[Step] = []
        while self.pending and len(self.active) < limit:
            number = self.pending.popleft()
            self.active.add(number)
            found.append(Step(self.key, number))
        return found

    def input(self, number: int) -> str:
        """An element as JSON."""
        return as_json(self.inputs[number])

    def end(self, iteration: TaskRun) -> None:
        """Note how an iteration ended."""
        self.active.discard(iteration.iteration if iteration.iteration is not None else -1)
        if iteration.state is not RunState.SUCCESS:
            self.failures.append(iteration)

    @property
    def outcome(self) -> tuple[RunState, str]:
        """How the task ends, and why."""
        if self.stopping is not None:
            return self.stopping, self.reason
        if not self.failures:
            return RunState.SUCCESS, ""
        first = min(self.failures, key=lambda failed: failed.iteration or 0)
        count = f"{len(self.failures)} of {len(self.inputs)} iterations failed"
        return RunState.FAILED, f"{count}; {first.label}: {first.error}"

    @property
    def progress(self) -> str:
        """One short line."""
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"{self.done} of {len(self.inputs)} iterations{failed}"
