"""DDL runs stopped at every step that touches the outside, then run again."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeflow_meta.control.tables import DDL_SCRIPTS, EXECUTIONS, ControlTables
from lakeflow_meta.errors import BackendError
from lakeflow_meta.scripts.runner import ScriptRunner
from lakeflow_meta.scripts.script import read_scripts
from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.crash import Crash, CrashPoint
from lakeflow_meta.testing.fake_scripts import FakeScriptTarget
from lakeflow_meta.testing.fake_store import FakeStore

TABLES = ControlTables.named("main.ops.etl_control")
TEXTS = {
    "a/001_init/001_tables.sql": "CREATE TABLE x; CREATE TABLE y; INSERT INTO x 1; DROP TABLE y",
    "a/001_init/002_rows.sql": "USE s; INSERT INTO x 2; INSERT INTO x 3; CREATE TABLE z",
    "a/002_more/001_one.sql": "INSERT INTO z 4",
    "a/002_more/002_code.py": "work()",
    "b/001_init/001_tables.sql": "CREATE TABLE b; INSERT INTO b 1",
    "b/R__views.sql": "INSERT INTO b again; DROP TABLE b; CREATE TABLE b",
}


class World:
    """Control tables and a platform that outlive the processes that use them."""

    def __init__(self, texts: dict[str, str] | None = None, **kind: Any) -> None:
        self.clock = FixedClock()
        self.store = FakeStore(self.clock)
        self.kind = kind
        self.place = FakeScriptTarget(**kind)
        for table, layout in TABLES.all().items():
            self.store.ensure(table, layout)
        self.record(texts or TEXTS)

    def record(self, texts: dict[str, str]) -> None:
        scripts, findings = read_scripts(texts)
        assert not findings
        rows = [script.row() for script in scripts]
        self.store.merge(TABLES.of(DDL_SCRIPTS), rows, keys=["script_id"])

    def process(self, crash: CrashPoint) -> ScriptRunner:
        self.place.wrap = crash.wrap
        return ScriptRunner(
            crash.wrap(self.store),
            TABLES,
            lambda _: self.place,
            clock=self.clock,
            sleep=lambda _: None,
            owner="p",
            is_alive=lambda _: False,
            max_parallel=1,
        )

    def outcome(self) -> Any:
        log = self.store.read(TABLES.of(EXECUTIONS)).to_pylist()
        rows = sorted((row["script_id"], row["execution_status"]) for row in log)
        python = self.place.ran.count("work()")
        return self.place.tables, rows, python


def finished(world: World, crash: CrashPoint, *, accept: bool = False) -> None:
    report = world.process(crash).run(accept_changed=accept, output=io.StringIO())
    assert not report.has_failures, list(report.lines())


KINDS = [{"keeps_ids": True}, {"keeps_ids": False, "numbers": True}]


@pytest.mark.parametrize("kind", KINDS, ids=["as Delta", "as PostgreSQL"])
def test_killed_at_any_step_the_next_run_ends_as_if_nothing_had_happened(
    kind: dict[str, bool],
) -> None:
    undisturbed = World(**kind)
    whole = CrashPoint()
    finished(undisturbed, whole)
    expected = undisturbed.outcome()
    assert expected[0] == {"x": ["1", "2 s", "3 s"], "z": ["4"], "b": []}
    assert len(whole.calls) >= 50
    for at in range(1, len(whole.calls) + 1):
        for after in (False, True):
            world = World(**kind)
            with pytest.raises(Crash):
                world.process(CrashPoint(at, after=after)).run(output=io.StringIO())
            finished(world, CrashPoint())
            tables, rows, python = world.outcome()
            assert (tables, rows) == expected[:2], (at, after, whole.calls[at - 1])
            assert python in (1, 2), "Python runs again as a whole"
            world.process(CrashPoint()).run()
            assert world.outcome() == (tables, rows, python)


@st.composite
def scripts_that_work(draw: st.DrawFn) -> str:
    """Statements of which none fails, and few could be said twice."""
    there: set[str] = set()
    statements: list[str] = []
    for number in range(draw(st.integers(min_value=1, max_value=7))):
        name = draw(st.sampled_from("xyz"))
        actions = ["INSERT", "DROP", "USE"] if name in there else ["CREATE", "USE"]
        match draw(st.sampled_from(actions)):
            case "CREATE":
                there.add(name)
                statements.append(f"CREATE TABLE {name}")
            case "DROP":
                there.remove(name)
                statements.append(f"DROP TABLE {name}")
            case "USE":
                statements.append(f"USE s{number}")
            case _:
                statements.append(f"INSERT INTO {name} {number}")
    return "; ".join(statements)


@settings(max_examples=40)
@given(
    scripts_that_work(),
    st.lists(st.tuples(st.integers(min_value=1, max_value=30), st.booleans()), max_size=4),
    st.sampled_from(KINDS),
)
def test_any_script_killed_any_number_of_times_has_each_effect_once(
    body: str, kills: list[tuple[int, bool]], kind: dict[str, bool]
) -> None:
    texts = {"a/001_init/001_tables.sql": body}
    undisturbed, world = World(texts, **kind), World(texts, **kind)
    finished(undisturbed, CrashPoint())
    for at, after in kills:
        with contextlib.suppress(Crash):
            world.process(CrashPoint(at, after=after)).run()
    finished(world, CrashPoint())
    assert world.outcome() == undisturbed.outcome()


def test_killed_twice_in_a_row_the_third_run_ends_as_if_nothing_had_happened() -> None:
    undisturbed = World()
    whole = CrashPoint()
    finished(undisturbed, whole)
    expected = undisturbed.outcome()[:2]
    for at in range(1, len(whole.calls) + 1, 2):
        for second in range(3, 40, 7):
            world = World()
            with pytest.raises(Crash):
                world.process(CrashPoint(at, after=True)).run()
            try:
                world.process(CrashPoint(second)).run()
            except Crash:
                finished(world, CrashPoint())
            assert world.outcome()[:2] == expected, (at, second, whole.calls[at - 1])


def test_killed_while_a_failure_is_recorded_a_statement_that_failed_is_not_taken_for_done() -> None:
    """The table is another one's: that it is there already is the failure, at each run."""

    def world_with_failure() -> World:
        world = World()
        world.record({**TEXTS, "a/001_init/001_tables.sql": "CREATE TABLE x; CREATE TABLE taken"})
        world.place.tables["taken"] = ["theirs"]
        return world

    whole = CrashPoint()
    failing = world_with_failure()
    failing.process(whole).run(["a"])
    refused = whole.calls.index("execute", whole.calls.index("execute") + 1) + 1
    for at in range(refused + 2, len(whole.calls) + 1):
        world = world_with_failure()
        with pytest.raises(Crash):
            world.process(CrashPoint(at)).run(["a"])
        report = world.process(CrashPoint()).run(["a"])
        assert "it is there" in report.targets[0].outcomes[0].error, (at, whole.calls[at - 1])
        assert world.place.tables["x"] == []


