"""The schema engine: makes live tables match declared ones. A verb; acts through ports.

A sync plans all tables and then works the plans off: parents before the tables that refer to them,
independent tables at the same time, drops at the end. A failure stays in its table and in those
that refer to it. A dry run is the same run that stops before the first statement.

Nothing is transactional over statements: a process that dies leaves some of them done, and the next
sync plans what is left. A table that somebody changed after it was planned is planned again, and
refused where that gives another plan. Of two syncs at once the one whose statement comes second is
refused by the platform, looks at the table again, and is content if it is as declared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from lakeflow_meta.errors import BackendError, ConflictError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Clock, Sleep, SqlSession, TableReader, utc_now
from lakeflow_meta.progress import Event, Progress, StepState, silent
from lakeflow_meta.schema.capabilities import OPEN_SOURCE_DELTA, Capabilities
from lakeflow_meta.schema.plan import Outlook, SchemaPlan, TablePlan
from lakeflow_meta.schema.plan_file import KeptPlan
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.report import SyncReport, TableOutcome, TableStatus
from lakeflow_meta.schema.survey import Survey, Surveyor, read_names
from lakeflow_meta.schema.sync_memory import CleanState, NoMemory, SyncMemory

_STEP = "sync table"
_MOMENT_SECONDS = 1.0
_ATTEMPTS = 5
"""How often the rest of a table's plan is tried while others change the table, too."""
_NOT_AS_KEPT = "nothing was done, because the plan is another one now; make a new plan of"
_MOVED = "somebody changed the table after it was planned: look at the new plan and sync again"
_STATES = {
    TableStatus.CREATED: StepState.DONE,
    TableStatus.CHANGED: StepState.DONE,
    TableStatus.DROPPED: StepState.DONE,
    TableStatus.UNCHANGED: StepState.UNCHANGED,
    TableStatus.PLANNED: StepState.DONE,
    TableStatus.FAILED: StepState.FAILED,
    TableStatus.SKIPPED: StepState.SKIPPED,
}
_DONE = {
    Outlook.CREATE: TableStatus.CREATED,
    Outlook.CHANGE: TableStatus.CHANGED,
    Outlook.DROP: TableStatus.DROPPED,
}


