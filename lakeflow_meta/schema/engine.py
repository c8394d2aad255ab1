"""The schema engine: makes live tables match declared ones. A verb; acts through ports.

A sync reads all tables, plans all of them, and then works the plans off: parents before the tables
that refer to them, independent tables at the same time. A failure stays in its table and in those
that refer to it. A dry run is the same run that stops before the first statement.

Nothing is transactional over statements: a process that dies leaves some of them done, and the next
sync plans what is left. Two syncs at once may both try a statement; the one that comes second is
refused by the platform, looks at the table again, and is content if it is as declared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from lakeflow_meta.errors import BackendError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Clock, SqlSession, TableReader, utc_now
from lakeflow_meta.progress import Event, Progress, StepState, silent
from lakeflow_meta.schema.diff import ReferencedColumns
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.parents import parent_rejections, referenced_columns
from lakeflow_meta.schema.plan import Outlook, SchemaPlan, TablePlan, plan_table
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.report import SyncReport, TableOutcome, TableStatus
from lakeflow_meta.schema.validate import OPEN_SOURCE_DELTA, Capabilities

_STEP = "sync table"
_STATES = {
    TableStatus.CREATED: StepState.DONE,
    TableStatus.CHANGED: StepState.DONE,
    TableStatus.UNCHANGED: StepState.UNCHANGED,
    TableStatus.PLANNED: StepState.DONE,
    TableStatus.FAILED: StepState.FAILED,
    TableStatus.SKIPPED: StepState.SKIPPED,
}


class SchemaEngine:
    """Plans and syncs a `Registry`. ``session`` is called once, and only if SQL has to run."""

    def __init__(
        self,
        reader: TableReader,
        session: Callable[[], SqlSession],
        *,
        capabilities: Capabilities = OPEN_SOURCE_DELTA,
        progress: Progress = silent,
        clock: Clock = utc_now,
        max_parallel: int = 4,
    ) -> None:
        self._reader = reader
        self._session = session
        self._capabilities = capabilities
        self._progress = progress
        self._clock = clock
        self._max_parallel = max_parallel

    def plan(self, registry: Registry) -> SchemaPlan:
        """What a sync would do. Raises SpecError (tables do not fit together), BackendError."""
        return self._survey(registry)[0]

    def sync(self, registry: Registry, dry_run: bool = False) -> SyncReport:
        """Create and change tables until they are as declared.

        Raises SyncFailedError with the report when a table failed, after all others are done; a
        dry run reports failures and raises nothing. Raises SpecError and BackendError as `plan`.
        """
        started_at = self._clock()
        plan, referenced = self._survey(registry)
        work = _Work(plan)
        if dry_run:
            work.settle_as_planned()
        elif plan.has_changes:
            self._work_off(work, _Hands(self._reader, self._session(), plan, referenced))
        report = SyncReport(plan, work.in_order(), started_at, self._clock(), dry_run)
        for outcome in report:
            if not outcome.plan.has_work:
                self._tell(outcome)
        if not dry_run:
            report.raise_failures()
        return report

    def _survey(self, registry: Registry) -> tuple[SchemaPlan, ReferencedColumns]:
        tables = registry.in_order()
        outsiders = registry.outsiders()
        states = self._reader.describe([*(table.full_name for table in tables), *outsiders])
        referenced = referenced_columns(registry, states)
        plans = tuple(
            plan_table(
                table,
                states[table.full_name],
                self._capabilities,
                referenced,
                parent_rejections(table, registry, states, referenced),
            )
            for table in tables
        )
        parents = {table.full_name: tuple(registry.parents_of(table)) for table in tables}
        return SchemaPlan(plans, parents, self._capabilities), referenced

    def _work_off(self, work: _Work, hands: _Hands) -> None:
        running: dict[Future[TableOutcome], TableName] = {}
        pool = ThreadPoolExecutor(self._max_parallel, thread_name_prefix="sync-table")
        try:
            while work.todo or running:
                for outcome in work.skip_blocked():
                    self._tell(outcome)
                for table in work.take_ready():
                    self._progress(Event(_STEP, str(table.name), StepState.STARTED))
                    running[pool.submit(hands.apply, table)] = table.name
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    del running[future]
                    work.settle(future.result())
                    self._tell(future.result())
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

    def take_ready(self) -> list[TablePlan]:
        """Tables all of whose parents are done; they are no longer to do."""
        ready = [
            table
            for name, table in self.todo.items()
            if all(parent in self.outcomes for parent in self.plan.parents[name])
        ]
        for table in ready:
            del self.todo[table.name]
        return ready

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
    """Runs the statements of one table and looks at what they did. Used by many threads."""

    reader: TableReader
    session: SqlSession
    plan: SchemaPlan
    referenced: ReferencedColumns

    def apply(self, table: TablePlan) -> TableOutcome:
        started = time.monotonic()
        applied, error = self._execute(table.statements)
        status, told, notes, version = self._verdict(table, error)
        return TableOutcome(
            table, status, applied, told, notes, time.monotonic() - started, version
        )

    def _execute(self, statements: Sequence[str]) -> tuple[int, str]:
        """Run in order; how many ran, and why the next one did not."""
        for index, statement in enumerate(statements):
            try:
                self.session.execute(statement)
            except BackendError as error:
                return index, f"statement {index + 1} of {len(statements)}: {error}"
        return len(statements), ""

    def _verdict(
        self, table: TablePlan, error: str
    ) -> tuple[TableStatus, str, tuple[str, ...], int | None]:
        """Success is what the table looks like afterwards, not that no statement complained."""
        created = table.outlook is Outlook.CREATE
        done = TableStatus.CREATED if created else TableStatus.CHANGED
        try:
            state = self.reader.describe([table.name])[table.name]
        except BackendError as unread:
            told = error or f"the statements ran, but the table cannot be read again: {unread}"
            return TableStatus.FAILED, told, (), None
        version = state.version if isinstance(state, LiveTable) else None
        left = plan_table(table.table, state, self.plan.capabilities, self.referenced)
        if left.outlook is Outlook.UNCHANGED:
            notes = (f"somebody else made the same change: {error}",) if error else ()
            return done, "", notes, version
        rest = "; ".join(map(str, left.rejections or left.lines))
        told = error or f"the statements ran, but the table is not as declared: {rest}"
        return TableStatus.FAILED, told, (), version
