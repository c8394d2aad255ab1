"""A real `kill -9` of a process and its JVM in the middle of an append."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.local.spark.runtime import default_cache
from lakeflow_meta.backends.local_files import LocalFiles
from lakeflow_meta.backends.processes import may_be_alive, process_name
from lakeflow_meta.backends.spark_ingest.loader import SparkLoader
from lakeflow_meta.control.tables import FILES, ControlTables
from lakeflow_meta.ingest.batch import IngestResult
from lakeflow_meta.ingest.ingestor import Ingestor
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.paths import PathMap

TABLES = ControlTables.named("main.lakeflow.etl_control")
FILE_COUNT = 12
ROWS_IN_FILE = 20_000
GIVE_UP_SECONDS = 120

CHILD = """
import sys
from pathlib import Path
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
sys.path.insert(0, sys.argv[1])
from test_ingest_kill import ingest
home, cache, root, table = sys.argv[2:]
spark = EmbeddedSpark(Path(home), cache=Path(cache), catalogs=("main", "testcat"))
ingest(spark.session(), Path(home), Path(root), table)
"""


def ingest(spark: SparkSession, home: Path, root: Path, table: str) -> IngestResult:
    paths = PathMap(root)
    folder = home.joinpath("warehouse", *table.split("."))

    def loader() -> SparkLoader:
        return SparkLoader(lambda: spark, paths, locate=lambda _: folder, parallelism=6)

    ingestor = Ingestor(
        DeltaRsStore(root / "control"),
        TABLES,
        loader,
        LocalFiles(paths),
        owner=process_name(),
        is_alive=may_be_alive,
    )
    source = FileSource.parse("m/s", {"path": "in", "format": "csv"}, {"table": table})
    return ingestor.ingest(source)


def test_killed_in_the_middle_of_an_append_the_next_run_ends_with_exact_rows(
    tmp_path: Path, spark: SparkSession, schema: str
) -> None:
    home = Path(spark.conf.get("spark.sql.warehouse.dir").removeprefix("file:")).parents[2]
    table = f"{schema}.killed"
    (tmp_path / "in").mkdir()
    for number in range(FILE_COUNT):
        lines = "".join(f"{number},{row},{'x' * 50}\n" for row in range(ROWS_IN_FILE))
        (tmp_path / f"in/{number}.csv").write_text("file,row,text\n" + lines)
    spark.sql(f"CREATE TABLE {table} (file INT, row INT, text STRING, _source_file STRING)")
    folder = home.joinpath("warehouse", *table.split("."))

    child = _start(home, tmp_path, table)
    _wait_for(lambda: any(folder.glob("*.parquet")), child)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL

    statuses = {row["status"] for row in _ledger(tmp_path)}
    assert statuses == {"processing"}
    result = ingest(spark, home, tmp_path, table)
    assert (result.processed, result.failed) == (FILE_COUNT, 0)
    counts = spark.table(table).groupBy("file").agg({"row": "count", "*": "count"}).collect()
    assert len(counts) == FILE_COUNT
    assert {row["count(row)"] for row in counts} == {ROWS_IN_FILE}
    assert {row["record_count"] for row in _ledger(tmp_path)} == {ROWS_IN_FILE}
    assert ingest(spark, home, tmp_path, table).skipped == FILE_COUNT


def _start(home: Path, root: Path, table: str) -> subprocess.Popen[bytes]:
    cache = os.environ.get("LAKEFLOW_META_CACHE") or default_cache()
    arguments = [str(Path(__file__).parent), str(home), str(cache), str(root), table]
    package = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": package}
    with (root / "child.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_for(seen: object, child: subprocess.Popen[bytes]) -> None:
    assert callable(seen)
    end = time.monotonic() + GIVE_UP_SECONDS
    while not seen():
        assert child.poll() is None, "the child ended before it could be killed"
        assert time.monotonic() < end, "the child wrote nothing"
        time.sleep(0.002)


def _ledger(root: Path) -> list[dict[str, object]]:
    rows = DeltaRsStore(root / "control").read(TABLES.of(FILES)).to_pylist()
    return list(rows)
