"""Makes the platform's jobs match the modules: in place, once each, and again without effect.

Only the platform's own "not found" leads to a new job; any other error leads to none. Jobs are
created by one orchestrator at a time (`CreationLock`), after looking for a job that carries the
module's tags.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from lakeflow_meta.control.tables import EVENTS, JOBS, STATE, ControlTables
from lakeflow_meta.errors import ConfigError, LakeflowMetaError
from lakeflow_meta.findings import did_you_mean
from lakeflow_meta.jobs.apply_run import ApplyRun
from lakeflow_meta.jobs.creation_lock import CreationLock
from lakeflow_meta.jobs.interruption import Interruption
from lakeflow_meta.jobs.job_settings import JobContext
from lakeflow_meta.jobs.journal import Journal
from lakeflow_meta.jobs.known_fields import UnknownFields, knows_all
from lakeflow_meta.jobs.live_jobs import LiveJobs
from lakeflow_meta.jobs.outcomes import ApplyStopped, Outcome, raise_failures
from lakeflow_meta.jobs.plan import JobsPlan, OnDrift, Prune
from lakeflow_meta.jobs.plan_basis import PlanBasis
from lakeflow_meta.jobs.plan_check import PlanCheck
from lakeflow_meta.jobs.planner import Planner
from lakeflow_meta.jobs.recorded_jobs import RecordedJobs, read_recorded_jobs
from lakeflow_meta.jobs.saved_queries import SavedQueries
from lakeflow_meta.ports import (
    Actor,
    Clock,
    ControlStore,
    JobRun,
    JobsApi,
    PermissionsApi,
    QueriesApi,
    Sleep,
    nobody,
    utc_now,
)
from lakeflow_meta.progress import Event, Progress, StepState, silent

LIST_FROM = 50
"""From this many jobs or queries on, reading all pages is cheaper than reading one by one."""


class JobOrchestrator:
    """Plans and applies the jobs of one control table, and starts them.

    ``lease_seconds``: how long the right to create jobs outlives a process that dies; far more
    than any clock difference and than one call to the platform takes. ``wait_seconds``: how long
    to wait for another orchestrator that is creating jobs. ``max_parallel``: how many jobs are
    changed at once. ``unknown_fields`` names fields of settings that the platform's client does
    not know; what came by ``extra`` passes. ``with_package`` puts into the context, for each run,
    where the platform has this package; None where it needs none.
    """

    def __init__(
        self,
        store: ControlStore,
        jobs: JobsApi,
        queries: QueriesApi,
        *,
        tables: ControlTables,
        context: JobContext,
        permissions: PermissionsApi,
        clock: Clock = utc_now,
        sleep: Sleep = time.sleep,
        progress: Progress = silent,
        actor: Actor = nobody,
        lease_seconds: float = 60.0,
        wait_seconds: float = 300.0,
        max_parallel: int = 1,
        unknown_fields: UnknownFields = knows_all,
        with_package: Callable[[JobContext], JobContext] | None = None,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._queries = queries
        self._tables = tables
        self._control_table = str(tables.sources)
        self._permissions = permissions
        self._context = replace(context, control_table=self._control_table)
        self._clock = clock
        self._progress = progress
        self._actor = actor
        self._sleep = sleep
        self._max_parallel = max_parallel
        self._unknown_fields = unknown_fields
        self._with_package = with_package
        self._lease_seconds = lease_seconds
        self._wait_seconds = wait_seconds
        self._plans = PlanCheck(store, tables)

    def plan(
        self,
        modules: Sequence[str] | None = None,
        prune: str = Prune.PAUSE,
        on_drift: str = OnDrift.RESTORE,
        *,
        keep: bool = False,
    ) -> JobsPlan:
        """What `apply` would do, for all modules or the named ones. Reads only.

        Raises ConfigError for a module that nobody recorded. ``keep``: note the versions of all
        control tables, to tell later who changed them.
        """
        versions = self._plans.versions() if keep else {}
        made_by = self._actor() if keep else ""
        run = self._start(modules, prune, on_drift, made_by)
        steps = run.planned()
        basis = PlanBasis(
            self._control_table,
            None if modules is None else tuple(run.names),
            run.planner.prune,
            run.planner.on_drift,
            self._clock().isoformat(),
            made_by,
            versions,
            {name: run.planner.basis(step) for name, step in steps.items()},
        )
        return JobsPlan(tuple(step.action for step in steps.values()), basis)

    def apply(
        self,
        modules: Sequence[str] | None = None,
        prune: str | None = None,
        on_drift: str | None = None,
        *,
        plan: JobsPlan | None = None,
    ) -> list[Outcome]:
        """Make jobs as the modules say; one outcome a module, by name, failures among them.

        ``prune`` (pause, delete, keep) is for jobs of modules that are inactive or gone.
        ``on_drift`` (restore, report) is for jobs that others changed since the last apply.
        A module that nobody recorded raises ConfigError before anything is done.

        With ``plan`` exactly that is done, for its modules and with its choices: ConflictError
        before any write when rows or jobs have changed since it was made; a job that changes after
        this check fails alone. Ctrl-C raises `ApplyStopped`.
        """
        if plan is not None and (modules, prune, on_drift) != (None, None, None):
            raise ConfigError("a plan says for which modules and how it is applied; leave that out")
        actor = self._actor()  # what was done must be recorded, so who does it is asked before
        if plan is None:
            run = self._start(modules, prune or Prune.PAUSE, on_drift or OnDrift.RESTORE, actor)
        else:
            run = self._start_planned(plan, actor)
        for layout in (JOBS, EVENTS, STATE):
            self._store.ensure(self._tables.of(layout), layout)
        try:
            run.stop.run(lambda: self._carry_out(run, orphans=plan is None and modules is None))
        except KeyboardInterrupt as stop:
            raise ApplyStopped(run.finished()) from stop
        return run.finished()

    def _carry_out(self, run: ApplyRun, *, orphans: bool) -> None:
        lock = self._lock(run.stop.sleeping(self._sleep))
        try:
            run.apply_existing()
            if not run.stop.asked and (run.waiting or lock.was_abandoned()):
                self._apply_new(run, lock, orphans=orphans)
        finally:  # stopped by Ctrl-C too: what was done is recorded
            run.journal.flush()

    def create_or_update_job(self, module_name: str) -> int:
        """Make one module's job as it says; its id. Raises RunFailedError, ConfigError."""
        outcomes = self.apply([module_name])
        raise_failures(outcomes)
        job_id = outcomes[0].job_id if outcomes else None
        if job_id is None:
            raise ConfigError(f"module {module_name!r} is inactive or has no tasks, so has no job")
        return job_id

    def start(self, module_name: str, parameters: Mapping[str, str] | None = None) -> int:
        """Start the module's job; the run's id. Raises ConfigError when it has no job."""
        recorded = read_recorded_jobs(self._store, self._tables)
        _chosen(recorded, [module_name])
        record = recorded.records.get(module_name)
        if record is None:
            hint = recorded.problems.get(module_name, "apply it first")
            raise ConfigError(f"module {module_name!r} has no job yet: {hint}")
        return self._jobs.run_job(record.job_id, parameters or {})

    def run(self, module_name: str, parameters: Mapping[str, str] | None = None) -> JobRun:
        """Start the module's job and wait until it has ended; how it ended."""
        return self._jobs.follow_run(self.start(module_name, parameters))

    def _apply_new(self, run: ApplyRun, lock: CreationLock, *, orphans: bool) -> None:
        """What needs a new job or query; nobody else creates jobs meanwhile."""
        try:
            with lock.held() as renew:
                run.apply_waiting(read_recorded_jobs(self._store, self._tables), renew)
                if orphans:
                    run.retire_orphans(renew)
                run.journal.flush()
        except LakeflowMetaError as error:
            if not run.waiting:
                run.journal.flush()
                raise
            run.fail_waiting(error)

    def _lock(self, sleep: Sleep) -> CreationLock:
        return CreationLock(
            self._store,
            self._tables.of(STATE),
            clock=self._clock,
            sleep=sleep,
            lease_seconds=self._lease_seconds,
            wait_seconds=self._wait_seconds,
        )

    def _start(
        self, modules: Sequence[str] | None, prune: str, on_drift: str, actor: str
    ) -> ApplyRun:
        if prune not in set(Prune):
            raise ConfigError(f"prune {prune!r}: write one of {', '.join(Prune)}")
        if on_drift not in set(OnDrift):
            raise ConfigError(f"on_drift {on_drift!r}: write {' or '.join(OnDrift)}")
        recorded = read_recorded_jobs(self._store, self._tables)
        names = _chosen(recorded, modules)
        return self._new_run(recorded, names, Prune(prune), OnDrift(on_drift), actor)

    def _start_planned(self, plan: JobsPlan, actor: str) -> ApplyRun:
        """Raises ConfigError for a plan of other control tables, ConflictError for an old one."""
        basis = plan.basis
        if basis.control_table != self._control_table:
            of = basis.control_table or "nothing that could be applied"
            raise ConfigError(f"the plan is one of {of}, not of {self._control_table}")
        recorded = read_recorded_jobs(self._store, self._tables)
        new = set(recorded.names) if basis.modules is None else set()
        names = sorted({*basis.by_module, *new})
        run = self._new_run(recorded, names, Prune(basis.prune), OnDrift(basis.on_drift), actor)
        steps = run.planned()
        self._plans.check(basis, {name: run.planner.basis(step) for name, step in steps.items()})
        run.expected = basis
        return run

    def _new_run(
        self,
        recorded: RecordedJobs,
        names: Sequence[str],
        prune: Prune,
        on_drift: OnDrift,
        actor: str,
    ) -> ApplyRun:
        planner = Planner(
            recorded=recorded,
            prune=prune,
            on_drift=on_drift,
            live=LiveJobs(self._jobs, self._control_table),
            queries=SavedQueries(self._queries, self._control_table),
            permissions=self._permissions,
            context=self._full_context(),
            unknown_fields=self._unknown_fields,
        )
        stop = Interruption(self._tell_stopping)
        run = ApplyRun(
            planner=planner,
            names=names,
            jobs=self._jobs,
            journal=Journal(self._store, self._tables, clock=self._clock, actor=actor),
            progress=self._progress,
            sleep=stop.sleeping(self._sleep),
            stop=stop,
            max_parallel=self._max_parallel,
        )
        known = [recorded.records[name] for name in names if name in recorded.records]
        if len(known) >= LIST_FROM:
            run.list_jobs(with_tasks=True)
        if sum(len(record.applied.queries) for record in known) >= LIST_FROM:
            planner.queries.list_now()
        return run

    def _tell_stopping(self) -> None:
        detail = "stopping; what has begun is ended first"
        self._progress(Event("apply", "", StepState.RUNNING, detail=detail))

    def _full_context(self) -> JobContext:
        return self._with_package(self._context) if self._with_package else self._context


def _chosen(recorded: RecordedJobs, modules: Sequence[str] | None) -> list[str]:
    if modules is None:
        return recorded.names
    known = {*recorded.names, *recorded.modules}
    for name in modules:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(f"no module {name!r} is recorded" + (f"; {hint}" if hint else ""))
    return sorted(set(modules) & set(recorded.names))
