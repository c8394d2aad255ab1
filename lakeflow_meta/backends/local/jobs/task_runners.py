"""How each kind of work of a task is run, and what must be there before it can be."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, assert_never

from lakeflow_meta.backends.local.jobs import launcher as launcher_program
from lakeflow_meta.backends.local.jobs import wheel_entry
from lakeflow_meta.backends.local.jobs.job_store import QueryStore
from lakeflow_meta.backends.local.jobs.notebook_cells import (
    SUFFIXES,
    Cell,
    UnreadableNotebookError,
    read_cells,
)
from lakeflow_meta.backends.local.jobs.notebook_runner import run_notebook
from lakeflow_meta.backends.local.jobs.sql_runner import run_statements
from lakeflow_meta.backends.local.jobs.task_attempt import (
    StopSignal,
    TaskFailedError,
    interruptible,
)
from lakeflow_meta.backends.local.jobs.task_work import (
    Notebook,
    OwnTask,
    PythonFile,
    Requirements,
    SqlFile,
    SqlQuery,
    Wheel,
    Work,
)
from lakeflow_meta.errors import ConfigError, NotFoundError
from lakeflow_meta.paths import PathMap
from lakeflow_meta.sql import split_statements

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

TERMINATE_SECONDS = 3.0
"""How long a subprocess may take to end by itself before it is killed."""

OwnTaskRunner = Callable[[list[str], TextIO], None]
Environment = Callable[[], Mapping[str, str]]

_PACKAGE = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def no_environment() -> Mapping[str, str]:
    """The default: subprocesses get this process's environment as it is."""
    return {}