class SchemaEngine:
    """Plans and syncs a `Registry`. ``session`` is called once, and only if SQL has to run.

    ``memory`` spares reading tables that are as the last clean sync left them. ``looks_ahead``
    tables are looked at together right before they are changed: more than one where a look costs
    round trips.
    """

    def __init__(
        self,
        reader: TableReader,
        session: Callable[[], SqlSession],
        *,
        capabilities: Capabilities = OPEN_SOURCE_DELTA,
        memory: SyncMemory | None = None,
        progress: Progress = silent,
        clock: Clock = utc_now,
        max_parallel: int = 4,
        looks_ahead: int = 1,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._sleep = sleep
        self._session = session
        self._memory = memory or NoMemory()
        self._surveyor = Surveyor(reader, session, self._memory, capabilities, max_parallel)
        self._progress = progress
        self._clock = clock
        self._max_parallel = max_parallel
        self._looks_ahead = looks_ahead

    def plan(self, registry: Registry) -> SchemaPlan:
        """What a sync would do. Raises SpecError (tables do not fit together), BackendError."""
        return self._surveyor.survey(registry).plan

    def sync(
        self, registry: Registry, dry_run: bool = False, *, kept: KeptPlan | None = None
    ) -> SyncReport:
        """Create and change tables until they are as declared.

        With ``kept`` exactly that plan is worked off, or nothing: raises ConflictError naming the
        tables whose plan is another one now.

        Raises SyncFailedError with the report when a table failed, after all others are done; a
        dry run reports failures and raises nothing. Raises SpecError and BackendError as `plan`.
        """
        started_at = self._clock()
        survey = self._surveyor.survey(registry)
        if kept is not None and (moved := list(kept.moved(survey.plan))):
            raise ConflictError(f"{_NOT_AS_KEPT}: {', '.join(moved)}")
        work = _Work(survey.plan)
        clean: dict[str, CleanState] = {}
        if dry_run:
            work.settle_as_planned()
        elif survey.plan.has_changes:
            self._work_off(work, _Hands(self._surveyor, self._session(), survey, self._sleep))
            clean = self._verify(work, survey)
        report = SyncReport(survey.plan, work.in_order(), started_at, self._clock(), dry_run)
        for outcome in report:
            if not outcome.plan.has_work:
                self._tell(outcome)
        if not dry_run:
            self._remember(survey, clean)
            report.raise_failures()
        return report

    def _verify(self, work: _Work, survey: Survey) -> dict[str, CleanState]:
        """Success is what tables look like afterwards, not that no statement complained.

        All tables are looked at by one reading; gives those that are clean now.
        """
        done = [outcome for outcome in work.outcomes.values() if outcome.applied]
        sound = {outcome.name: outcome for outcome in done if not outcome.status.bad}
        try:
            looks = self._surveyor.look_again(survey, [o.plan for o in sound.values()])
        except BackendError as error:
            for outcome in sound.values():
                told = f"the statements ran, but the table cannot be read again: {error}"
                self._settle(work, replace(outcome, status=TableStatus.FAILED, error=told))
            return {}
        for name, left in looks.plans.items():
            self._settle_as_seen(work, sound[name], left)
        return looks.clean_states(looks.plans)

    def _settle_as_seen(self, work: _Work, outcome: TableOutcome, left: TablePlan) -> None:
        if left.is_as_declared:
            work.settle(replace(outcome, version=left.version))
            return
        rest = "; ".join(map(str, left.rejections or left.lines))
        told = f"the statements ran, but the table is not as declared: {rest}"
        failed = replace(outcome, status=TableStatus.FAILED, error=told, version=left.version)
        self._settle(work, failed)

    def _settle(self, work: _Work, outcome: TableOutcome) -> None:
        work.settle(outcome)
        self._tell(outcome)

    def _remember(self, survey: Survey, clean: dict[str, CleanState]) -> None:
        untouched = {
            plan.name: plan
            for plan in survey.plan.tables
            if not plan.has_work and plan.name not in survey.as_remembered
        }
        found = {**survey.clean_states(untouched), **clean}
        known = survey.remembered
        self._memory.remember({key: one for key, one in found.items() if known.get(key) != one})

    def _work_off(self, work: _Work, hands: _Hands) -> None:
        running: dict[Future[TableOutcome], TableName] = {}
        pool = ThreadPoolExecutor(self._max_parallel, thread_name_prefix="sync-table")
        try:
            while work.todo or running:
                for outcome in work.skip_blocked():
                    self._tell(outcome)
                while len(running) < self._max_parallel:
                    wave = work.take_ready(self._looks_ahead, busy=bool(running))
                    moved = hands.moved(wave)
                    for table in wave:
                        self._progress(Event(_STEP, str(table.name), StepState.STARTED))
                        running[pool.submit(hands.apply, table, table.name in moved)] = table.name
                    if not wave:
                        break
                if not running:
                    continue
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    del running[future]
                    self._settle(work, future.result())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _tell(self, outcome: TableOutcome) -> None:
        total = len(outcome.plan.statements)
        state = _STATES[outcome.status]
        detail = outcome.error.strip().splitlines()[0] if outcome.error else str(outcome.status)
        self._progress(Event(_STEP, str(outcome.name), state, outcome.applied, total, detail))


@dataclass(slots=True)
class _Work:
    """What is left to do, and what came out. Only the calling thread touches it."""

    plan: SchemaPlan
    todo: dict[TableName, TablePlan] = field(default_factory=dict)
    outcomes: dict[TableName, TableOutcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for table in self.plan.tables:
            if table.has_work:
                self.todo[table.name] = table
            else:
                self.settle(_without_work(table))

    def settle(self, outcome: TableOutcome) -> None:
        self.outcomes[outcome.name] = outcome

    def settle_as_planned(self) -> None:
        """A dry run: what would run, and what would be skipped because a parent is refused."""
        self.skip_blocked()
        for table in self.todo.values():
            self.settle(TableOutcome(table, TableStatus.PLANNED, version=table.version))
        self.todo.clear()

    def skip_blocked(self) -> list[TableOutcome]:
        """Give up tables whose parent failed; tables are in order, so one pass reaches all."""
        skipped = []
        for name, table in list(self.todo.items()):
            failed = [p for p in self.plan.parents[name] if self._is_bad(p)]
            if failed:
                error = f"not touched, because a table that it refers to failed: {failed[0]}"
                skipped.append(TableOutcome(table, TableStatus.SKIPPED, error=error))
                self.settle(skipped[-1])
                del self.todo[name]
        return skipped

    def take_ready(self, limit: int, *, busy: bool) -> list[TablePlan]:
        """Tables all of whose parents are done; they are no longer to do.

        Drops wait until nothing else is left: what refers to them is changed by then.
        """
        ready = [
            table
            for name, table in self.todo.items()
            if table.outlook is not Outlook.DROP
            and all(parent in self.outcomes for parent in self.plan.parents[name])
        ]
        if not ready and not busy:
            ready = list(self.todo.values())
        for table in ready[:limit]:
            del self.todo[table.name]
        return ready[:limit]

    def in_order(self) -> tuple[TableOutcome, ...]:
        return tuple(self.outcomes[table.name] for table in self.plan.tables)

    def _is_bad(self, name: TableName) -> bool:
        return name in self.outcomes and self.outcomes[name].status.bad


def _without_work(table: TablePlan) -> TableOutcome:
    if not table.rejections:
        return TableOutcome(table, TableStatus.UNCHANGED, version=table.version)
    error = "\n".join(map(str, table.rejections))
    return TableOutcome(table, TableStatus.FAILED, error=error, version=table.version)


@dataclass(frozen=True, slots=True)
class _Hands:
    """Runs the statements of one table. Used by many threads."""

    surveyor: Surveyor
    session: SqlSession
    survey: Survey
    sleep: Sleep

    def moved(self, wave: Sequence[TablePlan]) -> set[TableName]:
        """Tables whose stamp is another one than when they were planned, by one reading."""
        if not wave:
            return set()
        names = {table.name: read_names(table.table) for table in wave}
        now = self.surveyor.stamps([one for read in names.values() for one in read])
        then = self.survey.stamps
        return {
            name
            for name, read in names.items()
            if any(now.get(one) != then.get(one) for one in read)
        }

    def apply(self, table: TablePlan, moved: bool) -> TableOutcome:
        started = time.monotonic()
        applied, error, notes = 0, _MOVED, ""
        left = self._what_is_left(table) if moved else table.statements
        if left is not None:
            applied, error, notes = self._work_off(table, left)
        status = TableStatus.FAILED if error else _DONE[table.outlook]
        seconds = time.monotonic() - started
        return TableOutcome(table, status, applied, error, (notes,) if notes else (), seconds)

    def _work_off(self, table: TablePlan, left: Sequence[str]) -> tuple[int, str, str]:
        """Run statements; how many ran, why the last one did not, and what else is to be told.

        What is refused while others work on the same table is no failure as long as it is getting
        there: the table is looked at again, and what is left of the plan goes on.
        """
        applied, told = 0, ""
        for _ in range(_ATTEMPTS):
            done, failure = self._execute(left)
            applied += done
            if failure is None:
                return applied, "", ""
            told = f"statement {done + 1} of {len(left)}: {failure}"
            before = left[done:]
            rest = self._what_is_left(table)
            if _is_stuck(rest, before, failure):
                self.sleep(_MOMENT_SECONDS)  # a commit of somebody else may be on its way
                rest = self._what_is_left(table)
            if rest is not None and not rest:
                return applied, "", f"somebody else made the same change: {told}"
            if rest is None or _is_stuck(rest, before, failure):
                break
            left = rest
        return applied, told, ""

    def _what_is_left(self, table: TablePlan) -> tuple[str, ...] | None:
        """Statements of a table that has changed since; None where these were not planned.

        Our own sync changes tables, too: a foreign key goes with the primary key of its parent.
        """
        now = self._look_again(table)
        if now is None or now.rejections:
            return None
        planned = _is_part(now.lines, table.lines) and _is_part(now.statements, table.statements)
        return now.statements if planned else None

    def _look_again(self, table: TablePlan) -> TablePlan | None:
        """The plan of the table as it is now; None where it cannot be read."""
        try:
            return self.surveyor.look_again(self.survey, [table]).plans[table.name]
        except BackendError:
            return None

    def _execute(self, statements: Sequence[str]) -> tuple[int, BackendError | None]:
        """Run in order; how many ran, and what the next one was refused with."""
        for index, statement in enumerate(statements):
            try:
                self.session.execute(statement)
            except BackendError as error:
                return index, error
        return len(statements), None


def _is_stuck(rest: Sequence[str] | None, before: Sequence[str], failure: BackendError) -> bool:
    """Whether nobody got on with a table, and another try would end as this one did."""
    return rest is None or (tuple(rest) == tuple(before) and not failure.transient)


def _is_part(some: Sequence[object], all_of_them: Sequence[object]) -> bool:
    """Whether these are among those, in the same order."""
    rest = iter(all_of_them)
    return all(one in rest for one in some)
