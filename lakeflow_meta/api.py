"""The Python interface: what people call from notebooks, scripts and tests.

Each class is a door to the parts that `app.App` puts together. Where control tables, jobs and
Spark come from: an explicit argument wins, then the configured target (``conf/<target>.yml``,
``LAKEFLOW_META_*``), and inside a Databricks runtime the active session and its workspace. Without
any of these it is the embedded workspace below ``.lakeflow/``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from lakeflow_meta import monitor_operations, operations, plan_operations
from lakeflow_meta.app import App
from lakeflow_meta.errors import RunFailedError
from lakeflow_meta.jobs.outcomes import Outcome, raise_failures
from lakeflow_meta.ports import Clock, ControlStore, Row, RunState
from lakeflow_meta.progress import Progress, silent
from lakeflow_meta.targets.databricks import LOOKS_AHEAD

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from pyspark.sql import SparkSession

    from lakeflow_meta.control.history import HistoryEntry
    from lakeflow_meta.control.manager import SqlResult
    from lakeflow_meta.control.sync import SyncReport
    from lakeflow_meta.jobs.plan import JobsPlan
    from lakeflow_meta.schema.engine import SchemaEngine


class Parts(TypedDict, total=False):
    """Keyword arguments that every class here takes, all optional."""

    store: ControlStore
    """Keeper of the control tables."""
    spark: SparkSession
    """Carries the control tables and the SQL of the data plane."""
    workspace_client: WorkspaceClient
    """The Databricks workspace."""
    target: str
    """Settings to use: ``conf/<target>.yml``."""
    home: Path | str
    """Directory of the embedded workspace."""
    conf: Path | str
    """Directory of the settings files."""
    default_warehouse_id: str
    """SQL warehouse of tasks that name none."""
    clock: Clock
    progress: Progress


class LoadResult(tuple[int, list[str]]):
    """``(number of declared tasks, names of the declared modules)``, and what was written.

    ``int(result)`` is the number; ``report`` says what was added, changed, unchanged and removed.
    """

    report: SyncReport

    @classmethod
    def of(cls, sources: int, modules: Sequence[str], report: SyncReport) -> LoadResult:
        """The result of one load."""
        result = cls((sources, list(modules)))
        result.report = report
        return result

    def __int__(self) -> int:
        return self[0]


def build_databricks_engine(
    spark: SparkSession, *, progress: Progress = silent, max_parallel: int = 4
) -> SchemaEngine:
    """A schema engine over a Spark session: on Databricks, or on this machine with Delta.

    ``build_databricks_engine(spark).sync(Registry([table]))`` makes the tables so. Outside of a
    control table nothing is remembered: every table is read each time.
    """
    from lakeflow_meta.backends.spark import SparkSqlSession, is_databricks
    from lakeflow_meta.backends.spark_tables import SparkTableReader
    from lakeflow_meta.backends.unity_catalog import UnityCatalogReader
    from lakeflow_meta.schema.capabilities import OPEN_SOURCE_DELTA, UNITY_CATALOG
    from lakeflow_meta.schema.engine import SchemaEngine

    session = SparkSqlSession(spark)
    inside = is_databricks(spark)
    return SchemaEngine(
        UnityCatalogReader(session) if inside else SparkTableReader(session),
        lambda: session,
        capabilities=UNITY_CATALOG if inside else OPEN_SOURCE_DELTA,
        progress=progress,
        max_parallel=max_parallel,
        looks_ahead=LOOKS_AHEAD if inside else 1,
    )


class MetadataManager:
    """Keeps the control tables around ``control_table`` (``catalog.schema.table``).

    Raises ConfigError for a name or a setting that cannot be used; nothing is opened before the
    first call that needs it.
    """

    def __init__(self, control_table: str, **parts: Unpack[Parts]) -> None:
        self.app = app_of(control_table, parts)

    @property
    def control_table(self) -> str:
        """The full name."""
        return str(self.app.tables.sources)

    def ensure_exists(self) -> list[str]:
        """Create the control tables that are absent; their names."""
        return self.app.manager.ensure_exists()

    def load_yaml(
        self,
        yaml_path: Path | str,
        validate_file_exists: bool = True,
        var: Mapping[str, Any] | None = None,
        *,
        prune: bool = False,
        dry_run: bool = False,
    ) -> LoadResult:
        """Record what a YAML file, or all of a folder, declares.

        ``validate_file_exists=False`` leaves out the check that files of tasks are there. ``prune``
        removes what is recorded and not declared. The same content again writes nothing. Raises
        SpecError that names every problem; then nothing is written.
        """
        declared = self.app.declared([Path(yaml_path)], var or {}, check_files=validate_file_exists)
        manager = self.app.manager
        report = (manager.plan_load if dry_run else manager.load)(declared, prune=prune)
        modules = [row["module_name"] for row in declared.modules]
        return LoadResult.of(len(declared.sources), modules, report)

    def load_from_folder(
        self, folder_path: Path | str, var: Mapping[str, Any] | None = None
    ) -> LoadResult:
        """Record what the YAML files of a folder and of those below it declare, all or nothing."""
        return self.load_yaml(folder_path, var=var)

    def sync_from_volume(
        self, volume_path: str, var: Mapping[str, Any] | None = None
    ) -> LoadResult:
        """Record what the YAML files on a volume (``/Volumes/…``) declare, all or nothing."""
        return self.load_yaml(volume_path, var=var)

    def detect_changes(self, last_check_timestamp: str | datetime | None = None) -> dict[str, Any]:
        """What changed since it was last applied, or since a time with a zone.

        Keys: ``new_modules``, ``updated_modules``, ``deactivated_modules``, ``changed_sources``,
        and the same as ``new_jobs``, ``updated_jobs``, ``disabled_jobs``, ``changed_tasks``.
        """
        return self.app.manager.detect_changes(last_check_timestamp)

    def get_all_modules(self) -> list[str]:
        """Names of all active modules, sorted."""
        return self.app.manager.get_all_modules()

    def get_module_sources(self, module_name: str) -> list[Row]:
        """Rows of the active sources of a module, by execution order."""
        return self.app.manager.get_module_sources(module_name)

    def export_yaml(self, path: Path | str | None = None) -> str:
        """The recorded state as YAML, the same bytes each time; also written to ``path``."""
        text = self.app.manager.export()
        if path is not None:
            operations.write_text(Path(path), text)
        return text

    def history(self, module: str | None = None, limit: int = 50) -> list[HistoryEntry]:
        """Who changed what and when, and what was applied; the newest first."""
        return operations.history(self.app, module, limit=limit)

    def restore(
        self,
        modules: Sequence[str] | None = None,
        *,
        to: int | str | datetime,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Set recorded rows back to a version or a time: a new commit, history kept.

        The result is the JSON of ``lakeflow-meta restore``. Raises ConfigError, SpecError.
        """
        return operations.restore(self.app, modules, to=to, dry_run=dry_run)

    def sql(self, statement: str) -> list[SqlResult]:
        """Run SQL on the control tables; one result a statement. Raises SpecError."""
        return self.app.manager.sql(statement)


