"""Composition: the one place where settings, stores, engines and verbs are put together.

Everything is made on first use, so a command pays only for the parts it needs. Explicit arguments
win, then the configured target.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.ports import BatchLoader, Clock, ControlStore, SqlSession, utc_now
from lakeflow_meta.progress import Progress, silent
from lakeflow_meta.settings import (
    ENVIRONMENT_PREFIX,
    Layer,
    Resolved,
    environment_layer,
    resolve,
)

if TYPE_CHECKING:
    from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace
    from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
    from lakeflow_meta.control.declared import Declared
    from lakeflow_meta.control.manager import MetadataManager
    from lakeflow_meta.control.tables import ControlTables
    from lakeflow_meta.ingest.ingestor import Ingestor
    from lakeflow_meta.jobs.job_settings import JobContext
    from lakeflow_meta.jobs.orchestrator import JobOrchestrator
    from lakeflow_meta.names import TableName
    from lakeflow_meta.paths import PathMap
    from lakeflow_meta.schema.engine import SchemaEngine
    from lakeflow_meta.scripts.runner import ScriptRunner


class App:
    """The parts of one target, wired lazily. Keyword arguments replace parts."""

    def __init__(
        self,
        resolved: Resolved,
        *,
        project_root: Path | None = None,
        store: ControlStore | None = None,
        clock: Clock = utc_now,
        progress: Progress = silent,
    ) -> None:
        self.resolved = resolved
        self.settings = resolved.settings
        self.home = self.settings.home.expanduser().absolute()
        self.project_root = project_root or self.home.parent
        self.clock = clock
        self.progress = progress
        if store is not None:
            self.__dict__["store"] = store

    @classmethod
    def from_environment(
        cls,
        *,
        overrides: Mapping[str, Any] | None = None,
        conf: Path | None = None,
        progress: Progress = silent,
    ) -> App:
        """Read ``conf/``, the environment and explicit overrides. Raises ConfigError."""
        return cls(resolve(_layers(overrides or {}, conf)), progress=progress)

    # --- control plane

    @cached_property
    def tables(self) -> ControlTables:
        """Names of the control tables."""
        from lakeflow_meta.control.tables import ControlTables

        return ControlTables.named(self.settings.control_table)

    @cached_property
    def store(self) -> ControlStore:
        """The control tables, in the embedded warehouse: Spark reads them by the same names."""
        from lakeflow_meta.backends.deltars import DeltaRsStore

        self._require_local("control tables")
        return DeltaRsStore(self._warehouse)

    @cached_property
    def manager(self) -> MetadataManager:
        """Keeper of the control tables."""
        from lakeflow_meta.control.manager import MetadataManager

        return MetadataManager(
            self.settings.control_table, store=self.store, actor=self.actor, clock=self.clock
        )

    @property
    def actor(self) -> str:
        """Who is named in history."""
        return self.settings.actor or _user()

    def declared(self, paths: Sequence[Path], variables: Mapping[str, Any]) -> Declared:
        """Read metadata files; problems are in the result. Raises SpecError for unreadable ones."""
        from lakeflow_meta.control.declared import read_declared
        from lakeflow_meta.control.read_files import read_metadata

        texts = read_metadata([self.metadata_path(path) for path in paths])
        return read_declared(
            texts.yaml,
            texts.scripts,
            variables={**self.settings.variables, **variables},
            context=self.job_context,
            file_exists=self.file_exists,
        )

    def metadata_path(self, path: Path) -> Path:
        """A path as it was typed; a volume's is mapped."""
        return self._local_path(path) if path.parts[:2] == ("/", "Volumes") else path

    def file_exists(self, path: str) -> bool:
        """Whether a task's file is there; absolute paths may be of another machine."""
        return not self._is_local or self._local_path(Path(path)).exists()

    def _local_path(self, path: Path) -> Path:
        if not self._is_local:
            return path
        return self._paths.local(str(path))

    @cached_property
    def _paths(self) -> PathMap:
        from lakeflow_meta.paths import PathMap

        return PathMap.of_home(self.home, self.project_root)

    # --- jobs

    @cached_property
    def job_context(self) -> JobContext:
        """What job settings depend on besides the module's rows."""
        from lakeflow_meta.jobs.job_settings import JobContext

        return JobContext(
            control_table=self.settings.control_table,
            name_template=self.settings.job_name_template,
            default_warehouse_id=self.settings.warehouse_id,
            require_warehouse=not self._is_local,
        )

    @cached_property
    def workspace(self) -> LocalWorkspace:
        """The embedded workspace: jobs, runs, saved queries."""
        from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace

        self._require_local("the embedded workspace")
        return LocalWorkspace(
            self.home,
            self.project_root,
            task_session=lambda: self.spark.task_session(),
            own_task=self._own_task,
            clock=self.clock,
            progress=self.progress,
            max_parallel=self.settings.max_parallel_tasks,
        )

    @cached_property
    def orchestrator(self) -> JobOrchestrator:
        """Makes jobs match the modules."""
        from lakeflow_meta.jobs.orchestrator import JobOrchestrator

        return JobOrchestrator(
            self.store,
            self.workspace,
            self.workspace,
            tables=self.tables,
            context=self.job_context,
            clock=self.clock,
            progress=self.progress,
            actor=self.actor,
        )

    def _own_task(self, parameters: list[str], output: TextIO) -> None:
        """Run one of our own commands inside a job's task, with this app's parts."""
        from lakeflow_meta.cli.main import run_inside

        run_inside(self, parameters, output)

    # --- data plane

    @cached_property
    def spark(self) -> EmbeddedSpark:
        """The embedded Spark session, not started before it is used."""
        from lakeflow_meta.backends.local.spark.session import EmbeddedSpark

        return EmbeddedSpark(
            self.home,
            cache=self.cache,
            conf=self.settings.spark_conf,
            catalogs=self._catalogs(),
            progress=self.progress,
        )

    @property
    def cache(self) -> Path:
        """Where jars and the class archive are kept, shared by all homes of this user."""
        from lakeflow_meta.backends.local.spark.runtime import default_cache

        given = self.settings.cache
        return default_cache() if given is None else given.expanduser()

    def _catalogs(self) -> tuple[str, ...]:
        own = self.tables.sources.catalog
        return tuple(dict.fromkeys([own, *self.settings.catalogs]))

    def sql_session(self) -> SqlSession:
        """SQL on the data plane; starts Spark."""
        from lakeflow_meta.backends.spark import SparkSqlSession

        return SparkSqlSession(self.spark.task_session())

    @cached_property
    def schema_engine(self) -> SchemaEngine:
        """Makes Delta tables look as declared; reads them without Spark."""
        from lakeflow_meta.backends.delta_log import DeltaLogReader
        from lakeflow_meta.schema.engine import SchemaEngine

        return SchemaEngine(
            DeltaLogReader(self._warehouse),
            self.sql_session,
            progress=self.progress,
            clock=self.clock,
            max_parallel=self.settings.max_parallel_tasks,
        )

    @cached_property
    def script_runner(self) -> ScriptRunner:
        """Runs DDL scripts, each once."""
        from lakeflow_meta.backends.processes import may_be_alive, process_name
        from lakeflow_meta.scripts.runner import ScriptRunner

        return ScriptRunner(
            self.store,
            self.tables,
            self.sql_session,
            clock=self.clock,
            progress=self.progress,
            actor=self.actor,
            owner=process_name(),
            is_alive=may_be_alive,
            stagger_seconds=self.settings.ddl_stagger_seconds,
        )

    @cached_property
    def ingestor(self) -> Ingestor:
        """Ingests file sources, each file once."""
        from lakeflow_meta.backends.local_files import LocalFiles
        from lakeflow_meta.backends.processes import may_be_alive, process_name
        from lakeflow_meta.ingest.ingestor import Ingestor

        return Ingestor(
            self.store,
            self.tables,
            self._batch_loader,
            LocalFiles(self._paths),
            owner=process_name(),
            is_alive=may_be_alive,
            clock=self.clock,
            progress=self.progress,
        )

    def _batch_loader(self) -> BatchLoader:
        from lakeflow_meta.backends.spark_loader import SparkLoader

        return SparkLoader(
            self.spark.task_session,
            self._paths,
            locate=self._table_folder,
            parallelism=os.cpu_count(),
        )

    def _table_folder(self, table: TableName) -> Path | None:
        """Where a table of the embedded workspace lies, None where that is not known yet."""
        from lakeflow_meta.backends.local.spark.warehouse import Warehouse, table_or_none

        known = table_or_none(table.catalog, table.schema, table.name)
        return None if known is None else Warehouse(self._warehouse).location(known)

    # --- inside

    @property
    def _warehouse(self) -> Path:
        return self.home / "warehouse"

    @property
    def _is_local(self) -> bool:
        return self.settings.backend == "local"

    def _require_local(self, what: str) -> None:
        if not self._is_local:
            raise ConfigError(
                f"{what}: backend {self.settings.backend!r} is not built in this version;"
                " use a target with backend: local"
            )


