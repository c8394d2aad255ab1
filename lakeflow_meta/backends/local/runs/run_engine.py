"""Runs the task graph of one run: starts what may start, stops what must, writes what happens.

One coordinating thread a run does all the deciding and all the writing; the attempts of steps run
in threads of their own and only leave their result. So a run's state has one writer, and what is
in ``workspace.db`` is never ahead of what happened: a step is recorded as running before it starts
and as ended after it ended. Killed anywhere, the record says "running" with a dead owner, which
the next reader turns into "failed" (`RunStore.end_abandoned`); a repair goes on from there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from lakeflow_meta.backends.local.runs.crew import Crew, RunningStep, WaitingStep
from lakeflow_meta.backends.local.runs.frontier import Frontier
from lakeflow_meta.backends.local.runs.loops import Loop
from lakeflow_meta.backends.local.runs.references import NOTHING
from lakeflow_meta.backends.local.runs.run_journal import RunJournal
from lakeflow_meta.backends.local.runs.run_plan import PlannedTask, RunPlan, Slots, Step, TaskKind
from lakeflow_meta.backends.local.runs.run_store import RunStore
from lakeflow_meta.backends.local.runs.step_work import Moment, StepWork
from lakeflow_meta.backends.local.runs.task_graph import Ended, run_outcome
from lakeflow_meta.backends.local.tasks.task_attempt import Attempt
from lakeflow_meta.backends.local.tasks.task_work import UnrunnableTaskError
from lakeflow_meta.ports import Clock, RunState, TaskRun
from lakeflow_meta.progress import StepState

_BEAT_SECONDS = 2.0


class RunEngine:
    """Executes one run. `execute` is the body of its thread; `cancel` may come from any thread."""

    def __init__(
        self,
        plan: RunPlan,
        store: RunStore,
        journal: RunJournal,
        work: StepWork,
        slots: Slots,
        clock: Clock,
    ) -> None:
        self._plan = plan
        self._run_id = plan.context.run_id
        self._store = store
        self._journal = journal
        self._work = work
        self._slots = slots
        self._clock = clock
        self._frontier = Frontier(plan.tasks, plan.before.ended)
        self._attempts = dict(plan.before.attempts)
        self._iterations = dict(plan.before.iterations)
        self._waiting: dict[Step, WaitingStep] = {}
        self._crew = Crew(slots)
        self._loops: dict[str, Loop] = {}
        self._has_loops = any(task.kind is TaskKind.FOR_EACH for task in plan.tasks)
        self._began = time.monotonic()
        self._next_beat = 0.0
        self._ending: RunState | None = None
        self._cancel_requested = False

    @property
    def cancel_requested(self) -> bool:
        """Whether the run is to stop."""
        return self._cancel_requested

    def cancel(self) -> None:
        """Ask the run to stop."""
        self._cancel_requested = True
        self._slots.ring()

    def execute(self) -> None:
        """Run every task that is to run; returns when all have ended and that is recorded."""
        self._began = time.monotonic()
        self._plan.log_folder.mkdir(parents=True, exist_ok=True)
        try:
            while self._goes_on:
                rings = self._slots.rings
                self._step()
                if self._goes_on and not self._frontier.has_ready:
                    self._slots.wait(rings, self._patience())
        except BaseException:
            self._crew.let_go()
            raise
        self._store.end(self._run_id, self._outcome)

    @property
    def _outcome(self) -> RunState:
        """A cancel or a timeout that came too late to keep anything from succeeding is none."""
        outcome = run_outcome([task.node for task in self._plan.tasks], self._frontier.ended)
        return outcome if outcome is RunState.SUCCESS else self._ending or outcome

    @property
    def _goes_on(self) -> bool:
        return bool(self._frontier.is_open or self._waiting or self._crew or self._loops)

    def _step(self) -> None:
        self._collect()
        if self._journal.has_outputs:
            self._journal.flush()
        self._beat()
        self._end_early()
        self._decide()
        self._open_loops()
        started = list(self._start())
        self._journal.flush()
        for attempt in started:
            attempt.start()
        self._stop_overdue()
        self._journal.flush()

    # ----------------------------------------------------------------- deciding

    def _decide(self) -> None:
        """Give every task whose dependencies have ended its verdict."""
        for task, state in self._frontier.decide():
            step = Step(task.node.task_key)
            attempt = self._attempts.get(step, 0)
            if state is not RunState.QUEUED:
                self._end(TaskRun(step.task_key, state, attempt=attempt))
            elif task.kind is TaskKind.CONDITION:
                self._end(self._decided(task, attempt))
            else:
                self._waiting[step] = WaitingStep(step, task, attempt)

    def _decided(self, task: PlannedTask, attempt: int) -> TaskRun:
        """A condition takes no time: "it needs no cluster and supports no retries"."""
        now = self._clock()
        record = TaskRun(task.node.task_key, RunState.SUCCESS, now, now, attempt)
        try:
            holds = self._work.outcome(task, attempt, self._moment)
        except UnrunnableTaskError as error:
            return replace(record, state=RunState.FAILED, error=str(error))
        return replace(record, outcome=str(holds).lower())

    @property
    def _moment(self) -> Moment:
        return Moment(self._frontier.ended, self._attempts)

    def _end_early(self) -> None:
        """On a cancel or the run's own timeout: stop what runs, drop what has not started."""
        if self._ending is None:
            self._ending = self._early_end()
        if self._ending is None:
            return
        for loop in list(self._loops.values()):
            self._stop_loop(loop, self._ending, self._reason)
        for step, waiting in list(self._waiting.items()):
            del self._waiting[step]
            self._end(self._dropped(step, waiting.attempt, self._ending, self._reason))
        for key in self._frontier.give_up():
            attempt = self._attempts.get(Step(key), 0)
            self._end(self._dropped(Step(key), attempt, self._ending, self._reason))
        self._crew.ask_to_stop(self._ending, self._reason)

    def _early_end(self) -> RunState | None:
        if self._cancel_requested:
            return RunState.CANCELLED
        limit = self._plan.timeout_seconds
        return RunState.TIMED_OUT if limit and time.monotonic() - self._began > limit else None

    @property
    def _reason(self) -> str:
        if self._ending is RunState.CANCELLED:
            return "the run was cancelled"
        return f"the run timed out after {self._plan.timeout_seconds:g} s"

    def _dropped(self, step: Step, attempt: int, ending: RunState, reason: str) -> TaskRun:
        """A step that will not start because something around it ends."""
        state = RunState.CANCELLED if ending is RunState.CANCELLED else RunState.SKIPPED
        return self._record(step, state, attempt, error=reason)

    def _record(self, step: Step, state: RunState, attempt: int, error: str = "") -> TaskRun:
        record = TaskRun(step.task_key, state, attempt=attempt, error=error)
        if step.iteration is None:
            return record
        loop = self._loops[step.task_key]
        return replace(record, iteration=step.iteration, input=loop.input(step.iteration))

    # ----------------------------------------------------------------- starting

    def _open_loops(self) -> None:
        now = time.monotonic()
        for step, waiting in list(self._waiting.items()) if self._has_loops else ():
            if waiting.task.kind is TaskKind.FOR_EACH and waiting.not_before <= now:
                del self._waiting[step]
                self._open_loop(waiting)

    def _open_loop(self, waiting: WaitingStep) -> None:
        key, task = waiting.step.task_key, waiting.task
        record = TaskRun(key, RunState.RUNNING, self._clock(), attempt=waiting.attempt)
        if task.loop is None:
            raise AssertionError("a for_each task is planned with its loop")
        try:
            inputs = self._work.inputs(task, task.loop, waiting.attempt, self._moment)
        except UnrunnableTaskError as error:
            failed = replace(record, state=RunState.FAILED, ended_at=self._clock())
            self._end(replace(failed, error=str(error)))
            return
        loop = Loop(task, record, inputs, time.monotonic(), waiting.tries)
        loop.await_all_but(self._has_succeeded)
        self._loops[key] = loop
        self._journal.put(record)
        for number in loop.pending:
            step = Step(key, number)
            self._journal.put(self._record(step, RunState.QUEUED, self._attempts.get(step, 0)))
        self._journal.tell(key, StepState.STARTED, self._done, loop.progress)
        self._go_on_with(loop)

    def _has_succeeded(self, step: Step, value: str) -> bool:
        """Whether an iteration over the same element has succeeded in a former attempt."""
        former = self._iterations.get(step)
        return former is not None and (former.state, former.input) == (RunState.SUCCESS, value)

    def _go_on_with(self, loop: Loop) -> None:
        """Let its next iterations wait for a slot, or end it."""
        nested = loop.task.nested or loop.task
        for step in loop.next_ones():
            self._waiting[step] = WaitingStep(step, nested, self._attempts.get(step, 0))
        if loop.is_finished:
            self._close(loop)

    def _start(self) -> Iterator[Attempt]:
        now = time.monotonic()
        has_slots = True
        for step, waiting in list(self._waiting.items()):
            if waiting.task.kind is TaskKind.FOR_EACH or waiting.not_before > now:
                continue
            if waiting.task.kind is TaskKind.WORK:
                has_slots = has_slots and self._slots.take()
                if not has_slots:
                    continue
            del self._waiting[step]
            running = self._begin(waiting)
            self._crew.add(running)
            yield running.attempt

    def _begin(self, waiting: WaitingStep) -> RunningStep:
        """Record that it runs; its thread is started when that is written."""
        step, task, number = waiting.step, waiting.task, waiting.attempt
        log = self._plan.log_path(step, number)
        record = replace(
            self._record(step, RunState.RUNNING, number), started_at=self._clock(), log_path=log
        )
        self._journal.put(record)
        value = NOTHING
        if step.iteration is not None:
            value = self._loops[step.task_key].inputs[step.iteration]
        attempt = Attempt(
            name=f"run-{self._run_id}-{step.label}",
            log_path=log,
            work=self._work.of(task, step, number, self._moment, value),
            on_end=self._slots.ring,
        )
        if step.iteration is None:
            detail = f"attempt {number + 1}" if number else ""
            self._journal.tell(step.task_key, StepState.STARTED, self._done, detail, log)
        return RunningStep(step, task, record, attempt, time.monotonic(), waiting.tries)

    # ----------------------------------------------------------------- ending

    def _collect(self) -> None:
        for running in self._crew.take_ended():
            self._finish(running)

    def _finish(self, running: RunningStep) -> None:
        result = running.attempt.result
        if result is None:
            raise AssertionError("only an attempt that has ended is finished")
        if not result.error:
            if running.step.iteration is None:
                self._journal.keep_output(running.step.task_key, result.output)
            self._end(self._closed(running.record, RunState.SUCCESS))
        elif running.stopping is not None:
            self._stopped(running)
        else:
            closed = self._closed(running.record, RunState.FAILED, result.error)
            self._retry_or_end(running.step, running.task, closed, running.tries, running.began)

    def _stopped(self, running: RunningStep) -> None:
        state, reason = running.stopping or RunState.CANCELLED, running.reason
        if self._ending is not None:
            state, reason = self._ending, self._reason
        closed = self._closed(running.record, state, reason)
        self._retry_or_end(running.step, running.task, closed, running.tries, running.began)

    def _closed(self, record: TaskRun, state: RunState, error: str = "") -> TaskRun:
        return replace(record, state=state, ended_at=self._clock(), error=error)

    def _retry_or_end(
        self, step: Step, task: PlannedTask, closed: TaskRun, tries: int, began: float
    ) -> None:
        if not self._may_retry(step, task, closed, tries):
            self._end(closed)
            return
        attempt = closed.attempt + 1
        self._attempts[step] = attempt
        self._journal.put(closed)
        self._journal.put(self._record(step, RunState.WAITING_FOR_RETRY, attempt))
        not_before = began + task.policy.min_interval_seconds
        self._waiting[step] = WaitingStep(step, task, attempt, tries + 1, not_before)
        detail = f"will be tried again: {closed.error}"
        self._journal.tell(step.label, StepState.RUNNING, self._done, detail)

    def _may_retry(self, step: Step, task: PlannedTask, closed: TaskRun, tries: int) -> bool:
        loop = None if step.iteration is None else self._loops[step.task_key]
        is_ending = self._ending is not None or (loop is not None and loop.stopping is not None)
        late = closed.state is RunState.TIMED_OUT and task.policy.on_timeout
        may = closed.state is RunState.FAILED or late
        return may and not is_ending and task.policy.allows_after(tries)

    def _end(self, record: TaskRun) -> None:
        self._journal.put(record)
        if record.iteration is not None:
            self._end_iteration(record, record.iteration)
            return
        self._frontier.end(record.task_key, Ended(record.state, record.outcome))
        self._journal.tell_end(record, self._done)

    def _end_iteration(self, record: TaskRun, number: int) -> None:
        step, loop = Step(record.task_key, number), self._loops[record.task_key]
        self._iterations[step] = record
        self._attempts[step] = record.attempt + 1
        loop.end(record)
        self._journal.tell(loop.key, StepState.RUNNING, self._done, loop.progress)
        self._go_on_with(loop)

    def _close(self, loop: Loop) -> None:
        """All its iterations have ended."""
        del self._loops[loop.key]
        state, error = loop.outcome
        closed = self._closed(loop.record, state, error)
        self._retry_or_end(Step(loop.key), loop.task, closed, loop.tries, loop.began)

    @property
    def _done(self) -> int:
        return len(self._frontier.ended)

    # ----------------------------------------------------------------- stopping

    def _stop_overdue(self) -> None:
        now = time.monotonic()
        for loop in list(self._loops.values()):
            limit = loop.task.policy.timeout_seconds
            if limit and now - loop.began > limit:
                self._stop_loop(loop, RunState.TIMED_OUT, f"stopped after {limit:g} s")
        for running in self._crew.stop_overdue():
            state = running.stopping or RunState.CANCELLED
            error = "it could not be stopped and may still be running in this process"
            self._end(self._closed(running.record, state, error))

    def _stop_loop(self, loop: Loop, ending: RunState, reason: str) -> None:
        """Stop the iterations that run, drop the others; it ends with the last of them."""
        if loop.stopping is not None:
            return
        loop.stopping, loop.reason = ending, reason
        dropped = [Step(loop.key, number) for number in loop.pending]
        loop.pending.clear()
        dropped += [step for step in self._waiting if step.task_key == loop.key]
        self._crew.ask_to_stop(ending, reason, loop.key)
        for step in dropped:
            waiting = self._waiting.pop(step, None)
            attempt = waiting.attempt if waiting else self._attempts.get(step, 0)
            record = self._dropped(step, attempt, ending, reason)
            self._journal.put(record)
            loop.end(record)
        if loop.is_finished:
            self._close(loop)

    # ----------------------------------------------------------------- time

    def _beat(self) -> None:
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + _BEAT_SECONDS
            self._cancel_requested = self._store.beat(self._run_id) or self._cancel_requested

    def _patience(self) -> float:
        """Seconds until something is due by itself: a beat, a retry, a timeout."""
        now = time.monotonic()
        due = [self._next_beat, *self._limits(now)]
        due += [
            waiting.not_before for waiting in self._waiting.values() if waiting.not_before > now
        ]
        if self._plan.timeout_seconds and self._ending is None:
            due.append(self._began + self._plan.timeout_seconds)
        return max(min(due) - now, 0.0) + 0.001

    def _limits(self, now: float) -> Iterator[float]:
        yield from self._crew.due(now)
        for loop in self._loops.values():
            if (limit := loop.task.policy.timeout_seconds) and loop.stopping is None:
                yield loop.began + limit