@dataclass(frozen=True, slots=True)
class TaskRunners:
    """Everything that running tasks needs from outside."""

    paths: PathMap
    queries: QueryStore
    task_session: Callable[[], SparkSession]
    own_task: OwnTaskRunner
    environment: Environment = no_environment

    # ----------------------------------------------------------------- before the run

    def problems(self, work: Work, needs: Requirements) -> list[str]:
        """What would keep ``work`` from starting; empty when nothing does."""
        found = list(needs.problems)
        try:
            self._look(work)
            if not isinstance(work, OwnTask):
                found.extend(self._missing_libraries(needs))
        except (ConfigError, NotFoundError, TaskFailedError) as error:
            found.append(str(error))
        if isinstance(work, Wheel) and not needs.wheels and not _is_installed(work.package):
            found.append(f"package {work.package} is not installed in {sys.executable}")
        return found

    def _look(self, work: Work) -> None:
        match work:
            case SqlFile() | SqlQuery():
                if not split_statements(self._sql_text(work)):
                    raise TaskFailedError("it holds no SQL statement")
            case Notebook():
                self._cells(work)
            case PythonFile():
                self._file(work.path)
            case Wheel() | OwnTask():
                pass
            case _:
                assert_never(work)

    def _missing_libraries(self, needs: Requirements) -> Iterator[str]:
        for wheel in needs.wheels:
            if not self.paths.local(wheel).is_file():
                yield f"there is no wheel {wheel} ({self.paths.local(wheel)})"
        for requirement in needs.packages:
            name = _PACKAGE.match(requirement)
            if name is None or not _is_installed(name[1]):
                yield f"package {requirement} is not installed in {sys.executable}"

    # ----------------------------------------------------------------- the run

    def run(
        self, work: Work, needs: Requirements, tag: str, output: TextIO, stop: StopSignal
    ) -> None:
        """Run it to its end. Raises whatever the task raises, TaskStoppedError when stopped."""
        match work:
            case SqlFile(parameters=parameters) | SqlQuery(parameters=parameters):
                with self._session(tag, stop) as session:
                    run_statements(self._sql_text(work), parameters, session, output, stop)
            case Notebook():
                path, cells = self._cells(work)
                with self._session(tag, stop) as session:
                    run_notebook(path, cells, work.parameters, session, output, stop)
            case PythonFile():
                command = [sys.executable, str(self._file(work.path)), *work.arguments]
                self._run_process(command, needs, output, stop)
            case Wheel():
                program = [sys.executable, "-P", str(Path(wheel_entry.__file__))]
                command = [*program, work.package, work.entry_point, *work.arguments]
                self._run_process(command, needs, output, stop)
            case OwnTask():
                with _tagged_if_spark_runs(tag, stop), interruptible(stop):
                    self.own_task(list(work.arguments), output)
            case _:
                assert_never(work)

    @contextmanager
    def _session(self, tag: str, stop: StopSignal) -> Iterator[SparkSession]:
        """A session whose jobs, started by this thread, end when the attempt is to stop."""
        session = self.task_session()
        with _tagged(session.sparkContext, tag, stop):
            yield session

    def _run_process(
        self, command: Sequence[str], needs: Requirements, output: TextIO, stop: StopSignal
    ) -> None:
        """Run a program in a session of its own; stopping ends it and all that it has started."""
        output.flush()
        launcher = [sys.executable, "-IS", launcher_program.__file__, str(os.getpid())]
        process = subprocess.Popen(
            [*launcher, *command],
            cwd=self.paths.project_root,
            env=self._process_environment(needs),
            stdin=subprocess.DEVNULL,
            stdout=output.fileno(),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with process, stop.by(_Terminator(process)):
            code = process.wait()
        stop.check()
        if code != 0:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise TaskFailedError(f"the program {how}; the log has its output")

    def _process_environment(self, needs: Requirements) -> dict[str, str]:
        inherited = os.environ.get("PYTHONPATH", "")
        wheels = [str(self.paths.local(wheel)) for wheel in needs.wheels]
        path = os.pathsep.join(part for part in [*wheels, inherited] if part)
        ours = {"PYTHONUNBUFFERED": "1", **({"PYTHONPATH": path} if path else {})}
        return {**os.environ, **ours, **self.environment()}

    # ----------------------------------------------------------------- files

    def _sql_text(self, work: SqlFile | SqlQuery) -> str:
        if isinstance(work, SqlQuery):
            return self.queries.get_query(work.query_id).query_text
        return _read(self._file(work.path))

    def _cells(self, work: Notebook) -> tuple[Path, tuple[Cell, ...]]:
        path = self._notebook(work.path)
        try:
            return path, read_cells(path.name, _read(path))
        except UnreadableNotebookError as error:
            raise TaskFailedError(f"notebook {work.path}: {error}") from error

    def _notebook(self, path: str) -> Path:
        """The platform knows notebooks without their ending; here the file has one."""
        local = self.paths.local(path)
        candidates = [local, *(local.with_name(local.name + suffix) for suffix in SUFFIXES)]
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        return found or self._file(path)

    def _file(self, path: str) -> Path:
        local = self.paths.local(path)
        if not local.is_file():
            raise TaskFailedError(f"there is no file {path} ({local})")
        return local


@contextmanager
def _tagged(context: SparkContext, tag: str, stop: StopSignal) -> Iterator[None]:
    """Mark the Spark jobs that this thread starts, and cancel them when it is to stop."""
    context.addJobTag(tag)
    try:
        with stop.by(lambda: context.cancelJobsWithTag(tag)):
            yield
    finally:
        context.removeJobTag(tag)


@contextmanager
def _tagged_if_spark_runs(tag: str, stop: StopSignal) -> Iterator[None]:
    """As `_tagged`, for work that may start Spark by itself: only what already runs is marked."""
    pyspark = sys.modules.get("pyspark")
    context = pyspark and pyspark.SparkContext._active_spark_context  # noqa: SLF001 - no public way
    if not context:
        yield
        return
    with _tagged(context, tag, stop):
        yield


class _Terminator:
    """Ends a process and its children: politely first, then not."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lock = threading.Lock()
        self._asked_at: float | None = None

    def __call__(self) -> None:
        with self._lock:
            if self._process.poll() is not None:
                return
            now = time.monotonic()
            if self._asked_at is None:
                self._asked_at = now
                os.killpg(self._process.pid, signal.SIGTERM)
            elif now - self._asked_at > TERMINATE_SECONDS:
                os.killpg(self._process.pid, signal.SIGKILL)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskFailedError(f"{path} is not UTF-8: {error}") from error


def _is_installed(package: str) -> bool:
    """Whether a distribution, or a module, of that name is there."""
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return importlib.util.find_spec(package.replace("-", "_").split(".")[0]) is not None
    return True
