"""The engine: reads once, plans everything, runs what is needed, keeps failures in their place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from lakeflow_meta.errors import BackendError, SpecError, SyncFailedError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Row
from lakeflow_meta.progress import Event, StepState
from lakeflow_meta.schema.engine import SchemaEngine
from lakeflow_meta.schema.live import LiveTable, TableState, Unreadable
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.sync_memory import CleanState
from lakeflow_meta.schema.table import Column, DeltaTable, DroppedTable, ForeignKey
from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.testing.clock import FixedClock


class _World:
    """Tables by name; a statement makes its table look as declared, one that fails does not."""

    def __init__(self, *tables: DeltaTable) -> None:
        self.declared = {str(table.full_name): table for table in tables}
        self.states: dict[str, TableState] = {}
        self.ran: list[str] = []
        self.reads: list[list[str]] = []
        self.starts = 0
        self.failing: set[str] = set()
        self.before: Callable[[str], None] = lambda _: None
        self.answer: Callable[[str], list[Row]] = lambda _: [{"q0": 0}]
        self._lock = threading.Lock()

    def start(self) -> _World:
        self.starts += 1
        return self

    def describe(self, tables: Iterable[TableName]) -> Mapping[TableName, TableState]:
        names = list(tables)
        with self._lock:
            self.reads.append([str(name) for name in names])
            return {name: self.states.get(str(name)) for name in names}

    def stamps(self, tables: Iterable[TableName]) -> Mapping[TableName, int]:
        with self._lock:
            found = {name: self.states.get(str(name)) for name in tables}
        return {name: hash(state) for name, state in found.items() if state is not None}

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        if statement.startswith("SELECT"):
            return self.answer(statement)
        name = statement.split("`")[5]
        self.before(name)
        with self._lock:
            self.ran.append(name)
            if name in self.failing:
                raise BackendError(f"{name} was refused", code="NO")
            if statement.startswith("DROP TABLE"):
                del self.states[f"c.s.{name}"]
            else:
                self.states[f"c.s.{name}"] = _as_declared(self.declared[f"c.s.{name}"])
        return []


def _as_declared(table: DeltaTable) -> LiveTable:
    return LiveTable(
        table.full_name, tuple(table.columns), table.comment, checks=table.checks, version=3
    )


class _Memory:
    """Remembers, and counts how often it had to."""

    def __init__(self) -> None:
        self.states: dict[str, CleanState] = {}
        self.writes: list[list[str]] = []

    def recall(self) -> Mapping[str, CleanState]:
        return dict(self.states)

    def remember(self, states: Mapping[str, CleanState]) -> None:
        if states:
            self.writes.append(sorted(states))
        self.states.update(states)


def _table(name: str, *parents: str, comment: str = "") -> DeltaTable:
    keys = [ForeignKey([f"{parent}_id"], f"c.s.{parent}") for parent in parents]
    columns = [Column("id", parse_type("int"), nullable=False)]
    columns += [Column(f"{parent}_id", parse_type("int")) for parent in parents]
    return DeltaTable("c", "s", name, columns, comment, ["id"], keys)


def _engine(world: _World, **more: Any) -> SchemaEngine:
    parts = {"clock": FixedClock(), "sleep": lambda _: None, **more}
    return SchemaEngine(world, world.start, **parts)


def _statuses(report: Any) -> dict[str, str]:
    return {outcome.name.name: str(outcome.status) for outcome in report}


def test_tables_are_created_and_a_second_sync_neither_runs_nor_starts_anything() -> None:
    tables = [_table("a"), _table("b", "a")]
    world = _World(*tables)
    report = _engine(world).sync(Registry(tables))
    assert _statuses(report) == {"a": "created", "b": "created"}
    assert [outcome.version for outcome in report] == [3, 3]
    assert world.ran == ["a", "b"]
    again = _engine(world).sync(Registry(tables))
    assert _statuses(again) == {"a": "unchanged", "b": "unchanged"}
    assert (world.starts, again.has_changes) == (1, False)
    assert again.counts() == {"unchanged": 2}


def test_all_tables_are_read_in_one_call_with_parents_that_are_not_declared() -> None:
    child = DeltaTable(
        "c",
        "s",
        "child",
        [Column("x", parse_type("int"))],
        foreign_keys=[ForeignKey(["x"], "c.s.outside", ["id"])],
    )
    world = _World(child)
    world.states["c.s.outside"] = _as_declared(_table("outside"))
    assert _engine(world).plan(Registry([child])).has_changes
    assert world.reads == [["c.s.child", "c.s.outside"]]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "does not exist"),
        (Unreadable("it is odd"), "cannot be read: it is odd"),
        (LiveTable(TableName("c", "s", "p"), (Column("id", parse_type("date")),)), "types differ"),
        (LiveTable(TableName("c", "s", "p"), (Column("z", parse_type("int")),)), "no column 'id'"),
    ],
)
def test_a_key_to_a_live_table_is_checked_against_it(state: TableState, message: str) -> None:
    columns = [Column("x", parse_type("int"))]
    keys = [ForeignKey(["x"], "c.s.p", ["id"])]
    child = DeltaTable("c", "s", "child", columns, foreign_keys=keys)
    world = _World(child)
    world.states["c.s.p"] = state
    plan = _engine(world).plan(Registry([child]))
    assert message in plan.tables[0].rejections[0].message


def test_a_dry_run_runs_nothing_raises_nothing_and_tells_what_a_sync_would_do() -> None:
    tables = [_table("bad"), _table("child", "bad"), _table("good")]
    world = _World(*tables)
    world.states["c.s.bad"] = Unreadable("a view")
    report = _engine(world).sync(Registry(tables), dry_run=True)
    assert _statuses(report) == {"bad": "failed", "child": "skipped", "good": "planned"}
    assert (world.starts, world.ran) == (0, [])
    assert report.has_changes
    assert report.has_failures
    with pytest.raises(SyncFailedError) as caught:
        _engine(world).sync(Registry(tables))
    assert _statuses(caught.value.report) == {
        "bad": "failed",
        "child": "skipped",
        "good": "created",
    }


def test_a_failure_stays_in_its_table_and_in_those_that_refer_to_it() -> None:
    tables = [_table("a"), _table("b", "a"), _table("c", "b"), _table("d"), _table("e", "d")]
    world = _World(*tables)
    world.failing = {"a"}
    with pytest.raises(SyncFailedError) as caught:
        _engine(world).sync(Registry(tables))
    report = caught.value.report
    assert _statuses(report) == {
        "a": "failed",
        "b": "skipped",
        "c": "skipped",
        "d": "created",
        "e": "created",
    }
    assert report.failures[0].error == "statement 1 of 1: a was refused"
    assert "c.s.a" in report.failures[1].error
    assert [each["status"] for each in report.to_dict()["tables"]].count("skipped") == 2


def test_a_change_that_somebody_else_made_first_is_no_failure() -> None:
    table = _table("a")
    world = _World(table)
    world.failing = {"a"}
    world.before = lambda _: world.states.update({"c.s.a": _as_declared(table)})
    report = _engine(world).sync(Registry([table]))
    assert _statuses(report) == {"a": "created"}
    assert "somebody else made the same change" in report.outcomes[0].notes[0]


def test_success_is_what_the_table_looks_like_afterwards() -> None:
    table = _table("a", comment="wanted")
    world = _World(table)
    world.declared["c.s.a"] = _table("a", comment="lost")
    with pytest.raises(SyncFailedError, match="not as declared: ~ comment: 'lost' → 'wanted'"):
        _engine(world).sync(Registry([table]))


def test_independent_tables_are_worked_on_at_the_same_time_and_parents_before_children() -> None:
    tables = [_table("a"), _table("b"), _table("c", "a", "b")]
    world = _World(*tables)
    meet = threading.Barrier(2, timeout=10)
    world.before = lambda name: meet.wait() and None if name in "ab" else None
    report = _engine(world, max_parallel=2).sync(Registry(tables))
    assert world.ran[-1] == "c"
    assert not report.has_failures


def test_an_error_of_our_own_is_not_disguised_as_a_failed_table() -> None:
    tables = [_table("a"), _table("b")]
    world = _World(*tables)

    def broken(_: str) -> None:
        raise ZeroDivisionError

    world.before = broken
    with pytest.raises(ZeroDivisionError):
        _engine(world, max_parallel=1).sync(Registry(tables))


def test_tables_that_do_not_fit_together_are_refused_before_anything_is_read() -> None:
    tables = [_table("a", "b"), _table("b", "a")]
    world = _World(*tables)
    with pytest.raises(SpecError, match=r"c\.s\.a → c\.s\.b → c\.s\.a"):
        _engine(world).sync(Registry(tables))
    assert world.reads == []


def test_progress_tells_how_every_table_ended() -> None:
    tables = [_table("a"), _table("b"), _table("same")]
    world = _World(*tables)
    world.failing = {"b"}
    world.states["c.s.same"] = _as_declared(tables[2])
    events: list[Event] = []
    with pytest.raises(SyncFailedError):
        _engine(world, progress=events.append).sync(Registry(tables))
    ends = {e.key: e.state for e in events if e.state is not StepState.STARTED}
    assert ends == {
        "c.s.a": StepState.DONE,
        "c.s.b": StepState.FAILED,
        "c.s.same": StepState.UNCHANGED,
    }


def test_reports_read_the_same_on_every_run() -> None:
    tables = [_table(name) for name in "hgfedcba"]
    texts = set()
    for workers in (1, 4, 8):
        report = _engine(_World(*tables), max_parallel=workers).sync(Registry(tables))
        texts.add(report.text())
    assert len(texts) == 1
    assert texts.pop().endswith("8 tables: 8 created")


# --------------------------------------------------------------------------- what is remembered


def test_a_table_that_is_as_the_last_clean_sync_left_it_is_not_read_again() -> None:
    tables = [_table("a"), _table("b", "a")]
    world, memory = _World(*tables), _Memory()
    _engine(world, memory=memory).sync(Registry(tables))
    assert memory.writes == [["c.s.a", "c.s.b"]]
    world.reads.clear()
    again = _engine(world, memory=memory).sync(Registry(tables))
    assert world.reads == [[]]
    assert _statuses(again) == {"a": "unchanged", "b": "unchanged"}
    assert len(memory.writes) == 1


def test_another_declaration_or_another_state_is_read_again() -> None:
    tables = [_table("a"), _table("b")]
    world, memory = _World(*tables), _Memory()
    _engine(world, memory=memory).sync(Registry(tables))
    world.reads.clear()
    world.states["c.s.b"] = _as_declared(_table("b", comment="by somebody"))
    changed = [_table("a", comment="new"), tables[1]]
    plan = _engine(world, memory=memory).plan(Registry(changed))
    assert world.reads == [["c.s.a", "c.s.b"]]
    assert [str(table.outlook) for table in plan.tables] == ["change", "change"]


def test_what_a_target_never_keeps_is_told_again_though_nothing_is_read() -> None:
    tables = [_table("a")]
    world, memory = _World(*tables), _Memory()
    first = _engine(world, memory=memory).sync(Registry(tables))
    world.reads.clear()
    again = _engine(world, memory=memory).plan(Registry(tables))
    assert world.reads == [[]]
    assert again.tables[0].notes == first.outcomes[0].plan.notes
    assert "primary key (id) is not kept" in again.tables[0].notes[0]


def test_a_table_with_something_left_alone_is_not_clean() -> None:
    table = _table("a")
    world, memory = _World(table), _Memory()
    live = _as_declared(table)
    extra = (*live.columns, Column("extra", parse_type("int")))
    world.states["c.s.a"] = replace(live, columns=extra)
    _engine(world, memory=memory).sync(Registry([table]))
    assert memory.states == {}
    plan = _engine(world, memory=memory).plan(Registry([table]))
    assert "column extra is not declared: left alone" in plan.tables[0].notes


def test_a_table_that_refers_to_one_that_nobody_declared_is_looked_at_each_time() -> None:
    columns = [Column("x", parse_type("int"))]
    keys = [ForeignKey(["x"], "c.s.outside", ["id"])]
    child = DeltaTable("c", "s", "child", columns, foreign_keys=keys)
    world, memory = _World(child), _Memory()
    world.states["c.s.outside"] = _as_declared(_table("outside"))
    _engine(world, memory=memory).sync(Registry([child]))
    del world.states["c.s.outside"]
    plan = _engine(world, memory=memory).plan(Registry([child]))
    assert "c.s.outside does not exist" in str(plan.tables[0].rejections[0])


def test_a_failed_table_and_a_dry_run_are_not_remembered() -> None:
    tables = [_table("a"), _table("b")]
    world, memory = _World(*tables), _Memory()
    _engine(world, memory=memory).sync(Registry(tables), dry_run=True)
    assert memory.writes == []
    world.failing = {"a"}
    with pytest.raises(SyncFailedError):
        _engine(world, memory=memory).sync(Registry(tables))
    assert list(memory.states) == ["c.s.b"]


# --------------------------------------------------------------------------- others, data, drops


def test_a_table_that_somebody_changed_after_the_plan_is_refused() -> None:
    first, second = _table("a", comment="x"), _table("b", comment="y")
    world = _World(first, second)
    world.states["c.s.b"] = _as_declared(_table("b", comment="old"))

    def meddle(name: str) -> None:
        if name == "a":
            world.states["c.s.b"] = _as_declared(_table("b", comment="newer"))

    world.before = meddle
    registry = Registry([first, second])
    with pytest.raises(SyncFailedError) as caught:
        _engine(world, max_parallel=1).sync(registry)
    assert _statuses(caught.value.report) == {"a": "created", "b": "failed"}
    assert "changed the table after it was planned" in caught.value.report.failures[0].error
    world.before = lambda _: None
    assert _statuses(_engine(world).sync(registry)) == {"a": "unchanged", "b": "changed"}


def test_a_table_that_somebody_changed_under_its_earlier_name_is_refused() -> None:
    first = _table("a", comment="x")
    second = replace(_table("b", comment="y"), renamed_from="before")
    world = _World(first, second)
    world.states["c.s.before"] = _as_declared(_table("before", comment="old"))

    def meddle(name: str) -> None:
        if name == "a":
            world.states["c.s.before"] = _as_declared(_table("before", comment="newer"))

    world.before = meddle
    with pytest.raises(SyncFailedError) as caught:
        _engine(world, max_parallel=1).sync(Registry([first, second]))
    assert _statuses(caught.value.report) == {"a": "created", "b": "failed"}
    assert "changed the table after it was planned" in caught.value.report.failures[0].error


def test_a_change_of_others_that_leaves_the_plan_as_it_was_does_not_stop_it() -> None:
    first, second = _table("a"), _table("b", comment="y")
    world = _World(first, second)
    before = _as_declared(_table("b", comment="old"))
    world.states["c.s.b"] = before
    world.before = lambda name: (
        world.states.update({"c.s.b": replace(before, version=9)}) if name == "a" else None
    )
    report = _engine(world, max_parallel=1).sync(Registry([first, second]))
    assert _statuses(report) == {"a": "created", "b": "changed"}


def test_a_statement_that_lost_a_race_is_tried_again() -> None:
    table = _table("a", comment="x")
    world = _World(table)
    races = [2]

    def race(_: str) -> None:
        if races[0]:
            races[0] -= 1
            raise BackendError("somebody was first", code="DELTA_METADATA_CHANGED", transient=True)

    world.before = race
    report = _engine(world).sync(Registry([table]))
    assert _statuses(report) == {"a": "created"}
    assert report.outcomes[0].applied == 1
    races[0] = 99
    world.states.clear()
    with pytest.raises(SyncFailedError) as caught:
        _engine(world).sync(Registry([table]))
    assert "somebody was first" in caught.value.report.failures[0].error


def test_a_commit_of_somebody_else_that_is_on_its_way_is_waited_for() -> None:
    table = _table("a")
    world = _World(table)
    world.failing = {"a"}

    def sleep(_: float) -> None:
        world.states["c.s.a"] = _as_declared(table)

    report = _engine(world, sleep=sleep).sync(Registry([table]))
    assert _statuses(report) == {"a": "created"}
    assert "somebody else made the same change" in report.outcomes[0].notes[0]


def test_what_another_sync_left_to_do_is_done() -> None:
    columns = [Column("id", parse_type("int")), Column("n", parse_type("int"))]
    table = DeltaTable("c", "s", "a", columns, comment="x")
    world = _World(table)
    live = _as_declared(DeltaTable("c", "s", "a", columns[:1]))
    world.states["c.s.a"] = live

    def first_half_by_others(_: str) -> None:
        if world.states["c.s.a"] == live:
            world.states["c.s.a"] = replace(live, columns=tuple(columns))
            raise BackendError("the column is there already", code="FIELDS_ALREADY_EXISTS")

    world.before = first_half_by_others
    report = _engine(world).sync(Registry([table]))
    assert _statuses(report) == {"a": "changed"}
    assert report.outcomes[0].applied == 1


def test_the_data_is_asked_once_a_table_before_anything_runs() -> None:
    plain = _table("a")
    checked = DeltaTable("c", "s", "b", plain.columns, checks={"one": "id > 1", "two": "id > 2"})
    world = _World(plain, checked)
    world.states["c.s.b"] = _as_declared(DeltaTable("c", "s", "b", plain.columns))
    asked: list[str] = []

    def answer(query: str) -> list[Row]:
        assert world.ran == []
        asked.append(query)
        return [{"q0": 0, "q1": 5}]

    world.answer = answer
    with pytest.raises(SyncFailedError) as caught:
        _engine(world).sync(Registry([plain, checked]))
    assert len(asked) == 1
    assert _statuses(caught.value.report) == {"a": "created", "b": "failed"}
    assert "check two (id > 2) is broken by 5 rows" in caught.value.report.failures[0].error
    assert world.ran == ["a"]


def test_data_that_cannot_be_asked_refuses_its_table_alone() -> None:
    plain = _table("a")
    checked = DeltaTable("c", "s", "b", plain.columns, checks={"one": "nope(id)"})
    world = _World(plain, checked)
    world.states["c.s.b"] = _as_declared(DeltaTable("c", "s", "b", plain.columns))

    def answer(_: str) -> list[Row]:
        raise BackendError("no function nope", code="UNRESOLVED_ROUTINE")

    world.answer = answer
    plan = _engine(world).plan(Registry([plain, checked]))
    assert [str(table.outlook) for table in plan.tables] == ["create", "rejected"]
    assert "the data could not be checked: no function nope" in str(plan.tables[1].rejections[0])


def test_drops_come_last_and_a_table_that_is_gone_stays_gone() -> None:
    kept, gone = _table("z"), DroppedTable("c", "s", "a")
    world = _World(kept)
    world.states["c.s.a"] = _as_declared(_table("a"))
    report = _engine(world).sync(Registry([gone, kept]))
    assert world.ran == ["z", "a"]
    assert _statuses(report) == {"a": "dropped", "z": "created"}
    assert _statuses(_engine(world).sync(Registry([gone, kept]))) == {
        "a": "unchanged",
        "z": "unchanged",
    }
