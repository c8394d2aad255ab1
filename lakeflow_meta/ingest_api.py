"""`IdempotentIngestor`: files into one Delta table, each exactly once, from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from lakeflow_meta import ingest_operations
from lakeflow_meta.app import App
from lakeflow_meta.errors import ConfigError, RunFailedError
from lakeflow_meta.ingest.ledger_tables import LedgerTables
from lakeflow_meta.ingest.selection import Selection
from lakeflow_meta.ingest.source import FileSource, SourceConfig, TargetConfig
from lakeflow_meta.operations import titled
from lakeflow_meta.progress import Progress, silent

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakeflow_meta.ingest.batch import FileFailure, IngestResult

Transform = Callable[["DataFrame"], "DataFrame"]


class IngestOptions(TypedDict, total=False):
    """How files are read and rows are written: all that a source may declare, by the same names."""

    format: str
    options: Mapping[str, Any]
    schema: str
    schema_evolution: str
    partition_columns: Sequence[str]
    recursive: bool
    glob: str
    min_age_seconds: float
    max_files: int
    max_bytes: int | str
    on_change: str
    after_success: str
    archive_path: str
    row_wise: bool
    write_mode: str
    keys: Sequence[str]
    sequence_by: str
    metadata_columns: bool
    partition_by: Sequence[str]
    cluster_by: Sequence[str]
    expectations: Sequence[Mapping[str, Any]]
    quarantine_table: str


_READING = frozenset(f.alias or name for name, f in SourceConfig.model_fields.items()) - {"path"}
_WRITING = frozenset(TargetConfig.model_fields) - {"table", "catalog", "schema_name"}


class IngestCounts(dict[str, int]):
    """``{"processed", "skipped", "failed"}``: files. ``result`` tells more of them."""

    def __init__(self, result: IngestResult) -> None:
        counts = {
            "processed": result.processed,
            "skipped": result.skipped,
            "failed": result.failed,
        }
        super().__init__(counts)
        self.result = result

    @property
    def failures(self) -> Sequence[FileFailure]:
        """Files that failed, with the reason."""
        return self.result.failures


class IdempotentIngestor:
    """Ingests files into ``target_table``, each exactly once, and remembers it in
    ``metadata_table``; both are ``catalog.schema.table``, and are made where they are missing.

    ``spark`` is any session with Delta: of a cluster, serverless, Spark Connect, classic. With None
    it is the configured target's, and starts when there is something to load. The lanes of a ledger
    ``x_files`` are kept in ``x_state``, those of any other in a table beside it, ``…_state``.
    ``options`` hold for every call, and a call may say otherwise.
    """

    def __init__(
        self,
        spark: SparkSession | None,
        metadata_table: str,
        target_table: str,
        *,
        progress: Progress = silent,
        target: str | None = None,
        home: Path | str | None = None,
        conf: Path | str | None = None,
        **options: Unpack[IngestOptions],
    ) -> None:
        """Raises ConfigError, SpecError for options that nobody knows or that cannot be."""
        self._options = dict(options)
        self._target_table = target_table
        tables = LedgerTables.named(metadata_table)
        self.app = _app(spark, progress, {"target": target, "home": home}, conf)
        self._ingestor = ingest_operations.make_ingestor(self.app, tables)
        self._source("options", {"format": "csv"}, None)

    def ingest_file(
        self,
        path: str | Path,
        transform_fn: Transform | None = None,
        *,
        force: bool = False,
        **options: Unpack[IngestOptions],
    ) -> bool:
        """Ingest one file: True if its rows are in the table since this call, False if it was
        skipped, because its bytes were ingested before, or another ingestor is busy with it.

        ``force`` ingests it again. Raises RunFailedError with the reason, NotFoundError,
        BackendError; ConfigError for a folder.
        """
        if self.app.files.is_folder(str(path)):
            raise ConfigError(f"{path} is a folder; use ingest_directory")
        result = self._ingest(path, transform_fn, force, dict(options))
        if result.failures:
            first = result.failures[0]
            raise RunFailedError(titled([f"{first.path}: {first.reason}"]), result)
        return result.processed > 0

    def ingest_directory(
        self,
        path: str | Path,
        transform_fn: Transform | None = None,
        *,
        force: bool = False,
        **options: Unpack[IngestOptions],
    ) -> IngestCounts:
        """Ingest the new files of a folder, or of a pattern; how many were processed and so on.

        A file that fails stops no other one; the result's ``failures`` tell why. ``transform_fn``
        sees one file's rows at a time, unless ``row_wise=True`` says that it looks at rows alone.
        Raises NotFoundError, BackendError.
        """
        return IngestCounts(self._ingest(path, transform_fn, force, dict(options)))

    def _ingest(
        self, path: str | Path, transform_fn: Transform | None, force: bool, options: dict[str, Any]
    ) -> IngestResult:
        source = self._source(str(path), options, transform_fn)
        return self._ingestor.ingest(source, Selection(force=force))

    def _source(
        self, path: str, options: Mapping[str, Any], transform_fn: Transform | None
    ) -> FileSource:
        """Raises ConfigError for options that nobody knows, SpecError for what cannot be."""
        given = {**self._options, **options}
        unknown = sorted(given.keys() - _READING - _WRITING)
        if unknown:
            raise ConfigError(f"unknown option {', '.join(unknown)}")
        reading = {k: v for k, v in given.items() if k in _READING and k != "row_wise"}
        writing = {k: v for k, v in given.items() if k in _WRITING}
        reading = ingest_operations.with_format(self.app, {"path": path, **reading})
        source = FileSource.parse(path, reading, {"table": self._target_table, **writing})
        if transform_fn is None:
            return source
        config = source.source_config.model_copy(update={"row_wise": bool(given.get("row_wise"))})
        return source.model_copy(update={"transform_fn": transform_fn, "source_config": config})


def _app(
    spark: SparkSession | None,
    progress: Progress,
    overrides: dict[str, Any],
    conf: Path | str | None,
) -> App:
    """The parts for one ingestor. Raises ConfigError."""
    parts: dict[str, Any] = {"progress": progress}
    if spark is not None:
        from lakeflow_meta.backends.spark import is_databricks

        parts["spark"] = spark
        if is_databricks(spark):
            overrides["backend"] = "databricks"
    return App.from_environment(
        overrides={name: value for name, value in overrides.items() if value is not None},
        conf=None if conf is None else Path(conf),
        **parts,
    )