def _layers(overrides: Mapping[str, Any], conf: Path | None) -> list[Layer]:
    """Settings by rising weight. Raises ConfigError."""
    environment = environment_layer(os.environ)
    target = overrides.get("target") or environment.values.get("target") or "local"
    folder = conf or Path(os.environ.get(f"{ENVIRONMENT_PREFIX}CONF") or "conf")
    if conf is not None and not conf.is_dir():
        raise ConfigError(f"there is no settings folder {conf}")
    files = [folder / "default.yml", folder / f"{target}.yml"]
    if target != "local" and not files[1].is_file():
        raise ConfigError(f"target {target!r} has no settings file {files[1]}")
    return [
        *(_file_layer(file) for file in files if file.is_file()),
        environment,
        Layer("command line", {**overrides, "target": target}),
    ]


def _file_layer(file: Path) -> Layer:
    from lakeflow_meta.control.yaml_nodes import read_document

    try:
        document = read_document(str(file), file.read_text(encoding="utf-8"), {})
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {file} cannot be read: {error}") from error
    value = {} if document.value is None else document.value
    if document.problems or not isinstance(value, dict):
        lines = [str(problem) for problem in document.problems] or [f"{file}: not a mapping"]
        raise ConfigError("\n".join(lines))
    return Layer(str(file), value)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
