"""Runs DDL scripts, each once. A verb; acts through ports.

Targets run at the same time, the scripts of a target one after another; a script that fails stops
its target and no other one. What ran is a row in ``ddl_script_executions``; a row with `Success`
means: never again. Repeatable scripts run after the numbered ones, whenever their text has changed.

Of a SQL script that failed or died half-way the next run does what is left (`script_work`). A
Python script runs again as a whole, and so must be repeatable.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TextIO

from lakeflow_meta.arrow_values import rows_of
from lakeflow_meta.control.rows import RowError
from lakeflow_meta.control.tables import DDL_SCRIPTS, ControlTables
from lakeflow_meta.errors import BackendError, ConfigError, ConflictError, NotFoundError
from lakeflow_meta.findings import Finding, did_you_mean
from lakeflow_meta.ports import (
    Actor,
    Clock,
    ControlStore,
    Row,
    ScriptTarget,
    Sleep,
    nobody,
    utc_now,
)
from lakeflow_meta.progress import Event, Progress, StepState, silent
from lakeflow_meta.scripts.execution_log import Execution, ExecutionLog
from lakeflow_meta.scripts.python_script import compiled, names_used
from lakeflow_meta.scripts.report import (
    Applied,
    ScriptOutcome,
    ScriptsReport,
    ScriptStatus,
    TargetReport,
    plan_target,
)
from lakeflow_meta.scripts.script import (
    Language,
    Script,
    file_name,
    number_findings,
    read_script,
    syntax_findings,
)
from lakeflow_meta.scripts.script_work import run_body
from lakeflow_meta.scripts.statements import Kind, read_statements
from lakeflow_meta.scripts.target_lease import Leases, LeaseTerms, TargetLease

__all__ = ["ScriptRunner", "ScriptsReport"]

logger = logging.getLogger(__name__)

_STEP = "run script"
_WAIT = "wait for another runner"


class ScriptRunner:
    """Runs the recorded scripts of targets.

    ``targets`` says where the scripts of a target run; its session is opened only if SQL has to
    run, one for each script. ``owner`` names the process, and ``is_alive`` tells of such a name
    whether its process may still run. Starts are ``stagger_seconds`` apart.
    """

    def __init__(
        self,
        store: ControlStore,
        tables: ControlTables,
        targets: Callable[[str], ScriptTarget],
        *,
        clock: Clock = utc_now,
        progress: Progress = silent,
        sleep: Sleep = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
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
        self._targets = targets
        self._clock = clock
        self._progress = progress
        self._sleep = sleep
        self._monotonic = monotonic
        self._run_id = run_id or uuid.uuid4().hex
        self._log = ExecutionLog(store, tables, clock=clock, actor=actor, run_id=self._run_id)
        self._leases = Leases(
            store,
            tables,
            owner,
            is_alive=is_alive,
            terms=terms or LeaseTerms(),
            clock=clock,
            sleep=sleep,
            monotonic=monotonic,
        )
        self._stagger_seconds = stagger_seconds
        self._max_parallel = max_parallel

    def run(
        self,
        targets: Sequence[str] | None = None,
        dry_run: bool = False,
        *,
        accept_changed: bool = False,
        output: TextIO | None = None,
    ) -> ScriptsReport:
        """Run what has not run yet: all targets, or the named ones.

        ``accept_changed``: the new text of scripts that were changed after they ran counts as what
        ran. What Python scripts print goes to ``output`` (stderr). Failures are in the report
        (`ScriptsReport.raise_failures`). Raises ConfigError for a target that has no script,
        BackendError when the control tables cannot be read.
        """
        started = self._monotonic()
        recorded = self._recorded()
        chosen = sorted(recorded) if targets is None else _chosen(targets, recorded)
        applied = self._log.applied()
        found = [recorded[target] for target in chosen]
        planned = [target.plan(applied, accept_changed) for target in found]
        if dry_run:
            shown = (replace(report, planned=True) for report in planned)
            return ScriptsReport(tuple(shown), dry_run=True)
        todo = [_TargetRun(recorded[r.target], r) for r in planned if r.pending or r.accepted]
        self._run_targets(todo, accept_changed, output or sys.stderr)
        done = {run.report.target: run.report for run in todo}
        reports = tuple(done.get(report.target, report) for report in planned)
        return ScriptsReport(reports, seconds=self._monotonic() - started)

    # --- what is recorded

    def _recorded(self) -> dict[str, _Target]:
        rows: dict[str, list[Row]] = {}
        for row in self._script_rows():
            rows.setdefault(row["target"] or "(no target)", []).append(row)
        return {name: _Target.of(name, found, self._targets(name)) for name, found in rows.items()}

    def _script_rows(self) -> list[Row]:
        """None where the table was never made, so nothing is recorded in it."""
        try:
            rows: list[Row] = rows_of(self._store.read(self._tables.of(DDL_SCRIPTS)))
        except NotFoundError:
            return []
        return rows

    # --- running

    def _run_targets(
        self, runs: Sequence[_TargetRun], accept_changed: bool, output: TextIO
    ) -> None:
        if not runs:
            return
        self._log.ensure()
        self._leases.ensure()
        began = self._monotonic()
        stopped = threading.Event()

        def start(index: int, run: _TargetRun) -> None:
            """Starts are staggered, so that targets do not all ask for the same at once."""
            passed = self._monotonic() - began
            self._sleep(max(0.0, index * self._stagger_seconds - passed))
            self._run_target(run, accept_changed, output, stopped)

        workers = min(len(runs), self._max_parallel)
        with ThreadPoolExecutor(workers, thread_name_prefix="ddl") as pool:
            try:
                for _ in pool.map(start, range(len(runs)), runs):
                    pass
            finally:  # Ctrl-C, too: scripts that have begun come to their end, no other one begins
                stopped.set()

    def _run_target(
        self, run: _TargetRun, accept_changed: bool, output: TextIO, stopped: threading.Event
    ) -> None:
        target = run.target
        lease = self._leases.of(target.name)
        try:
            with lease.held(lambda holder: self._tell_wait(target.name, holder)):
                applied = self._log.applied()
                run.report = target.plan(applied, accept_changed)
                if not run.report.error:
                    self._accept(run.report, applied)
                    self._run_scripts(run, lease, output, stopped)
        except (BackendError, ConflictError) as error:
            run.report = run.report.failed(str(error), raised=True)

    def _accept(self, report: TargetReport, applied: Applied) -> None:
        for script in report.accepted:
            self._log.accept(script, applied[script.script_id])

    def _run_scripts(
        self, run: _TargetRun, lease: TargetLease, output: TextIO, stopped: threading.Event
    ) -> None:
        started = self._monotonic()
        pending = run.report.pending
        for number, script in enumerate(pending, start=1):
            lease.check()
            if stopped.is_set():
                return
            self._tell(script, StepState.STARTED, number, len(pending))
            outcome = self._run_script(script, run.target.place, lease, output)
            run.settle(outcome, self._monotonic() - started)
            failed = outcome.status is ScriptStatus.FAILED
            state = StepState.FAILED if failed else StepState.DONE
            self._tell(script, state, number, len(pending), outcome.error)
            if failed:
                run.report = run.report.failed("")
                return

    def _run_script(
        self, script: Script, place: ScriptTarget, lease: TargetLease, output: TextIO
    ) -> ScriptOutcome:
        started_at, started = self._clock(), self._monotonic()
        try:
            run_body(script, place, lease, output)
            error = ""
        except ConflictError as lost:
            # Another runner may be at this script now: what is to be said of it is his to say.
            return ScriptOutcome(script, ScriptStatus.FAILED, str(lost))
        except (BackendError, ConfigError) as failure:
            error = str(failure)
        seconds = self._monotonic() - started
        execution = Execution(
            script.script_id,
            script.name,
            error,
            target=script.target,
            checksum=script.checksum,
            started_at=started_at,
            seconds=seconds,
        )
        unlogged = self._write(execution)
        if unlogged:
            error = f"{error}; {unlogged}" if error else f"the work is done, but {unlogged}"
        if error:
            return ScriptOutcome(script, ScriptStatus.FAILED, error, seconds)
        lease.forget(script.script_id)
        return ScriptOutcome(script, ScriptStatus.SUCCESS, seconds=seconds)

    def _write(self, execution: Execution) -> str:
        """Append the execution's row; why that failed, or nothing.

        If the process dies just before, the script runs again: of SQL only the last statement, and
        that without a second effect. Work that was done is never turned into a `Failure`.
        """
        try:
            self._log.write(execution)
        except (BackendError, ConflictError) as failure:
            name = execution.script_id
            logger.warning("%s: the execution log was not written: %s", name, failure)
            return f"the execution log could not be written, so it will run again: {failure}"
        return ""

    def _tell(
        self, script: Script, state: StepState, number: int, total: int, detail: str = ""
    ) -> None:
        self._progress(Event(_STEP, script.script_id, state, number, total, detail))

    def _tell_wait(self, target: str, holder: str) -> None:
        self._progress(Event(_WAIT, target, StepState.STARTED, detail=holder))


@dataclass(frozen=True, slots=True)
class _Target:
    """The active scripts of a target in order, and what stands in their way."""

    name: str
    scripts: tuple[Script, ...]
    problems: tuple[str, ...]
    place: ScriptTarget

    @classmethod
    def of(cls, name: str, rows: Sequence[Row], place: ScriptTarget) -> _Target:
        scripts, problems = [], []
        for row in rows:
            try:
                scripts.append(read_script(row))
            except RowError as error:
                problems.append(f"script {row.get('script_id')!r} cannot be read: {error}")
        active = sorted((s for s in scripts if s.is_active), key=lambda script: script.order)
        problems += [finding.message for finding in number_findings(active)]
        return cls(name, tuple(active), tuple(problems), place)

    def plan(self, applied: Applied, accept_changed: bool) -> TargetReport:
        report = plan_target(
            self.name, self.scripts, applied, self.problems, accept_changed=accept_changed
        )
        report = replace(report, noun=self.place.noun)
        problems = [problem for script in report.pending for problem in self._in_the_way(script)]
        return report.failed("; ".join(problems)) if problems else report

    def _in_the_way(self, script: Script) -> Iterator[str]:
        """What would stop a script in the middle of a run, and can be known before."""
        if script.language is Language.PY:
            found = [_line(finding) for finding in syntax_findings([script])]
            yield from found or self._lacking(script)
        elif not self.place.allows_transactions:
            statements = read_statements(script.body, self.place.dialect)
            for number, statement in enumerate(statements, start=1):
                if statement.kind in (Kind.BEGIN, Kind.END):
                    yield f"{script.script_id}: statement {number}: {_NO_TRANSACTIONS}"

    def _lacking(self, script: Script) -> Iterator[str]:
        names = names_used(compiled(script.body, file_name(script.script_id)))
        if reason := self.place.lacks(names):
            yield f"{script.script_id}: {reason}"


_NO_TRANSACTIONS = "every statement is a transaction of its own; leave BEGIN and COMMIT out"


@dataclass(slots=True)
class _TargetRun:
    """A target that runs, and its report so far."""

    target: _Target
    report: TargetReport

    def settle(self, outcome: ScriptOutcome, seconds: float) -> None:
        outcomes = tuple(
            outcome if each.script == outcome.script else each for each in self.report.outcomes
        )
        self.report = replace(self.report, outcomes=outcomes, seconds=seconds)


def _line(finding: Finding) -> str:
    file, line = finding.path
    return f"{file}, line {line}: {finding.message}"


def _chosen(targets: Sequence[str], recorded: dict[str, _Target]) -> list[str]:
    for target in targets:
        if target not in recorded:
            hint = did_you_mean(target, recorded) if recorded else "none is recorded"
            raise ConfigError(f"no DDL script has target {target!r}: {hint}")
    return sorted(set(targets))