class JobOrchestrator:
    """Makes the jobs of one control table as its modules say: in place, once each."""

    def __init__(self, control_table: str, **parts: Unpack[Parts]) -> None:
        self.metadata_manager = MetadataManager(control_table, **parts)
        self.app = self.metadata_manager.app

    def plan(
        self,
        modules: Sequence[str] | None = None,
        *,
        prune: str = "pause",
        on_drift: str = "restore",
        path: Path | str | None = None,
    ) -> plan_operations.Plan:
        """What `apply` and a run would change. Reads only; ``path`` is a file to keep it in."""
        found = plan_operations.plan(self.app, modules, prune, on_drift, keep=path is not None)
        if path is not None:
            plan_operations.save_plan(self.app, found, Path(path))
        return found

    def apply(
        self,
        modules: Sequence[str] | None = None,
        *,
        prune: str | None = None,
        on_drift: str | None = None,
        plan: plan_operations.Plan | Path | str | None = None,
    ) -> list[dict[str, Any]]:
        """Make the jobs of all modules, or the named ones; or, with ``plan``, exactly its jobs.

        ``prune``: what becomes of jobs whose module is gone or inactive (pause, delete or keep);
        ``on_drift``: of jobs that others changed (restore or report). A plan has these choices in
        itself; it may be the path of a file. Raises ConflictError, before anything is done, when
        rows or jobs have changed since it was made, RunFailedError as `create_or_update_jobs`.
        """
        jobs: JobsPlan | None
        if isinstance(plan, Path | str):
            jobs = plan_operations.load_plan(self.app, Path(plan))
        else:
            jobs = None if plan is None else plan.jobs
        outcomes = plan_operations.apply(self.app, modules, prune, on_drift, plan=jobs)
        raise_failures(outcomes)
        return [outcome.to_dict() for outcome in outcomes]

    def create_or_update_job(self, module_name: str) -> int:
        """Make one module's job as it says; its id. Raises RunFailedError, ConfigError."""
        return self.app.orchestrator.create_or_update_job(module_name)

    def create_or_update_jobs(
        self,
        modules: Sequence[str] | None = None,
        *,
        yaml_path: Path | str | None = None,
        var: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Make the jobs of all modules, or the named ones; with ``yaml_path`` it is loaded first
        and only its modules are made, where none are named.

        One entry a module: ``module``, ``job_id``, ``action``, ``error``. Raises RunFailedError
        that carries them all when one failed; the others are done.
        """
        if yaml_path is not None:
            loaded = self.metadata_manager.load_yaml(yaml_path, var=var)
            modules = loaded[1] if modules is None else modules
        outcomes = self._applied(modules)
        raise_failures(outcomes)
        return [outcome.to_dict() for outcome in outcomes]

    def run_all_modules(
        self,
        auto_run: bool = True,
        yaml_path: Path | str | None = None,
        sync_yaml: bool = False,
    ) -> list[dict[str, Any]]:
        """Make the jobs of all modules, and with ``auto_run`` start each of them once.

        With ``sync_yaml`` the YAML at ``yaml_path`` is recorded first. One entry a module:
        ``module``, ``job_id``, ``action``, ``error``, and ``run_id`` of the run that was started.
        On the embedded workspace runs are followed to their end, and ``state`` is how they ended.
        Raises RunFailedError that carries the entries when a module or its run failed.
        """
        if sync_yaml and yaml_path is not None:
            self.metadata_manager.load_yaml(yaml_path)
        outcomes = self._applied(None)
        entries = [outcome.to_dict() for outcome in outcomes]
        if auto_run:
            for outcome, entry in zip(outcomes, entries, strict=True):
                if outcome.wanted and not outcome.failed:
                    entry.update(self._run(outcome.module))
        failed = [entry for entry in entries if entry["error"]]
        if failed:
            lines = [f"  {entry['module']}: {entry['error']}" for entry in failed]
            title = f"{len(failed)} of {len(entries)} modules failed"
            raise RunFailedError("\n".join([title, *lines]), entries)
        return entries

    def _applied(self, modules: Sequence[str] | None) -> list[Outcome]:
        return plan_operations.apply(self.app, modules)

    def _run(self, module: str) -> dict[str, Any]:
        if not self.app.target.runs_here:
            return {"run_id": self.app.orchestrator.start(module)}
        run = self.app.orchestrator.run(module)
        error = None if run.state is RunState.SUCCESS else f"run {run.run_id}: {run.state}"
        return {"run_id": run.run_id, "state": str(run.state), "error": error}


class MetadataMonitor:
    """Watches a control table and, with ``volume_path``, metadata files; keeps the jobs so.

    ``auto_update_jobs=False`` takes files in and reports, and leaves the jobs alone.
    """

    def __init__(
        self,
        control_table: str,
        check_interval_seconds: float = 60.0,
        volume_path: str | None = None,
        auto_update_jobs: bool = True,
        *,
        var: Mapping[str, Any] | None = None,
        prune: bool = False,
        stop: threading.Event | None = None,
        **parts: Unpack[Parts],
    ) -> None:
        self.check_interval = check_interval_seconds
        self._monitor = monitor_operations.monitor_of(
            app_of(control_table, parts),
            volume_path,
            interval_seconds=check_interval_seconds,
            apply=auto_update_jobs,
            prune=prune,
            variables=var,
            stop=stop,
        )

    def check_and_update(self) -> dict[str, Any]:
        """Look once. Errors are in the result, and what they concern is tried at the next look."""
        return self._monitor.check_and_update()

    def run_continuous(
        self,
        max_iterations: int | None = None,
        *,
        on_result: Callable[[dict[str, Any]], None] | None = None,
    ) -> int:
        """Look every ``check_interval_seconds`` until stopped; how often it looked."""
        return self._monitor.run_continuous(max_iterations, on_result=on_result)


def app_of(control_table: str | None, parts: Parts) -> App:
    """The parts for one control table; None is the configured one. Raises ConfigError."""
    overrides = {
        "control_table": control_table,
        "target": parts.get("target"),
        "home": parts.get("home"),
        "warehouse_id": parts.get("default_warehouse_id"),
    }
    conf = parts.get("conf")
    app_parts = ("store", "spark", "workspace_client", "clock", "progress")
    return App.from_environment(
        overrides={name: value for name, value in overrides.items() if value is not None},
        conf=None if conf is None else Path(conf),
        **{name: parts[name] for name in app_parts if parts.get(name) is not None},  # type: ignore[literal-required]  # the names are of Parts
    )
