"""Runs the task graph of one run: starts what may start, stops what must, writes what happens.

One coordinating thread a run does all the deciding and all the writing; the attempts of tasks run
in threads of their own and only leave their result. So a run's state has one writer, and what is
in ``workspace.db`` is never ahead of what happened: a task is recorded as running before it starts
and as ended after it ended. Killed anywhere, the record says "running" with a dead owner, which
the next reader turns into "failed" (`RunStore.end_abandoned`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from lakeflow_meta.backends.local.jobs.references import RunContext, resolved
from lakeflow_meta.backends.local.jobs.run_store import RunStore
from lakeflow_meta.backends.local.jobs.task_attempt import Attempt, StopSignal
from lakeflow_meta.backends.local.jobs.task_graph import Ended, TaskNode, run_outcome, verdict
from lakeflow_meta.backends.local.jobs.task_runners import TaskRunners
from lakeflow_meta.backends.local.jobs.task_work import Requirements, RetryPolicy, read_work
from lakeflow_meta.ports import Clock, RunState, TaskRun
from lakeflow_meta.progress import Event, Progress, StepState

logger = logging.getLogger(__name__)

GIVE_UP_SECONDS = 15.0
"""How long a task that was asked to stop is waited for."""
_STOP_AGAIN_SECONDS = 0.5
_BEAT_SECONDS = 2.0


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


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task that was found to be runnable. ``document`` still holds its references."""

    node: TaskNode
    document: Mapping[str, Any]
    policy: RetryPolicy
    needs: Requirements


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run as it will be executed."""

    context: RunContext
    tasks: tuple[PlannedTask, ...]
    log_folder: Path
    timeout_seconds: float = 0.0


@dataclass(slots=True)
class _Running:
    task: PlannedTask
    record: TaskRun
    attempt: Attempt
    began: float
    stopping: RunState | None = None
    asked_at: float = 0.0
    asked_again_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A task that may start, at the earliest at ``not_before`` (monotonic seconds)."""

    task: PlannedTask
    attempt: int = 0
    not_before: float = 0.0


