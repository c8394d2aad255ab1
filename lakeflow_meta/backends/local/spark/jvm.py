"""Starting and ending the JVM of the embedded session."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.local.spark import runtime
from lakeflow_meta.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from types import FrameType

    from pyspark import SparkContext
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

OPTIONS = (
    "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -Xss4m"
    " -Xlog:disable -Xlog:all=error:stderr"
)
"""The quick compiler and the simple collector: small work starts faster.

Measured on 2 cores: the first create, insert, merge and read 7 s instead of 10 s; a MERGE of
3 million rows 12 s instead of 6 s. ``-XX:TieredStopAtLevel=4`` in the JVM options of the
settings is the other choice. With the quick compiler alone a JVM has room for 48 MB of code, which
a session of minutes fills and sweeps again and again: with more of it a seventh less of CPU.
"""

_PACKAGE_ROOT = Path(__file__).resolve().parents[4]
_EXIT_SECONDS = 60
_CANCEL_SECONDS = 5
_LOG_BYTES = 10_000_000
_GIB = 1024**3


def heap() -> str:
    """A quarter of the machine's memory, 1 to 8 GiB: the JVM holds driver and executor."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return "2g"
    return f"{min(8, max(1, memory // 4 // _GIB))}g"


def refuse_second_spark() -> None:
    """Raise ConfigError where this process has a Spark already: there is one a process."""
    from pyspark import SparkContext

    if SparkContext._active_spark_context is not None:  # noqa: SLF001 - there is no public way
        raise ConfigError(
            "this process already has a Spark session; hand that one over, or stop it first"
        )


def launch(settings: Mapping[str, str], log: Path) -> SparkSession:
    """Start the JVM and the session. What the JVM prints goes to ``log``. Raises BackendError."""
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkRuntimeError
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    conf = SparkConf(loadDefaults=False).setAll(list(settings.items()))
    with _log_file(log) as sink, _environment(), _ctrl_c_of_the_caller():
        try:
            gateway = launch_gateway(conf, {"stdout": sink, "stderr": subprocess.STDOUT})
        except PySparkRuntimeError as error:
            raise BackendError(f"the JVM did not start; see {log}", code="JVM") from error
        SparkContext(conf=conf, gateway=gateway)
    _quiet_error_log()
    session = SparkSession.builder.getOrCreate()
    _take_ctrl_c(session.sparkContext)
    return session


@contextmanager
def _log_file(log: Path) -> Iterator[Any]:
    """Appended to; kept small by setting the last one aside."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.is_file() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as sink:
        yield sink


@contextmanager
def _environment() -> Iterator[None]:
    """The variables that pyspark reads while it starts the JVM; afterwards they are as before.

    Python workers of the JVM import this package from where this process has it.
    """
    python_path = [str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    wanted = {
        "JAVA_HOME": str(runtime.find_java().home),
        "SPARK_HOME": str(runtime.spark_home()),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": "pyspark-shell",
        "PYTHONPATH": os.pathsep.join(python_path),
    }
    before = {name: os.environ.get(name) for name in (*wanted, *_FOREIGN)}
    os.environ.update(wanted)
    for name in _FOREIGN:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_FOREIGN = ("SPARK_CONF_DIR", "HADOOP_CONF_DIR", "YARN_CONF_DIR", "PYSPARK_GATEWAY_PORT")
"""Settings of another Spark on this machine."""


@contextmanager
def _ctrl_c_of_the_caller() -> Iterator[None]:
    """pyspark puts its own handler in the place of whatever handled SIGINT: put that back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class CancelJobs:
    """What Ctrl-C does while Spark runs: cancel its jobs, then raise KeyboardInterrupt.

    pyspark's own handler speaks to the JVM over the connection that the interrupted call is
    waiting on, and so fails; this one does it from another thread, and closes that connection,
    on which an answer is still to come.
    """

    def __init__(self, context: SparkContext) -> None:
        self._context = context

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        cancel = threading.Thread(target=self._context.cancelAllJobs, daemon=True)
        cancel.start()
        cancel.join(_CANCEL_SECONDS)
        connection = self._context._gateway._gateway_client.get_thread_connection()  # noqa: SLF001
        if connection is not None:
            connection.close(reset=True)
        signal.default_int_handler(number, frame)


def _take_ctrl_c(context: SparkContext) -> None:
    """Only where nobody else handles it."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, CancelJobs(context))


def _release_ctrl_c() -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    if isinstance(signal.getsignal(signal.SIGINT), CancelJobs):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _quiet_error_log() -> None:
    """pyspark prints every SQL error as JSON on stderr besides raising it; raising is enough."""
    from pyspark.logger import PySparkLogger

    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).disabled = True


def stop(session: SparkSession) -> None:
    """Stop Spark, then end the JVM and wait for it; takes about half a second."""
    from pyspark import SparkContext

    gateway = session.sparkContext._gateway  # noqa: SLF001 - pyspark never ends its JVM
    session.stop()
    SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001 - the next start makes new ones
    _release_ctrl_c()
    gateway.shutdown()
    process: subprocess.Popen[bytes] = gateway.proc
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        logger.warning("the JVM did not end within %s seconds and is killed", _EXIT_SECONDS)
        process.kill()
        process.wait()
