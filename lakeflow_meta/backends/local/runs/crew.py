"""The attempts of one run: those that wait, those under way, and which of these must be stopped.

All methods of `Crew` are called by the run's coordinating thread only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from lakeflow_meta.backends.local.runs.run_plan import PlannedTask, Slots, Step, TaskKind
from lakeflow_meta.backends.local.tasks.task_attempt import Attempt
from lakeflow_meta.ports import RunState, TaskRun

logger = logging.getLogger(__name__)

GIVE_UP_SECONDS = 15.0
"""How long a task that was asked to stop is waited for."""
_CHILD_SECONDS = 5.0
"""How much longer a run of another job is waited for: it waits for its own tasks."""
_STOP_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class WaitingStep:
    """A step that may start, at the earliest at ``not_before`` (monotonic seconds).

    ``attempt`` counts over repairs, ``tries`` from the start of this one.
    """

    step: Step
    task: PlannedTask
    attempt: int = 0
    tries: int = 0
    not_before: float = 0.0


@dataclass(slots=True)
class RunningStep:
    """An attempt under way. ``began`` is in monotonic seconds; ``tries`` counts from the start of
    the run, or of its repair."""

    step: Step
    task: PlannedTask
    record: TaskRun
    attempt: Attempt
    began: float
    tries: int
    stopping: RunState | None = None
    reason: str = ""
    asked_at: float = 0.0
    asked_again_at: float = 0.0

    @property
    def has_slot(self) -> bool:
        """Whether it takes a place of the workspace; a task that only waits does not."""
        return self.task.kind is TaskKind.WORK

    @property
    def patience(self) -> float:
        """Seconds that it is waited for once it was asked to stop."""
        return GIVE_UP_SECONDS + (0 if self.has_slot else _CHILD_SECONDS)

    def ask_to_stop(self, state: RunState, reason: str) -> None:
        """Ask once; ``state`` is how it then ends."""
        if self.stopping is None:
            self.stopping, self.reason = state, reason
            self.asked_at = self.asked_again_at = time.monotonic()
            self.attempt.stop.request()


class Crew:
    """The running steps of one run. ``slots`` are those of the workspace."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._running: dict[Step, RunningStep] = {}

    def __bool__(self) -> bool:
        return bool(self._running)

    def add(self, running: RunningStep) -> None:
        """Watch one more; a step of work has taken its slot before."""
        self._running[running.step] = running

    def take_ended(self) -> Iterator[RunningStep]:
        """Those that have ended since the last time; they are watched no more."""
        for running in list(self._running.values()):
            if running.attempt.result is not None:
                yield self._without(running)

    def ask_to_stop(self, state: RunState, reason: str, task_key: str | None = None) -> None:
        """Ask all, or the iterations of one task."""
        for running in self._running.values():
            if task_key in {None, running.step.task_key}:
                running.ask_to_stop(state, reason)

    def stop_overdue(self) -> Iterator[RunningStep]:
        """Ask what takes too long, ask again what does not listen, and give up in the end.

        Those that are given up are watched no more. They are not to be tried again: they may still
        act.
        """
        now = time.monotonic()
        for running in list(self._running.values()):
            limit = running.task.policy.timeout_seconds
            if limit and now - running.began > limit:
                running.ask_to_stop(RunState.TIMED_OUT, f"stopped after {limit:g} s")
            if running.stopping is None:
                continue
            if now - running.asked_at > running.patience:
                logger.warning("task %s does not stop; the run goes on", running.step.label)
                yield self._without(running)
            elif now - running.asked_again_at > _STOP_AGAIN_SECONDS:
                running.asked_again_at = now
                running.attempt.stop.request()

    def due(self, now: float) -> Iterator[float]:
        """When something must be looked at, without any attempt having ended."""
        for running in self._running.values():
            if running.stopping is not None:
                yield now + _STOP_AGAIN_SECONDS
            elif limit := running.task.policy.timeout_seconds:
                yield running.began + limit

    def let_go(self) -> None:
        """Ask all to stop, and wait for none."""
        for running in list(self._running.values()):
            running.attempt.stop.request()
            self._without(running)

    def _without(self, running: RunningStep) -> RunningStep:
        del self._running[running.step]
        if running.has_slot:
            self._slots.give_back()
        return running
