"""Runs a notebook's cells in this process, with ``spark``, ``dbutils`` and ``display``."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from lakeflow_meta.backends.local.jobs.notebook_cells import Cell, Language
from lakeflow_meta.backends.local.jobs.result_table import SHOWN_ROWS, text_table
from lakeflow_meta.backends.local.jobs.sql_runner import run_statements
from lakeflow_meta.backends.local.jobs.task_attempt import (
    StopSignal,
    TaskFailedError,
    interruptible,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class NotebookExit(BaseException):
    """``dbutils.notebook.exit(value)``: the notebook ends here, successfully."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value


class Widgets:
    """``dbutils.widgets``: parameters of the task, else the defaults that the notebook declares.

    https://docs.databricks.com/dev-tools/databricks-utils#widgets-utility-dbutilswidgets
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._given = dict(parameters)
        self._defaults: dict[str, str] = {}

    def get(self, name: str) -> str:
        """The value. Raises TaskFailedError when there is no such widget or parameter."""
        values = self.getAll()
        if name not in values:
            raise TaskFailedError(f"the notebook has no widget or parameter {name!r}")
        return values[name]

    def getAll(self) -> dict[str, str]:  # noqa: N802 - the platform's name
        """Every value by name."""
        return {**self._defaults, **self._given}

    def text(self, name: str, defaultValue: str, label: str = "") -> None:  # noqa: N803, ARG002 - the platform's names
        """Declare a text widget."""
        self._defaults[name] = defaultValue

    def dropdown(
        self,
        name: str,
        defaultValue: str,  # noqa: N803 - the platform's name
        choices: Sequence[str],
        label: str = "",  # noqa: ARG002 - nothing is drawn here
    ) -> None:
        """Declare a widget whose default is one of ``choices``."""
        if defaultValue not in choices:
            raise TaskFailedError(f"widget {name!r}: {defaultValue!r} is none of its choices")
        self._defaults[name] = defaultValue

    combobox = dropdown
    multiselect = dropdown

    def remove(self, name: str) -> None:
        """Forget a declared widget."""
        self._defaults.pop(name, None)

    def removeAll(self) -> None:  # noqa: N802 - the platform's name
        """Forget every declared widget."""
        self._defaults.clear()


class NotebookControl:
    """``dbutils.notebook``."""

    def exit(self, value: object = "") -> NoReturn:
        """End the notebook."""
        raise NotebookExit(str(value))

    def run(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Not here yet."""
        raise TaskFailedError("dbutils.notebook.run does not work on the embedded workspace yet")


class Dbutils:
    """The part of ``dbutils`` that works here; the rest is refused by name."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.widgets = Widgets(parameters)
        self.notebook = NotebookControl()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise TaskFailedError(f"dbutils.{name} does not work on the embedded workspace yet")


def run_notebook(
    path: Path,
    cells: Sequence[Cell],
    parameters: Mapping[str, str],
    session: SparkSession,
    output: TextIO,
    stop: StopSignal,
) -> None:
    """Run every cell in one namespace; what a cell raises ends the notebook."""
    dbutils = Dbutils(parameters)
    namespace = {
        "__name__": "__main__",
        "__file__": str(path),
        "spark": session,
        "dbutils": dbutils,
        "display": lambda value, *_args, **_kwargs: output.write(_displayed(value)),
    }
    _importable(path.parent)
    try:
        for cell in cells:
            stop.check()
            output.write(f"--- cell {cell.number} ({cell.language})\n")
            _run_cell(path, cell, namespace, dbutils, session, output, stop)
    except NotebookExit as end:
        output.write(f"--- notebook exited: {end.value}\n")


def _run_cell(
    path: Path,
    cell: Cell,
    namespace: dict[str, Any],
    dbutils: Dbutils,
    session: SparkSession,
    output: TextIO,
    stop: StopSignal,
) -> None:
    match cell.language:
        case Language.PYTHON:
            with interruptible(stop):
                exec(_compiled(path, cell), namespace)  # noqa: S102 - running it is the task
        case Language.SQL:
            values = dbutils.widgets.getAll()
            run_statements(cell.source, values, session, output, stop)
        case Language.TEXT:
            pass


def _compiled(path: Path, cell: Cell) -> Any:
    """The cell's code, with the line numbers of its file in tracebacks."""
    if cell.line:
        return compile("\n" * (cell.line - 1) + cell.source, str(path), "exec")
    name = f"{path}#{cell.number}"
    lines = cell.source.splitlines(keepends=True)
    linecache.cache[name] = (len(cell.source), None, lines, name)
    return compile(cell.source, name, "exec")


def _importable(folder: Path) -> None:
    """Modules beside a notebook can be imported, as on the platform."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _displayed(value: Any) -> str:
    """A DataFrame as a table, anything else as text."""
    if hasattr(value, "columns") and hasattr(value, "take") and hasattr(value, "schema"):
        return text_table(value.columns, value.take(SHOWN_ROWS + 1))
    return f"{value}\n"
