"""SQL written for Databricks, with three-level names, on the embedded session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from delta.tables import DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession
from pyspark.sql.functions import expr
from spark.interpreting import interpreting

from lakeflow_meta.backends.local.spark.session import EmbeddedSpark

Run = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def spark(spark: SparkSession) -> SparkSession:
    return interpreting(spark)


@pytest.fixture
def run(spark: SparkSession, schema: str) -> Run:
    """Runs a statement; ``{s}`` is the test's schema, ``{m}`` its twin in the catalog main."""
    twin = "main." + schema.split(".")[1]
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS {twin}")

    def run(text: str, args: Any = None) -> list[tuple[Any, ...]]:
        text = text.replace("{s}", schema).replace("{m}", twin)
        return [tuple(row) for row in spark.sql(text, args).collect()]

    return run


def test_two_catalogs_with_the_same_schema_and_table_are_two_tables(run: Run) -> None:
    run("CREATE TABLE {s}.t AS SELECT 1 AS a")
    run("CREATE TABLE {m}.t AS SELECT 2 AS a")
    run("INSERT INTO {s}.t SELECT a + 10 FROM {m}.t")
    assert sorted(run("SELECT a FROM {s}.t")) == [(1,), (12,)]
    assert run("SELECT x.a, {m}.t.a FROM {s}.t x, {m}.t WHERE {m}.t.a = 2 AND x.a = 1") == [(1, 2)]


