"""The runs of one embedded workspace: started, queued, followed, cancelled, repaired.

Each run that this process starts has a thread here that executes it, or waits for its turn. Runs of
other processes are seen through ``workspace.db``; one whose process has died is recorded as failed
by whoever looks next.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lakeflow_meta.backends.local.jobs.workspace_db import WorkspaceDb
from lakeflow_meta.backends.local.runs.control_tasks import RunJob
from lakeflow_meta.backends.local.runs.crew import GIVE_UP_SECONDS
from lakeflow_meta.backends.local.runs.job_tree import GetJob
from lakeflow_meta.backends.local.runs.references import RunContext
from lakeflow_meta.backends.local.runs.repairing import before_repair, to_repair
from lakeflow_meta.backends.local.runs.run_engine import RunEngine
from lakeflow_meta.backends.local.runs.run_journal import RunJournal
from lakeflow_meta.backends.local.runs.run_plan import RunPlan, Slots
from lakeflow_meta.backends.local.runs.run_planning import Planner, job_parameters, with_parameters
from lakeflow_meta.backends.local.runs.run_store import EndedRun, Parent, RunRequest, RunStore
from lakeflow_meta.backends.local.runs.step_work import StepWork
from lakeflow_meta.backends.local.runs.task_graph import nodes_of
from lakeflow_meta.backends.local.runs.value_store import ValueStore
from lakeflow_meta.backends.local.tasks.task_runners import TaskRunners
from lakeflow_meta.errors import ConflictError
from lakeflow_meta.ports import (
    Clock,
    JobRun,
    LiveJob,
    RunState,
    Sleep,
    Trigger,
    TriggerKind,
)
from lakeflow_meta.progress import Event, Progress, StepState

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""How often a run of another process, and the queue, is looked at."""


@dataclass(frozen=True, slots=True)
class _Active:
    """A run that this process executes; ``done`` is set when nothing of it is left to record."""

    engine: RunEngine
    done: threading.Event


@dataclass(frozen=True, slots=True)
class Equipment:
    """What runs need from the workspace."""

    folder: Path
    get_job: GetJob
    runners: TaskRunners
    slots: Slots
    clock: Clock
    sleep: Sleep
    progress: Callable[[], Progress]


