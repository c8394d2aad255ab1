"""The schema engine against real Delta tables of the embedded session."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from spark.schema_on_spark import ToldSession, columns, differences, live_table, table

from lakeflow_meta.backends.delta_log import DeltaLogReader
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.errors import SyncFailedError
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.engine import SchemaEngine
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.plan import Outlook
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.report import SyncReport, TableStatus
from lakeflow_meta.schema.table import (
    Column,
    Declared,
    DeltaTable,
    DroppedTable,
    ForeignKey,
    Identity,
    Policy,
    View,
)
from lakeflow_meta.schema.type_text import parse_type

EVERY_TYPE = [
    "tinyint", "smallint", "int", "bigint", "float", "double", "decimal(12,3)", "boolean",
    "string", "binary", "date", "timestamp", "timestamp_ntz", "variant", "void", "char(3)",
    "varchar(7)", "array<int>", "map<string,array<bigint>>", "array<varchar(4)>",
    "struct<a:int,`b c`:struct<d:timestamp_ntz>>",
    "struct<a:int,b:struct<c:char(2) comment 'a char',d:array<varchar(2)>>>",
]  # fmt: skip
NASTY = 'it\'s "quoted" \\ back ${env:HOME} \n line é 🎈 `tick` $x'
MAPPED = {"delta.columnMapping.mode": "name"}
OPEN = {**MAPPED, "delta.enableTypeWidening": "true"}


@pytest.fixture
def session(interpreted: SparkSession) -> ToldSession:
    return ToldSession(interpreted)


@pytest.fixture
def reader(embedded: EmbeddedSpark) -> DeltaLogReader:
    return DeltaLogReader(embedded.warehouse)


@pytest.fixture
def engine(reader: DeltaLogReader, session: ToldSession) -> SchemaEngine:
    return SchemaEngine(reader, lambda: session)


def _sync_twice(engine: SchemaEngine, session: ToldSession, *declared: Declared) -> SyncReport:
    """The second sync finds nothing to do and runs nothing."""
    report = engine.sync(Registry(declared))
    assert not engine.plan(Registry(declared)).has_changes
    session.ran.clear()
    again = engine.sync(Registry(declared))
    assert {outcome.status for outcome in again} == {TableStatus.UNCHANGED}
    assert session.ran == []
    return report


def _column(name: str, kind: str, **more: object) -> Column:
    return replace(Column(name, parse_type(kind)), **more)


# --------------------------------------------------------------------------- creation


def test_a_table_of_every_type_is_created_and_a_second_sync_runs_nothing(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    made = [_column(f"c{i}", text, comment=f"{i} {NASTY}") for i, text in enumerate(EVERY_TYPE)]
    every = table(
        schema,
        "Every",
        [_column("id", "bigint", nullable=False), *made],
        comment=NASTY,
        primary_key=["id"],
        properties={**MAPPED, "my.own": NASTY},
        clustered_by=["id", "c3"],
        checks={"positive": "id>0 AND c8 <> 'a;)'"},
    )

    report = _sync_twice(engine, session, every)

    assert [o.status for o in report] == [TableStatus.CREATED]
    live = live_table(reader, every)
    assert differences(every, live) == []
    assert [str(c.data_type) for c in live.columns] == ["bigint", *EVERY_TYPE]
    assert live.properties["my.own"] == NASTY
    notes = report.outcomes[0].plan.notes
    assert any("not kept by open-source Delta" in note for note in notes)


def test_values_come_from_defaults_expressions_and_numbers_as_declared(
    engine: SchemaEngine,
    session: ToldSession,
    reader: DeltaLogReader,
    schema: str,
    tmp_path: Path,
) -> None:
    place = tmp_path / "out side%20ü"
    own = table(
        schema,
        "own",
        [
            _column("nr", "bigint", identity=Identity(5, 2)),
            _column("loose", "bigint", identity=Identity(always=False)),
            _column("at", "timestamp", default="current_timestamp()", comment=NASTY),
            _column("day", "date", generated="CAST(at AS DATE)", comment="of at"),
            _column("n", "int", nullable=False, default="-(1 + 2)"),
            _column("s", "struct<x:int not null comment 'it\\'s',y:array<struct<z:int>>>",
                    nullable=False),
        ],
        properties={"delta.enableRowTracking": True, "delta.appendOnly": False},
        clustered_by=["nr", "s.x"],
        location=f"file://{place}/",
    )  # fmt: skip

    _sync_twice(engine, session, own)

    live = live_table(reader, own)
    assert differences(own, live) == []
    assert live.location == str(place)
    session.execute(f"INSERT INTO {own.full_name} (s) VALUES (named_struct('x', 1, 'y', array()))")
    (row,) = session.read(f"SELECT *, date(at) AS same FROM {own.full_name}")
    assert (row["nr"], row["loose"], row["n"], row["day"]) == (5, 1, -3, row["same"])


def test_a_clustered_table_whose_columns_are_named_beyond_16_bits_is_sound(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    odd = {"a🎈🎈🎈": "int", "b.c": "struct<`d.e`:int>"}
    made = table(schema, "t", columns(**odd), properties=MAPPED)
    made = replace(made, clustered_by=["`b.c`.`d.e`", "a🎈🎈🎈"])

    report = _sync_twice(engine, session, made)

    assert len(report.plan.statements) == 2
    assert differences(made, live_table(reader, made)) == []
    assert session.read(f"SELECT * FROM {made.full_name}") == []


# --------------------------------------------------------------------------- changes


def test_new_columns_land_where_they_are_declared_in_one_statement(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    engine.sync(Registry([table(schema, "t", columns(b="int", d="struct<y:int>"))]))
    session.ran.clear()
    wider = {
        "a": "int", "aa": "int", "b": "int", "zeta": "struct<q:array<struct<r:int comment 'r'>>>",
        "c": "timestamp_ntz", "d": "struct<w:int,x:date,y:int,z:map<int,variant>>", "y": "int",
        "x": "variant", "v": "void", "l": "varchar(3)",
    }  # fmt: skip
    declared = table(schema, "t", columns(**wider), policy=Policy.STRICT)

    report = engine.sync(Registry([declared]))

    assert differences(declared, live_table(reader, declared)) == []
    assert [line.split(" ")[3] for line in session.ran] == ["SET", "ADD"]
    assert report.outcomes[0].status is TableStatus.CHANGED
    assert not engine.plan(Registry([declared])).has_changes


BEFORE = {
    "a": "int", "b": "int", "w": "smallint", "f": "float", "d": "decimal(10,2)", "day": "date",
    "l": "varchar(3)", "v": "void", "gone": "int", "num": "int",
    "s": "struct<x:int not null,old:int,gone:date,list:array<struct<n:int,p:string>>>",
    "m": "map<int,struct<k:int,gone:int>>", "arr": "array<int>",
}  # fmt: skip
AFTER = {
    "b": "int", "c": "int", "w": "bigint", "f": "double", "d": "decimal(14,4)",
    "day": "timestamp_ntz", "l": "string", "v": "int", "num": "int",
    "s": "struct<x:int comment 'an x',new:bigint comment 'was old',"
    "list:array<struct<n:bigint,q:string comment 'was p',more:date>>,add:struct<z:int>>",
    "m": "map<bigint,struct<k:int comment 'k'>>", "arr": "array<bigint>", "extra": "int",
}  # fmt: skip


def _with(made: Sequence[Column], **changes: dict[str, object]) -> list[Column]:
    return [replace(column, **changes.get(column.name, {})) for column in made]


def _before(schema: str) -> DeltaTable:
    return table(
        schema,
        "t",
        _with(
            columns(**BEFORE),
            s={"nullable": False, "comment": "a struct"},
            a={"nullable": False},
            num={"default": "1"},
            w={"default": "3"},
        ),
        properties={**MAPPED, "mine": "1", "his": "2", "delta.appendOnly": "true"},
        checks={"a_small": "a < 10", "w_small": "w < 10 OR s.x < 10", "going": "num > 0"},
    )


def _after(schema: str) -> DeltaTable:
    return table(
        schema,
        "t",
        _with(
            columns(**AFTER),
            s={"comment": "all of it"},
            b={"comment": NASTY},
            num={"default": "'7'"},
            extra={"default": "length('abc')"},
        ),
        comment="about t",
        properties={**OPEN, "mine": "2", "his": None, "delta.appendOnly": None},
        checks={"A_small": "b  <  10", "w_small": "w < 10 OR s.x < 10", "more": "s.add IS NULL"},
        renamed_columns={
            "a": "b",
            "b": "c",
            "s.old": "s.new",
            "s.list.element.p": "s.list.element.q",
        },
        allow=[
            "drop_column gone",
            "drop_column s.gone",
            "drop_column M.value.gone",
        ],
    )


def test_everything_changes_in_one_sync_and_the_data_stays(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    before, after = _before(schema), _after(schema)
    _sync_twice(engine, session, before)
    assert differences(before, live_table(reader, before)) == []
    session.execute(
        f"INSERT INTO {before.full_name} VALUES (1, 2, 3, 1.5, 1.25, DATE'2020-02-03', 'abc', NULL,"
        " 9, 4, named_struct('x', 5, 'old', 6, 'gone', NULL,"
        " 'list', array(named_struct('n', 7, 'p', 'x'))), map(8, named_struct('k', 9, 'gone', 1)),"
        " array(10))"
    )

    report = _sync_twice(engine, session, after)

    live = live_table(reader, after)
    assert differences(after, live) == []
    assert report.outcomes[0].applied == len(report.plan.statements)
    assert "going" in live.checks
    (row,) = session.read(f"SELECT {', '.join(AFTER)} FROM {after.full_name}")
    assert row == {
        "b": 1, "c": 2, "w": 3, "f": 1.5, "d": row["d"], "l": "abc", "v": None, "num": 4,
        "day": dt.datetime(2020, 2, 3), "extra": None,  # noqa: DTZ001 - a wall-clock time
        "s": {"x": 5, "new": 6, "list": [{"n": 7, "q": "x", "more": None}], "add": None},
        "m": {8: {"k": 9}}, "arr": [10],
    }  # fmt: skip
    assert float(row["d"]) == 1.25
    session.execute(
        f"INSERT INTO {after.full_name} (b, c, w, s) VALUES"
        " (2, NULL, 5000000000, named_struct('x', 1, 'new', NULL, 'list', NULL, 'add', NULL))"
    )
    added = session.read(f"SELECT num, extra FROM {after.full_name} WHERE b = 2")
    assert added == [{"num": 7, "extra": 3}]


def test_clustering_follows_renames_and_frees_columns_that_are_dropped(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    made = columns(a="int", b="int", s="struct<x:int,y:int>")
    before = table(schema, "t", made, properties=MAPPED, clustered_by=["a", "s.x"])
    renamed = replace(
        before,
        columns=columns(c="int", b="int", r="struct<z:int,y:int>"),
        renamed_columns={"a": "c", "s": "r", "r.x": "r.z"},
        clustered_by=["r.z", "c"],
    )
    dropped = replace(
        renamed, columns=columns(b="int", r="struct<y:int>"), renamed_columns={},
        clustered_by=["r.y", "b"], allow=["drop_column"],
    )  # fmt: skip
    for declared, statements in ((before, 1), (renamed, 3), (dropped, 2)):
        report = _sync_twice(engine, session, declared)
        assert len(report.plan.statements) == statements
        assert differences(declared, live_table(reader, declared)) == []


def test_the_strict_policy_leaves_exactly_what_is_declared(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    before = table(
        schema,
        "t",
        columns(a="int", b="int", c="struct<x:int,y:int,z:int>", d="int", e="int"),
        properties={**MAPPED, "own": "1"},
        clustered_by=["a"],
        checks={"on_b": "b > 0"},
        comment="old",
    )
    engine.sync(Registry([before]))
    session.execute(
        f"INSERT INTO {before.full_name} SELECT 1, 2, named_struct('x', 3, 'y', 4, 'z', 5), 6, 7"
    )
    after = table(
        schema,
        "t",
        columns(e="int", n="int", c="struct<z:int,w:int,x:int>", d="int", a="int"),
        policy=Policy.STRICT,
        allow=["drop_column"],
    )

    _sync_twice(engine, session, after)

    live = live_table(reader, after)
    assert differences(after, live) == []
    assert (live.clustered_by, dict(live.checks)) == ((), {})
    assert session.read(f"SELECT * FROM {after.full_name}") == [
        {"e": 7, "n": None, "c": {"z": 5, "w": None, "x": 3}, "d": 6, "a": 1}
    ]


def test_comments_properties_checks_and_clustering_change_in_place(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    plain = table(schema, "t", columns(a="int", b="int", c="string"))
    engine.sync(Registry([plain]))
    before = live_table(reader, plain).version
    session.ran.clear()
    made = columns(A="int", b="int", c="string")
    declared = table(
        schema,
        "t",
        _with(made, A={"comment": "first"}, b={"comment": "second"}),
        comment="about t",
        properties={"delta.appendOnly": "false", "delta.enableChangeDataFeed": "true"},
        clustered_by=["b"],
        checks={"small": "a  <  10"},
    )

    engine.sync(Registry([declared]))

    live = live_table(reader, declared)
    assert [c.comment for c in live.columns] == ["first", "second", ""]
    assert (live.comment, live.clustered_by) == ("about t", ("b",))
    assert live.properties["delta.enableChangeDataFeed"] == "true"
    assert len(session.changes) == 5
    assert live.version == before + 5
    again = engine.sync(Registry([declared]))
    assert again.outcomes[0].status is TableStatus.UNCHANGED
    assert live_table(reader, declared).version == live.version


# --------------------------------------------------------------------------- names, drops, views


def test_tables_are_renamed_and_dropped_and_views_follow(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    catalog, schema_name = schema.split(".")
    first = table(schema, "first", columns(a="int", b="int"), properties=MAPPED)
    over = View(catalog, schema_name, "v", f"SELECT a FROM {schema}.first", comment=NASTY)
    nested = View(catalog, schema_name, "a_view", f"SELECT a AS x FROM {schema}.v")
    _sync_twice(engine, session, first, over, nested)
    session.execute(f"INSERT INTO {first.full_name} VALUES (1, 2)")
    assert session.read(f"SELECT * FROM {schema}.a_view") == [{"x": 1}]
    second = replace(
        first,
        name="second",
        columns=columns(c="int", b="int", n="date"),
        renamed_from="first",
        renamed_columns={"a": "c"},
    )
    over = replace(over, query=f"SELECT c AS a, n FROM {schema}.second -- the new one")

    report = _sync_twice(engine, session, second, over, nested)

    assert [str(o.status) for o in report] == ["changed", "changed", "unchanged"]
    assert differences(second, live_table(reader, second)) == []
    assert session.read(f"SELECT * FROM {schema}.a_view") == [{"x": 1}]
    report = _sync_twice(engine, session, DroppedTable(catalog, schema_name, "second"))
    assert [o.status for o in report] == [TableStatus.DROPPED]
    assert reader.describe([second.full_name]) == {second.full_name: None}
    assert _sync_twice(engine, session, first).outcomes[0].status is TableStatus.CREATED


# --------------------------------------------------------------------------- refusals


def _refused(engine: SchemaEngine, session: ToldSession, *declared: Declared) -> SyncReport:
    """The sync fails, and changes nothing."""
    session.ran.clear()
    with pytest.raises(SyncFailedError) as caught:
        engine.sync(Registry(declared))
    report = caught.value.report
    assert isinstance(report, SyncReport)
    return report


def test_the_data_decides_before_any_statement_runs(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    live = table(
        schema, "t", columns(a="int", n="int", big="bigint", t="string", s="struct<x:int>")
    )
    asked = table(schema, "asked", columns(a="int"))
    engine.sync(Registry([live, asked]))
    rows = (
        "(1, 1, 1, 'abc', NULL), (-2, NULL, 3000000000, 'abcd', NULL), (-3, NULL, NULL, NULL, NULL)"
    )
    session.execute(f"INSERT INTO {live.full_name} VALUES {rows}")
    before = live_table(reader, live)
    unsafe = table(
        schema,
        "t",
        _with(columns(a="int", n="int", big="int", t="varchar(3)", s="struct<x:int,y:int>"),
              n={"nullable": False}),
        comment="a change that could be done",
        checks={"positive": "a > 0", "new_field": "s.y IS NULL", "unknown": "a IS NOT NULL"},
    )  # fmt: skip
    unasked = replace(asked, checks={"odd": "no_such_function(a)"})
    fine = table(schema, "fine", columns(a="int"))

    report = _refused(engine, session, unsafe, unasked, fine)

    outcomes = {outcome.name.name: outcome for outcome in report}
    assert all("`fine`" in statement for statement in session.changes)
    assert outcomes["fine"].status is TableStatus.CREATED
    messages = {r.subject: r.message for r in outcomes["t"].plan.rejections}
    assert set(messages) == {"n", "positive", "big", "t"}
    assert "it has no value in 2 rows" in messages["n"]
    assert messages["positive"].endswith("is broken by 2 rows")
    assert messages["big"].endswith("the value of 1 row would not fit")
    assert messages["t"].endswith("the value of 1 row would not fit")
    assert [r.rule for r in outcomes["asked"].plan.rejections] == ["data_not_read"]
    assert "no_such_function" in outcomes["asked"].plan.rejections[0].message
    assert live_table(reader, live) == before


def test_what_delta_would_refuse_or_damage_is_refused_before(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    live = table(
        schema,
        "t",
        [
            *columns(a="int", b="int", s="struct<x:int,y:int>", l="struct<c:char(2),n:int>"),
            _column("g", "int", generated="b + 1"),
        ],
        properties=OPEN,
        clustered_by=["s.x"],
    )
    checked = replace(live, checks={"kept": "a > 0"})
    _sync_twice(engine, session, checked)
    before = live_table(reader, live)

    def subjects(*made: Column, **more: object) -> dict[str, str]:
        declared = replace(live, columns=made, checks={}, clustered_by=[], **more)
        (refused,) = engine.plan(Registry([declared])).tables
        assert refused.outlook is Outlook.REJECTED
        assert refused.statements == ()
        return {r.subject: r.message for r in refused.rejections}

    a, b, s, texts, g = live.columns
    wide = parse_type("bigint")
    found = subjects(replace(a, data_type=wide), b, s, texts, g)
    assert "check kept" in found["a"]
    found = subjects(a, replace(b, name="bb"), s, texts, g, renamed_columns={"b": "bb"})
    assert "column g is generated from it" in found["b"]
    found = subjects(a, b, s, texts, replace(g, data_type=wide))
    assert "its values are generated" in found["g"]
    found = subjects(a, b, texts, g, allow=["drop_column"])
    assert "clustered by it" in found["s"]
    less = replace(s, data_type=parse_type("struct<y:int>"))
    found = subjects(a, b, less, texts, g, allow=["drop_column"])
    assert "clustered by it" in found["s.x"]
    more = replace(texts, data_type=parse_type("struct<c:string,n:int>"))
    assert "limited length" in subjects(a, b, s, more, g)["l.c"]
    assert live_table(reader, live) == before


def test_unsafe_changes_are_refused_before_any_statement_and_others_go_on(
    engine: SchemaEngine, session: ToldSession, reader: DeltaLogReader, schema: str
) -> None:
    engine.sync(Registry([table(schema, "t", columns(a="int", b="int", old="string"))]))
    unsafe = table(schema, "t", columns(a="bigint", b="int", new="string"), policy=Policy.STRICT)
    fine = table(schema, "fine", columns(a="int"))

    report = _refused(engine, session, unsafe, fine)

    assert {str(o.name.name): o.status for o in report} == {
        "t": TableStatus.FAILED,
        "fine": TableStatus.CREATED,
    }
    assert all("`fine`" in statement for statement in session.ran)
    assert {r.rule for r in report.failures[0].plan.rejections} == {
        "type_widening_needed",
        "column_not_declared",
    }
    assert [c.name for c in live_table(reader, unsafe).columns] == ["a", "b", "old"]


def test_a_failing_statement_skips_the_tables_that_refer_to_its_table(
    engine: SchemaEngine, session: ToldSession, spark: SparkSession, schema: str
) -> None:
    key = [_column("id", "int", nullable=False)]
    parent = table(schema, "parent", key, primary_key=["id"], checks={"odd": "no_such > 1"})
    child = table(schema, "child", key, foreign_keys=[ForeignKey(["id"], parent)])
    other = table(schema, "other", columns(a="int"))

    report = _refused(engine, session, child, parent, other)

    outcomes = {o.name.name: o for o in report}
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
    folder = embedded.warehouse / catalog / schema_name / "files"
    folder.mkdir()
    (folder / "data.csv").write_text("a\n1\n")
    tables = [
        table(schema, "v", columns(a="int")),
        table(schema, "files", columns(a="int")),
        table(f"{catalog}.nowhere", "t", columns(a="int")),
    ]

    plan = engine.plan(Registry(tables))

    found = {planned.name.name: planned.rejections[0] for planned in plan.tables}
    assert (found["v"].rule, found["files"].rule) == ("another_kind", "table_unreadable")
    assert found["t"].rule == "schema_missing"
    assert f"CREATE SCHEMA IF NOT EXISTS {catalog}.nowhere" in found["t"].hint


# --------------------------------------------------------------------------- the log


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
    log = embedded.warehouse / catalog / schema_name / "long" / "_delta_log"
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
