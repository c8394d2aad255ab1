"""The change detector over random histories, against a brute-force model of it.

``CHANGE_HISTORIES`` in the environment multiplies the number of histories, for a nightly run.
"""

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

from change_model import LAYOUTS, State, View, answer, told, touched, view_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.control.change_detector import ChangeDetector
from lakeflow_meta.control.declared import Declared
from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.control.tables import JOBS, MODULES, SOURCES, TABLES, ControlTables, TableLayout
from lakeflow_meta.jobs.job_settings import JobContext
from lakeflow_meta.jobs.orchestrator import JobOrchestrator
from lakeflow_meta.ports import ControlStore
from lakeflow_meta.testing import FakeJobs, FakeQueries, FakeStore, FixedClock

TIMES_MORE = int(os.environ.get("CHANGE_HISTORIES", "1"))
NAMES = ControlTables.named("main.lakeflow.etl_control")
STARTS = [
    datetime(2025, 3, 30, 0, 59, 59, tzinfo=UTC),  # Berlin goes to summer time at 01:00
    datetime(2025, 10, 26, 0, 30, tzinfo=UTC),  # and back: 02:30 is there twice
    datetime(2025, 11, 2, 5, 30, tzinfo=UTC),  # New York: 01:30 is there twice
]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"]

BY_NAME = {"sources": SOURCES, "settings": MODULES, "tables": TABLES, "jobs": JOBS}

