"""How each kind of work of a task is run, and what must be there before it can be."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, assert_never

from lakeflow_meta.backends.local.jobs.job_store import QueryStore
from lakeflow_meta.backends.local.tasks import program_start
from lakeflow_meta.backends.local.tasks.dbutils.secrets import SecretStore
from lakeflow_meta.backends.local.tasks.failure_report import Source
from lakeflow_meta.backends.local.tasks.notebook_files import (
    NotebookFiles,
    installed,
    missing_package,
    read_text,
)
from lakeflow_meta.backends.local.tasks.notebook_runner import Room, run_notebook
from lakeflow_meta.backends.local.tasks.program_process import run_program, said_last
from lakeflow_meta.backends.local.tasks.project_modules import wheels_on_path
from lakeflow_meta.backends.local.tasks.redacted_output import RedactedOutput
from lakeflow_meta.backends.local.tasks.result_table import json_rows
from lakeflow_meta.backends.local.tasks.sql_runner import run_statements
from lakeflow_meta.backends.local.tasks.task_attempt import (
    StopSignal,
    TaskFailedError,
    interruptible,
)
from lakeflow_meta.backends.local.tasks.task_context import TaskContext, TaskOutput
from lakeflow_meta.backends.local.tasks.task_output import captured
from lakeflow_meta.backends.local.tasks.task_session import task_session
from lakeflow_meta.backends.local.tasks.task_work import (
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

OwnTaskRunner = Callable[[list[str], TextIO], None]
Environment = Callable[[], Mapping[str, str]]


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
    secrets: SecretStore = field(default_factory=lambda: SecretStore(None))

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
        if isinstance(work, Notebook):
            found.extend(NotebookFiles(self.paths).problems(work.path))
        if isinstance(work, Wheel) and not needs.wheels and not installed(work.package):
            found.append(f"package {work.package} is not installed in {sys.executable}")
        return found

    def _look(self, work: Work) -> None:
        match work:
            case SqlFile() | SqlQuery():
                if not split_statements(self._sql_text(work)):
                    raise TaskFailedError("it holds no SQL statement")
            case Notebook():
                pass
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
            yield from missing_package(requirement)

    # ----------------------------------------------------------------- the run

    def run(
        self,
        work: Work,
        needs: Requirements,
        context: TaskContext,
        output: TextIO,
        stop: StopSignal,
    ) -> TaskOutput | None:
        """Run it to its end. Raises whatever the task raises, TaskStoppedError when stopped."""
        match work:
            case SqlFile() | SqlQuery():
                return self._run_sql(work, context, output, stop)
            case Notebook():
                return self._run_notebook(work, needs, context, output, stop)
            case PythonFile():
                program = ["file", str(self._file(work.path)), *work.arguments]
                self._run_program(program, needs, output, stop)
            case Wheel():
                program = ["wheel", work.package, work.entry_point, *work.arguments]
                self._run_program(program, needs, output, stop)
            case OwnTask():
                with _tagged_if_spark_runs(context.tag, stop), interruptible(stop):
                    self.own_task(list(work.arguments), output)
            case _:
                assert_never(work)
        return None

    def _run_sql(
        self, work: SqlFile | SqlQuery, context: TaskContext, output: TextIO, stop: StopSignal
    ) -> TaskOutput | None:
        with task_session(self.task_session, context.tag, stop) as session:
            result = run_statements(
                self._sql_text(work),
                work.parameters,
                session(),
                output,
                stop,
                Source(work.path if isinstance(work, SqlFile) else "the saved query"),
            )
        return None if result is None else TaskOutput({"rows": json_rows(result.rows)})

    def _run_notebook(
        self,
        work: Notebook,
        needs: Requirements,
        context: TaskContext,
        output: TextIO,
        stop: StopSignal,
    ) -> TaskOutput | None:
        """In this process. Its log shows no secret that it has read."""
        environment = self._process_environment(needs)

        def run_shell(script: str, stop: StopSignal) -> int:
            shell = ["/bin/bash", "-c", script]
            return run_program(shell, self.paths.project_root, environment, output, stop)

        log: Any = RedactedOutput(output, self.secrets.redacted)
        files = NotebookFiles(self.paths)
        with (
            captured(log),
            wheels_on_path(self.paths.local(wheel) for wheel in needs.wheels),
            task_session(self.task_session, context.tag, stop) as session,
        ):
            room = Room(files, session, log, context.values, self.secrets, run_shell)
            value = run_notebook(room, files.read(work.path), work.parameters, stop)
        return None if value is None else TaskOutput(self.secrets.redacted(value))

    def _run_program(
        self, program: Sequence[str], needs: Requirements, output: TextIO, stop: StopSignal
    ) -> None:
        start = [sys.executable, "-P", str(Path(program_start.__file__)), *program]
        root = self.paths.project_root
        code = run_program(start, root, self._process_environment(needs), output, stop)
        if code != 0:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            said = said_last(Path(output.name))
            raise TaskFailedError(f"the program {how}" + (f": {said}" if said else ""))

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
        return read_text(self._file(work.path))

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
    module = sys.modules.get("pyspark.core.context")  # half empty while another thread imports it
    maker = getattr(module, "SparkContext", None)
    context = getattr(maker, "_active_spark_context", None)  # there is no public way
    if not context:
        yield
        return
    with _tagged(context, tag, stop):
        yield