def test_merge_across_catalogs(run: Run) -> None:
    run("CREATE TABLE {s}.t AS SELECT 1 AS id, 'old' AS v")
    run("CREATE TABLE {m}.t AS SELECT * FROM VALUES (1, 'new'), (2, 'more') AS x(id, v)")
    run(
        "MERGE INTO {s}.t AS t USING {m}.t AS s ON t.id = s.id"
        " WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    )
    assert sorted(run("SELECT id, v FROM {s}.t")) == [(1, "new"), (2, "more")]


def test_a_view_shows_the_tables_of_both_catalogs_and_can_be_replaced(run: Run) -> None:
    run("CREATE TABLE {s}.t AS SELECT 1 AS a")
    run("CREATE TABLE {m}.t AS SELECT 2 AS a")
    run("CREATE VIEW {s}.v AS SELECT a FROM {s}.t UNION ALL SELECT a FROM {m}.t")
    assert sorted(run("SELECT * FROM {s}.v")) == [(1,), (2,)]
    run("CREATE OR REPLACE VIEW {s}.v AS SELECT a * 2 AS b FROM {m}.t")
    run("CREATE VIEW IF NOT EXISTS {s}.v AS SELECT 0 AS c")
    assert run("SELECT b FROM {s}.v") == [(4,)]
    assert ("v",) in [row[1:2] for row in run("SHOW VIEWS IN {s}")]
    run("DROP VIEW {s}.v")
    with pytest.raises(AnalysisException):
        run("SELECT * FROM {s}.v")


def test_columns_are_added_renamed_and_dropped(run: Run) -> None:
    run(
        "CREATE TABLE {s}.t (a INT, b STRING, c INT) CLUSTER BY (a)"
        " TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"
    )
    run("ALTER TABLE {s}.t ADD COLUMN d INT COMMENT 'main.x.y'")
    run("ALTER TABLE {s}.t RENAME COLUMN b TO bb")
    run("ALTER TABLE {s}.t DROP COLUMN c")
    run("ALTER TABLE {s}.t ADD CONSTRAINT positive CHECK (a > 0)")
    run("COMMENT ON TABLE {s}.t IS 'about main.x.y'")
    assert [row[0] for row in run("SHOW COLUMNS IN {s}.t")] == ["a", "bb", "d"]
    with pytest.raises(Exception, match="DELTA_VIOLATE_CONSTRAINT"):
        run("INSERT INTO {s}.t VALUES (0, 'x', 1)")
    run("INSERT INTO {s}.t VALUES (1, 'x', 1)")
    run("OPTIMIZE {s}.t")
    run("VACUUM {s}.t RETAIN 200 HOURS")
    assert run("SELECT a, bb, d FROM {s}.t") == [(1, "x", 1)]


def test_history_detail_restore_and_time_travel(run: Run, schema: str) -> None:
    run("CREATE TABLE {s}.t AS SELECT 1 AS a")
    run("INSERT INTO {s}.t VALUES (2)")
    assert run("SELECT count(*) FROM {s}.t VERSION AS OF 0") == [(1,)]
    assert [row[0] for row in run("DESCRIBE HISTORY {s}.t")] == [1, 0]
    detail = run("DESCRIBE DETAIL {s}.t")[0]
    assert detail[2] == f"{schema}.t"
    run("RESTORE TABLE {s}.t TO VERSION AS OF 0")
    assert run("SELECT a FROM {s}.t") == [(1,)]
    run("CREATE OR REPLACE TABLE {s}.t AS SELECT 'x' AS b")
    assert [row[0] for row in run("DESCRIBE HISTORY {s}.t LIMIT 1")] == [3]
    run("TRUNCATE TABLE {s}.t")
    assert run("SELECT count(*) FROM {s}.t") == [(0,)]


def test_describe_shows_the_names_that_were_written(run: Run, schema: str) -> None:
    run("CREATE TABLE {s}.t AS SELECT 1 AS a")
    run("CREATE VIEW {s}.v AS SELECT a FROM {s}.t")
    shown = str(run("DESCRIBE EXTENDED {s}.t") + run("DESCRIBE TABLE EXTENDED {s}.v"))
    assert f"{schema}.t" in shown
    assert "__" not in shown
    assert "spark_catalog" not in shown
    described = dict(row[:2] for row in run("DESCRIBE SCHEMA {s}"))
    assert described["Catalog Name"] + "." + described["Namespace Name"] == schema


def test_a_table_is_renamed_and_its_old_name_is_free(run: Run, spark: SparkSession) -> None:
    run("CREATE TABLE {s}.t AS SELECT 1 AS a")
    run("ALTER TABLE {s}.t RENAME TO {s}.u")
    assert run("SELECT a FROM {s}.u") == [(1,)]
    run("CREATE TABLE {s}.t AS SELECT 'new' AS b")
    run("INSERT INTO {s}.u VALUES (2)")
    assert run("SELECT b FROM {s}.t") == [("new",)]
    assert [row[1] for row in run("SHOW TABLES IN {s}")] == ["t", "u"]
    with pytest.raises(AnalysisException):
        run("ALTER TABLE {s}.t RENAME TO {s}.u")
    assert sorted(run("SELECT a FROM {s}.u")) == [(1,), (2,)]


def test_a_dropped_table_can_be_made_anew(run: Run) -> None:
    run("CREATE TABLE {s}.t AS SELECT 1 AS a")
    run("INSERT INTO {s}.t VALUES (2)")
    run("DROP TABLE {s}.t")
    run("DROP TABLE IF EXISTS {s}.t")
    with pytest.raises(AnalysisException, match="TABLE_OR_VIEW_NOT_FOUND"):
        run("DROP TABLE {s}.t")
    run("CREATE TABLE {s}.t AS SELECT 'x' AS b")
    assert run("SELECT * FROM {s}.t") == [("x",)]


_REFUSED = "CREATE TABLE {s}.t (a INT DEFAULT 5)"
"""Delta wants a table feature for it, and says so when it has made the log's directory."""


@pytest.mark.parametrize(
    "right",
    [
        "CREATE TABLE {s}.t (a INT)",
        "CREATE TABLE IF NOT EXISTS {s}.t (a INT)",
        "CREATE OR REPLACE TABLE {s}.t (a INT)",
        "CREATE TABLE {s}.t AS SELECT CAST(NULL AS INT) AS a WHERE false",
        "CREATE VIEW {s}.t AS SELECT 1 AS a WHERE false",
    ],
)
def test_a_table_that_delta_refused_is_not_in_the_way(run: Run, right: str) -> None:
    with pytest.raises(AnalysisException, match="FEATURE_NOT_ENABLED"):
        run(_REFUSED)
    assert run("SHOW TABLES IN {s}") == []
    with pytest.raises(AnalysisException, match="TABLE_OR_VIEW_NOT_FOUND"):
        run("SELECT * FROM {s}.t")
    with pytest.raises(AnalysisException, match="FEATURE_NOT_ENABLED"):
        run(_REFUSED)
    run(right)
    assert run("SELECT a FROM {s}.t") == []


def test_a_table_takes_the_name_of_one_that_delta_refused(run: Run) -> None:
    with pytest.raises(AnalysisException, match="FEATURE_NOT_ENABLED"):
        run(_REFUSED)
    run("CREATE TABLE {s}.u AS SELECT 1 AS a")
    run("ALTER TABLE {s}.u RENAME TO {s}.t")
    assert run("SELECT a FROM {s}.t") == [(1,)]


def test_files_of_a_table_that_failed_half_way_are_dropped_by_name(run: Run) -> None:
    rows = "SELECT if(id > 5000, raise_error('x'), id) AS a FROM range(0, 9000, 1, 2)"
    with pytest.raises(Exception, match="USER_RAISED_EXCEPTION"):
        run("CREATE TABLE {s}.t AS " + rows)
    run("DROP TABLE {s}.t")
    run("CREATE TABLE {s}.t AS SELECT 1 AS a")
    assert run("SELECT a FROM {s}.t") == [(1,)]


def test_drop_minds_the_kind(run: Run) -> None:
    run("CREATE TABLE {s}.t AS SELECT 1 AS a")
    run("CREATE VIEW {s}.v AS SELECT 1 AS a")
    with pytest.raises(AnalysisException):
        run("DROP TABLE {s}.v")
    with pytest.raises(AnalysisException):
        run("DROP VIEW {s}.t")
    assert [row[1] for row in run("SHOW TABLES IN {s}")] == ["t", "v"]


def test_use_makes_short_names_work_in_one_session_only(
    embedded: EmbeddedSpark, schema: str, run: Run
) -> None:
    run("CREATE TABLE {s}.t AS SELECT 'ours' AS a")
    session = embedded.task_session()
    assert session.sql("SELECT current_catalog(), current_schema()").first()[:2] == (
        "main",
        "default",
    )
    session.sql(f"USE {schema}")
    assert session.sql("SELECT a FROM t").first()[0] == "ours"
    assert session.table("t").first()[0] == "ours"
    assert session.sql(f"SELECT {schema.split('.')[1]}.t.a FROM {schema.split('.')[1]}.t").first()[
        0
    ]
    assert session.catalog.currentDatabase() == schema.split(".")[1]
    session.sql("USE CATALOG testcat")
    assert session.sql("SELECT current_catalog(), current_schema()").first()[:2] == (
        "testcat",
        "default",
    )
    assert run("SELECT current_catalog()") == [("main",)]


def test_a_temporary_view_hides_the_table_of_its_name_and_is_dropped_alone(
    embedded: EmbeddedSpark, schema: str, run: Run
) -> None:
    run("CREATE TABLE {s}.t AS SELECT 1 AS a")
    session = embedded.task_session()
    session.sql(f"USE {schema}")
    session.sql("CREATE TEMPORARY VIEW t AS SELECT 'temporary' AS a")
    assert session.sql("SELECT a FROM t").first()[0] == "temporary"
    assert [row[1:] for row in session.sql("SHOW TABLES").collect()] == [("t", False), ("t", True)]
    session.sql("DROP VIEW t")
    assert session.sql("SELECT a FROM t").first()[0] == 1


def test_the_dataframe_interface_takes_the_same_names(
    spark: SparkSession, schema: str, run: Run
) -> None:
    numbers = spark.range(2)
    numbers.write.saveAsTable(f"{schema}.a")
    numbers.write.mode("append").saveAsTable(name=f"{schema}.a")
    numbers.write.insertInto(f"{schema}.a")
    numbers.writeTo(f"{schema}.b").using("delta").create()
    numbers.writeTo(f"{schema}.b").append()
    numbers.mergeInto(f"{schema}.b", expr("false")).whenNotMatched().insertAll().merge()
    assert spark.table(f"{schema}.a").count() == 6
    assert spark.read.table(f"{schema}.b").count() == 6
    assert DeltaTable.forName(spark, f"{schema}.b").history().count() == 3
    DeltaTable.createIfNotExists(spark).tableName(f"{schema}.c").addColumn("x", "INT").execute()
    assert spark.table(f"{schema}.c").columns == ["x"]
    frame = spark.sql(f"SELECT a.id FROM {schema}.a a JOIN {{df}} d ON a.id = d.id", df=numbers)
    assert frame.count() == 6


def test_spark_catalog_answers_with_the_same_names(
    spark: SparkSession, schema: str, run: Run
) -> None:
    run("CREATE TABLE {s}.t AS SELECT 1 AS a")
    run("CREATE VIEW {s}.v AS SELECT 1 AS a")
    catalog, name = schema.split(".")
    assert spark.catalog.tableExists(f"{schema}.t")
    assert not spark.catalog.tableExists(f"{schema}.nope")
    assert spark.catalog.databaseExists(schema)
    assert not spark.catalog.databaseExists("nocat.x")
    found = spark.catalog.getTable(f"{schema}.t")
    assert (found.catalog, found.database, found.name) == (catalog, name, "t")
    assert [(t.name, t.tableType) for t in spark.catalog.listTables(schema)] == [
        ("t", "EXTERNAL"),
        ("v", "VIEW"),
    ]
    assert [c.name for c in spark.catalog.listColumns(f"{schema}.t")] == ["a"]
    assert {"main", "testcat"} <= {c.name for c in spark.catalog.listCatalogs()}
    assert spark.catalog.getDatabase(schema).catalog == catalog


def test_streams_read_and_write_by_name(
    spark: SparkSession, schema: str, run: Run, tmp_path: Any
) -> None:
    run("CREATE TABLE {s}.source AS SELECT 1 AS a")
    query = (
        spark.readStream.table(f"{schema}.source")
        .writeStream.option("checkpointLocation", str(tmp_path / "checkpoint"))
        .trigger(availableNow=True)
        .toTable(f"{schema}.sink")
    )
    query.awaitTermination()
    assert run("SELECT a FROM {s}.sink") == [(1,)]


def test_strings_comments_and_struct_paths_that_look_like_names_stay(run: Run) -> None:
    run("CREATE TABLE {s}.t AS SELECT named_struct('s', named_struct('t', 5)) AS main")
    assert run("SELECT main.s.t, 'main.s.t' /* FROM main.s.t */ FROM {s}.t -- main.s.t") == [
        (5, "main.s.t")
    ]


def test_parameters_are_values_and_identifier_takes_names(run: Run, schema: str) -> None:
    run("CREATE TABLE {s}.t AS SELECT 1 AS a, 'it''s main.x.y' AS b")
    assert run("SELECT b FROM {s}.t WHERE a = :a", {"a": 1}) == [("it's main.x.y",)]
    assert run("SELECT a FROM IDENTIFIER(:t)", {"t": f"{schema}.t"}) == [(1,)]
    assert run("SELECT a FROM IDENTIFIER(:s || '.t') WHERE b = :b", {"s": schema, "b": "?"}) == []
    assert run("SELECT a FROM {s}.t WHERE a = ?", [1]) == [(1,)]


def test_a_table_that_lies_elsewhere_is_kept_when_it_is_dropped(run: Run, tmp_path: Any) -> None:
    place = tmp_path / "elsewhere"
    run(f"CREATE TABLE {{s}}.t (a INT) LOCATION '{place}'")
    run("INSERT INTO {s}.t VALUES (1)")
    run(f"CREATE TABLE {{s}}.c (a INT) USING csv LOCATION '{tmp_path / 'csv'}'")
    run("INSERT INTO {s}.c VALUES (3)")
    assert [row[1] for row in run("SHOW TABLES IN {s}")] == ["c", "t"]
    run("DROP TABLE {s}.t")
    assert run("SHOW TABLES IN {s} LIKE 't'") == []
    assert (place / "_delta_log").is_dir()


def test_a_clone_is_a_table_of_its_own(run: Run) -> None:
    run("CREATE TABLE {s}.t AS SELECT 1 AS a")
    run("CREATE TABLE {m}.clone SHALLOW CLONE {s}.t")
    run("INSERT INTO {m}.clone VALUES (2)")
    assert run("SELECT count(*) FROM {s}.t") == [(1,)]
    assert run("SELECT count(*) FROM {m}.clone") == [(2,)]


def test_change_feed_by_name(run: Run) -> None:
    run("CREATE TABLE {s}.t (a INT) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    run("INSERT INTO {s}.t VALUES (1)")
    assert run("SELECT a, _change_type FROM table_changes('{s}.t', 1)") == [(1, "insert")]


def test_schemas_and_catalogs_come_and_go(run: Run, schema: str) -> None:
    name = schema.split(".")[1]
    catalog = f"cat_{name}"
    with pytest.raises(AnalysisException, match="CATALOG_NOT_FOUND"):
        run(f"CREATE SCHEMA {catalog}.a")
    run(f"CREATE CATALOG {catalog}")
    run(f"CREATE CATALOG IF NOT EXISTS {catalog}")
    with pytest.raises(AnalysisException, match="CATALOG_ALREADY_EXISTS"):
        run(f"CREATE CATALOG {catalog}")
    run(f"CREATE SCHEMA {catalog}.a COMMENT 'it''s -- a schema' -- end")
    with pytest.raises(AnalysisException, match="SCHEMA_ALREADY_EXISTS"):
        run(f"CREATE SCHEMA {catalog}.a")
    run(f"CREATE TABLE {catalog}.a.t AS SELECT 1 AS x")
    assert run(f"SHOW SCHEMAS IN {catalog}") == [("a",), ("default",)]
    assert (catalog,) in run("SHOW CATALOGS LIKE 'cat_*'")
    assert "it's -- a schema" in str(run(f"DESCRIBE SCHEMA {catalog}.a"))
    with pytest.raises(AnalysisException, match="SCHEMA_NOT_EMPTY"):
        run(f"DROP SCHEMA {catalog}.a")
    with pytest.raises(AnalysisException, match="CATALOG_NOT_EMPTY"):
        run(f"DROP CATALOG {catalog}")
    run(f"DROP SCHEMA {catalog}.a CASCADE")
    with pytest.raises(AnalysisException, match="SCHEMA_NOT_FOUND"):
        run(f"CREATE TABLE {catalog}.a.t (x INT)")
    run(f"CREATE SCHEMA {catalog}.a")
    assert run(f"SHOW TABLES IN {catalog}.a") == []
    run(f"DROP CATALOG {catalog} CASCADE")
    assert (catalog,) not in run("SHOW CATALOGS")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE SCHEMA main.x LOCATION '/tmp/x'", "LOCATION"),
        ("CREATE CATALOG x MANAGED LOCATION 's3://x'", "MANAGED"),
        ("ALTER SCHEMA {s} SET DBPROPERTIES (a = 'b')", "ALTER SCHEMA"),
        ("ALTER VIEW {s}.v RENAME TO {s}.w", "rename a view"),
        ("BEGIN DROP TABLE {s}.t; END", "DROP"),
        ("CREATE TABLE main.`../x`.t (a INT)", r"\.\./x"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(run: Run, statement: str, named: str) -> None:
    from lakeflow_meta.errors import ConfigError

    with pytest.raises(ConfigError, match=named):
        run(statement)


def test_errors_show_names_and_positions_as_they_were_written(run: Run, schema: str) -> None:
    name = schema.split(".")[1]
    run("CREATE TABLE {s}.t AS SELECT 1 AS a")
    with pytest.raises(AnalysisException, match=f"`testcat`.`{name}`.`nope`") as caught:
        run("SELECT *\nFROM {s}.t, {s}.nope")
    assert "__" not in str(caught.value)
    column = len(f"FROM {schema}.t, ")
    assert f"line 2 pos {column}" in str(caught.value)
    with pytest.raises(AnalysisException, match=f"`main`.`nos_{name}`"):
        run(f"CREATE TABLE main.nos_{name}.t (a INT)")


def test_names_do_not_mind_their_case(run: Run, schema: str) -> None:
    run("CREATE TABLE {s}.Orders AS SELECT 1 AS a")
    assert run(f"SELECT a FROM {schema.upper()}.ORDERS") == [(1,)]
    assert [row[1] for row in run("SHOW TABLES IN {s}")] == ["orders"]
