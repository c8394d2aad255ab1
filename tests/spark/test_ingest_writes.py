"""Write modes, transforms and expectations of the ingestor, and what becomes of lost targets."""

from __future__ import annotations

import os
import resource
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from ingest_site import Site, site_of
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

from lakeflow_meta.errors import BackendError, ConfigError
from lakeflow_meta.ingest.batch import BadFilesError, Batch, BatchCounts
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.names import TableName

MERGE = {"write_mode": "merge", "keys": ["id"]}
OVERWRITE = {"write_mode": "overwrite"}
ONE_SECOND = 1_000_000_000


@pytest.fixture
def site(tmp_path: Path, interpreted: SparkSession, schema: str) -> Site:
    return site_of(tmp_path, interpreted, schema)


def by_name(counts: BatchCounts) -> dict[str, int | None]:
    return {path.rpartition("/")[2]: count for path, count in counts.rows.items()}


def names(reasons: dict[str, str]) -> dict[str, str]:
    return {path.rpartition("/")[2]: why for path, why in reasons.items()}


def table_of(site: Site) -> DeltaTable:
    folder = site.locate(TableName.parse(site.table))
    assert folder is not None
    return DeltaTable(folder)


def put_in_order(site: Site, **files: str) -> None:
    """Files of one CSV each, a second apart: the last is the newest."""
    for number, (name, text) in enumerate(files.items()):
        path = site.put(f"{name}.csv", text)
        os.utime(path, ns=(number * ONE_SECOND, number * ONE_SECOND))


# --- overwrite


def test_overwrite_replaces_all_rows_and_keeps_the_table(site: Site) -> None:
    site.spark.sql(f"CREATE TABLE {site.table} (id INT, name STRING) TBLPROPERTIES ('own' = 'x')")
    site.spark.sql(f"INSERT INTO {site.table} VALUES (99, 'old')")
    before = table_of(site).metadata().id
    source = site.source(OVERWRITE)
    put_in_order(site, a="id,name\n1,a\n", b="id,name\n2,b\n3,c\n")
    assert site.ingest(source).rows == 3
    assert site.rows("id") == [(1,), (2,), (3,)]
    site.put("c.csv", "id,name\n4,d\n")
    assert site.ingest(source).processed == 1
    assert site.rows("id", "name") == [(4, "d")]
    assert table_of(site).metadata().id == before
    assert table_of(site).metadata().configuration["own"] == "x"


def test_one_bad_file_keeps_all_files_from_overwriting(site: Site) -> None:
    source = site.source(OVERWRITE)
    put_in_order(site, old="id\n9\n")
    site.ingest(source)
    version = site.version()
    put_in_order(site, a="id\n1\n", bad="id\nx\n", c="id\n3\n", worse="no\n1\n")
    reasons = site.reasons(site.ingest(source))
    assert 'For input string: "x"' in reasons["bad.csv"]
    assert "'no'" in reasons["worse.csv"]
    assert reasons["a.csv"] == reasons["c.csv"]
    assert reasons["a.csv"].startswith("left out because /Volumes/c/s/v/in/bad.csv is bad")
    assert (site.version(), site.rows("id")) == (version, [(9,)])
    put_in_order(site, bad="id\n2\n", worse="id\n4\n")
    assert site.ingest(source).processed == 4
    assert site.rows("id") == [(1,), (2,), (3,), (4,)]
    batch = site.batch(7, "a.csv", "bad.csv", source=source)
    with pytest.raises(BadFilesError):  # a part of what was claimed must not replace the table
        site.loader().load(batch.without({batch.paths[0]: "it is gone"}))


def test_files_of_no_rows_overwrite_too(site: Site) -> None:
    source = site.source(OVERWRITE)
    put_in_order(site, a="id\n1\n")
    site.ingest(source)
    site.put("empty.csv", "")
    assert site.ingest(source).processed == 1
    assert site.rows("id") == []


# --- merge


