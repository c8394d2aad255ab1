"""What people ask of run-once scripts and work. Between app and cli."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from lakeflow_meta.warehouse.dialects import Dialect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakeflow_meta.app import App
    from lakeflow_meta.ports import ScriptSession, ScriptTarget
    from lakeflow_meta.scripts.run_once import RunOnce
    from lakeflow_meta.scripts.runner import ScriptRunner

logger = logging.getLogger(__name__)


def make_script_runner(app: App, *, has_spark: bool) -> ScriptRunner:
    """The runner of an app. ``has_spark``: a Spark session can be had in this process."""
    from lakeflow_meta.backends.processes import may_be_alive, process_name
    from lakeflow_meta.scripts.runner import ScriptRunner

    return ScriptRunner(
        app.store,
        app.tables,
        partial(_script_target, app, has_spark),
        clock=app.clock,
        progress=app.progress,
        actor=app.actor,
        owner=process_name(),
        is_alive=may_be_alive,
        stagger_seconds=app.settings.ddl_stagger_seconds,
    )


def make_run_once(app: App, target: str) -> RunOnce:
    """Runs functions for one target, once each."""
    from lakeflow_meta.backends.processes import may_be_alive, process_name
    from lakeflow_meta.backends.python_scripts import call_work
    from lakeflow_meta.scripts.execution_log import ExecutionLog
    from lakeflow_meta.scripts.run_once import RunOnce
    from lakeflow_meta.scripts.target_lease import Leases

    run_id = uuid.uuid4().hex
    log = ExecutionLog(app.store, app.tables, clock=app.clock, actor=app.actor, run_id=run_id)
    leases = Leases(app.store, app.tables, process_name(), is_alive=may_be_alive, clock=app.clock)
    return RunOnce(log, leases, target, call_work, app.clock)


def _script_target(app: App, has_spark: bool, name: str) -> ScriptTarget:
    if name in app.settings.warehouse_targets:
        return _Warehouse(app, name, has_spark)
    return _Lakehouse(app, name, has_spark)


@dataclass(frozen=True, slots=True)
class _Lakehouse:
    """Scripts on Delta tables: by Spark where there is one, else by a SQL warehouse."""

    app: App
    name: str
    has_spark: bool
    noun = "lakehouse"
    dialect = Dialect.DATABRICKS
    allows_transactions = True

    def open_session(self) -> ScriptSession:
        """A new session."""
        from lakeflow_meta.backends.script_sessions import (
            SparkScriptSession,
            SqlScriptSession,
            own_session,
        )

        if self.has_spark:
            return SparkScriptSession(own_session(self.app.spark_session()))
        return SqlScriptSession(self.app.sql_session())

    def lacks(self, names: frozenset[str]) -> str:
        """Without Spark a script that names it cannot run."""
        return _lacks_spark(names, self.has_spark)

    def run_python(self, body: str, file: str, output: TextIO) -> None:
        """Run a script with ``spark``, ``du`` and ``target``."""
        _run_python(body, file, _scope(self.app, self.name, output), output)


@dataclass(frozen=True, slots=True)
class _Warehouse:
    """Scripts on the warehouse's own database."""

    app: App
    name: str
    has_spark: bool
    noun = "warehouse"
    allows_transactions = False

    @property
    def dialect(self) -> str:
        """That of the database."""
        return self.app.warehouse.dialect

    def open_session(self) -> ScriptSession:
        """A connection of the script's own."""
        return self.app.warehouse.script_session()

    def lacks(self, names: frozenset[str]) -> str:
        """Without Spark a script that names it cannot run."""
        return _lacks_spark(names, self.has_spark)

    def run_python(self, body: str, file: str, output: TextIO) -> None:
        """Run a script with ``warehouse``, ``spark``, ``du`` and ``target``."""
        warehouse = {"warehouse": lambda: self.app.warehouse}
        _run_python(body, file, {**_scope(self.app, self.name, output), **warehouse}, output)


def _lacks_spark(names: frozenset[str], has_spark: bool) -> str:
    if has_spark or "spark" not in names:
        return ""
    return "it names spark, and there is no Spark session here; run it on Databricks compute"


def _scope(app: App, target: str, output: TextIO) -> Mapping[str, Callable[[], Any]]:
    from lakeflow_meta.backends.script_sessions import own_session
    from lakeflow_meta.run_once import ScriptUtils

    def spark() -> SparkSession:
        return own_session(app.spark_session())

    utils = partial(ScriptUtils, app, target, output)
    return {"spark": spark, "du": utils, "ddl": utils, "target": lambda: target}


def _run_python(
    body: str, file: str, scope: Mapping[str, Callable[[], Any]], output: TextIO
) -> None:
    from lakeflow_meta.backends.python_scripts import run_script

    logger.info("running %s", file)
    run_script(body, file, scope, output)
