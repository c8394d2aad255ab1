"""The engine: reads once, plans everything, runs what is needed, keeps failures in their place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from lakeflow_meta.errors import BackendError, SpecError, SyncFailedError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Row
from lakeflow_meta.progress import Event, StepState
from lakeflow_meta.schema.engine import SchemaEngine
from lakeflow_meta.schema.live import LiveTable, TableState, Unreadable
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.table import Column, DeltaTable, ForeignKey
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
        self._lock = threading.Lock()

    def start(self) -> _World:
        self.starts += 1
        return self

    def describe(self, tables: Iterable[TableName]) -> Mapping[TableName, TableState]:
        names = list(tables)
        with self._lock:
            self.reads.append([str(name) for name in names])
            return {name: self.states.get(str(name)) for name in names}

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        name = statement.split("`")[5]
        self.before(name)
        with self._lock:
            self.ran.append(name)
            if name in self.failing:
                raise BackendError(f"{name} was refused", code="NO")
            self.states[f"c.s.{name}"] = _as_declared(self.declared[f"c.s.{name}"])
        return []


def _as_declared(table: DeltaTable) -> LiveTable:
    return LiveTable(table.full_name, tuple(table.columns), table.comment, version=3)


def _table(name: str, *parents: str, comment: str = "") -> DeltaTable:
    keys = [ForeignKey([f"{parent}_id"], f"c.s.{parent}") for parent in parents]
    columns = [Column("id", parse_type("int"), nullable=False)]
    columns += [Column(f"{parent}_id", parse_type("int")) for parent in parents]
    return DeltaTable("c", "s", name, columns, comment, ["id"], keys)


def _engine(world: _World, **more: Any) -> SchemaEngine:
    return SchemaEngine(world, world.start, clock=FixedClock(), **more)


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