SCHEDULE = {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"}

Op = tuple[Any, ...]


def task(number: int) -> str:
    return json.dumps({"task_type": "run_job", "job_id": number})


class Meanwhile:
    """A store before whose ``nth`` call somebody else does something."""

    def __init__(self, store: ControlStore, nth: int, act: Callable[[], None]) -> None:
        self._store = store
        self._left = nth
        self._act = act

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self._act()
            return method(*arguments, **options)

        return call


class World:
    """Control tables with their writers, a workspace, and what was applied as the model has it."""

    def __init__(self, store: ControlStore, clock: FixedClock) -> None:
        self.store = store
        self.clock = clock
        self.jobs = FakeJobs(clock)
        self.manager = MetadataManager(str(NAMES.sources), store=store, clock=clock)
        self.detector = ChangeDetector(store, NAMES)
        self.applied: dict[str, Any] = {}
        self.bad_records: dict[str, set[str]] = {}
        self.manager.ensure_exists()

    # --- what there is

    def state(self) -> State:
        return {layout: self.rows(layout) for layout in LAYOUTS}

    def rows(self, layout: TableLayout, version: int | None = None) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.store.read(NAMES.of(layout), version=version).to_pylist()
        return rows

    def expected(self) -> dict[str, Any]:
        view = view_of(self.state())
        return answer(self.applied, view.modules(), self.all_bad(view))

    def all_bad(self, view: View) -> dict[str, set[str]]:
        names = {*view.bad, *self.bad_records}
        return {n: view.bad.get(n, set()) | self.bad_records.get(n, set()) for n in names}

    def without_memory(self) -> dict[str, Any]:
        detector = ChangeDetector(self.store, NAMES)
        detector.memory.suspects = lambda: None  # type: ignore[method-assign]
        return told(detector.changes().to_dict())

    def with_memory(self) -> dict[str, Any]:
        return told(self.manager.detect_changes())

    # --- what happens

    def do(self, op: Op) -> None:
        getattr(self, f"do_{op[0]}")(*op[1:])

    def put(self, layout: TableLayout, row: Mapping[str, Any], times: str) -> None:
        now = self.clock()
        stamps: dict[str, dict[str, Any]] = {
            "forgotten": {},
            "now": {"updated_timestamp": now},
            "equal": dict.fromkeys(("created_timestamp", "updated_timestamp"), STARTS[0]),
            "null": dict.fromkeys(("created_timestamp", "updated_timestamp")),
        }
        self.store.merge(NAMES.of(layout), [{**row, **stamps[times]}], keys=layout.keys)

    def do_source(self, module: str, source: str, number: int, active: bool, times: str) -> None:
        row = {"module_name": module, "source_id": source, "transformation_config": task(number)}
        self.put(SOURCES, {**row, "execution_order": 1, "is_active": active}, times)

    def do_settings(self, module: str, number: int, active: bool, times: str) -> None:
        config = json.dumps({"max_concurrent_runs": number + 1, "schedule": SCHEDULE})
        targets = json.dumps(["lake"] if number == 2 else [])
        row = {"module_name": module, "job_config": config, "ddl_targets": targets}
        self.put(MODULES, {**row, "is_active": active}, times)

    def do_table(self, table: str, module: str | None, number: int, active: bool) -> None:
        row = {"table_name": table, "module_name": module, "definition": f'{{"n":{number}}}'}
        self.put(TABLES, {**row, "is_active": active}, "forgotten")

    def do_reformat(self, module: str, source: str) -> None:
        for row in self.rows(SOURCES):
            if (row["module_name"], row["source_id"]) == (module, source):
                text = row["transformation_config"].replace(": ", ":   ")
                key = {"module_name": module, "source_id": source}
                self.put(SOURCES, {**key, "transformation_config": text}, "now")

    def do_delete(self, name: str, scope: Mapping[str, Any]) -> None:
        layout = BY_NAME[name]
        self.store.merge(NAMES.of(layout), [], keys=layout.keys, scope=scope)

    def do_nameless(self, table: str, name: str | None, number: int) -> None:
        layout = BY_NAME[table]
        value = {"transformation_config": task(number)} if layout is SOURCES else {}
        key = {"source_id": "a"} if layout is SOURCES else {}
        self.store.append(NAMES.of(layout), [{"module_name": name, **key, **value}])

    def do_double(self, table: str, position: int, same: bool) -> None:
        layout = BY_NAME[table]
        rows = self.rows(layout)
        if rows:
            row = rows[position % len(rows)]
            other = {} if same else {"module_name": "sales"} if layout is TABLES else {}
            self.store.append(NAMES.of(layout), [{**row, **other}])

    def do_corrupt(self, table: str, position: int, text: str) -> None:
        layout = BY_NAME[table]
        column = {SOURCES: "target_config", MODULES: "job_config", TABLES: "definition"}[layout]
        rows = [row for row in self.rows(layout) if all(row[key] for key in layout.keys)]
        if rows:
            row = rows[position % len(rows)]
            key = {key: row[key] for key in layout.keys}
            self.store.merge(NAMES.of(layout), [{**key, column: text}], keys=layout.keys)

    def do_mend(self) -> None:
        """Every row with bad content gets good one; rows that double or have no name go."""
        for layout in LAYOUTS:
            good: dict[Any, dict[str, Any]] = {}
            for row in self.rows(layout):
                columns = ("target_config", "job_config", "definition")
                mended = {c: "{}" if row.get(c) in BROKEN else row[c] for c in columns if c in row}
                good[tuple(row[k] for k in layout.keys)] = {**row, **mended}
            kept = [row for key, row in good.items() if all(key)]
            table = NAMES.of(layout)
            self.store.merge(table, [], keys=layout.keys, scope={})
            self.store.append(table, kept)

    def do_break_record(self, module: str, column: str, text: str) -> None:
        if any(row["module_name"] == module for row in self.rows(JOBS)):
            row = {"module_name": module, column: text}
            self.store.merge(NAMES.of(JOBS), [row], keys=JOBS.keys)
            self.bad_records[module] = {module}

    def do_drop_record(self, module: str) -> None:
        self.do_delete("jobs", {"module_name": module})
        self.applied.pop(module, None)
        self.bad_records.pop(module, None)

    def do_yaml(self, modules: list[str], number: int, prune: bool) -> None:
        declared = Declared(
            modules=tuple(
                {"module_name": n, "job_config": "{}", "is_active": None} for n in modules
            ),
            sources=tuple(
                {
                    "module_name": name,
                    "source_id": "a",
                    "execution_order": 1,
                    "transformation_config": task(number),
                    "is_active": None,
                }
                for name in modules
            ),
        )
        self.manager.load(declared, prune=prune)

    def do_clock(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def do_apply(self, changed_only: bool, fails: str | None, remember: bool) -> None:
        """As `lakeflow-meta apply`, or the monitor, would; one call to the platform may fail."""
        queries, context = FakeQueries(), JobContext(str(NAMES.sources))
        orchestrator = JobOrchestrator(
            self.store,
            self.jobs,
            queries,
            tables=NAMES,
            context=context,
            permissions=self.jobs.permissions,
            clock=self.clock,
            sleep=self.clock.advance,
        )
        live_before = {job.job_id: job.settings for job in self.jobs.list_jobs()}
        if fails is not None:
            self.jobs.fail_on(fails)
        view = view_of(self.state())
        modules, bad = view.modules(), self.all_bad(view)
        names = self.manager.changes().modules if changed_only else None
        outcomes = orchestrator.apply(names)
        self.jobs.heal()
        for outcome in outcomes:
            assert outcome.failed or outcome.module not in bad
            if not outcome.failed and outcome.module in modules:
                self.applied[outcome.module] = modules[outcome.module]
            elif not outcome.failed:
                self.applied.pop(outcome.module, None)
        assert changed_only or {o.module for o in outcomes if o.failed} >= bad.keys()
        self.check_untouched(live_before, bad)
        if remember:
            self.manager.remember_answer()

    def check_untouched(self, before: Mapping[int, Any], bad: Mapping[str, Any]) -> None:
        live = {job.job_id: job.settings for job in self.jobs.list_jobs()}
        for job_id, job in before.items():
            if job["name"] in bad:
                assert live[job_id] == job

    def do_remember(self) -> None:
        self.manager.remember_answer()

    def do_meanwhile(self, nth: int, op: Op) -> None:
        """Somebody commits while the answer is made."""
        store: Any = Meanwhile(self.store, nth, lambda: self.do(op))
        ChangeDetector(store, NAMES).remember_answer()


# --------------------------------------------------------------------------- histories

BROKEN = ["{oops", "[1]", "NaN", '{"a": Infinity}']
MODULE = st.sampled_from(["sales", "sales", "Sales", "hr"])
SOURCE = st.sampled_from(["a", "a", "b"])
TABLE = st.sampled_from(["main.s.t", "main.s.u"])
NUMBER = st.integers(0, 2)
STAMPS = st.sampled_from(["forgotten", "now", "equal", "null"])
ACTIVE = st.sampled_from([True, True, False])
LAYOUT = st.sampled_from(["sources", "settings", "tables"])
TEXT = st.sampled_from(BROKEN)
POSITION = st.integers(0, 9)
SCOPE = st.one_of(
    st.fixed_dictionaries({"module_name": st.one_of(MODULE, MODULE, st.none(), st.just(""))}),
    st.just({}),
)


def op(name: str, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Op]:
    return st.tuples(st.just(name), *parts)


EDITS = st.one_of(
    op("source", MODULE, SOURCE, NUMBER, ACTIVE, STAMPS),
    op("source", MODULE, SOURCE, NUMBER, ACTIVE, STAMPS),
    op("settings", MODULE, NUMBER, ACTIVE, STAMPS),
    op("table", TABLE, st.one_of(MODULE, MODULE, st.none()), NUMBER, ACTIVE),
    op("delete", LAYOUT, SCOPE),
    op("yaml", st.lists(MODULE, unique=True, max_size=3), NUMBER, st.booleans()),
    op("reformat", MODULE, SOURCE),
)
DAMAGES = st.one_of(
    op("nameless", st.sampled_from(["sources", "settings"]), st.sampled_from([None, ""]), NUMBER),
    op("double", LAYOUT, POSITION, st.booleans()),
    op("corrupt", LAYOUT, POSITION, TEXT),
    op("break_record", MODULE, st.sampled_from(["applied_state", "managed_fields"]), TEXT),
    op("drop_record", MODULE),
    op("mend"),
)


def weighted(*choices: tuple[int, st.SearchStrategy[Op]]) -> st.SearchStrategy[Op]:
    """`st.one_of` takes nested choices apart, so it cannot say how often each is made."""
    each = [choice for weight, choice in choices for _ in range(weight)]
    return st.sampled_from(each).flatmap(lambda choice: choice)


WRITES = weighted((5, EDITS), (1, DAMAGES))
FAILS = st.sampled_from([None, None, "create_job", "update_job", "update_job", "get_job"])
APPLIES = op("apply", st.booleans(), FAILS, st.booleans())
ANSWERS = st.one_of(op("remember"), op("meanwhile", st.integers(1, 25), WRITES))
CLOCK = op("clock", st.sampled_from([0.001, 1, 1800, 3600, 86400, -7200]))
OPS = weighted((6, EDITS), (4, DAMAGES), (5, APPLIES), (2, ANSWERS), (1, CLOCK))
APPLIED: list[Op] = [
    ("settings", "sales", 0, True, "now"),
    ("source", "sales", "a", 0, True, "now"),
    ("source", "hr", "a", 0, True, "forgotten"),
    ("table", "main.s.t", "hr", 0, True),
    ("apply", False, None, True),
]
HISTORIES = st.builds(
    lambda before, after: [*before, *after],
    st.sampled_from([[], APPLIED, APPLIED]),
    st.lists(OPS, min_size=3, max_size=14),
)


def live_through(world: World, history: list[Op]) -> None:
    for op in history:
        world.do(op)
        expected = world.expected()
        assert world.without_memory() == expected, op
        assert world.with_memory() == expected, op


def state_at(world: World, moment: datetime) -> State:
    """The whole state as it was: of each table the last version that was committed by then."""
    state = {}
    for layout in LAYOUTS:
        versions = [c.version for c in world.store.history(NAMES.of(layout)) if c.at <= moment]
        state[layout] = world.rows(layout, versions[-1]) if versions else []
    return state


def expected_since(world: World, moment: datetime) -> dict[str, Any]:
    then, now = state_at(world, moment), world.state()
    names = touched(then, now)
    before, after, bad = view_of(then).modules(), view_of(now).modules(), view_of(now).bad
    return answer(
        {name: state for name, state in before.items() if name in names},
        {name: state for name, state in after.items() if name in names},
        {name: keys for name, keys in bad.items() if name in names},
    )


def check_moments(world: World, picks: list[tuple[int, float, str, bool]]) -> None:
    commits = sorted({c.at for layout in LAYOUTS for c in world.store.history(NAMES.of(layout))})
    for position, offset, zone, as_text in picks:
        moment = commits[position % len(commits)] + timedelta(seconds=offset)
        local = moment.astimezone(ZoneInfo(zone))
        given_as = local.isoformat() if as_text else local
        found = world.manager.detect_changes(given_as)
        assert told(found) == expected_since(world, moment), (given_as, moment)
        assert found["warnings"] == []


MOMENTS = st.lists(
    st.tuples(
        st.integers(0, 99),
        st.sampled_from([0, 0, 0.001, -0.001, 1800, -86400]),
        st.sampled_from(ZONES),
        st.booleans(),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=50 * TIMES_MORE, deadline=None)
@given(st.sampled_from(STARTS), st.sampled_from([0.0, 0.001]), HISTORIES, MOMENTS)
def test_every_answer_is_that_of_comparing_whole_states(
    start: datetime, step: float, history: list[Op], moments: list[tuple[int, float, str, bool]]
) -> None:
    clock = FixedClock(start, step_seconds=step)
    world = World(FakeStore(clock), clock)
    live_through(world, history)
    check_moments(world, moments)


@settings(max_examples=3 * TIMES_MORE, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HISTORIES, MOMENTS)
def test_on_delta_tables_as_well(
    history: list[Op], moments: list[tuple[int, float, str, bool]]
) -> None:
    with TemporaryDirectory() as folder:
        clock = FixedClock(step_seconds=0.001)
        world = World(DeltaRsStore(Path(folder)), clock)
        live_through(world, history)
        check_moments(world, moments)
