"""A Databricks workspace as a target: from a laptop or CI, and from inside its own runtime.

Control tables are reached by the Spark session where there is one (a cluster, serverless compute),
else through a SQL warehouse.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Never

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.ports import (
    BatchLoader,
    ControlStore,
    ExtractFolders,
    FileLister,
    InteractiveWarehouse,
    MetadataFolder,
    QueriesApi,
    Sleep,
    SqlSession,
    TableReader,
    TaskRun,
)
from lakeflow_meta.schema.capabilities import UNITY_CATALOG
from lakeflow_meta.targets.target import ApplyTerms, SyncTerms

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from pyspark.sql import SparkSession

    from lakeflow_meta.backends.databricks_jobs import DatabricksJobs
    from lakeflow_meta.backends.databricks_permissions import DatabricksPermissions
    from lakeflow_meta.backends.request_gate import RequestGate
    from lakeflow_meta.backends.sql_store import RunSql
    from lakeflow_meta.backends.workspace_calls import WorkspaceCalls
    from lakeflow_meta.backends.workspace_upload import WorkspaceUploads
    from lakeflow_meta.paths import PathMap
    from lakeflow_meta.settings import Settings

RUNTIME_VERSION = "DATABRICKS_RUNTIME_VERSION"
"""Set on every Databricks compute: https://docs.databricks.com/init-scripts/environment-variables.html"""


_LEASE_SECONDS = 180.0
_SIGN_IN_SECONDS = 30.0
LOOKS_AHEAD = 32
"""Tables that are looked at together: a look is several queries to the catalog."""
_QUERIES_PER_SECOND = (20.0, 10.0)
"""Reads and writes of saved queries. Theirs is an API of its own; the settings are about jobs."""


def in_runtime(environment: Mapping[str, str]) -> bool:
    """Whether this process runs on Databricks compute."""
    return bool(environment.get(RUNTIME_VERSION))


