"""The embedded Spark session: one JVM a process, started by the first task that needs it.

Control-plane commands never start it. All tasks of a run share it, each with a session of its own.
The JVM lives as long as the Python process: it ends by itself when the pipe to it closes, so also
after ``kill -9``. It never sees Ctrl-C; that cancels the running Spark jobs and then raises
KeyboardInterrupt as usual.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow_meta.backends.local.spark import class_archive, jars, jvm, runtime
from lakeflow_meta.backends.local.spark.hadoop_defaults import add_defaults, install_defaults
from lakeflow_meta.backends.local.spark.session_names import attach
from lakeflow_meta.backends.local.spark.warehouse import checked_schema
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.progress import Event, Progress, StepState, silent

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

TUNED: Mapping[str, str] = {
    "spark.master": "local[*]",
    "spark.app.name": "lakeflow_meta",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.default.parallelism": "1",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.sources.default": "delta",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "1",
    "spark.sql.legacy.parameterSubstitution.constantsOnly": "true",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.databricks.delta.snapshotPartitions": "1",
}
"""Spark's and Delta's defaults are those of a cluster: they cost seconds for each small commit.

``constantsOnly``: without it Delta's parser loses the parameters of ``sql(text, args)`` on 4.1.
"""

_JVM_OPTIONS = "spark.driver.extraJavaOptions"
_OWN_JARS = "spark.jars"
"""How settings begin that bring jars of the user's own."""


class EmbeddedSpark:
    """Owner of the process's embedded Spark: starts it lazily, hands out sessions, stops it.

    ``home`` is the workspace directory: tables lie under ``home/warehouse``, what the JVM prints
    in ``home/logs/spark.log``. ``cache`` holds the jars and the class archive. ``conf`` adds to the
    tuned settings or overrides them; its JVM options come after ours. ``catalogs`` exist from the
    start; the first is current in every new session. With ``archive`` off no class archive is
    made or used.
    """

    def __init__(
        self,
        home: Path,
        *,
        cache: Path,
        conf: Mapping[str, str] | None = None,
        catalogs: Sequence[str] = ("main",),
        progress: Progress = silent,
        archive: bool = True,
    ) -> None:
        if not catalogs:
            raise ConfigError("the embedded session needs at least one catalog")
        self._home = home.absolute()
        self._cache = cache.absolute()
        self._conf = dict(conf or {})
        self._catalogs = tuple(checked_schema(name, "default").catalog for name in catalogs)
        self._progress = progress
        self._archive = archive
        self._lock = threading.Lock()
        self._session: SparkSession | None = None

    @property
    def warehouse(self) -> Path:
        """Where the tables lie: ``<warehouse>/<catalog>/<schema>/<table>``."""
        return self._home / "warehouse"

    @property
    def uses_archive(self) -> bool:
        """Whether the class archive is made and used."""
        return self._archive

    @property
    def started(self) -> bool:
        """Whether the JVM runs."""
        return self._session is not None

    def session(self) -> SparkSession:
        """The session shared by all; started at the first call, from whatever thread.

        Raises ConfigError: no Java, no jars and no network, or this process has a Spark already.
        """
        with self._lock:
            if self._session is None:
                self._session = self._start()
            return self._session

    def task_session(self) -> SparkSession:
        """A session for one task: its own temporary views and settings, the same tables."""
        return self.session().newSession()

    def stop(self) -> None:
        """Stop the session and its JVM; the next `session` starts anew."""
        with self._lock:
            session, self._session = self._session, None
            if session is not None:
                jvm.stop(session)

    def prepare(self, *, again: bool = False) -> None:
        """Make what later starts need: fetch the jars (network), make the class archive.

        `session` does it too. ``again``: also what failed lately and can be done without. Raises
        ConfigError.
        """
        java = runtime.find_java()
        if not runtime.delta_jars(self._cache):
            self._report("fetch", "delta jars", StepState.STARTED)
            jars.install_jars(self._cache)
            self._report("fetch", "delta jars", StepState.DONE)
        jars.install_avro(self._cache, again=again)
        install_defaults(self._cache)
        if self._archive and not class_archive.archive_path(self._cache, java).is_file():
            self._report("make", "class archive", StepState.STARTED, "once, well under a minute")
            made = class_archive.build_class_archive(self._cache, java)
            self._report("make", "class archive", StepState.DONE if made else StepState.SKIPPED)

    def checks(self) -> list[runtime.Check]:
        """Everything the session needs, for `doctor`; nothing is started or fetched."""
        found = runtime.checks(self._cache)
        if all(check.ok for check in found):
            found.append(class_archive.check(self._cache, runtime.find_java()))
        return found

    def _start(self) -> SparkSession:
        jvm.refuse_second_spark()
        self.prepare()
        began = time.monotonic()
        self._report("start", "spark", StepState.STARTED)
        session = jvm.launch(self._settings(), self._home / "logs" / "spark.log")
        if any(name.startswith(_OWN_JARS) for name in self._conf):
            context = session.sparkContext._jsc  # noqa: SLF001 - pyspark has no public name
            add_defaults(session, context.hadoopConfiguration())
        attach(session, self.warehouse, self._catalogs)
        self._report("start", "spark", StepState.DONE, f"{time.monotonic() - began:.1f} s")
        return session

    def _report(self, step: str, key: str, state: StepState, detail: str = "") -> None:
        self._progress(Event(step, key, state, detail=detail))

    def _settings(self) -> dict[str, str]:
        classpath = os.pathsep.join(str(jar) for jar in runtime.session_jars(self._cache))
        default_schema = self.warehouse / self._catalogs[0] / "default"
        return {
            **TUNED,
            "spark.driver.extraClassPath": classpath,
            "spark.driver.memory": jvm.heap(),
            "spark.sql.files.minPartitionNum": str(os.cpu_count() or 1),
            "spark.sql.warehouse.dir": str(default_schema),
            **self._conf,
            _JVM_OPTIONS: self._jvm_options(),
        }

    def _jvm_options(self) -> str:
        java = runtime.find_java()
        archive = class_archive.archive_options(self._cache, java) if self._archive else ""
        given = self._conf.get(_JVM_OPTIONS, "")
        return " ".join(filter(None, (jvm.OPTIONS, archive, given)))
