"""One landing folder, one target table, one ledger: what tests of the ingestor on Spark need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.local_files import LocalFiles
from lakeflow_meta.backends.processes import may_be_alive, process_name
from lakeflow_meta.backends.spark_ingest.loader import SparkLoader
from lakeflow_meta.control.tables import FILES, ControlTables
from lakeflow_meta.ingest.batch import Batch, BatchId, IngestResult
from lakeflow_meta.ingest.ingestor import Ingestor
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import PathMap
from lakeflow_meta.ports import utc_now

TABLES = ControlTables.named("main.lakeflow.etl_control")


@dataclass
class Site:
    """One landing folder, one target table, one ledger."""

    root: Path
    spark: SparkSession
    warehouse: Path
    table: str
    loaders: list[SparkLoader] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = DeltaRsStore(self.root / "control")
        self.landing = self.root / "volumes/c/s/v/in"
        self.landing.mkdir(parents=True)
        self.paths = PathMap(self.root, self.root / "volumes")

    def put(self, name: str, text: str) -> Path:
        path = self.landing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def source(self, target: Mapping[str, Any] | None = None, **config: Any) -> FileSource:
        where = {"path": "/Volumes/c/s/v/in", "format": "csv", **config}
        return FileSource.parse("m/s", where, {"table": self.table, **(target or {})})

    def loader(self) -> SparkLoader:
        loader = SparkLoader(
            lambda: self.spark,
            self.paths,
            locate=self.locate,
            parallelism=2,
            links=self.root / "links",
        )
        self.loaders.append(loader)
        return loader

    def locate(self, table: TableName) -> Path | None:
        path = self.warehouse.joinpath(*table.key.split("."))
        return path if (path / "_delta_log").is_dir() else None

    def ingest(self, source: FileSource | None = None, **kwargs: Any) -> IngestResult:
        ingestor = Ingestor(
            self.store,
            TABLES,
            self.loader,
            LocalFiles(self.paths),
            owner=process_name(),
            is_alive=may_be_alive,
            **kwargs,
        )
        return ingestor.ingest(source or self.source())

    def batch(
        self, version: int, *names: str, app_id: str = "lane", source: FileSource | None = None
    ) -> Batch:
        """These files of the landing folder as a batch."""
        source = source or self.source()
        wanted = {f"/Volumes/c/s/v/in/{name}" for name in names}
        found = [f for f in LocalFiles(self.paths).list_files(source) if f.path in wanted]
        return Batch(BatchId(app_id, version), source, tuple(found), utc_now(), utc_now())

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        frame = self.spark.table(self.table).select(*columns)
        return sorted(tuple(row) for row in frame.collect())

    def ledger(self, *columns: str) -> dict[str, tuple[Any, ...]]:
        rows = self.store.read(TABLES.of(FILES)).to_pylist()
        return {
            row["file_path"].rpartition("/")[2]: tuple(row[name] for name in columns)
            for row in rows
        }

    def version(self) -> int:
        path = self.locate(TableName.parse(self.table))
        assert path is not None
        return DeltaTable(path).version()

    def reasons(self, result: IngestResult) -> dict[str, str]:
        return {each.path.rpartition("/")[2]: each.reason for each in result.failures}


def site_of(root: Path, spark: SparkSession, schema: str) -> Site:
    """A site below a test's own folder, in the test's own schema."""
    default = Path(spark.conf.get("spark.sql.warehouse.dir").removeprefix("file:"))
    return Site(root, spark, default.parents[1], f"{schema}.people")
