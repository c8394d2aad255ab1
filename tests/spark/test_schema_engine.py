"""The schema engine against real Delta tables of the embedded session."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lakeflow_meta.backends.delta_log import DeltaLogReader
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.backends.spark import SparkSqlSession
from lakeflow_meta.errors import SyncFailedError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Row
from lakeflow_meta.schema.engine import SchemaEngine
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.report import TableStatus
from lakeflow_meta.schema.table import Column, DeltaTable, ForeignKey
from lakeflow_meta.schema.type_text import parse_type

EVERY_TYPE = [
    "tinyint", "smallint", "int", "bigint", "float", "double", "decimal(12,3)", "boolean",
    "string", "binary", "date", "timestamp", "timestamp_ntz", "variant", "array<int>",
    "map<string,array<bigint>>", "struct<a:int,`b c`:struct<d:timestamp_ntz>>",
]  # fmt: skip
NASTY = 'it\'s "quoted" \\ back ${env:HOME} \n line é 🎈 `tick` $x'


class _Session:
    """The real session, remembering what it ran."""

    def __init__(self, spark: SparkSession) -> None:
        self._inner = SparkSqlSession(spark)
        self.ran: list[str] = []

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        self.ran.append(statement)
        return self._inner.execute(statement, parameters)


@pytest.fixture
def session(spark: SparkSession) -> _Session:
    return _Session(spark)


@pytest.fixture
def reader(embedded: EmbeddedSpark) -> DeltaLogReader:
    return DeltaLogReader(_warehouse(embedded))


@pytest.fixture
def engine(reader: DeltaLogReader, session: _Session) -> SchemaEngine:
    return SchemaEngine(reader, lambda: session)


def _warehouse(embedded: EmbeddedSpark) -> Path:
    return embedded._home / "warehouse"


def _table(schema: str, name: str, columns: Mapping[str, str], **more: Any) -> DeltaTable:
    catalog, schema_name = schema.split(".")
    made = [Column(column, parse_type(text)) for column, text in columns.items()]
    return DeltaTable(catalog, schema_name, name, made, **more)


def _live(reader: DeltaLogReader, table: DeltaTable) -> LiveTable:
    state = reader.describe([table.full_name])[table.full_name]
    assert isinstance(state, LiveTable), state
    return state


def test_a_table_of_every_type_is_created_and_a_second_sync_runs_nothing(
    engine: SchemaEngine, session: _Session, reader: DeltaLogReader, schema: str
) -> None:
    columns = [
        Column(f"c{i}", parse_type(text), comment=f"{i} {NASTY}")
        for i, text in enumerate(EVERY_TYPE)
    ]
    catalog, schema_name = schema.split(".")
    table = DeltaTable(
        catalog,
        schema_name,
        "Every",
        [Column("id", parse_type("bigint"), nullable=False), *columns],
        comment=NASTY,
        primary_key=["id"],
        properties={"delta.columnMapping.mode": "name", "my.own": NASTY},
        clustered_by=["id", "c3"],
        checks={"positive": "id>0 AND c8 <> 'a;)'"},
    )

    first = engine.sync(Registry([table]))
    ran = list(session.ran)
    second = engine.sync(Registry([table]))

    assert [o.status for o in first] == [TableStatus.CREATED]
    assert [o.status for o in second] == [TableStatus.UNCHANGED]
    assert session.ran == ran == list(first.plan.statements)
    live = _live(reader, table)
    assert [str(c.data_type) for c in live.columns] == ["bigint", *EVERY_TYPE]
    assert [c.comment for c in live.columns] == ["", *(c.comment for c in columns)]
    assert live.comment == NASTY
    assert live.properties["my.own"] == NASTY
    assert live.clustered_by == ("id", "c3")
    assert list(live.checks) == ["positive"]
    assert not live.columns[0].nullable
    assert any("not kept by open-source Delta" in note for note in second.outcomes[0].plan.notes)


def test_new_columns_land_where_they_are_declared_in_one_statement(
    engine: SchemaEngine, session: _Session, reader: DeltaLogReader, schema: str
) -> None:
    engine.sync(Registry([_table(schema, "t", {"b": "int", "d": "int"})]))
    session.ran.clear()
    wider = {
        "a": "int", "b": "int", "zeta": "string", "c": "timestamp_ntz", "d": "int", "y": "int",
        "x": "variant",
    }  # fmt: skip
    table = _table(schema, "t", wider)

    report = engine.sync(Registry([table]))

    assert [c.name for c in _live(reader, table).columns] == list(wider)
    assert [line.split(" ")[3] for line in session.ran] == ["SET", "ADD"]
    assert report.outcomes[0].status is TableStatus.CHANGED
    assert not engine.plan(Registry([table])).has_changes


def test_comments_properties_checks_and_clustering_change_in_place(
    engine: SchemaEngine, session: _Session, reader: DeltaLogReader, schema: str
) -> None:
    catalog, schema_name = schema.split(".")
    plain = _table(schema, "t", {"a": "int", "b": "int", "c": "string"})
    engine.sync(Registry([plain]))
    before = _live(reader, plain).version
    session.ran.clear()
    table = DeltaTable(
        catalog,
        schema_name,
        "t",
        [
            Column("A", parse_type("int"), comment="first"),
            Column("b", parse_type("int"), comment="second"),
            Column("c", parse_type("string")),
        ],
        comment="about t",
        properties={"delta.appendOnly": "false", "delta.enableChangeDataFeed": "true"},
        clustered_by=["b"],
        checks={"small": "a  <  10"},
    )

    engine.sync(Registry([table]))

    live = _live(reader, table)
    assert [c.comment for c in live.columns] == ["first", "second", ""]
    assert (live.comment, live.clustered_by) == ("about t", ("b",))
    assert live.properties["delta.enableChangeDataFeed"] == "true"
    assert len(session.ran) == 5
    assert live.version == before + 5
    again = engine.sync(Registry([table]))
    assert again.outcomes[0].status is TableStatus.UNCHANGED
    assert _live(reader, table).version == live.version


def test_unsafe_changes_are_refused_before_any_statement_and_others_go_on(
    engine: SchemaEngine, session: _Session, reader: DeltaLogReader, schema: str
) -> None:
    engine.sync(Registry([_table(schema, "t", {"a": "int", "b": "int", "old": "string"})]))
    session.ran.clear()
    unsafe = _table(schema, "t", {"a": "bigint", "b": "int", "new": "string"})
    fine = _table(schema, "fine", {"a": "int"})

    with pytest.raises(SyncFailedError) as caught:
        engine.sync(Registry([unsafe, fine]))

    report = caught.value.report
    assert {str(o.name.name): o.status for o in report} == {
        "t": TableStatus.FAILED,
        "fine": TableStatus.CREATED,
    }
    assert all("`fine`" in statement for statement in session.ran)
    assert {r.rule for r in report.failures[0].plan.rejections} == {
        "type_change",
        "column_not_declared",
    }
    assert [c.name for c in _live(reader, unsafe).columns] == ["a", "b", "old"]


def test_a_failing_statement_skips_the_tables_that_refer_to_its_table(
    engine: SchemaEngine, spark: SparkSession, schema: str
) -> None:
    catalog, schema_name = schema.split(".")
    key = [Column("id", parse_type("int"), nullable=False)]
    parent = DeltaTable(
        catalog, schema_name, "parent", key, primary_key=["id"], checks={"odd": "no_such > 1"}
    )
    child = DeltaTable(
        catalog, schema_name, "child", key, foreign_keys=[ForeignKey(["id"], parent)]
    )
    other = _table(schema, "other", {"a": "int"})

    with pytest.raises(SyncFailedError) as caught:
        engine.sync(Registry([child, parent, other]))

    outcomes = {o.name.name: o for o in caught.value.report}
    assert outcomes["parent"].status is TableStatus.FAILED
    assert (outcomes["parent"].applied, len(outcomes["parent"].plan.statements)) == (1, 2)
    assert outcomes["parent"].error.startswith("statement 2 of 2")
    assert outcomes["child"].status is TableStatus.SKIPPED
    assert outcomes["other"].status is TableStatus.CREATED
    assert spark.catalog.tableExists(f"{schema}.other")


def test_a_view_a_missing_schema_and_a_foreign_directory_are_no_absent_tables(
    engine: SchemaEngine,
    spark: SparkSession,
    embedded: EmbeddedSpark,
    schema: str,
) -> None:
    catalog, schema_name = schema.split(".")
    spark.sql(f"CREATE VIEW {schema}.v AS SELECT 1 AS a")
    folder = _warehouse(embedded) / catalog / schema_name / "files"
    folder.mkdir()
    (folder / "data.csv").write_text("a\n1\n")
    tables = [
        _table(schema, "v", {"a": "int"}),
        _table(schema, "files", {"a": "int"}),
        _table(f"{catalog}.nowhere", "t", {"a": "int"}),
    ]

    plan = engine.plan(Registry(tables))

    found = {table.name.name: table.rejections[0] for table in plan.tables}
    assert found["v"].message == f"{schema}.v is a view"
    assert found["files"].rule == "table_unreadable"
    assert found["t"].rule == "schema_missing"
    assert f"CREATE SCHEMA IF NOT EXISTS {catalog}.nowhere" in found["t"].hint


def test_a_log_behind_checkpoints_without_checksums_is_read_the_same(
    reader: DeltaLogReader, spark: SparkSession, embedded: EmbeddedSpark, schema: str
) -> None:
    catalog, schema_name = schema.split(".")
    name = TableName(catalog, schema_name, "long")
    spark.sql(
        f"CREATE TABLE {name} (id INT COMMENT 'k', p STRING) USING delta CLUSTER BY (id)"
        " TBLPROPERTIES ('delta.checkpointInterval' = '3')"
    )
    for value in range(7):
        spark.sql(f"INSERT INTO {name} VALUES ({value}, 'x')")
    with_checksums = reader.describe([name])[name]
    log = _warehouse(embedded) / catalog / schema_name / "long" / "_delta_log"
    assert len(list(log.glob("*.checkpoint.parquet"))) == 2
    for checksum in sorted({*log.glob("*.crc"), *log.glob(".*.crc")}):
        checksum.unlink()
    for version in range(6):
        (log / f"{version:020}.json").unlink()

    without = reader.describe([name])[name]

    assert isinstance(with_checksums, LiveTable)
    assert with_checksums.clustered_by == ("id",)
    assert with_checksums.version == 7
    assert without == with_checksums


def test_a_clustered_table_whose_columns_are_named_beyond_16_bits_is_sound(
    engine: SchemaEngine, session: _Session, reader: DeltaLogReader, schema: str
) -> None:
    table = _table(schema, "t", {"a🎈🎈🎈": "int", "b": "int"}, clustered_by=["b"])

    engine.sync(Registry([table]))

    assert len(session.ran) == 2
    assert _live(reader, table).clustered_by == ("b",)
    assert session.execute(f"SELECT * FROM {table.full_name}") == []