def test_killed_while_a_change_is_accepted_it_is_accepted_once() -> None:
    def changed() -> World:
        world = World()
        finished(world, CrashPoint())
        world.record({**TEXTS, "a/002_more/001_one.sql": "-- nothing", "b/R__views.sql": "V"})
        return world

    undisturbed, whole = changed(), CrashPoint()
    finished(undisturbed, whole, accept=True)
    expected = undisturbed.outcome()
    for at in range(1, len(whole.calls) + 1):
        for after in (False, True):
            world = changed()
            with pytest.raises(Crash):
                world.process(CrashPoint(at, after=after)).run(accept_changed=True)
            finished(world, CrashPoint(), accept=True)
            assert world.outcome() == expected, (at, after, whole.calls[at - 1])


@pytest.mark.parametrize("method", ["merge", "append", "read"])
def test_refused_by_the_store_at_any_call_the_next_run_ends_as_if_nothing_had_happened(
    method: str,
) -> None:
    undisturbed = World()
    before = undisturbed.store.calls[method]
    finished(undisturbed, CrashPoint())
    expected = undisturbed.outcome()[:2]
    for nth in range(1, undisturbed.store.calls[method] - before + 1):
        for when in ("before", "after"):
            world = World()
            world.store.fail_on(method, nth=nth, when=when)
            with contextlib.suppress(BackendError):
                world.process(CrashPoint()).run()
            world.store.heal()
            finished(world, CrashPoint())
            tables, rows = world.outcome()[:2]
            done = [row for row in rows if row[1] == "Success"]
            assert (tables, sorted(set(done))) == expected, (method, nth, when)
            assert len(done) == len(set(done)), (method, nth, when)
