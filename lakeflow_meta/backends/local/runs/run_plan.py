"""A run as it will be executed. Pure values, but for `Slots`.

What is executed is a step: a task, or one iteration of a for_each task.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from lakeflow_meta.backends.local.runs.control_tasks import ForEach
from lakeflow_meta.backends.local.runs.references import RunContext
from lakeflow_meta.backends.local.runs.task_graph import Ended, TaskNode
from lakeflow_meta.backends.local.tasks.task_work import Requirements, RetryPolicy
from lakeflow_meta.ports import TaskRun


class TaskKind(StrEnum):
    """How a task is executed. Only work takes one of the workspace's slots: the others wait."""

    WORK = "work"
    CONDITION = "condition"
    FOR_EACH = "for_each"
    RUN_JOB = "run_job"


class Step(NamedTuple):
    """A task of a run (``iteration`` is None), or one iteration of a for_each task."""

    task_key: str
    iteration: int | None = None

    @property
    def label(self) -> str:
        """As people name it: ``load``, ``load[3]``."""
        return self.task_key if self.iteration is None else f"{self.task_key}[{self.iteration}]"


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task that was found to be runnable. ``document`` still holds its references.

    ``loop`` and ``nested`` are those of a for_each task; ``named`` are the tasks that its
    references name.
    """

    node: TaskNode
    document: Mapping[str, Any]
    policy: RetryPolicy
    needs: Requirements
    kind: TaskKind = TaskKind.WORK
    named: frozenset[str] = frozenset()
    loop: ForEach | None = None
    nested: PlannedTask | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """What a repair keeps of a run: tasks that have ended, the attempts that each step had, and
    the last attempts of iterations."""

    ended: Mapping[str, Ended] = field(default_factory=dict)
    attempts: Mapping[Step, int] = field(default_factory=dict)
    iterations: Mapping[Step, TaskRun] = field(default_factory=dict)
    children: Mapping[Step, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run as it will be executed. ``path`` goes before its tasks' names where people are told."""

    context: RunContext
    tasks: tuple[PlannedTask, ...]
    log_folder: Path
    timeout_seconds: float = 0.0
    before: Before = field(default_factory=Before)
    path: str = ""

    def log_path(self, step: Step, attempt: int) -> Path:
        """Where the output of one attempt is kept. A task key holds no dot: no two collide."""
        each = "" if step.iteration is None else f".each-{step.iteration}"
        number = f".{attempt}" if attempt else ""
        return self.log_folder / f"{step.task_key}{each}{number}.log"


class Slots:
    """How many tasks may run at once in one workspace, and the bell that rings on every change."""

    def __init__(self, count: int) -> None:
        self._bell = threading.Condition()
        self._free = count
        self._rings = 0

    @property
    def rings(self) -> int:
        """How often the bell rang; give it to `wait` so that no ring is missed."""
        with self._bell:
            return self._rings

    def take(self) -> bool:
        """Take a free slot, if there is one."""
        with self._bell:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def give_back(self) -> None:
        """Free a slot."""
        with self._bell:
            self._free += 1
        self.ring()

    def ring(self) -> None:
        """Wake every run."""
        with self._bell:
            self._rings += 1
            self._bell.notify_all()

    def wait(self, rings: int, seconds: float) -> None:
        """Wait for a ring after ``rings``, but not longer than ``seconds``."""
        with self._bell:
            self._bell.wait_for(lambda: self._rings != rings, seconds)
