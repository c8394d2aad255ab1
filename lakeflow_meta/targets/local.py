"""The embedded workspace as a target: everything in one directory of this machine."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lakeflow_meta.ports import (
    Clock,
    ControlStore,
    FileLister,
    InteractiveWarehouse,
    MetadataFolder,
    PermissionsApi,
    Sleep,
    SqlSession,
    TaskRun,
)
from lakeflow_meta.progress import Progress
from lakeflow_meta.targets.target import ApplyTerms, SyncTerms

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakeflow_meta.backends.delta_log import DeltaLogReader
    from lakeflow_meta.backends.extracts.folders import LocalExtractFolders
    from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace
    from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
    from lakeflow_meta.backends.spark_ingest.loader import SparkLoader
    from lakeflow_meta.control.tables import ControlTables
    from lakeflow_meta.names import TableName
    from lakeflow_meta.paths import PathMap
    from lakeflow_meta.settings import Settings

OwnTask = Callable[[list[str], TextIO], None]


class LocalTarget:
    """A `Target` below ``home``. ``own_task`` runs one of our commands inside a job's task."""

    runs_here = True
    asks_for_warehouse = False

    def __init__(
        self,
        settings: Settings,
        *,
        home: Path,
        project_root: Path,
        tables: ControlTables,
        own_task: OwnTask,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._home = home
        self._project_root = project_root
        self._tables = tables
        self._own_task = own_task
        self._clock = clock
        self._progress = progress

    @cached_property
    def store(self) -> ControlStore:
        """The control tables, in the embedded warehouse: Spark reads them by the same names."""
        from lakeflow_meta.backends.deltars import DeltaRsStore
        from lakeflow_meta.backends.deltars_maintenance import Maintenance

        upkeep = Maintenance(
            retention=timedelta(days=self._settings.history_days), pinned=self._pinned
        )
        return DeltaRsStore(self.warehouse, maintenance=upkeep)

    def _pinned(self, table: TableName) -> list[int]:
        """Versions that the change detector still compares with."""
        from lakeflow_meta.control.change_memory import ChangeMemory

        return ChangeMemory(self.store, self._tables).pinned(table)

    @cached_property
    def workspace(self) -> LocalWorkspace:
        """Jobs, runs and saved queries."""
        from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace

        return LocalWorkspace(
            self._home,
            self._project_root,
            task_session=lambda: self.spark.task_session(),
            own_task=self._own_task,
            environment=self._of_programs,
            clock=self._clock,
            progress=self._progress,
            max_parallel=self._settings.max_parallel_tasks,
            user=self.user,
        )

    def _of_programs(self) -> dict[str, str]:
        """What a Python task's own process needs to find this workspace; no Spark is started."""
        from lakeflow_meta.backends.local.tasks.program_start import WORKSPACE
        from lakeflow_meta.backends.local.tasks.program_workspace import ProgramWorkspace

        spec = ProgramWorkspace(
            home=str(self._home.absolute()),
            project_root=str(self._project_root.absolute()),
            cache=str(self._settings.cache.expanduser()) if self._settings.cache else None,
            catalogs=self._catalogs,
            conf=self._settings.spark_conf,
        )
        return {WORKSPACE: spec.as_json()}

    @property
    def jobs(self) -> LocalWorkspace:
        """Jobs and runs."""
        return self.workspace

    @property
    def queries(self) -> LocalWorkspace:
        """Saved queries."""
        return self.workspace

    @property
    def permissions(self) -> PermissionsApi:
        """Who may do what with jobs: kept, and not enforced."""
        return self.workspace.permissions

    @property
    def apply_terms(self) -> ApplyTerms:
        """One job at a time: SQLite has one writer."""
        return ApplyTerms()

    def task_log(self, run_id: int, task_key: str, attempt: int | None = None) -> str:
        """What an attempt of a task printed. Raises NotFoundError."""
        return self.workspace.task_log(run_id, task_key, attempt)

    def attempts(self, run_id: int) -> list[TaskRun]:
        """Every attempt of every task of a run."""
        return self.workspace.attempts(run_id)

    @property
    def user(self) -> str:
        """The user of this machine."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return f"uid {os.getuid()}"

    # --- data plane

    @cached_property
    def spark(self) -> EmbeddedSpark:
        """The embedded Spark session, not started before it is used."""
        from lakeflow_meta.backends.local.spark.session import EmbeddedSpark

        return EmbeddedSpark(
            self._home,
            cache=self.cache,
            conf=self._settings.spark_conf,
            catalogs=self._catalogs,
            progress=self._progress,
        )

    @property
    def _catalogs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([self._tables.sources.catalog, *self._settings.catalogs]))

    @property
    def cache(self) -> Path:
        """Where jars and the class archive are kept, shared by all homes of this user."""
        from lakeflow_meta.backends.local.spark.runtime import default_cache

        given = self._settings.cache
        return default_cache() if given is None else given.expanduser()

    def sql_session(self) -> SqlSession:
        """SQL on the embedded Spark; starts it."""
        from lakeflow_meta.backends.spark import SparkSqlSession

        return SparkSqlSession(self.spark.task_session())

    def open_warehouse(self, sleep: Sleep = time.sleep) -> InteractiveWarehouse:
        """The PostgreSQL that is named, else the embedded one below the home."""
        from lakeflow_meta.backends.postgres.of_settings import open_postgres

        password = os.environ.get("POSTGRES_PASSWORD")
        return open_postgres(self._settings.postgres, self._home, password, sleep)

    def warehouse_state(self) -> str:
        """How the PostgreSQL is reached; an embedded one is not started for that."""
        from lakeflow_meta.backends.postgres.of_settings import postgres_state

        password = os.environ.get("POSTGRES_PASSWORD")
        return postgres_state(self._settings.postgres, self._home, password)

    @cached_property
    def table_reader(self) -> DeltaLogReader:
        """What tables look like now, from their logs: no Spark."""
        from lakeflow_meta.backends.delta_log import DeltaLogReader

        return DeltaLogReader(self.warehouse)

    @property
    def sync_terms(self) -> SyncTerms:
        """Delta without Unity Catalog."""
        return SyncTerms()

    @property
    def files(self) -> FileLister:
        """Files to ingest: of volumes and of the project, and what Spark reaches by a URI."""
        from lakeflow_meta.backends.any_files import AnyFiles
        from lakeflow_meta.backends.local_files import LocalFiles
        from lakeflow_meta.backends.spark_files import SparkFiles

        return AnyFiles(LocalFiles(self.paths), SparkFiles(lambda: self.spark.task_session()))

    def batch_loader(self) -> SparkLoader:
        """Appends batches of files with the embedded Spark."""
        from lakeflow_meta.backends.spark_ingest.loader import SparkLoader

        return SparkLoader(
            self.spark.task_session,
            self.paths,
            locate=self._table_folder,
            parallelism=os.cpu_count(),
            links=self._home / "tmp" / "ingest",
        )

    def _table_folder(self, table: TableName) -> Path | None:
        """Where a table lies, None where that is not known yet."""
        from lakeflow_meta.backends.local.spark.warehouse import Warehouse, table_or_none

        known = table_or_none(table.catalog, table.schema, table.name)
        return None if known is None else Warehouse(self.warehouse).location(known)

    def spark_session(self) -> SparkSession:
        """A session of its own on the embedded Spark; starts it."""
        return self.spark.task_session()

    @property
    def extract_folders(self) -> LocalExtractFolders:
        """Folders of volumes and of the project."""
        from lakeflow_meta.backends.extracts.folders import LocalExtractFolders

        return LocalExtractFolders(self.paths)

    def project_file(self, path: str) -> Path:
        """A file of the project or of a volume."""
        return self.paths.local(path)

    # --- metadata files

    def metadata_folder(self, path: str) -> MetadataFolder:
        """A folder of this machine, or of a volume."""
        from lakeflow_meta.backends.metadata_folders import open_folder

        return open_folder(path, self.paths)

    def has_file(self, path: str, /) -> bool:
        """Whether a file of the project or of a volume is there."""
        return self._local_path(Path(path)).exists()

    # --- inside

    def _local_path(self, path: Path) -> Path:
        return self.paths.local(str(path))

    @cached_property
    def paths(self) -> PathMap:
        """Where the volumes and the project of this home are."""
        from lakeflow_meta.paths import PathMap

        return PathMap.of_home(self._home, self._project_root)

    @property
    def warehouse(self) -> Path:
        """The directory of the tables."""
        return self._home / "warehouse"
