"""Syncs that die, that run at once, and whose tables somebody else changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from pyspark.sql import SparkSession
from spark.schema_on_spark import ToldSession, columns, differences, live_table, table

from lakeflow_meta.backends.delta_log import DeltaLogReader
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.errors import SyncFailedError
from lakeflow_meta.schema.engine import SchemaEngine
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.report import SyncReport, TableStatus
from lakeflow_meta.schema.table import Declared, DeltaTable, DroppedTable, Policy, View

OPEN = {"delta.columnMapping.mode": "name", "delta.enableTypeWidening": "true"}


class Killed(BaseException):
    """The process ends here: nothing of ours may catch it."""


@pytest.fixture
def session(interpreted: SparkSession) -> ToldSession:
    return ToldSession(interpreted)


@pytest.fixture
def reader(embedded: EmbeddedSpark) -> DeltaLogReader:
    return DeltaLogReader(embedded.warehouse)


@pytest.fixture
def engine(reader: DeltaLogReader, session: ToldSession) -> SchemaEngine:
    return SchemaEngine(reader, lambda: session)


def _first(schema: str) -> DeltaTable:
    return table(
        schema,
        "old",
        columns(a="int", b="int", s="struct<x:int,y:int>", gone="int"),
        properties={"delta.columnMapping.mode": "name", "his": "1"},
        checks={"small": "a < 10", "going": "gone IS NULL"},
    )


def _second(schema: str) -> DeltaTable:
    """One statement of nearly every phase."""
    declared = table(
        schema,
        "new",
        columns(n="timestamp_ntz", b="bigint", c="int", s="struct<y:int,z:int>"),
        comment="the second",
        properties=OPEN,
        checks={"small": "b < 10"},
        renamed_from="old",
        renamed_columns={"a": "b", "b": "c", "s.x": "s.z"},
        policy=Policy.STRICT,
        allow=["drop_column"],
    )
    made = [replace(column, comment=f"{column.name}!") for column in declared.columns]
    return replace(declared, columns=[*made[:2], replace(made[2], default="7"), made[3]])


def test_a_sync_that_dies_after_any_statement_is_completed_by_the_next_one(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    first, second = _first(schema), _second(schema)
    engine.sync(Registry([first]))
    session.execute(f"INSERT INTO {first.full_name} VALUES (1, 2, struct(3, 4), NULL)")
    planned = engine.plan(Registry([second])).statements
    assert len(planned) > 12

    def die(statement: str) -> None:
        if not statement.startswith("SELECT "):
            raise Killed

    ran = []
    session.after = die
    while engine.plan(Registry([second])).has_changes:
        session.ran.clear()
        with pytest.raises(Killed):
            engine.sync(Registry([second]))
        ran += session.changes
        assert len(ran) <= 2 * len(planned)
    session.after = lambda _: None

    assert differences(second, live_table(reader, second)) == []
    assert sorted(ran) == sorted(planned)
    rows = session.read(f"SELECT * FROM {second.full_name}")
    assert rows == [{"n": None, "b": 1, "c": 2, "s": {"y": 4, "z": 3}}]
    report = engine.sync(Registry([second]))
    assert [o.status for o in report] == [TableStatus.UNCHANGED]


def test_two_engines_at_once_end_as_declared(
    reader: DeltaLogReader, interpreted: SparkSession, schema: str
) -> None:
    catalog, schema_name = schema.split(".")
    start = Barrier(2)

    def sync(registry: Registry) -> SyncReport:
        own = ToldSession(interpreted.newSession())

        def wait_for_the_other(_: str) -> None:
            own.before = lambda _: None
            start.wait(timeout=30)

        own.before = wait_for_the_other
        try:
            return SchemaEngine(reader, lambda: own).sync(registry)
        except SyncFailedError as error:
            report: SyncReport = error.report
            return report

    made = columns(a="int", b="int", s="struct<x:int>")
    tables = [
        table(schema, f"t{n}", made, properties=OPEN, checks={"c": "a > 0"}) for n in range(3)
    ]
    changed = [
        replace(
            one,
            columns=columns(b2="bigint", a="int", s="struct<x:bigint,y:int>", n="date"),
            renamed_columns={"b": "b2"},
            comment="changed",
        )
        for one in tables
    ]
    view = View(catalog, schema_name, "v", f"SELECT a FROM {schema}.t0")
    gone = DroppedTable(catalog, schema_name, "t2")
    declared: list[list[Declared]] = [[*tables, view], [*changed[:2], view, gone]]
    for wanted in declared:
        registry = Registry(wanted)
        with ThreadPoolExecutor(2) as pool:
            reports = list(pool.map(sync, [registry, registry]))
        assert any(outcome.status.bad is False for report in reports for outcome in report)
        last = SchemaEngine(reader, lambda: ToldSession(interpreted)).sync(registry)
        assert not last.failures
        for one in wanted:
            if isinstance(one, DeltaTable):
                assert differences(one, live_table(reader, one)) == []
        assert not SchemaEngine(reader, lambda: ToldSession(interpreted)).plan(registry).has_changes
    assert reader.describe([gone.full_name]) == {gone.full_name: None}


def test_a_table_that_somebody_changes_after_it_was_planned_is_refused(
    reader: DeltaLogReader, session: ToldSession, schema: str
) -> None:
    engine = SchemaEngine(reader, lambda: session, max_parallel=1)
    tables = [table(schema, name, columns(a="int"), properties=OPEN) for name in "abcd"]
    engine.sync(Registry(tables))
    wanted = [replace(one, columns=columns(a="int", n="int")) for one in tables]
    wanted[3] = replace(wanted[3], name="e", renamed_from="d")
    meanwhile = [
        f"ALTER TABLE {schema}.b ADD COLUMN n STRING",
        f"INSERT INTO {schema}.c VALUES (1)",
        f"ALTER TABLE {schema}.d ADD COLUMN other STRING",
    ]

    def meddle(statement: str) -> None:
        while meanwhile:
            session.read(meanwhile.pop())

    session.after = meddle
    with pytest.raises(SyncFailedError) as caught:
        engine.sync(Registry(wanted))
    session.after = lambda _: None

    outcomes = {outcome.name.name: outcome for outcome in caught.value.report}
    assert {name: str(o.status) for name, o in outcomes.items()} == {
        "a": "changed", "b": "failed", "c": "changed", "e": "failed",
    }  # fmt: skip
    for name in "be":
        assert "changed the table after it was planned" in outcomes[name].error
        assert outcomes[name].applied == 0
    state = reader.describe([tables[1].full_name])[tables[1].full_name]
    assert isinstance(state, LiveTable)
    assert [str(column.data_type) for column in state.columns] == ["int", "string"]
    wanted[1] = replace(wanted[1], columns=columns(a="int", n="string"))
    report = engine.sync(Registry(wanted))
    assert not report.failures
    assert [differences(one, live_table(reader, one)) for one in wanted] == [[]] * 4


def test_a_failure_stays_in_its_table_and_is_made_good_later(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    fine = table(schema, "fine", columns(a="int"))
    odd = table(schema, "odd", columns(a="int"), checks={"c": "a > no_such"}, comment="odd")

    with pytest.raises(SyncFailedError) as caught:
        engine.sync(Registry([fine, odd]))

    assert [str(o.status) for o in caught.value.report] == ["created", "failed"]
    assert differences(fine, live_table(reader, fine)) == []
    with pytest.raises(SyncFailedError, match="could not be checked"):
        engine.sync(Registry([fine, odd]))
    good = replace(odd, checks={"c": "a > 1"})
    assert [str(o.status) for o in engine.sync(Registry([fine, good]))] == ["unchanged", "changed"]
    assert differences(good, live_table(reader, good)) == []