class DatabricksTarget:
    """A `Target` on one workspace. ``spark`` and ``client`` win over what would be found."""

    runs_here = False
    asks_for_warehouse = True

    def __init__(
        self,
        settings: Settings,
        *,
        inside: bool,
        spark: SparkSession | None = None,
        client: WorkspaceClient | None = None,
    ) -> None:
        self._settings = settings
        self._inside = inside
        self._spark = spark
        self._client = client

    @cached_property
    def client(self) -> WorkspaceClient:
        """The workspace, by explicit argument, settings, or what the SDK finds."""
        if self._client is not None:
            return self._client
        from lakeflow_meta.backends.workspace_client import open_workspace

        if self._inside:  # the compute's own workspace; profiles are files of a laptop
            return open_workspace()
        return open_workspace(host=self._settings.host, profile=self._settings.profile)

    @cached_property
    def _gate(self) -> RequestGate:
        from lakeflow_meta.backends.request_gate import RequestGate

        return RequestGate()

    def _calls(
        self, reads: float | None = None, writes: float | None = None, **patience: float
    ) -> WorkspaceCalls:
        """Calls of one API, so many a second; None is what the settings say."""
        from lakeflow_meta.backends.workspace_calls import WorkspaceCalls

        return WorkspaceCalls(
            self.client,
            self._gate,
            reads_per_second=reads or self._settings.reads_per_second,
            writes_per_second=writes or self._settings.writes_per_second,
            **patience,
        )

    @cached_property
    def _run_sql(self) -> RunSql:
        from lakeflow_meta.backends.spark_runner import SparkRunner, active_session

        spark = self._spark or (active_session() if self._inside else None)
        if spark is not None:
            return SparkRunner(spark)
        return self._on_warehouse()

    def _on_warehouse(self) -> RunSql:
        from lakeflow_meta.backends.statement_execution import StatementExecution

        warehouse_id = self._warehouse_id
        return StatementExecution(
            self.client, warehouse_id, external_links=self._settings.external_links
        )

    @property
    def _warehouse_id(self) -> str:
        if self._settings.warehouse_id is None:
            target = self._settings.target
            raise ConfigError(
                f"target {target!r} names no SQL warehouse, and there is no Spark session here;"
                f" set warehouse_id in conf/{target}.yml, or LAKEFLOW_META_WAREHOUSE_ID"
            )
        return self._settings.warehouse_id

    @cached_property
    def store(self) -> ControlStore:
        """The control tables, in Unity Catalog."""
        from lakeflow_meta.backends.sql_store import SqlStore

        return SqlStore(self._run_sql)

    @cached_property
    def jobs(self) -> DatabricksJobs:
        """Jobs and runs of the workspace."""
        from lakeflow_meta.backends.databricks_jobs import DatabricksJobs

        return DatabricksJobs(self._calls())

    @property
    def apply_terms(self) -> ApplyTerms:
        """Many at once. Half the lease outlasts a call that creates a job and then hangs."""
        return ApplyTerms(
            max_parallel=self._settings.jobs_at_once,
            lease_seconds=_LEASE_SECONDS,
            wait_seconds=2 * _LEASE_SECONDS,
            unknown_fields=self.jobs.unknown_fields,
        )

    @cached_property
    def permissions(self) -> DatabricksPermissions:
        """Who may do what with jobs."""
        from lakeflow_meta.backends.databricks_permissions import DatabricksPermissions

        return DatabricksPermissions(self._calls())

    @cached_property
    def uploads(self) -> WorkspaceUploads:
        """Files of volumes and of the workspace."""
        from lakeflow_meta.backends.workspace_upload import WorkspaceUploads

        return WorkspaceUploads(self.client, self._gate)

    def job_url(self, job_id: int) -> str:
        """Where people find a job."""
        return f"{str(self.client.config.host).rstrip('/')}/jobs/{job_id}"

    @cached_property
    def queries(self) -> QueriesApi:
        """Saved queries of the workspace."""
        from lakeflow_meta.backends.databricks_queries import DatabricksQueries

        return DatabricksQueries(self._calls(*_QUERIES_PER_SECOND))

    def task_log(
        self,
        run_id: int,  # noqa: ARG002 (see below)
        task_key: str,  # noqa: ARG002
        attempt: int | None = None,  # noqa: ARG002
    ) -> str:
        """Not in this version."""
        return _not_built("reading logs of tasks")

    def attempts(self, run_id: int) -> list[TaskRun]:
        """The last attempt of every task of a run."""
        return list(self.jobs.get_run(run_id).tasks)

    @cached_property
    def user(self) -> str:
        """The user or service principal that the workspace knows us as."""
        from lakeflow_meta.backends.workspace_client import user_name

        return user_name(self._calls(patience_seconds=_SIGN_IN_SECONDS))

    def sql_session(self) -> SqlSession:
        """SQL by the Spark session, or by the warehouse."""
        from lakeflow_meta.backends.sql_session import RunSqlSession

        return RunSqlSession(self._run_sql)

    def open_warehouse(self, sleep: Sleep = time.sleep) -> InteractiveWarehouse:
        """The SQL warehouse that is named, else the Spark session of this compute."""
        from lakeflow_meta.backends.databricks_warehouse import DatabricksWarehouse

        named = self._settings.warehouse_id is not None and self._spark is None
        return DatabricksWarehouse(self._on_warehouse() if named else self._run_sql, sleep=sleep)

    def warehouse_state(self) -> str:
        """What the workspace says of the SQL warehouse, without starting it."""
        from lakeflow_meta.backends.databricks_warehouse import warehouse_state

        return warehouse_state(self.client, self._warehouse_id)

    @cached_property
    def table_reader(self) -> TableReader:
        """What tables look like in Unity Catalog."""
        from lakeflow_meta.backends.unity_catalog import ReadSession, UnityCatalogReader

        return UnityCatalogReader(
            lambda: ReadSession(self._run_sql), max_parallel=self._settings.max_parallel_tasks
        )

    @property
    def sync_terms(self) -> SyncTerms:
        """What Unity Catalog can do."""
        return SyncTerms(UNITY_CATALOG, looks_ahead=LOOKS_AHEAD)

    @property
    def files(self) -> FileLister:
        """Files of volumes by their mount, and by Spark what is not on this machine."""
        from lakeflow_meta.backends.any_files import AnyFiles
        from lakeflow_meta.backends.local_files import LocalFiles
        from lakeflow_meta.backends.spark_files import SparkFiles

        by_spark = SparkFiles(self._ingesting_session)
        local = LocalFiles(self._paths) if self._inside else by_spark
        return AnyFiles(local, by_spark)

    def batch_loader(self) -> BatchLoader:
        """Puts batches of files into tables with the Spark session of this compute."""
        from lakeflow_meta.backends.spark_ingest.loader import SparkLoader

        return SparkLoader(self._ingesting_session, self._paths, locate=lambda _table: None)

    @property
    def _paths(self) -> PathMap:
        from lakeflow_meta.paths import PathMap

        return PathMap(Path.cwd(), volumes_mounted=self._inside)

    def _ingesting_session(self) -> SparkSession:
        """Raises ConfigError where there is no Spark to ingest with."""
        if self._spark is None and not self._inside:
            raise ConfigError(
                "files are ingested on the workspace, by its Spark: run this inside a job or a"
                " notebook (a task of type ingest does), or give the session: spark=…"
            )
        return self.spark_session()

    def spark_session(self) -> SparkSession:
        """The session of the compute that this process runs on."""
        if self._spark is not None:
            return self._spark
        self._refuse_outside("extracts of a lakehouse")
        from lakeflow_meta.backends.spark_runner import active_session

        return active_session()

    @property
    def extract_folders(self) -> ExtractFolders:
        """Folders of volumes, by their mount."""
        self._refuse_outside("extracts")
        from lakeflow_meta.backends.extracts.folders import LocalExtractFolders
        from lakeflow_meta.paths import PathMap

        return LocalExtractFolders(PathMap(Path.cwd()), has_project=False)

    def project_file(self, path: str) -> Path:
        """A file of a volume or of the workspace."""
        if not path.startswith("/"):
            raise ConfigError(
                f"there is no project here that {path} could be in;"
                " write /Volumes/… or /Workspace/…"
            )
        return Path(path)

    def _refuse_outside(self, what: str) -> None:
        """Raises ConfigError where volumes are not mounted."""
        if not self._inside:
            raise ConfigError(
                f"{what} are written on the workspace, where its volumes are: deploy a job with a"
                " task of type extract, and run it; or use a local target"
            )

    def metadata_folder(self, path: str) -> MetadataFolder:
        """A folder of this machine, or of a volume: by its mount, else through the Files API."""
        from lakeflow_meta.backends.metadata_folders import open_folder
        from lakeflow_meta.paths import PathMap

        return open_folder(path, PathMap(Path.cwd()), None if self._inside else self._volume)

    def _volume(self, path: str) -> MetadataFolder:
        from lakeflow_meta.backends.workspace_files import WorkspaceFolder

        return WorkspaceFolder(self.client, path, self._gate)

    def has_file(self, _path: str, /) -> bool:
        """Files of tasks are the workspace's; the platform checks them."""
        return True


def _not_built(what: str) -> Never:
    raise ConfigError(
        f"{what} does not run on a Databricks target in this version; use a local target"
    )