def test_a_merge_replaces_rows_of_the_same_key_and_adds_the_others(site: Site) -> None:
    source = site.source(MERGE)
    put_in_order(site, a="id,name\n1,a\n2,b\n")
    site.ingest(source)
    put_in_order(site, b="id,name\n2,B\n3,c\n", c="id,name\n3,C\n4,d\n")
    assert site.ingest(source).rows == 4
    assert site.rows("id", "name") == [(1, "a"), (2, "B"), (3, "C"), (4, "d")]
    assert site.ledger("record_count") == {"a.csv": (2,), "b.csv": (2,), "c.csv": (2,)}
    origin = dict(site.rows("id", "_source_file"))
    assert origin[2].endswith("/b.csv")
    assert origin[3].endswith("/c.csv")


def test_the_highest_sequence_wins_in_the_batch_and_in_the_table(site: Site) -> None:
    source = site.source({**MERGE, "sequence_by": "at"})
    put_in_order(site, a="id,at,name\n1,5,five\n2,5,five\n")
    site.ingest(source)
    put_in_order(
        site,
        b="id,at,name\n1,4,older\n2,9,nine\n2,8,eight\n3,2,two\n",
        c="id,at,name\n2,7,seven\n3,1,one\n",
    )
    site.ingest(source)
    assert site.rows("id", "name") == [(1, "five"), (2, "nine"), (3, "two")]


def test_files_whose_keys_make_no_sense_fail_alone(site: Site) -> None:
    put_in_order(
        site,
        good="id,name\n1,a\n1,a\n",
        null='id,name\n"",b\n',
        differ="id,name\n4,d\n5,e\n4,D\n",
        without="name\nx\n",
        late="id,name\n1,late\n",
    )
    result = site.ingest(site.source(MERGE))
    assert site.reasons(result) == {
        "null.csv": "column id, a key, is NULL",
        "without.csv": "column id, a key, is NULL",
        "differ.csv": 'rows of one key differ, and no sequence_by tells which is newer: {"id":4}',
    }
    assert site.rows("id", "name") == [(1, "late")]
    assert site.ledger("record_count")["good.csv"] == (2,)


def test_a_merge_that_changes_nothing_rewrites_no_file(site: Site) -> None:
    source = site.source(MERGE, schema="id INT, tags MAP<STRING, INT>", format="jsonl")
    put_in_order(site, a='{"id": 1, "tags": {"x": 1}}\n{"id": 2}\n')
    (site.landing / "a.csv").rename(site.landing / "a.jsonl")
    site.ingest(source)
    files = table_of(site).file_uris()
    site.put("again.jsonl", '{"id": 2}\n{"id": 1, "tags": {"x": 1}}\n')
    assert site.ingest(source).processed == 1
    assert table_of(site).file_uris() == files
    site.put("changed.jsonl", '{"id": 1, "tags": {"x": 2}}\n')
    site.ingest(source)
    assert site.rows("id", "tags") == [(1, {"x": 2}), (2, None)]


def test_a_merge_leaves_no_setting_behind(site: Site) -> None:
    put_in_order(site, a="id\n1\n")
    site.ingest(site.source(MERGE))
    for name in ("write.txnAppId", "write.txnVersion", "commitInfo.userMetadata"):
        assert site.spark.conf.get(f"spark.databricks.delta.{name}", None) is None
    site.spark.sql(f"INSERT INTO {site.table} (id) VALUES (2)")
    assert site.rows("id") == [(1,), (2,)]


def test_columns_that_the_files_of_a_merge_do_not_have_stay_as_they_are(site: Site) -> None:
    site.spark.sql(f"CREATE TABLE {site.table} (id BIGINT, name STRING, note STRING)")
    site.spark.sql(f"INSERT INTO {site.table} VALUES (1, 'a', 'kept')")
    put_in_order(site, a="ID,name\n1,A\n2,B\n")
    site.ingest(site.source(MERGE))
    assert site.rows("id", "name", "note") == [(1, "A", "kept"), (2, "B", None)]


# --- exactly once, in all modes


@pytest.fixture(params=["append", "overwrite", "merge"])
def batch_of(request: pytest.FixtureRequest, site: Site) -> Callable[..., Batch]:
    target = {"merge": MERGE}.get(request.param, {"write_mode": request.param})
    put_in_order(site, a="id\n1\n", b="id\n2\n3\n", c="id\n7\n", empty="")
    source = site.source({**target, "metadata_columns": False})
    return lambda version, *names: site.batch(version, *names, source=source)


