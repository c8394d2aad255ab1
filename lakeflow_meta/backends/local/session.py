"""The embedded Spark session: one JVM a process, started by the first task that needs it.

Control-plane commands never start it. All tasks of a run share it, each with a session of its own.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lakeflow_meta.backends.local import jars, runtime
from lakeflow_meta.backends.local.class_archive import archive_options, build_class_archive
from lakeflow_meta.backends.local.session_names import attach
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.progress import Event, Progress, StepState, silent

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

_EXIT_SECONDS = 60


class EmbeddedSpark:
    """Owner of the process's embedded Spark: starts it lazily, hands out sessions, stops it.

    ``home`` is the workspace directory (tables under ``home/warehouse``), ``cache`` holds the jars
    and the class archive, ``conf`` adds to or overrides the tuned settings.
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
        self._home = home.absolute()
        self._cache = cache.absolute()
        self._conf = dict(conf or {})
        self._catalogs = tuple(catalogs)
        self._progress = progress
        self._archive = archive
        self._lock = threading.Lock()
        self._session: SparkSession | None = None

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
                _stop(session)

    def _start(self) -> SparkSession:
        began = time.monotonic()
        self._report(StepState.STARTED, "")
        session = _launch(self._settings(), self._home / "logs" / "spark.log")
        attach(session, self._home / "warehouse", self._catalogs)
        self._report(StepState.DONE, f"{time.monotonic() - began:.1f} s")
        return session

    def _report(self, state: StepState, detail: str) -> None:
        self._progress(Event("start", "spark", state, detail=detail))

    def _settings(self) -> dict[str, str]:
        jars.install_jars(self._cache)
        java = runtime.find_java()
        if self._archive:
            build_class_archive(self._cache, java)
        options = f"{JVM_OPTIONS} {archive_options(self._cache, java) if self._archive else ''}"
        classpath = os.pathsep.join(str(jar) for jar in runtime.delta_jars(self._cache))
        return {
            **TUNED,
            "spark.driver.extraClassPath": classpath,
            "spark.driver.extraJavaOptions": options.strip(),
            "spark.sql.warehouse.dir": str(
                self._home / "warehouse" / self._catalogs[0] / "default"
            ),
            **self._conf,
        }


JVM_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss4m"

TUNED: Mapping[str, str] = {
    "spark.master": "local[*]",
    "spark.app.name": "lakeflow_meta",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "2g",
    "spark.ui.enabled": "false",
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


def _launch(settings: Mapping[str, str], log: Path) -> SparkSession:
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    if SparkContext._active_spark_context is not None:  # noqa: SLF001 - there is no public way
        raise ConfigError("this process already has a Spark session; stop it, or hand it over")
    conf = SparkConf(loadDefaults=False).setAll(list(settings.items()))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink, _environment():
        gateway = launch_gateway(conf, {"stdout": sink, "stderr": subprocess.STDOUT})
        SparkContext(conf=conf, gateway=gateway)
    _quiet_error_log()
    return SparkSession.builder.getOrCreate()


def _quiet_error_log() -> None:
    """pyspark prints every SQL error as JSON on stderr besides raising it; raising is enough."""
    from pyspark.logger import PySparkLogger

    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).disabled = True


@contextmanager
def _environment() -> Iterator[None]:
    """The variables that pyspark reads while it starts the JVM; afterwards they are as before."""
    wanted = {
        "JAVA_HOME": str(runtime.find_java().home),
        "SPARK_HOME": str(runtime.spark_home()),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": "pyspark-shell",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _stop(session: SparkSession) -> None:
    from pyspark import SparkContext

    session.stop()
    gateway = SparkContext._gateway  # noqa: SLF001 - pyspark never ends its JVM by itself
    SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001
    gateway.shutdown()
    process: subprocess.Popen[bytes] = gateway.proc
    pipe: IO[bytes] | None = process.stdin
    if pipe is not None:
        pipe.close()
    process.wait(_EXIT_SECONDS)