class LocalRuns:
    """Starts and watches runs. Safe to call from several threads."""

    def __init__(self, database: WorkspaceDb, store: RunStore, equipment: Equipment) -> None:
        self.store = store
        self._values = ValueStore(database)
        self._equipment = equipment
        self._active: dict[int, _Active] = {}

    def close(self) -> None:
        """Cancel what this process still runs, and wait for it."""
        active = list(self._active.values())
        for run in active:
            run.engine.cancel()
        for run in active:
            run.done.wait(GIVE_UP_SECONDS + POLL_SECONDS)

    # ----------------------------------------------------------------- starting

    def start(self, job_id: int, request: RunRequest) -> int:
        """Record a run and start executing it; its id. A request with the token of an earlier one
        of the same job is that one.

        Raises NotFoundError, ConflictError when the job's ``max_concurrent_runs`` are under way and
        it has no queue, and BackendError, before anything has started, when some task cannot run.
        """
        job = self._equipment.get_job(job_id)
        values = job_parameters(job, request.parameters)
        context = self._context(job, values, request.trigger)
        plan = self._plan(job, context)
        self.store.end_abandoned()
        started = self.store.start(job, replace(request, parameters=values))
        if started.is_new:
            plan = replace(plan, log_folder=self._equipment.folder / str(started.run_id))
            context = replace(context, run_id=started.run_id, started_at=started.started_at)
            plan = replace(plan, context=with_parameters(context), path=_path(request.parent))
            self._execute(plan, queued=started.queued)
        return started.run_id

    def repair(self, run_id: int, parent: Parent | None = None) -> None:
        """Run again what failed or did not run, and what depends on it, with the run's settings.

        Raises NotFoundError, ConflictError while it is under way or when nothing is to be repaired,
        BackendError when some task cannot run.
        """
        self.store.end_abandoned()
        ended = self.store.ended(run_id)
        job = LiveJob(ended.run.job_id, ended.settings)
        nodes = nodes_of(ended.settings.get("tasks", ()))
        again = to_repair(nodes, ended.run.tasks)
        if not again:
            raise ConflictError(f"run {run_id} is {ended.run.state}; there is nothing to repair")
        plan = self._plan(job, self._repaired_context(job, ended), only=again)
        self.store.start_repair(run_id, again, ended.run.repair_count)
        before = before_repair(self.store.attempts(run_id), again)
        context = with_parameters(plan.context)
        plan = replace(plan, before=before, context=context, path=_path(parent))
        self._execute(plan, queued=False)

    def _context(self, job: LiveJob, parameters: Mapping[str, str], trigger: Trigger) -> RunContext:
        return RunContext(
            job_id=job.job_id,
            job_name=str(job.settings.get("name", "Untitled")),
            run_id=0,
            started_at=self._equipment.clock(),
            parameters=parameters,
            trigger=trigger,
        )

    def _repaired_context(self, job: LiveJob, ended: EndedRun) -> RunContext:
        run = ended.run
        return replace(
            self._context(job, run.parameters, run.trigger),
            run_id=run.run_id,
            started_at=run.started_at,
            repair_count=run.repair_count + 1,
        )

    def _plan(
        self, job: LiveJob, context: RunContext, only: frozenset[str] | None = None
    ) -> RunPlan:
        equipment = self._equipment
        planner = Planner(job, with_parameters(context), equipment.runners, equipment.get_job)
        return RunPlan(
            context=context,
            tasks=planner.plan(only),
            log_folder=equipment.folder / str(context.run_id),
            timeout_seconds=float(job.settings.get("timeout_seconds", 0)),
        )

    # ----------------------------------------------------------------- runs of run_job tasks

    def start_child(self, work: RunJob, parent: Parent, former: int | None) -> int:
        """See `ChildRuns.start_child`. A repaired task repairs the run that it had started, if that
        had the same parameters and failed; otherwise it starts another."""
        if former is not None:
            run = self.store.get(former)
            given = {**run.parameters, **work.parameters}
            if (run.job_id, run.parameters) == (work.job_id, given) and run.state.bad:
                self.repair(former, parent)
                return former
        trigger = Trigger(TriggerKind.RUN_JOB)
        return self.start(work.job_id, RunRequest(work.parameters, trigger, parent=parent))

    # ----------------------------------------------------------------- watching

    def cancel_run(self, run_id: int) -> None:
        """Ask a run to stop, whichever process runs it. Raises NotFoundError."""
        self.store.ask_to_cancel(run_id)
        active = self._active.get(run_id)
        if active is not None:
            active.engine.cancel()

    def wait_for(self, run_id: int) -> JobRun:
        """Wait for a run of ours; look at the record of any other again and again.

        Not by `Thread.join`: interrupted by Ctrl-C, it takes the thread for ended (Python 3.11).
        """
        mine = self._active.get(run_id)
        if mine is not None:
            mine.done.wait()
        while not self.store.state(run_id).ended:
            self.store.end_abandoned()
            self._equipment.sleep(POLL_SECONDS)
        return self.store.get(run_id)

    # ----------------------------------------------------------------- executing

    def _execute(self, plan: RunPlan, *, queued: bool) -> None:
        run_id = plan.context.run_id
        active = self._active[run_id] = _Active(self._engine(plan), threading.Event())
        # No daemon: a process whose work is done otherwise lets its runs end before it exits.
        thread = threading.Thread(
            target=self._run, args=(plan.context, active, queued), name=f"run-{run_id}"
        )
        try:
            thread.start()
        except RuntimeError as error:  # the machine has no thread left
            self._active.pop(run_id)
            self.store.break_off(run_id, f"it could not be started: {error}")

    def _engine(self, plan: RunPlan) -> RunEngine:
        equipment = self._equipment
        journal = RunJournal(self.store, plan, equipment.progress())
        work = StepWork(plan, equipment.runners, self._values, self)
        return RunEngine(plan, self.store, journal, work, equipment.slots, equipment.clock)

    def _run(self, context: RunContext, active: _Active, queued: bool) -> None:
        run_id = context.run_id
        try:
            if not queued or self._has_its_turn(context, active.engine):
                active.engine.execute()
        except BaseException as error:
            logger.exception("run %s broke off", run_id)
            self.store.break_off(run_id, f"{type(error).__name__}: {error}")
        finally:
            if self._active.get(run_id) is active:
                self._active.pop(run_id)
            active.done.set()
            self._equipment.slots.ring()

    def _has_its_turn(self, context: RunContext, engine: RunEngine) -> bool:
        """Wait in the queue, and tell of it. False when the run ended there."""
        progress = self._equipment.progress()
        waits = f"run {context.run_id} is in the queue: as many run as the job allows at once"
        event = Event("wait", context.job_name, StepState.STARTED, detail=waits)
        progress(event)
        ended = self._wait_in_queue(context.run_id, engine)
        state = StepState.DONE if ended is None else StepState.SKIPPED
        progress(replace(event, state=state, detail=ended or ""))
        return ended is None

    def _wait_in_queue(self, run_id: int, engine: RunEngine) -> str | None:
        """Wait until few enough runs of the job are under way; why it ended before."""
        slots = self._equipment.slots
        while True:
            rings = slots.rings
            if self.store.beat(run_id) or engine.cancel_requested:
                return self._given_up(run_id, "the run was cancelled", RunState.CANCELLED)
            if self.store.take_turn(run_id):
                return None
            if self.store.has_waited_too_long(run_id):
                return self._given_up(run_id, "it waited too long in the queue", RunState.SKIPPED)
            self.store.end_abandoned()
            slots.wait(rings, POLL_SECONDS)

    def _given_up(self, run_id: int, reason: str, state: RunState) -> str:
        self.store.break_off(run_id, reason, state)
        return reason


def _path(parent: Parent | None) -> str:
    """What goes before the names of tasks of a run that a task has started."""
    return f"{parent.path}{parent.task}/" if parent else ""