class RunEngine:
    """Executes one run. `execute` is the body of its thread; `cancel` may come from any thread."""

    def __init__(
        self,
        plan: RunPlan,
        store: RunStore,
        runners: TaskRunners,
        slots: Slots,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._run_id = plan.context.run_id
        self._store = store
        self._runners = runners
        self._slots = slots
        self._clock = clock
        self._progress = progress
        self._undecided = {task.node.task_key: task for task in plan.tasks}
        self._waiting: dict[str, _Waiting] = {}
        self._running: dict[str, _Running] = {}
        self._ended: dict[str, Ended] = {}
        self._began = time.monotonic()
        self._next_beat = 0.0
        self._ending: RunState | None = None
        self._cancel_requested = False

    def cancel(self) -> None:
        """Ask the run to stop."""
        self._cancel_requested = True
        self._slots.ring()

    def execute(self) -> None:
        """Run every task that is to run; returns when all have ended and that is recorded."""
        try:
            while self._undecided or self._waiting or self._running:
                rings = self._slots.rings
                self._step()
                if self._undecided or self._waiting or self._running:
                    self._slots.wait(rings, self._patience())
        except BaseException:
            self._let_go()
            raise
        outcome = run_outcome([task.node for task in self._plan.tasks], self._ended)
        self._store.end(self._run_id, self._ending or outcome)

    def _step(self) -> None:
        self._collect()
        self._beat()
        self._end_early()
        self._decide()
        self._start()
        self._stop_overdue()

    # ----------------------------------------------------------------- deciding

    def _decide(self) -> None:
        """Give every task whose dependencies have ended its verdict; verdicts bring verdicts."""
        decided = True
        while decided:
            decided = False
            for key, task in list(self._undecided.items()):
                state = verdict(task.node, self._ended)
                if state is None:
                    continue
                decided = True
                del self._undecided[key]
                if state is RunState.QUEUED:
                    self._waiting[key] = _Waiting(task)
                else:
                    self._end(TaskRun(key, state))

    def _end_early(self) -> None:
        """On a cancel or the run's own timeout: stop what runs, drop what has not started."""
        if self._ending is None:
            self._ending = self._early_end()
        if self._ending is None:
            return
        cancelled = self._ending is RunState.CANCELLED
        state = RunState.CANCELLED if cancelled else RunState.SKIPPED
        reason = "the run was cancelled" if cancelled else "the run timed out"
        for key in self._undecided:
            self._end(TaskRun(key, state, error=reason))
        for key, waiting in self._waiting.items():
            self._end(TaskRun(key, state, attempt=waiting.attempt, error=reason))
        self._undecided.clear()
        self._waiting.clear()
        for running in self._running.values():
            self._ask_to_stop(running, self._ending)

    def _early_end(self) -> RunState | None:
        if self._cancel_requested:
            return RunState.CANCELLED
        limit = self._plan.timeout_seconds
        return RunState.TIMED_OUT if limit and time.monotonic() - self._began > limit else None

    # ----------------------------------------------------------------- starting

    def _start(self) -> None:
        now = time.monotonic()
        for key, waiting in list(self._waiting.items()):
            if waiting.not_before > now:
                continue
            if not self._slots.take():
                return
            del self._waiting[key]
            self._running[key] = self._begin(waiting)

    def _begin(self, waiting: _Waiting) -> _Running:
        task, number = waiting.task, waiting.attempt
        key = task.node.task_key
        log = log_path(self._plan.log_folder, key, number)
        record = TaskRun(key, RunState.RUNNING, self._clock(), attempt=number, log_path=log)
        self._store.put_task(self._run_id, record)
        attempt = Attempt(
            name=f"run-{self._run_id}-{key}",
            log_path=log,
            work=self._work(task, number),
            on_end=self._slots.ring,
        )
        detail = f"attempt {number + 1}" if number else ""
        self._tell(key, StepState.STARTED, detail)
        attempt.start()
        return _Running(task, record, attempt, began=time.monotonic())

    def _work(self, task: PlannedTask, number: int) -> Callable[[TextIO, StopSignal], None]:
        key = task.node.task_key
        states = {other: ended.state for other, ended in self._ended.items()}
        context = replace(self._plan.context, task_key=key, attempt=number, states=states)
        tag = f"run-{self._run_id}-{key}-{number}"

        def work(output: TextIO, stop: StopSignal) -> None:
            what = read_work(resolved(task.document, context), context.parameters)
            self._runners.run(what, task.needs, tag, output, stop)

        return work

    # ----------------------------------------------------------------- ending

    def _collect(self) -> None:
        for key, running in list(self._running.items()):
            if running.attempt.result is not None:
                del self._running[key]
                self._slots.give_back()
                self._finish(running)

    def _finish(self, running: _Running) -> None:
        result = running.attempt.result
        if result is None:
            raise AssertionError("only an attempt that has ended is finished")
        if not result.error:
            self._end(self._closed(running, RunState.SUCCESS))
        elif running.stopping is not None:
            self._stopped(running)
        else:
            self._retry_or_end(running, self._closed(running, RunState.FAILED, result.error))

    def _stopped(self, running: _Running) -> None:
        limit = running.task.policy.timeout_seconds
        if self._ending is not None or running.stopping is RunState.CANCELLED:
            reason = "the run was cancelled"
            if self._ending is RunState.TIMED_OUT:
                reason = "the run timed out"
            self._end(self._closed(running, self._ending or RunState.CANCELLED, reason))
            return
        closed = self._closed(running, RunState.TIMED_OUT, f"stopped after {limit:g} s")
        self._retry_or_end(running, closed)

    def _closed(self, running: _Running, state: RunState, error: str = "") -> TaskRun:
        return replace(running.record, state=state, ended_at=self._clock(), error=error)

    def _retry_or_end(self, running: _Running, closed: TaskRun) -> None:
        policy = running.task.policy
        may = closed.state is RunState.FAILED or policy.on_timeout
        if not may or self._ending is not None or not policy.allows_after(closed.attempt):
            self._end(closed)
            return
        self._store.put_task(self._run_id, closed)
        number = closed.attempt + 1
        key = closed.task_key
        self._store.put_task(self._run_id, TaskRun(key, RunState.WAITING_FOR_RETRY, attempt=number))
        not_before = running.began + policy.min_interval_seconds
        self._waiting[key] = _Waiting(running.task, number, not_before)
        self._tell(key, StepState.RUNNING, f"will be tried again: {closed.error}")

    def _end(self, record: TaskRun) -> None:
        self._store.put_task(self._run_id, record)
        self._ended[record.task_key] = Ended(record.state)
        self._tell(record.task_key, _STEPS.get(record.state, StepState.SKIPPED), _detail(record))

    # ----------------------------------------------------------------- stopping

    def _stop_overdue(self) -> None:
        now = time.monotonic()
        for key, running in list(self._running.items()):
            limit = running.task.policy.timeout_seconds
            if limit and now - running.began > limit:
                self._ask_to_stop(running, RunState.TIMED_OUT)
            if running.stopping is None:
                continue
            if now - running.asked_at > GIVE_UP_SECONDS:
                del self._running[key]
                self._abandon(running)
            elif now - running.asked_again_at > _STOP_AGAIN_SECONDS:
                running.asked_again_at = now
                running.attempt.stop.request()

    def _ask_to_stop(self, running: _Running, reason: RunState) -> None:
        if running.stopping is None:
            running.stopping = reason
            running.asked_at = running.asked_again_at = time.monotonic()
            running.attempt.stop.request()

    def _abandon(self, running: _Running) -> None:
        """Go on without a task that does not stop. It is not tried again: it may still act."""
        self._slots.give_back()
        state = running.stopping or RunState.CANCELLED
        error = "it could not be stopped and may still be running in this process"
        logger.warning("task %s: %s", running.record.task_key, error)
        self._end(self._closed(running, state, error))

    def _let_go(self) -> None:
        """The coordinator itself failed: leave nothing running behind."""
        for running in self._running.values():
            running.attempt.stop.request()
            self._slots.give_back()

    # ----------------------------------------------------------------- time and telling

    def _beat(self) -> None:
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + _BEAT_SECONDS
            self._cancel_requested = self._store.beat(self._run_id) or self._cancel_requested

    def _patience(self) -> float:
        """Seconds until something is due by itself: a beat, a retry, a timeout."""
        now = time.monotonic()
        due = [self._next_beat]
        due += [
            waiting.not_before for waiting in self._waiting.values() if waiting.not_before > now
        ]
        for running in self._running.values():
            limit = running.task.policy.timeout_seconds
            if running.stopping is not None:
                due.append(now + _STOP_AGAIN_SECONDS)
            elif limit:
                due.append(running.began + limit)
        if self._plan.timeout_seconds and self._ending is None:
            due.append(self._began + self._plan.timeout_seconds)
        return max(min(due) - now, 0.0) + 0.001

    def _tell(self, key: str, state: StepState, detail: str) -> None:
        total = len(self._plan.tasks)
        self._progress(Event("run", key, state, len(self._ended), total, detail))


_STEPS = {
    RunState.SUCCESS: StepState.DONE,
    RunState.FAILED: StepState.FAILED,
    RunState.TIMED_OUT: StepState.FAILED,
    RunState.CANCELLED: StepState.FAILED,
    RunState.UPSTREAM_FAILED: StepState.SKIPPED,
}


def _detail(record: TaskRun) -> str:
    if record.state is RunState.SUCCESS:
        return f"{record.seconds:.1f} s"
    return f"{record.state}: {record.error}" if record.error else str(record.state)


def log_path(folder: Path, task_key: str, attempt: int) -> Path:
    """Where the output of one attempt is kept. A task key holds no dot, so no two collide."""
    return folder / (f"{task_key}.{attempt}.log" if attempt else f"{task_key}.log")
