"""`SqlStore` beyond the contract: two stores on one table, and the statements as a warehouse
gets them, run on Spark behind the stand-in of its API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from contract.http_stand_in import TOKEN, WAREHOUSE, StandIn
from pyspark.sql import SparkSession
from spark.statements_on_spark import run_on

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.backends.spark import SparkSqlSession
from lakeflow_meta.backends.spark_runner import SparkRunner
from lakeflow_meta.backends.sql_store import SqlStore
from lakeflow_meta.control.row_changes import compare_rows
from lakeflow_meta.control.sql.row_edits import RowEdit
from lakeflow_meta.control.sql.statements import Change, Select, parse_statements
from lakeflow_meta.control.tables import EVENTS, SOURCES, STATE, ControlTables
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ports import ControlStore

NOON = datetime(2025, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def tables(schema: str) -> ControlTables:
    return ControlTables.named(f"{schema}.etl_control")


@pytest.fixture(scope="module")
def session(spark: SparkSession) -> SparkSession:
    """A session that interprets plans: for a few rows, compiling them takes longer."""
    made = spark.newSession()
    made.conf.set("spark.sql.codegen.wholeStage", "false")
    made.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    return made


@pytest.fixture
def by_spark(session: SparkSession) -> SqlStore:
    return SqlStore(SparkRunner(session))


@pytest.fixture
def by_delta_rs(embedded: EmbeddedSpark) -> DeltaRsStore:
    return DeltaRsStore(embedded.warehouse)


@pytest.fixture
def by_warehouse(session: SparkSession) -> Iterator[SqlStore]:
    """The real SDK, over HTTP, to a stand-in that runs the statements on Spark."""
    from databricks.sdk import WorkspaceClient

    from lakeflow_meta.backends.statement_execution import StatementExecution

    with StandIn(lambda text, given: run_on(session, text, given)).running() as service:
        client = WorkspaceClient(host=service.host, token=TOKEN)
        yield SqlStore(StatementExecution(client, WAREHOUSE))


def source(source_id: str, module: str = "m", **changes: Any) -> dict[str, Any]:
    row = {
        "source_id": source_id,
        "module_name": module,
        "source_config": "{}",
        "is_active": True,
        "created_timestamp": NOON,
        "updated_timestamp": NOON,
    }
    return {**row, **changes}


def save(store: ControlStore, tables: ControlTables, *rows: dict[str, Any], **options: Any) -> Any:
    touch = {"insert_only": ("created_timestamp",), "touch": ("updated_timestamp",)}
    return store.merge(tables.of(SOURCES), rows, keys=SOURCES.keys, **touch, **options)


def recorded(store: ControlStore, tables: ControlTables) -> list[dict[str, Any]]:
    found = store.read(tables.of(SOURCES)).to_pylist()
    return sorted(found, key=lambda row: (row["module_name"], row["source_id"]))


@pytest.mark.parametrize("maker", ["spark", "delta_rs"])
def test_each_store_writes_the_tables_of_the_other(
    by_spark: SqlStore, by_delta_rs: DeltaRsStore, tables: ControlTables, maker: str
) -> None:
    first, second = (by_spark, by_delta_rs) if maker == "spark" else (by_delta_rs, by_spark)
    name = tables.of(SOURCES)
    assert first.ensure(name, SOURCES)
    assert not second.ensure(name, SOURCES)
    save(first, tables, source("a"), source("b"))
    later = save(second, tables, source("b", source_config="it's"), source("c"), scope={})
    assert (later.inserted, later.updated, later.removed) == (1, 1, 1)
    again = save(first, tables, source("b", source_config="it's"), source("c"), scope={})
    assert not again.changed
    assert recorded(first, tables) == recorded(second, tables)
    assert [r["source_id"] for r in recorded(first, tables)] == ["b", "c"]
    first.append(tables.of(SOURCES), [source("d")])
    assert len(recorded(second, tables)) == 3
    versions = [[c.version for c in store.history(name)] for store in (first, second)]
    assert versions == [[0, 1, 2, 3]] * 2
    assert recorded(first, tables)[0]["created_timestamp"] == NOON


def test_ten_thousand_rows_are_one_commit_and_the_second_time_none(
    by_spark: SqlStore, by_delta_rs: DeltaRsStore, tables: ControlTables
) -> None:
    by_delta_rs.ensure(tables.of(SOURCES), SOURCES)
    rows = [
        source(f"s{n}", f"m{n // 10}", source_config=json.dumps({"n": n, "q": "it's ${env:HOME}"}))
        for n in range(10_000)
    ]
    first = save(by_spark, tables, *rows)
    assert (first.inserted, first.version) == (10_000, 1)
    again = save(by_spark, tables, *rows, scope={"module_name": [f"m{n}" for n in range(1000)]})
    assert not again.changed
    assert by_spark.version(tables.of(SOURCES)) == 1
    assert recorded(by_delta_rs, tables) == [
        {**dict.fromkeys(SOURCES.names), **row}
        for row in sorted(rows, key=lambda row: (row["module_name"], row["source_id"]))
    ]


def test_keys_that_sql_made_twice_or_null_are_written_and_removed(
    by_spark: SqlStore, by_delta_rs: DeltaRsStore, tables: ControlTables
) -> None:
    by_delta_rs.ensure(tables.of(SOURCES), SOURCES)
    twice = [source("a"), source("a", source_config="x"), source("n"), {"source_id": "n"}]
    by_delta_rs.append(tables.of(SOURCES), twice)
    changed = save(by_spark, tables, source("a", source_config="y"), scope={"module_name": ["m"]})
    assert (changed.inserted, changed.updated, changed.removed) == (0, 2, 1)
    assert save(by_spark, tables, scope={"module_name": None}).removed == 1
    found = by_spark.read(tables.of(SOURCES), columns=["source_id", "source_config"])
    assert found.to_pylist() == [{"source_id": "a", "source_config": "y"}] * 2


def test_changes_between_versions_are_those_of_a_plain_comparison(
    by_spark: SqlStore, by_delta_rs: DeltaRsStore, tables: ControlTables
) -> None:
    name = tables.of(STATE)
    by_delta_rs.ensure(name, STATE)
    before = [*({"key": k, "value": v} for k, v in ("1x", "2x", "2y", "3x", "5x")), {"value": "n"}]
    after = [*({"key": k, "value": v} for k, v in ("1x", "2x", "3y", "4x", "5x")), {"value": "m"}]
    by_delta_rs.append(name, before)
    by_delta_rs.merge(name, [], keys=STATE.keys, scope={})
    by_delta_rs.append(name, after)
    found = by_spark.changed_rows(name, 1, keys=STATE.keys, ignore=["fence"])
    assert [c.key for c in found] == [(None,), ("2",), ("3",), ("4",)]
    assert found == by_delta_rs.changed_rows(name, 1, keys=STATE.keys, ignore=["fence"])
    assert found == compare_rows(before, after, STATE.keys)


def test_a_version_whose_files_are_gone_is_not_found(
    by_spark: SqlStore, by_delta_rs: DeltaRsStore, embedded: EmbeddedSpark, tables: ControlTables
) -> None:
    name = tables.of(STATE)
    by_delta_rs.ensure(name, STATE)
    by_delta_rs.append(name, [{"key": "a"}])
    folder = embedded.warehouse.joinpath(*name.key.split("."))
    (old,) = folder.glob("*.parquet")
    by_delta_rs.merge(name, [{"key": "b"}], keys=STATE.keys, scope={})
    old.unlink()
    for call in (
        lambda: by_spark.read(name, version=1),
        lambda: by_spark.changed_rows(name, 1, keys=STATE.keys),
    ):
        with pytest.raises(NotFoundError) as gone:
            call()
        assert gone.value.code == "VERSION_GONE"
    assert by_spark.read(name).num_rows == 1


def test_a_session_that_loses_parameters_gets_literals(
    spark: SparkSession, by_delta_rs: DeltaRsStore, tables: ControlTables
) -> None:
    session = spark.newSession()
    session.conf.set("spark.sql.legacy.parameterSubstitution.constantsOnly", "false")
    with pytest.raises(BackendError) as lost:
        SparkSqlSession(session).execute("SELECT :a AS a", {"a": 1})
    assert lost.value.code == "UNBOUND_SQL_PARAMETER"
    store = SqlStore(SparkRunner(session))
    by_delta_rs.ensure(tables.of(SOURCES), SOURCES)
    texts = [
        "it's :rows_0",
        "${env:HOME}",
        "\\",
        "`",
        "漢 \U0001f600",
        "a\nb\x00\u2028",
        "--",
        "/*",
    ]
    save(store, tables, *(source(t, source_config=t) for t in texts), scope={"module_name": texts})
    assert [r["source_config"] for r in recorded(by_delta_rs, tables)] == sorted(texts)
    found = store.read(
        tables.of(SOURCES), where={"source_config": texts, "created_timestamp": NOON}
    )
    assert found.num_rows == len(texts)


def run(store: ControlStore, tables: ControlTables, text: str) -> Any:
    (statement,) = parse_statements(text, tables, now=NOON)
    names = {name.name.lower(): name for name in tables.all()}
    match statement:
        case Select(query):
            return store.select(query, names).to_pylist()
        case Change():
            return store.change(statement.table, statement.query, names, check=lambda _: None)
    raise AssertionError(statement)


def test_a_change_is_worked_out_again_when_a_row_is_not_as_it_was_seen(
    by_spark: SqlStore, by_delta_rs: DeltaRsStore, tables: ControlTables
) -> None:
    name = tables.of(STATE)
    by_delta_rs.ensure(name, STATE)
    by_delta_rs.append(name, [{"key": k, "value": "x", "fence": 1} for k in "abc"])
    seen: list[list[Any]] = []

    def somebody_is_first(edits: Sequence[RowEdit]) -> None:
        seen.append(sorted((edit.action.value, edit.after.get("fence")) for edit in edits))
        if len(seen) == 1:
            by_delta_rs.merge(name, [{"key": "b", "fence": 10}], keys=["key"])

    (statement,) = parse_statements(
        "MERGE INTO etl_control_state t USING (VALUES ('b'), ('c'), ('n')) s(k) ON t.key = s.k"
        " WHEN MATCHED AND t.key = 'c' THEN DELETE"
        " WHEN MATCHED THEN UPDATE SET fence = t.fence + 1"
        " WHEN NOT MATCHED THEN INSERT (key, fence) VALUES (s.k, 0)",
        tables,
        now=NOON,
    )
    assert isinstance(statement, Change)
    names = {table.name.lower(): table for table in tables.all()}
    changed = by_spark.change(name, statement.query, names, check=somebody_is_first)
    assert changed == 3
    assert [edits[2] for edits in seen] == [("update", 2), ("update", 11)]
    found = by_delta_rs.read(name).to_pylist()
    assert sorted((row["key"], row["fence"]) for row in found) == [("a", 1), ("b", 11), ("n", 0)]
    assert by_spark.version(name) == 3


def test_a_note_stays_in_its_commit(
    session: SparkSession, by_delta_rs: DeltaRsStore, tables: ControlTables
) -> None:
    store = SqlStore(SparkRunner(session))
    by_delta_rs.ensure(tables.of(STATE), STATE)
    store.append(tables.of(STATE), [{"key": "a"}], note={"actor": "ünit", "verb": "sync"})
    store.append(tables.of(STATE), [{"key": "b"}])
    _, noted, plain = store.history(tables.of(STATE))
    assert (noted.metadata["actor"], noted.metadata["verb"]) == ("ünit", "sync")
    assert "actor" not in plain.metadata


def test_stores_on_one_session_do_not_mix_up_their_notes(
    session: SparkSession, by_delta_rs: DeltaRsStore, tables: ControlTables
) -> None:
    by_delta_rs.ensure(tables.of(EVENTS), EVENTS)

    def write(actor: str) -> None:
        store = SqlStore(SparkRunner(session))
        store.append(tables.of(EVENTS), [{"actor": actor}], note={"actor": actor})

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = SqlStore(SparkRunner(session))
    for commit in store.history(tables.of(EVENTS))[1:]:
        then = store.read(tables.of(EVENTS), version=commit.version).to_pylist()
        before = store.read(tables.of(EVENTS), version=commit.version - 1).to_pylist()
        (new,) = {row["actor"] for row in then} - {row["actor"] for row in before}
        assert commit.metadata["actor"] == new


def test_the_same_store_works_through_the_api_of_a_warehouse(
    by_warehouse: SqlStore, by_delta_rs: DeltaRsStore, tables: ControlTables
) -> None:
    name = tables.of(SOURCES)
    with pytest.raises(NotFoundError):
        by_warehouse.read(name)
    assert by_warehouse.version(name) is None
    assert by_warehouse.ensure(name, SOURCES)
    first = save(by_warehouse, tables, source("a"), source("b", source_config="it's"))
    assert (first.inserted, first.version) == (2, 1)
    by_delta_rs.append(name, [source("x", "other")])
    second = save(
        by_warehouse,
        tables,
        source("a"),
        source("c"),
        scope={"module_name": ["m"], "is_active": True},
    )
    assert (second.inserted, second.updated, second.removed, second.version) == (1, 0, 1, 3)
    again = save(by_warehouse, tables, source("a"), source("c"), scope={"module_name": ["m"]})
    assert not again.changed
    assert recorded(by_warehouse, tables) == recorded(by_delta_rs, tables)
    found = by_warehouse.read(name, where={"created_timestamp": NOON, "is_active": True}, version=1)
    assert sorted(row["source_id"] for row in found.to_pylist()) == ["a", "b"]
    with pytest.raises(NotFoundError):
        by_warehouse.read(name, version=99)
    assert [c.operation for c in by_warehouse.history(name)] == [
        *("CREATE TABLE", "MERGE", "WRITE", "MERGE")
    ]
    assert run(by_warehouse, tables, "SELECT source_id FROM etl_control ORDER BY 1") == [
        {"source_id": "a"},
        {"source_id": "c"},
        {"source_id": "x"},
    ]
    assert run(by_warehouse, tables, "UPDATE etl_control SET source_type = 'it\\'s'") == 3
    assert run(by_warehouse, tables, "DELETE FROM etl_control WHERE source_type IS NULL") == 0
    assert {row["source_type"] for row in recorded(by_delta_rs, tables)} == {"it's"}
    with pytest.raises(BackendError) as refused:
        run(by_warehouse, tables, "SELECT CAST(source_id AS INT) AS n FROM etl_control")
    assert refused.value.code == "CAST_INVALID_INPUT"
    assert "\n" not in str(refused.value)
    with pytest.raises(BackendError) as refused:
        by_warehouse.read(name, columns=["nope"])
    assert refused.value.code == "UNRESOLVED_COLUMN"
