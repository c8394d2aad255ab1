"""Runs a notebook's cells in this process, with ``spark``, ``dbutils`` and ``display``."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, TextIO, assert_never

from lakeflow_meta.backends.local.tasks.dbutils.file_system import FileSystem
from lakeflow_meta.backends.local.tasks.dbutils.notebook_flow import NotebookExit, NotebookFlow
from lakeflow_meta.backends.local.tasks.dbutils.secrets import Secrets, SecretStore
from lakeflow_meta.backends.local.tasks.dbutils.task_values import Jobs
from lakeflow_meta.backends.local.tasks.dbutils.whole import Dbutils
from lakeflow_meta.backends.local.tasks.dbutils.widgets import Widgets
from lakeflow_meta.backends.local.tasks.failure_report import Source
from lakeflow_meta.backends.local.tasks.notebook_cells import Cell, Language
from lakeflow_meta.backends.local.tasks.notebook_failure import cell_failed
from lakeflow_meta.backends.local.tasks.notebook_files import (
    NotebookFile,
    NotebookFiles,
    installed,
    missing_package,
    refuse_cycle,
)
from lakeflow_meta.backends.local.tasks.notebook_magics import (
    ShellCall,
    read_files,
    read_pip,
    read_run,
    read_shell,
)
from lakeflow_meta.backends.local.tasks.notebook_namespace import displayed, notebook_names
from lakeflow_meta.backends.local.tasks.offered_modules import offered_names
from lakeflow_meta.backends.local.tasks.project_modules import fresh_modules
from lakeflow_meta.backends.local.tasks.side_run import run_beside
from lakeflow_meta.backends.local.tasks.sql_runner import run_statements
from lakeflow_meta.backends.local.tasks.task_attempt import (
    StopSignal,
    TaskFailedError,
    interruptible,
)
from lakeflow_meta.backends.local.tasks.task_context import TaskValues
from lakeflow_meta.backends.local.tasks.task_session import TaskSession, task_session
from lakeflow_meta.errors import ConfigError

RunShell = Callable[[str, StopSignal], int]
"""Runs a script in a shell of its own, its output to the task's log; its exit code."""

_children = count(1)


@dataclass(frozen=True, slots=True)
class Room:
    """What all notebooks of one attempt share. ``output`` is the log, without secrets."""

    files: NotebookFiles
    session: TaskSession
    output: TextIO
    values: TaskValues
    secrets: SecretStore
    run_shell: RunShell


def run_notebook(
    room: Room, file: NotebookFile, parameters: Mapping[str, str], stop: StopSignal
) -> str | None:
    """Run every cell in one namespace; the value of its exit, None where it has none.

    What a cell raises ends the notebook, as TaskFailedError that says where and why.
    """
    run = _NotebookRun(room, file, parameters, stop)
    roots = (file.path.parent, room.files.paths.project_root)
    with fresh_modules(roots), offered_names(run.names):
        try:
            run.cells_of(file, (file.path,))
        except NotebookExit as end:
            room.output.write(f"--- notebook exited: {end.value}\n")
            return end.value
        except TaskFailedError as error:
            raise _without_secrets(error, room.secrets) from error
    return None


