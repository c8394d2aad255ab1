"""Composition: the one place where settings, stores, engines and verbs are put together.

Everything is made on first use, so a command pays only for the parts it needs. Explicit arguments
win, then the configured target.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.load_settings import load_settings
from lakeflow_meta.ports import (
    BatchLoader,
    Clock,
    ControlStore,
    FileLister,
    InteractiveWarehouse,
    JobsApi,
    QueriesApi,
    SqlSession,
    TableReader,
    utc_now,
)
from lakeflow_meta.progress import Progress, silent
from lakeflow_meta.settings import Resolved
from lakeflow_meta.targets.databricks import DatabricksTarget, in_runtime
from lakeflow_meta.targets.local import LocalTarget
from lakeflow_meta.targets.target import Target

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from pyspark.sql import SparkSession

    from lakeflow_meta.control.declared import Declared
    from lakeflow_meta.control.manager import MetadataManager
    from lakeflow_meta.control.tables import ControlTables
    from lakeflow_meta.extract.extractor import Extractor
    from lakeflow_meta.ingest.ingestor import Ingestor
    from lakeflow_meta.jobs.deployer import Deployer
    from lakeflow_meta.jobs.deployment import Deployment
    from lakeflow_meta.jobs.job_settings import JobContext
    from lakeflow_meta.jobs.orchestrator import JobOrchestrator
    from lakeflow_meta.schema.engine import SchemaEngine
    from lakeflow_meta.scripts.runner import ScriptRunner


class App:
    """The parts of one target, wired lazily. Keyword arguments replace parts.

    ``spark`` carries the control tables and the SQL of the data plane; ``workspace_client`` is the
    workspace of a Databricks target.
    """

    def __init__(
        self,
        resolved: Resolved,
        *,
        project_root: Path | None = None,
        store: ControlStore | None = None,
        spark: SparkSession | None = None,
        workspace_client: WorkspaceClient | None = None,
        clock: Clock = utc_now,
        progress: Progress = silent,
    ) -> None:
        self.resolved = resolved
        self.settings = resolved.settings
        self.home = self.settings.home.expanduser().absolute()
        self.project_root = project_root or self.home.parent
        self.clock = clock
        self.progress = progress
        self._store = store
        self._spark = spark
        self._client = workspace_client

    @classmethod
    def from_environment(
        cls, *, overrides: Mapping[str, Any] | None = None, conf: Path | None = None, **parts: Any
    ) -> App:
        """Read ``conf/``, the environment and explicit overrides; ``parts`` are of `App`.

        Raises ConfigError.
        """
        given = dict(overrides or {})
        if parts.get("workspace_client") is not None:
            given.setdefault("backend", "databricks")
        return cls(load_settings(given, conf), **parts)

    @cached_property
    def local(self) -> LocalTarget:
        """The embedded workspace."""
        return LocalTarget(
            self.settings,
            home=self.home,
            project_root=self.project_root,
            tables=self.tables,
            own_task=self._own_task,
            clock=self.clock,
            progress=self.progress,
        )

    @cached_property
    def target(self) -> Target:
        """Where everything runs."""
        if self.settings.backend == "local":
            return self.local
        return DatabricksTarget(
            self.settings,
            inside=in_runtime(os.environ),
            spark=self._spark,
            client=self._client,
        )

    def _own_task(self, parameters: list[str], output: TextIO) -> None:
        """Run one of our own commands inside a job's task, with this app's parts."""
        from lakeflow_meta.cli.main import run_inside

        run_inside(self, parameters, output)

    # --- control plane

    @cached_property
    def tables(self) -> ControlTables:
        """Names of the control tables."""
        from lakeflow_meta.control.tables import ControlTables

        return ControlTables.named(self.settings.control_table)

    @cached_property
    def store(self) -> ControlStore:
        """The control tables."""
        if self._store is not None:
            return self._store
        if self._spark is None:
            return self.target.store
        from lakeflow_meta.backends.spark_runner import SparkRunner
        from lakeflow_meta.backends.sql_store import SqlStore

        return SqlStore(SparkRunner(self._spark))

    @cached_property
    def manager(self) -> MetadataManager:
        """Keeper of the control tables."""
        from lakeflow_meta.control.manager import MetadataManager

        return MetadataManager(
            self.settings.control_table, store=self.store, actor=self.actor, clock=self.clock
        )

    def actor(self) -> str:
        """Who is named in history. On a workspace the first call asks it. Raises BackendError."""
        return self.settings.actor or self.target.user

    def declared(
        self, paths: Sequence[Path], variables: Mapping[str, Any], *, check_files: bool = True
    ) -> Declared:
        """Read metadata files; problems are in the result. Raises SpecError for unreadable ones.

        ``check_files``: whether files that tasks name must be there.
        """
        from lakeflow_meta.control.read_files import read_metadata

        texts = read_metadata(paths, self.target.metadata_folder, progress=self.progress)
        return self.declared_in(texts.yaml, texts.scripts, variables, check_files=check_files)

    def declared_in(
        self,
        yaml: Mapping[str, str],
        scripts: Mapping[str, str],
        variables: Mapping[str, Any],
        *,
        check_files: bool = True,
    ) -> Declared:
        """`declared` for texts by file name: of YAML, and of the scripts that it names."""
        from lakeflow_meta.control.declared import read_declared

        return read_declared(
            yaml,
            scripts,
            variables={**self.settings.variables, **variables},
            context=self.job_context,
            file_exists=self.target.has_file if check_files else lambda _path: True,
        )

    # --- jobs

    @property
    def jobs(self) -> JobsApi:
        """Jobs and runs."""
        return self.target.jobs

    @property
    def queries(self) -> QueriesApi:
        """Saved queries."""
        return self.target.queries

    @cached_property
    def job_context(self) -> JobContext:
        """What job settings depend on besides the module's rows."""
        from lakeflow_meta.jobs.job_settings import JobContext

        return JobContext(
            control_table=self.settings.control_table,
            name_template=self.settings.job_name_template,
            default_warehouse_id=self.settings.warehouse_id,
            require_warehouse=self.target.asks_for_warehouse,
        )

    @property
    def deployed_context(self) -> JobContext:
        """The same with this package as it is deployed, where the platform has to have it."""
        if self.target.runs_here:
            return self.job_context
        return self._with_package(self.job_context)

    @cached_property
    def orchestrator(self) -> JobOrchestrator:
        """Makes jobs match the modules."""
        from lakeflow_meta.jobs.orchestrator import JobOrchestrator

        terms = self.target.apply_terms
        return JobOrchestrator(
            self.store,
            self.jobs,
            self.queries,
            tables=self.tables,
            context=self.job_context,
            permissions=self.target.permissions,
            clock=self.clock,
            progress=self.progress,
            actor=self.actor,
            max_parallel=terms.max_parallel,
            lease_seconds=terms.lease_seconds,
            wait_seconds=terms.wait_seconds,
            unknown_fields=terms.unknown_fields,
            with_package=None if self.target.runs_here else self._with_package,
        )

    def _with_package(self, context: JobContext) -> JobContext:
        """Job settings of a platform name the package that was deployed there."""
        from lakeflow_meta.jobs.deploy_memory import DeployMemory

        return DeployMemory(self.store, self.tables).in_context(context)

    # --- deployment

    def deployment(self, options: Mapping[str, Any]) -> Deployment:
        """What `deploy` is to put on the workspace; ``options`` win over ``deploy:`` of settings.

        Raises ConfigError.
        """
        self._workspace("deploy")
        from lakeflow_meta.backends.own_package import own_package
        from lakeflow_meta.jobs.deployment import wanted_deployment

        settings = self.settings.deploy.changed(options)
        return wanted_deployment(self.settings, settings, own_package(), self.job_context)

    @cached_property
    def deployer(self) -> Deployer:
        """Puts this package and its two jobs on a workspace. Raises ConfigError elsewhere."""
        from lakeflow_meta.jobs.deployer import Deployer, Workspace

        target = self._workspace("deploy")
        terms = target.apply_terms
        return Deployer(
            Workspace(target.uploads, target.jobs, target.permissions, target.jobs, target.job_url),
            self.store,
            tables=self.tables,
            clock=self.clock,
            progress=self.progress,
            actor=self.actor,
            lease_seconds=terms.lease_seconds,
            wait_seconds=terms.wait_seconds,
        )

    def _workspace(self, command: str) -> DatabricksTarget:
        """Raises ConfigError where the target is no workspace."""
        if isinstance(self.target, DatabricksTarget):
            return self.target
        name = self.settings.target
        raise ConfigError(
            f"{command} needs a Databricks workspace, and target {name!r} is the embedded one,"
            " which has this package already; name another target, e.g. lakeflow-meta"
            f" --target prod {command}, with backend: databricks in conf/prod.yml"
        )

    # --- data plane

    def sql_session(self) -> SqlSession:
        """SQL on the data plane; starts it where it is not running."""
        if self._spark is None:
            return self.target.sql_session()
        from lakeflow_meta.backends.spark import SparkSqlSession

        return SparkSqlSession(self._spark)

    @cached_property
    def schema_engine(self) -> SchemaEngine:
        """Makes Delta tables look as declared; reads them without Spark where it can."""
        from lakeflow_meta.schema.engine import SchemaEngine
        from lakeflow_meta.schema.sync_memory import RecordedMemory

        terms = self.target.sync_terms
        return SchemaEngine(
            self.table_reader,
            self.sql_session,
            capabilities=terms.capabilities,
            memory=RecordedMemory(self.store, self.tables, self.actor),
            progress=self.progress,
            clock=self.clock,
            max_parallel=self.settings.max_parallel_tasks,
            looks_ahead=terms.looks_ahead,
        )

    @property
    def table_reader(self) -> TableReader:
        """What tables look like now: those of the given Spark session, else of the target."""
        if self._spark is None or not self.target.runs_here:
            return self.target.table_reader
        from lakeflow_meta.backends.spark_tables import SparkTableReader

        return SparkTableReader(self.sql_session())

    @cached_property
    def script_runner(self) -> ScriptRunner:
        """Runs DDL scripts, each once."""
        from lakeflow_meta.script_operations import make_script_runner

        has_spark = self._spark is not None or self.target.runs_here or in_runtime(os.environ)
        return make_script_runner(self, has_spark=has_spark)

    @cached_property
    def ingestor(self) -> Ingestor:
        """Ingests file sources, each file once."""
        from lakeflow_meta.ingest_operations import make_ingestor

        return make_ingestor(self)

    @property
    def files(self) -> FileLister:
        """Files to ingest; what lies elsewhere by the given Spark session where there is one."""
        if self._spark is None or not self.target.runs_here:
            return self.target.files
        from lakeflow_meta.backends.any_files import AnyFiles
        from lakeflow_meta.backends.local_files import LocalFiles
        from lakeflow_meta.backends.spark_files import SparkFiles

        spark = self._spark
        return AnyFiles(LocalFiles(self.local.paths), SparkFiles(lambda: spark))

    def batch_loader(self) -> BatchLoader:
        """Puts batches of files into tables; with the given Spark session where there is one."""
        if self._spark is None or not self.target.runs_here:
            return self.target.batch_loader()
        from lakeflow_meta.backends.spark_ingest.loader import SparkLoader

        paths, spark = self.local.paths, self._spark
        return SparkLoader(lambda: spark, paths, locate=lambda _table: None)

    @cached_property
    def extractor(self) -> Extractor:
        """Writes extracts to files."""
        from lakeflow_meta.extract_operations import make_extractor

        return make_extractor(self)

    @cached_property
    def warehouse(self) -> InteractiveWarehouse:
        """The SQL database of the target."""
        return self.target.open_warehouse()

    @property
    def sql_templates(self) -> Path | None:
        """The project's own SQL templates."""
        folder = self.settings.sql_templates
        return None if folder is None else self.project_root / folder

    def spark_session(self) -> SparkSession:
        """The Spark session of the data plane; starts it where it is not running."""
        return self.target.spark_session() if self._spark is None else self._spark
