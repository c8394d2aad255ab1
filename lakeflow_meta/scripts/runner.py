"""Runs DDL scripts, each once. A verb; acts through ports.

Targets run at the same time, the scripts of a target one after another; a script that fails stops
its target and no other one. What ran is a row in ``ddl_script_executions``; a row with `Success`
means: never again.

A script must be repeatable (``IF NOT EXISTS`` and its like): a process that dies after the work and
before its row is written leaves a script that runs again, and the statements before one that failed
run again with it.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache

from lakeflow_meta.control.rows import RowError
from lakeflow_meta.control.tables import DDL_SCRIPTS, EXECUTIONS, STATE, ControlTables, TableLayout
from lakeflow_meta.errors import BackendError, ConfigError, ConflictError, NotFoundError
from lakeflow_meta.findings import did_you_mean
from lakeflow_meta.ports import (
    Actor,
    Clock,
    ControlStore,
    Row,
    Sleep,
    SqlSession,
    nobody,
    utc_now,
)
from lakeflow_meta.progress import Event, Progress, StepState, silent
from lakeflow_meta.scripts.report import (
    Applied,
    ScriptOutcome,
    ScriptsReport,
    ScriptStatus,
    TargetReport,
    plan_target,
)
from lakeflow_meta.scripts.script import Language, Script, number_findings, read_script
from lakeflow_meta.scripts.target_lease import LeaseTerms, TargetLease
from lakeflow_meta.sql import split_statements

__all__ = ["ScriptRunner", "ScriptsReport"]

logger = logging.getLogger(__name__)

_STEP = "run script"
SUCCESS = "Success"
FAILURE = "Failure"

RunPython = Callable[[str, str], None]
"""Runs a Python script: its text and its identity. Raises BackendError."""


class ScriptRunner:
    """Runs the recorded scripts of targets.

    ``session`` is called once a target, and only if SQL has to run. ``run_python`` runs ``.py``
    scripts; without it they are refused by name. ``owner`` names the process, and ``is_alive``
    tells of such a name whether its process may still run.
    """

    def __init__(
        self,
        store: ControlStore,
        tables: ControlTables,
        session: Callable[[], SqlSession],
        *,
        clock: Clock = utc_now,
        progress: Progress = silent,
        sleep: Sleep = time.sleep,
        run_python: RunPython | None = None,
        run_id: str = "",
        actor: Actor = nobody,
        owner: str = "",
        is_alive: Callable[[str], bool] = bool,
        terms: LeaseTerms | None = None,
        stagger_seconds: float = 0.2,
        max_parallel: int = 8,
    ) -> None:
        self._store = store
        self._tables = tables
        self._session = session
        self._clock = clock
        self._progress = progress
        self._sleep = sleep
        self._run_python = run_python
        self._run_id = run_id or uuid.uuid4().hex
        self._actor = cache(actor)
        self._owner = f"{owner}/{uuid.uuid4().hex}"
        self._is_alive = is_alive
        self._terms = terms or LeaseTerms()
        self._stagger_seconds = stagger_seconds
        self._max_parallel = max_parallel

    def run(self, targets: Sequence[str] | None = None, dry_run: bool = False) -> ScriptsReport:
        """Run what has not run yet: all targets, or the named ones.

        Failures are in the report (`ScriptsReport.raise_failures`). Raises ConfigError for a
        target that has no script, BackendError when the control tables cannot be read.
        """
        recorded = self._recorded()
        chosen = sorted(recorded) if targets is None else _chosen(targets, recorded)
        applied = self._applied()
        planned = [recorded[target].plan(applied) for target in chosen]
        if dry_run:
            return ScriptsReport(tuple(planned), dry_run=True)
        todo = [report.target for report in planned if report.pending]
        done = self._run_targets([recorded[target] for target in todo])
        return ScriptsReport(tuple(done.get(report.target, report) for report in planned))

    # --- what is recorded

    def _recorded(self) -> dict[str, _Target]:
        rows: dict[str, list[Row]] = {}
        for row in self._rows(DDL_SCRIPTS):
            rows.setdefault(row["target"] or "(no target)", []).append(row)
        return {name: _Target.of(name, found) for name, found in rows.items()}

    def _applied(self) -> Applied:
        rows = self._rows(EXECUTIONS, "script_id", "execution_status", "update_date", "checksum")
        succeeded = [row for row in rows if row["execution_status"] == SUCCESS]
        succeeded.sort(key=lambda row: row["update_date"])
        return {row["script_id"]: row["checksum"] for row in succeeded}

    def _rows(self, layout: TableLayout, *columns: str) -> list[Row]:
        """Rows of a control table; none where it was never made, so nothing is recorded in it."""
        try:
            found = self._store.read(self._tables.of(layout), columns=columns or None)
        except NotFoundError:
            return []
        rows: list[Row] = found.to_pylist()
        return rows

    # --- running

    def _run_targets(self, targets: Sequence[_Target]) -> dict[str, TargetReport]:
        if not targets:
            return {}
        self._actor()  # what has run must be logged, so who runs it is asked before
        for layout in (EXECUTIONS, STATE):
            self._store.ensure(self._tables.of(layout), layout)
        workers = min(len(targets), self._max_parallel)
        with ThreadPoolExecutor(workers, thread_name_prefix="ddl") as pool:
            reports = pool.map(self._run_target, range(len(targets)), targets)
            return {report.target: report for report in reports}

    def _run_target(self, index: int, target: _Target) -> TargetReport:
        """Starts are staggered, so that targets do not all ask for the same things at once."""
        self._sleep(index * self._stagger_seconds)
        run = _TargetRun(target.plan(self._applied()))
        refused = self._refused(run.report)
        if refused:
            return run.report.failed(refused)
        lease = TargetLease(
            self._store,
            self._tables.of(STATE),
            target.name,
            self._owner,
            terms=self._terms,
            clock=self._clock,
            sleep=self._sleep,
            is_alive=self._is_alive,
        )
        try:
            with lease.held():
                run = _TargetRun(target.plan(self._applied()))
                self._run_scripts(run, lease)
        except (BackendError, ConflictError) as error:
            return run.report.failed(str(error))
        return run.report

    def _refused(self, report: TargetReport) -> str:
        if self._run_python is not None:
            return ""
        python = [s.script_id for s in report.pending if s.language is Language.PY]
        return f"Python scripts cannot be run here: {', '.join(python)}" if python else ""

    def _run_scripts(self, run: _TargetRun, lease: TargetLease) -> None:
        started = time.monotonic()
        session = _LazySession(self._session)
        pending = run.report.pending
        for number, script in enumerate(pending, start=1):
            lease.check()
            self._tell(script, StepState.STARTED, number, len(pending))
            outcome = self._run_script(script, session)
            run.settle(outcome, time.monotonic() - started)
            failed = outcome.status is ScriptStatus.FAILED
            state = StepState.FAILED if failed else StepState.DONE
            self._tell(script, state, number, len(pending), outcome.error)
            if failed:
                run.report = run.report.failed("")
                return

    def _run_script(self, script: Script, session: _LazySession) -> ScriptOutcome:
        started_at, started = self._clock(), time.monotonic()
        error = self._execute(script, session)
        seconds = time.monotonic() - started
        unlogged = self._log(script, error, started_at, seconds)
        if unlogged:
            error = f"{error}; {unlogged}" if error else f"the work is done, but {unlogged}"
        status = ScriptStatus.FAILED if error else ScriptStatus.SUCCESS
        return ScriptOutcome(script, status, error, seconds)

    def _execute(self, script: Script, session: _LazySession) -> str:
        """Run one script; why it failed, or nothing."""
        if script.language is Language.PY and self._run_python is not None:
            try:
                self._run_python(script.body, script.script_id)
            except BackendError as error:
                return str(error)
            return ""
        statements = split_statements(script.body)
        for number, statement in enumerate(statements, start=1):
            try:
                session.get().execute(statement)
            except BackendError as error:
                return f"statement {number} of {len(statements)}: {error}"
        return ""

    def _log(self, script: Script, error: str, started_at: datetime, seconds: float) -> str:
        """Append the execution's row; why that failed, or nothing.

        If the process dies just before, the script runs again. The row of work that was done is
        never turned into a `Failure`.
        """
        row = {
            "script_id": script.script_id,
            "script_name": script.name,
            "execution_status": FAILURE if error else SUCCESS,
            "update_date": self._clock(),
            "checksum": script.checksum,
            "started_at": started_at,
            "duration_seconds": seconds,
            "error": error or None,
            "run_id": self._run_id,
            "executed_by": self._actor() or None,
            "target": script.target,
        }
        note = {"verb": "ddl run", "actor": self._actor()}
        try:
            self._store.append(self._tables.of(EXECUTIONS), [row], note=note)
        except (BackendError, ConflictError) as failure:
            logger.warning("%s: the execution log was not written: %s", script.script_id, failure)
            return f"the execution log could not be written, so it will run again: {failure}"
        return ""

    def _tell(
        self, script: Script, state: StepState, number: int, total: int, detail: str = ""
    ) -> None:
        self._progress(Event(_STEP, script.script_id, state, number, total, detail))


@dataclass(frozen=True, slots=True)
class _Target:
    """The active scripts of a target in order, and rows that stand in their way."""

    name: str
    scripts: tuple[Script, ...]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, name: str, rows: Sequence[Row]) -> _Target:
        scripts, problems = [], []
        for row in rows:
            try:
                scripts.append(read_script(row))
            except RowError as error:
                problems.append(f"script {row.get('script_id')!r} cannot be read: {error}")
        active = sorted((s for s in scripts if s.is_active), key=lambda script: script.order)
        problems += [finding.message for finding in number_findings(active)]
        return cls(name, tuple(active), tuple(problems))

    def plan(self, applied: Applied) -> TargetReport:
        return plan_target(self.name, self.scripts, applied, self.problems)


@dataclass(slots=True)
class _TargetRun:
    """The report of a target while it runs."""

    report: TargetReport

    def settle(self, outcome: ScriptOutcome, seconds: float) -> None:
        outcomes = tuple(
            outcome if each.script == outcome.script else each for each in self.report.outcomes
        )
        self.report = replace(self.report, outcomes=outcomes, seconds=seconds)


class _LazySession:
    """The session of one target, asked for when its first statement runs."""

    def __init__(self, make: Callable[[], SqlSession]) -> None:
        self._make = make
        self._made: SqlSession | None = None

    def get(self) -> SqlSession:
        if self._made is None:
            self._made = self._make()
        return self._made


def _chosen(targets: Sequence[str], recorded: dict[str, _Target]) -> list[str]:
    for target in targets:
        if target not in recorded:
            hint = did_you_mean(target, recorded) if recorded else "none is recorded"
            raise ConfigError(f"no DDL script has target {target!r}: {hint}")
    return sorted(set(targets))