class _NotebookRun:
    """One notebook that runs, and those that it includes by ``%run``."""

    def __init__(
        self, room: Room, file: NotebookFile, parameters: Mapping[str, str], stop: StopSignal
    ) -> None:
        self._room = room
        self._stop = stop
        self._folder = file.path.parent
        self._widgets = Widgets(parameters)
        dbutils = Dbutils(
            fs=FileSystem(room.files.paths),
            secrets=Secrets(room.secrets),
            widgets=self._widgets,
            notebook=NotebookFlow(self._run_other),
            jobs=Jobs(room.values),
        )
        self._fs = dbutils.fs
        self.names = notebook_names(str(file.path), dbutils, room.session, room.output)

    def cells_of(self, file: NotebookFile, above: tuple[Path, ...]) -> None:
        """Run the cells of a notebook; ``above`` leads to it through ``%run``."""
        for cell in file.cells:
            self._stop.check()
            if cell.language is not Language.TEXT:
                name = file.path.name if len(above) > 1 else ""
                self._say(f"--- {name}{', ' if name else ''}cell {cell.number} ({cell.language})")
                self._run_cell(file, cell, above)

    def _run_cell(self, file: NotebookFile, cell: Cell, above: tuple[Path, ...]) -> None:
        source = Source(file.path.name, cell.line, cell.number)
        match cell.language:
            case Language.PYTHON:
                self._python(file.path, cell, source)
            case Language.SQL:
                self._sql(cell, source)
            case Language.RUN:
                self._include(cell, source, above)
            case Language.TEXT:
                pass
            case Language.FILES | Language.SHELL | Language.PIP:
                self._command(cell, source)
            case _:
                assert_never(cell.language)

    # ----------------------------------------------------------------- languages

    def _python(self, path: Path, cell: Cell, source: Source) -> None:
        name = str(path) if cell.line else f"{path}#{cell.number}"
        if not cell.line:
            lines = cell.source.splitlines(keepends=True)
            linecache.cache[name] = (len(cell.source), None, lines, name)
        try:
            with interruptible(self._stop):
                self._execute(cell, name)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            if isinstance(error, SystemExit) and not error.code:
                raise
            session = self._room.session if self._room.session.started else None
            raise cell_failed(
                error, source, name, cell.source, session, self._room.output
            ) from error

    def _execute(self, cell: Cell, name: str) -> None:
        """Run a cell's code; what its last line is worth is shown, as in every notebook."""
        text = "\n" * (cell.line - 1) + cell.source
        tree = ast.parse(text, name)
        last = tree.body.pop() if tree.body and _shows_a_value(text, tree) else None
        exec(compile(tree, name, "exec"), self.names)  # noqa: S102 - running it is the task
        if isinstance(last, ast.Expr):
            code = compile(ast.Expression(last.value), name, "eval")
            value = eval(code, self.names)  # noqa: S307 - likewise
            if value is not None:
                self._say(repr(value))

    def _sql(self, cell: Cell, source: Source) -> None:
        values = self._widgets.getAll()
        session, output = self._room.session(), self._room.output
        result = run_statements(cell.source, values, session, output, self._stop, source)
        if result is not None:
            self.names["_sqldf"] = result.frame

    # ----------------------------------------------------------------- magics

    def _include(self, cell: Cell, source: Source, above: tuple[Path, ...]) -> None:
        call = read_run(cell.source)
        try:
            file = self._room.files.run_by(call.path, above[-1].parent)
            refuse_cycle(file.path, above)
        except (TaskFailedError, ConfigError) as error:
            raise TaskFailedError(f"{source.place(1)}: {error}") from error
        with self._widgets._with(call.arguments):  # noqa: SLF001 - no name of the platform's
            self.cells_of(file, (*above, file.path))

    def _command(self, cell: Cell, source: Source) -> None:
        try:
            with interruptible(self._stop):
                self._run_command(cell)
        except (TaskFailedError, ConfigError, OSError) as error:
            raise TaskFailedError(f"{source.place(1)}: {error}") from error

    def _run_command(self, cell: Cell) -> None:
        match cell.language:
            case Language.FILES:
                call = read_files(cell.source)
                recurse = {"recurse": True} if call.recurse else {}
                arguments: list[Any] = list(call.arguments)
                if call.command == "head" and len(arguments) > 1:
                    arguments[1] = int(arguments[1])
                done = getattr(self._fs, call.command)(*arguments, **recurse)
                self._room.output.write("" if done is None else displayed(done))
            case Language.SHELL:
                self._shell(read_shell(cell.source))
            case _:
                for requirement in read_pip(cell.source):
                    self._accept_package(requirement)

    def _shell(self, call: ShellCall) -> None:
        """Only ``-e`` makes a failing command fail the cell.

        https://docs.databricks.com/notebooks/notebooks-code#mix-languages
        """
        self._room.output.flush()
        script = f"set -e\n{call.script}" if call.checked else call.script
        code = self._room.run_shell(script, self._stop)
        if code and call.checked:
            raise TaskFailedError(f"the shell ended with exit code {code}")
        if code:
            self._say(f"(exit code {code}; %sh -e would fail)")

    def _accept_package(self, requirement: str) -> None:
        for problem in missing_package(requirement):
            raise TaskFailedError(f"{problem}; %pip installs nothing here")
        self._say(f"{installed(requirement)} is installed already (asked for: {requirement})")

    # ----------------------------------------------------------------- other notebooks

    def _run_other(self, path: str, timeout: float, arguments: Mapping[str, str]) -> str:
        file = self._room.files.read(path, self._folder)
        self._say(f"--- notebook {file.path.name}")

        def run(stop: StopSignal) -> str:
            tag = f"{self._room.session.tag}-{next(_children)}"
            with task_session(self._room.session, tag, stop) as session:
                room = replace(self._room, session=session)
                return run_notebook(room, file, arguments, stop) or ""

        value = run_beside(run, file.path.name, timeout, self._stop)
        self._say(f"--- notebook {file.path.name} ended")
        return value

    def _say(self, line: str) -> None:
        self._room.output.write(f"{line}\n")


def _shows_a_value(text: str, tree: ast.Module) -> bool:
    """Whether the last line is an expression that no semicolon silences."""
    return isinstance(tree.body[-1], ast.Expr) and not text.rstrip().endswith(";")


def _without_secrets(error: TaskFailedError, secrets: SecretStore) -> TaskFailedError:
    return TaskFailedError(secrets.redacted(str(error)), secrets.redacted(error.report))
