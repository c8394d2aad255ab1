"""The embedded session as a whole: persistence, other processes, other writers, threads, errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from lakeflow_meta.backends.local.spark.hadoop_defaults import add_defaults
from lakeflow_meta.backends.local.spark.runtime import default_cache
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.backends.spark import SparkSqlSession
from lakeflow_meta.errors import BackendError, ConfigError, NotFoundError

SECOND_PROCESS = """
import json, sys
from pathlib import Path
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark

home, cache, schema = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
spark = EmbeddedSpark(home, cache=cache, archive=sys.argv[4] == "True").session()
read = lambda text: [list(row) for row in spark.sql(text).collect()]
seen = {
    "view": read(f"SELECT * FROM {schema}.v"),
    "elsewhere": read(f"SELECT * FROM {schema}.elsewhere"),
    "csv": read(f"SELECT * FROM {schema}.as_csv"),
    "comment": [row[1] for row in read(f"DESCRIBE SCHEMA {schema}") if row[0] == "Comment"],
    "tables": [row[1] for row in read(f"SHOW TABLES IN {schema}")],
}
spark.sql(f"INSERT INTO {schema}.t VALUES (3)")
spark.sql(f"CREATE TABLE {schema}.theirs AS SELECT 'theirs' AS a")
spark.sql(f"CREATE OR REPLACE VIEW {schema}.v AS SELECT 'changed' AS a")
spark.sql(f"DROP TABLE {schema}.dropped")
spark.sql(f"DROP TABLE {schema}.anew")
spark.sql(f"CREATE TABLE {schema}.anew AS SELECT 'anew' AS b")
seen["jvm"] = spark.sparkContext._gateway.proc.pid
print(json.dumps(seen))
"""


def test_another_process_sees_everything_and_what_it_does_is_seen_here(
    embedded: EmbeddedSpark, spark: SparkSession, schema: str, tmp_path: Path
) -> None:
    spark.sql(f"COMMENT ON SCHEMA {schema} IS 'kept'")
    spark.sql(f"CREATE TABLE {schema}.t AS SELECT 1 AS a")
    spark.sql(f"CREATE TABLE {schema}.dropped AS SELECT 1 AS a")
    spark.sql(f"CREATE TABLE {schema}.anew AS SELECT 1 AS a")
    spark.sql(f"CREATE TABLE {schema}.elsewhere (a INT) LOCATION '{tmp_path / 'a b'}'")
    spark.sql(f"CREATE TABLE {schema}.as_csv (a INT) USING csv LOCATION '{tmp_path / 'c d'}'")
    spark.sql(f"INSERT INTO {schema}.elsewhere VALUES (2)")
    spark.sql(f"INSERT INTO {schema}.as_csv VALUES (5)")
    spark.sql(f"USE {schema}")
    spark.sql("CREATE VIEW v AS SELECT t.a + e.a AS total FROM t, elsewhere e")
    spark.sql("USE main.default")

    seen = run_second_process(embedded, schema)

    assert seen["view"] == [[3]]
    assert seen["elsewhere"] == [[2]]
    assert seen["csv"] == [[5]]
    assert seen["comment"] == ["kept"]
    assert seen["tables"] == ["anew", "as_csv", "dropped", "elsewhere", "t", "v"]
    assert spark.table(f"{schema}.t").count() == 2
    assert spark.table(f"{schema}.theirs").first()[0] == "theirs"
    assert spark.table(f"{schema}.v").first()[0] == "changed"
    assert spark.table(f"{schema}.anew").columns == ["b"]
    assert not spark.catalog.tableExists(f"{schema}.dropped")


def run_second_process(embedded: EmbeddedSpark, schema: str) -> dict[str, object]:
    cache = os.environ.get("LAKEFLOW_META_CACHE", str(default_cache()))
    arguments = [str(embedded.warehouse.parent), cache, schema, str(embedded.uses_archive)]
    done = subprocess.run(
        [sys.executable, "-c", SECOND_PROCESS, *arguments],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert not done.stderr, done.stderr
    seen: dict[str, object] = json.loads(done.stdout)
    wait_until_gone(Path(f"/proc/{seen['jvm']}"))
    return seen


def wait_until_gone(process: Path) -> None:
    deadline = time.monotonic() + 20
    while process.exists():
        assert time.monotonic() < deadline, "the JVM outlives its process"
        time.sleep(0.05)


def test_tables_that_delta_rs_writes_come_and_go(
    embedded: EmbeddedSpark, spark: SparkSession, schema: str
) -> None:
    place = embedded.warehouse.joinpath(*schema.split("."), "etl_control")
    read = SparkSqlSession(spark).execute

    write_deltalake(place, pa.table({"source_id": ["a"]}))
    assert read(f"SELECT * FROM {schema}.etl_control") == [{"source_id": "a"}]
    write_deltalake(place, pa.table({"source_id": ["b"]}), mode="append")
    assert read(f"SELECT count(*) AS n FROM {schema}.etl_control") == [{"n": 2}]
    shutil.rmtree(place)
    with pytest.raises(NotFoundError):
        read(f"SELECT * FROM {schema}.etl_control")
    write_deltalake(place, pa.table({"other": [1]}))
    assert read(f"SELECT * FROM {schema}.etl_control") == [{"other": 1}]


def test_a_directory_name_is_only_ever_a_name(embedded: EmbeddedSpark, spark: SparkSession) -> None:
    place = embedded.warehouse / "we`ird" / "o'${env:_}\\%20"
    place.mkdir(parents=True)
    name = f"`we``ird`.`{place.name}`"
    try:
        spark.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
        shutil.copytree(place / "t", place / "copied_by_hand")
        assert spark.sql(f"SELECT a FROM {name}.copied_by_hand").first()[0] == 1
        assert [row[1] for row in spark.sql(f"SHOW TABLES IN {name}").collect()] == [
            "copied_by_hand",
            "t",
        ]
        spark.sql(f"DROP TABLE {name}.t")
        assert not (place / "t").exists()
        assert place.is_dir()
    finally:
        shutil.rmtree(embedded.warehouse / "we`ird")


def test_a_table_whose_data_is_gone_is_an_error_and_nothing_is_made_in_its_place(
    embedded: EmbeddedSpark, spark: SparkSession, schema: str, tmp_path: Path
) -> None:
    note = embedded.warehouse.joinpath(*schema.split("."), "_lakeflow", "t.json")
    note.parent.mkdir()
    note.write_text(json.dumps({"location": str(tmp_path / "gone")}))
    with pytest.raises(BackendError, match="/gone") as caught:
        SparkSqlSession(spark).execute(f"SELECT * FROM {schema}.t")
    assert caught.value.code == "DELTA_CREATE_EXTERNAL_TABLE_WITHOUT_SCHEMA"
    assert not (tmp_path / "gone").exists()


def test_there_is_one_session_whoever_asks_first(embedded: EmbeddedSpark) -> None:
    with ThreadPoolExecutor(4) as pool:
        sessions = list(pool.map(lambda _: embedded.session(), range(4)))
    assert len({id(session) for session in sessions}) == 1


def test_tasks_share_tables_and_nothing_else(embedded: EmbeddedSpark, schema: str) -> None:
    embedded.session().sql(f"CREATE TABLE {schema}.t (task INT)")

    def task(number: int) -> list[int]:
        session = embedded.task_session()
        session.sql(f"CREATE SCHEMA IF NOT EXISTS main.own_{number}")
        session.sql(f"USE main.own_{number}")
        session.sql(f"CREATE OR REPLACE TEMPORARY VIEW mine AS SELECT {number} AS task")
        session.sql("CREATE OR REPLACE TABLE local AS SELECT * FROM mine")
        session.sql(f"INSERT INTO {schema}.t SELECT task FROM local")
        return [row[0] for row in session.sql("SELECT task FROM local").collect()]

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(task, range(3))) == [[0], [1], [2]]
    assert sorted(row[0] for row in embedded.session().table(f"{schema}.t").collect()) == [0, 1, 2]


def test_a_second_spark_in_one_process_is_refused(embedded: EmbeddedSpark, tmp_path: Path) -> None:
    assert embedded.session() is embedded.session()
    other = EmbeddedSpark(tmp_path, cache=tmp_path)
    with pytest.raises(ConfigError, match="already has a Spark session"):
        other.session()
    assert not other.started
    assert list(tmp_path.iterdir()) == []


def test_rows_and_parameters_go_through_the_port(spark: SparkSession) -> None:
    session = SparkSqlSession(spark)
    rows = session.execute(
        "SELECT :text AS t, named_struct('b', array(1, 2)) AS s", {"text": "it's ${env:HOME} \\"}
    )
    assert rows == [{"t": "it's ${env:HOME} \\", "s": {"b": [1, 2]}}]
    assert session.execute("SELECT 1 AS a") == [{"a": 1}]


@pytest.mark.parametrize(
    ("statement", "code", "shown"),
    [
        ("SELEC 1", "PARSE_SYNTAX_ERROR", "line 1, pos 0"),
        ("SELECT nope FROM (SELECT 1 AS a)", "UNRESOLVED_COLUMN", "line 1 pos 7"),
        ("SELECT 1 / id FROM range(3)", "DIVIDE_BY_ZERO", "Division by zero"),
        ("SELECT * FROM nocat.s.t", "CATALOG_NOT_FOUND", "`nocat`"),
        ("SELECT * FROM csv.`/nowhere/x.csv`", "PATH_NOT_FOUND", "/nowhere/x.csv"),
        ("SELECT raise_error('told so')", "USER_RAISED_EXCEPTION", "told so"),
        ("OPTIMIZE delta.`/nowhere`", "DELTA_MISSING_DELTA_TABLE", "/nowhere"),
    ],
)
def test_errors_carry_condition_message_and_position_but_no_java_stack(
    spark: SparkSession, statement: str, code: str, shown: str
) -> None:
    with pytest.raises(BackendError) as caught:
        SparkSqlSession(spark).execute(statement)
    assert caught.value.code == code
    assert shown in str(caught.value)
    assert "\tat " not in str(caught.value)
    assert "Project [" not in str(caught.value)
    assert isinstance(caught.value, NotFoundError) == ("NOT_FOUND" in code or "MISSING" in code)


def test_a_lost_race_is_transient_and_a_violated_constraint_is_not(
    spark: SparkSession, schema: str
) -> None:
    spark.sql(f"CREATE TABLE {schema}.t (a INT NOT NULL)")
    with pytest.raises(BackendError) as caught:
        SparkSqlSession(spark).execute(f"INSERT INTO {schema}.t VALUES (NULL)")
    assert caught.value.code == "DELTA_NOT_NULL_CONSTRAINT_VIOLATED"
    assert not caught.value.transient


def test_a_failing_python_function_is_told_by_its_own_words(spark: SparkSession) -> None:
    from lakeflow_meta.backends.spark import translate

    def fail(rows: object) -> object:
        raise ValueError("told so by Python")

    with pytest.raises(Exception, match="told so") as caught:
        spark.range(1).rdd.mapPartitions(fail).collect()
    error = translate(caught.value)
    assert "told so by Python" in str(error)
    assert "\tat " not in str(error)


def test_hadoop_has_few_defaults_and_what_people_set_and_all_of_them_can_be_had_back(
    spark: SparkSession,
) -> None:
    settings = spark.sparkContext._jsc.hadoopConfiguration()
    spark.conf.set("fs.s3a.endpoint", "http://127.0.0.1:1")
    try:
        of_a_read = spark._jsparkSession.sessionState().newHadoopConf()
    finally:
        spark.conf.unset("fs.s3a.endpoint")
    assert settings.size() < 150
    assert settings.get("fs.s3a.impl") == "org.apache.hadoop.fs.s3a.S3AFileSystem"
    assert settings.get("yarn.resourcemanager.hostname") is None
    assert of_a_read.get("fs.s3a.endpoint") == "http://127.0.0.1:1"
    add_defaults(spark, of_a_read)
    assert of_a_read.size() > 1000
    assert of_a_read.get("fs.s3a.endpoint") == "http://127.0.0.1:1"
    assert of_a_read.get("yarn.resourcemanager.hostname") is not None
