"""``dbutils.notebook``: end a notebook with a value, run another one.

https://docs.databricks.com/notebooks/notebook-workflows
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

from lakeflow_meta.backends.local.tasks.dbutils.utility import Utility

RunNotebook = Callable[[str, float, Mapping[str, str]], str]
"""Runs a notebook by path, with a timeout in seconds (0 is none) and parameters; its exit value."""


class NotebookExit(BaseException):
    """``dbutils.notebook.exit(value)``: the notebook ends here, successfully."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value


class NotebookFlow(Utility):
    """How notebooks end, and call each other."""

    TITLE = "dbutils.notebook"

    def __init__(self, run_notebook: RunNotebook) -> None:
        self._run_notebook = run_notebook

    def exit(self, value: object = "") -> NoReturn:
        """End the notebook; its value is kept with the run."""
        raise NotebookExit(str(value))

    def run(
        self, path: str, timeout_seconds: float = 0, arguments: Mapping[str, object] | None = None
    ) -> str:
        """Run another notebook, with variables of its own; its exit value."""
        given = {str(name): str(value) for name, value in (arguments or {}).items()}
        return self._run_notebook(path, timeout_seconds, given)