def test_a_batch_that_was_committed_is_found_and_counted_again(
    site: Site, batch_of: Callable[..., Batch]
) -> None:
    batch = batch_of(1, "a.csv", "b.csv", "empty.csv")
    first = site.loader().load(batch)
    assert by_name(first) == {"a.csv": 1, "b.csv": 2, "empty.csv": 0}
    version = site.version()
    assert site.loader().load(batch) == first
    assert site.loader().recount(batch) == first
    assert site.version() == version
    site.loader().load(batch_of(2, "c.csv"))
    assert site.loader().recount(batch) == first


def test_two_at_once_with_one_transaction_write_it_once(
    site: Site, batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither sees the other when it looks: what decides is Delta."""
    site.loader().load(batch_of(1, "c.csv"))
    batch = batch_of(2, "a.csv", "b.csv")
    loaders = [site.loader(), site.loader()]
    for loader in loaders:
        monkeypatch.setattr(loader, "committed_version", lambda *_: None)
    version = site.version()
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda loader: loader.load(batch), loaders))
    assert [by_name(each) for each in counts] == [{"a.csv": 1, "b.csv": 2}] * 2
    assert site.version() == version + 1
    kept = [(1,), (2,), (3,)]
    assert [row for row in site.rows("id") if row != (7,)] == kept


def test_a_zombie_that_commits_first_with_fewer_files_is_believed(
    site: Site, batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(1, "a.csv", "b.csv", "c.csv")
    source = batch.source
    batch = site.batch(1, "a.csv", "b.csv", source=source)
    if source.target_config.write_mode == "overwrite":
        zombie = batch
    else:
        zombie = batch.without({batch.paths[0]: "left out"})
    slow = site.loader()
    monkeypatch.setattr(slow, "committed_version", lambda *_: None)
    first = site.loader().load(zombie)
    assert by_name(slow.load(batch)) == by_name(first)
    assert site.loader().recount(batch) == first


def test_a_fenced_batch_can_never_be_committed(
    site: Site, batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are gone, its client is dead, and its server goes on."""
    site.loader().load(batch_of(1, "c.csv"))
    batch = batch_of(2, "a.csv", "b.csv")
    loader, zombie = site.loader(), site.loader()
    monkeypatch.setattr(zombie, "committed_version", lambda *_: None)
    assert loader.fence(batch) is None
    assert zombie.load(batch).rows == {}
    assert site.rows("id") == [(7,)]
    later = batch_of(3, "a.csv")
    held = zombie.load(later)
    assert (loader.fence(later), by_name(held)) == (held, {"a.csv": 1})


@contextmanager
def full_disk(site: Site, most_bytes: int) -> Iterator[None]:
    """No file of the JVM can grow beyond a size: a write fails as on a disk that is full."""
    jvm = int(site.spark._jvm.java.lang.ProcessHandle.current().pid())  # type: ignore[union-attr]
    soft, hard = resource.prlimit(jvm, resource.RLIMIT_FSIZE)
    resource.prlimit(jvm, resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.prlimit(jvm, resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("target", [{}, MERGE])
def test_a_full_disk_leaves_no_row_and_blames_no_file(site: Site, target: dict[str, Any]) -> None:
    source = site.source({**target, "metadata_columns": False})
    site.spark.sql(f"CREATE TABLE {site.table} (id INT, name STRING)")
    for number in range(2):
        lines = "".join(f"{number}{n:05},{os.urandom(64).hex()}\n" for n in range(3000))
        site.put(f"{number}.csv", "id,name\n" + lines)
    with full_disk(site, 40_000), pytest.raises(BackendError) as failed:
        site.ingest(source)
    assert not isinstance(failed.value, BadFilesError)
    assert site.rows("id") == []
    assert set(site.ledger("status").values()) == {("processing",)}
    result = site.ingest(source)
    assert (result.processed, result.failed, result.rows) == (2, 0, 6000)
    assert len(site.rows("id")) == 6000


# --- tables that the ingestor makes


@pytest.mark.parametrize("layout", ["partition_by", "cluster_by"])
def test_a_new_table_is_laid_out_as_declared(site: Site, layout: str) -> None:
    put_in_order(site, a="id,day\n1,mon\n2,tue\n")
    site.ingest(site.source({layout: ["day"]}))
    detail = site.spark.sql(f"DESCRIBE DETAIL {site.table}").first()
    assert detail is not None
    columns = {"partition_by": "partitionColumns", "cluster_by": "clusteringColumns"}
    assert detail[columns[layout]] == ["day"]
    assert site.rows("id", "day") == [(1, "mon"), (2, "tue")]
    assert site.ledger("record_count") == {"a.csv": (2,)}


def test_a_layout_by_a_column_that_is_not_there_blames_no_file(site: Site) -> None:
    put_in_order(site, a="id\n1\n")
    with pytest.raises(BackendError, match="partition_by: the files have no column day"):
        site.ingest(site.source({"partition_by": ["day"]}))
    assert site.ledger("status") == {"a.csv": ("processing",)}


# --- transforms


def with_function(source: FileSource, function: Callable[[DataFrame], Any]) -> FileSource:
    return source.model_copy(update={"transform_fn": function})


def test_a_transform_sees_one_file_at_a_time(site: Site) -> None:
    put_in_order(site, a="id,n\n1,5\n1,6\n", b="n,id\n7,1\n", c="id,n\n2,1\n")

    def summed(frame: DataFrame) -> DataFrame:
        return frame.groupBy("id").agg(F.sum("n").alias("total"), F.count("*").alias("of"))

    result = site.ingest(with_function(site.source(), summed))
    assert result.rows == 3
    rows = site.rows("_source_file", "id", "total", "of")
    assert [(row[0][-5:], *row[1:]) for row in rows] == [
        ("a.csv", 1, 11, 2),
        ("b.csv", 1, 7, 1),
        ("c.csv", 2, 1, 1),
    ]
    assert site.ledger("record_count") == {"a.csv": (1,), "b.csv": (1,), "c.csv": (1,)}


def test_what_a_transform_raises_fails_its_file_alone_with_the_traceback(site: Site) -> None:
    put_in_order(site, **{f"f{n}": f"id\n{n}\n" for n in range(6)})
    put_in_order(site, early="id,wrong\n1,x\n", late="id\n13\n", none="id,none\n1,x\n")

    def picky(frame: DataFrame) -> Any:
        if "wrong" in frame.columns:
            raise ValueError("no column may be wrong")
        if "none" in frame.columns:
            return None

        def checked(value):  # type: ignore[no-untyped-def] # Spark cannot read annotations as text
            if value == 13:
                raise RuntimeError("unlucky")
            return value

        return frame.select(F.udf(checked, "int")("id").alias("id"))

    reasons = site.reasons(site.ingest(with_function(site.source(), picky)))
    assert reasons.keys() == {"early.csv", "late.csv", "none.csv"}, reasons
    assert site.rows("id") == [(number,) for number in range(6)]
    assert "ValueError: no column may be wrong" in reasons["early.csv"]
    assert 'raise ValueError("no column may be wrong")' in reasons["early.csv"]
    assert "RuntimeError: unlucky" in reasons["late.csv"]
    assert "Traceback" in reasons["late.csv"]
    assert reasons["none.csv"] == "the transform returned NoneType, no DataFrame"
    assert all(len(reason) < 5000 for reason in reasons.values())


def test_a_row_wise_transform_sees_all_files_at_once_and_keeps_whose_row_it_is(site: Site) -> None:
    calls = []

    def doubled(frame: DataFrame) -> DataFrame:
        calls.append(frame.columns)
        return frame.withColumn("id", F.col("id") * 2)

    put_in_order(site, a="id\n1\n", b="id\n2\n3\n")
    source = site.source(transform="jobs.py:doubled", row_wise=True)
    assert site.ingest(with_function(source, doubled)).rows == 3
    assert calls == [["id", "_source_file"]]
    assert site.rows("id") == [(2,), (4,), (6,)]
    assert site.ledger("record_count") == {"a.csv": (1,), "b.csv": (2,)}
    put_in_order(site, c="id\n4\n")
    forgetful = with_function(source, lambda frame: frame.select("id"))
    assert "_source_file" in site.reasons(site.ingest(forgetful))["c.csv"]


def test_a_transform_of_the_project_is_named_by_its_file(site: Site) -> None:
    put_in_order(site, a="id\n1\n")
    (site.root / "jobs").mkdir()
    (site.root / "jobs/shape.py").write_text(
        textwrap.dedent("""
        from pyspark.sql import functions as F
        STEP = 10

        def plus(value):
            return value + STEP

        def moved(frame):
            return frame.select(F.udf(plus, "int")("id").alias("id"))
        """)
    )
    (site.root / "broken.py").write_text("import nothing_like_it\n")
    for reference, problem in {
        "jobs/none.py:moved": "there is no file",
        "../outside.py:moved": "has to lie in the project",
        "jobs/shape.py:mowed": "no function mowed; it has: moved, plus",
        "broken.py:moved": "line 1: ModuleNotFoundError",
    }.items():
        with pytest.raises(ConfigError, match=problem):
            site.ingest(site.source(transform=reference))
    assert site.ingest(site.source(transform="jobs/shape.py:moved")).processed == 1
    assert site.rows("id") == [(11,)]


# --- expectations


def expecting(site: Site, **target: Any) -> FileSource:
    expectations = [
        {"name": "known", "condition": "id IS NOT NULL", "on_violation": "fail"},
        {"name": "positive", "condition": "amount > 0", "on_violation": "drop"},
        {"name": "small", "condition": "amount < 100", "on_violation": "drop"},
        {"name": "named", "condition": "name <> ''"},
    ]
    catalog, schema, _ = site.table.split(".")
    quarantine = f"{catalog}.{schema}.people_bad"
    declared = {"expectations": expectations, "quarantine_table": quarantine, **target}
    return site.source(declared, schema="id INT, amount INT, name STRING")


def quarantined(site: Site, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, site.spark.table(f"{site.table}_bad").select(*columns).collect()))


@pytest.mark.parametrize("target", [{}, MERGE])
def test_rows_that_break_expectations_warn_drop_or_fail(site: Site, target: dict[str, Any]) -> None:
    put_in_order(
        site,
        a="id,amount,name\n1,5,a\n2,-1,b\n3,,c\n4,200,\n",
        b="id,amount,name\n5,7,\n",
        bad="id,amount,name\n,8,x\n",
    )
    source = expecting(site, **target)
    names_of = [f.name for f in (site.landing).iterdir()]
    assert len(names_of) == 3
    good = site.batch(1, "a.csv", "b.csv", source=source)
    with pytest.raises(BadFilesError) as refused:
        site.loader().load(site.batch(1, "a.csv", "b.csv", "bad.csv", source=source))
    reason = names(refused.value.reasons)
    if not target:
        assert reason == {"bad.csv": "expectation known is not met: id IS NOT NULL"}
    assert reason.keys() == {"bad.csv"}
    counts = site.loader().load(good)
    assert by_name(counts) == {"a.csv": 1, "b.csv": 1}
    assert counts.violations == {"positive": 2, "small": 2, "named": 2}
    assert site.rows("id") == [(1,), (5,)]
    assert quarantined(site, "id", "_failed_expectations", "_batch_id") == [
        (2, ["positive"], "lane:1"),
        (3, ["positive", "small"], "lane:1"),
        (4, ["small"], "lane:1"),
    ]
    assert {row[0][-5:] for row in quarantined(site, "_source_file")} == {"a.csv"}


def test_dropped_rows_reach_quarantine_once_however_often_a_batch_is_recovered(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_order(site, a="id,amount,name\n1,5,a\n2,-1,b\n", b="id,amount,name\n3,-3,c\n")
    batch = site.batch(1, "a.csv", "b.csv", source=expecting(site))
    dies = site.loader()
    monkeypatch.setattr(dies, "_set_aside", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dies.load(batch)
    assert site.rows("id") == [(1,)]
    (site.landing / "b.csv").unlink()
    found = site.loader().recount(batch)
    assert found is not None
    assert by_name(found) == {"a.csv": 1, "b.csv": 0}
    assert [w for w in found.warnings if "b.csv" in w] == list(found.warnings) != []
    assert site.loader().recount(batch) is not None
    assert quarantined(site, "id") == [(2,)]


def test_an_expectation_that_cannot_be_checked_blames_no_file(site: Site) -> None:
    put_in_order(site, a="id\n1\n")
    for condition, problem in {"amuont > 0": "amuont", "id + 1": "it is no condition"}.items():
        expectations = [{"name": "odd", "condition": condition}]
        with pytest.raises(BackendError, match=problem):
            site.ingest(site.source({"expectations": expectations}))


def test_expectations_see_columns_that_files_lack_as_their_default(site: Site) -> None:
    site.spark.sql(
        f"CREATE TABLE {site.table} (id INT, kind STRING DEFAULT 'x', note STRING)"
        " TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')"
    )
    put_in_order(site, a="id\n1\n")
    expectations = [
        {"name": "kind", "condition": "kind = 'x'", "on_violation": "drop"},
        {"name": "note", "condition": "note = 'x'"},
    ]
    loader = site.loader()
    source = site.source({"expectations": expectations})
    assert loader.load(site.batch(1, "a.csv", source=source)).violations == {"note": 1}
    assert site.rows("id", "kind") == [(1, "x")]


# --- targets that are not what they were


def test_a_target_tells_whether_it_is_still_the_table_that_took_our_batches(site: Site) -> None:
    table = TableName.parse(site.table)
    put_in_order(site, a="id\n1\n", b="id\n2\n")
    site.loader().load(site.batch(4, "a.csv"))
    state = site.loader().target_state(table, ["lane", "other"])
    assert (state.exists, state.versions, state.retention) == (True, {"lane": 4}, None)
    site.spark.sql(f"DROP TABLE {site.table}")
    assert not site.loader().target_state(table, ["lane"]).exists
    site.spark.sql(
        f"CREATE TABLE {site.table} (id INT) TBLPROPERTIES"
        " ('delta.setTransactionRetentionDuration' = 'interval 2 hours')"
    )
    state = site.loader().target_state(table, ["lane"])
    assert (state.exists, state.versions) == (True, {})
    assert state.retention is not None
    assert state.retention.total_seconds() == 7200
    # A replaced table knows nothing of the lane; what was not settled is written to it.
    assert site.loader().recount(site.batch(4, "a.csv")) is None
    assert by_name(site.loader().load(site.batch(4, "b.csv"))) == {"b.csv": 1}


def test_what_a_target_was_asked_by_sql_is_what_delta_rs_says(site: Site) -> None:
    table = TableName.parse(site.table)
    put_in_order(site, a="id\n1\n", b="id\n2\n3\n")
    loader = site.loader()
    loader.load(site.batch(4, "a.csv"))
    commits = loader._commits
    by_sql = commits._state_by_sql(table, ["lane", "other"])
    assert by_sql == loader.target_state(table, ["lane", "other"])
    ours = [entry.commit for entry in commits._history_by_sql(table, None) if entry.commit]
    assert ours == [commits.find(table, site.batch(4, "a.csv"))]


def test_a_history_that_was_cut_off_is_said_and_not_guessed(site: Site) -> None:
    put_in_order(site, a="id\n1\n", b="id\n2\n")
    table = TableName.parse(site.table)
    site.spark.sql(f"CREATE TABLE {site.table} (id INT)")
    for number in range(3):
        site.spark.sql(f"INSERT INTO {site.table} VALUES ({number})")
    folder = site.locate(table)
    assert folder is not None
    DeltaTable(folder).create_checkpoint()
    for version in range(3):
        (folder / f"_delta_log/{version:020}.json").unlink()
    DeltaTable(folder).vacuum(0, enforce_retention_duration=False, dry_run=False, full=True)
    batch = site.batch(1, "a.csv")
    with pytest.raises(BackendError, match="can no longer be told"):
        site.loader().recount(batch)
