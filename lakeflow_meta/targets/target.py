"""The parts that every target has. `app.App` puts the verbs together from these."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lakeflow_meta.jobs.known_fields import UnknownFields, knows_all
from lakeflow_meta.ports import (
    BatchLoader,
    ControlStore,
    ExtractFolders,
    FileLister,
    InteractiveWarehouse,
    JobsApi,
    MetadataFolder,
    PermissionsApi,
    QueriesApi,
    Sleep,
    SqlSession,
    TableReader,
    TaskRun,
)
from lakeflow_meta.schema.capabilities import OPEN_SOURCE_DELTA, Capabilities

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, slots=True)
class ApplyTerms:
    """How jobs are changed on a platform; see `jobs.orchestrator.JobOrchestrator`."""

    max_parallel: int = 1
    lease_seconds: float = 60.0
    wait_seconds: float = 300.0
    unknown_fields: UnknownFields = knows_all


@dataclass(frozen=True, slots=True)
class SyncTerms:
    """How tables are changed on a platform; see `schema.engine.SchemaEngine`."""

    capabilities: Capabilities = OPEN_SOURCE_DELTA
    looks_ahead: int = 1


class Target(Protocol):
    """One place where pipelines run. Parts are made on first use, and once.

    A part that the target does not have in this version raises ConfigError that says so.
    """

    @property
    def store(self) -> ControlStore:
        """The control tables."""

    @property
    def jobs(self) -> JobsApi:
        """Jobs and runs."""

    @property
    def queries(self) -> QueriesApi:
        """Saved queries."""

    @property
    def permissions(self) -> PermissionsApi:
        """Who may do what with jobs."""

    @property
    def apply_terms(self) -> ApplyTerms:
        """How jobs are changed here."""

    def task_log(self, run_id: int, task_key: str, attempt: int | None = None) -> str:
        """What an attempt of a task printed, the last one if none is named.

        ``load[3]`` is an iteration of the for_each task ``load``. Raises NotFoundError.
        """

    def attempts(self, run_id: int) -> list[TaskRun]:
        """Every attempt of every task of a run that is known, in the order of the tasks."""

    @property
    def user(self) -> str:
        """Who acts here, for history."""

    @property
    def runs_here(self) -> bool:
        """Whether runs of jobs live in this process, and end with it."""

    @property
    def asks_for_warehouse(self) -> bool:
        """Whether a SQL task must name the warehouse that runs it."""

    def sql_session(self) -> SqlSession:
        """SQL on the data plane."""

    def open_warehouse(self, sleep: Sleep = time.sleep) -> InteractiveWarehouse:
        """The SQL database; nothing is opened before its first statement."""

    def warehouse_state(self) -> str:
        """How the SQL database is reached. Raises ConfigError, BackendError where it is not."""

    @property
    def table_reader(self) -> TableReader:
        """What tables look like now."""

    @property
    def sync_terms(self) -> SyncTerms:
        """How tables are changed here."""

    @property
    def files(self) -> FileLister:
        """Files to ingest."""

    def batch_loader(self) -> BatchLoader:
        """Appends batches of files to tables."""

    def spark_session(self) -> SparkSession:
        """A Spark session of its own settings; starts Spark where it is not running."""

    @property
    def extract_folders(self) -> ExtractFolders:
        """Folders that extracts are written to."""

    def project_file(self, path: str) -> Path:
        """A file of the project, by the path that people wrote. Raises ConfigError."""

    def metadata_folder(self, path: str) -> MetadataFolder:
        """A folder of metadata files, by the path that people typed."""

    def has_file(self, path: str, /) -> bool:
        """Whether a file that a task names is there; true where it cannot be told from here."""
