"""Runs Python of people: scripts in a namespace of their own, and work functions."""

from __future__ import annotations

import builtins
import linecache
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TextIO

from lakeflow_meta.backends.spark import first_screen
from lakeflow_meta.backends.spark_schemas import spark_types
from lakeflow_meta.errors import BackendError
from lakeflow_meta.scripts.python_script import compiled, names_used

Scope = Mapping[str, Callable[[], Any]]
"""What a script finds beside Python's own names: each is made only if the script names it."""


def run_script(body: str, file: str, scope: Scope, output: TextIO) -> None:
    """Run a script to its end; ``sys.exit()`` is one. What it prints goes to ``output``.

    A script that names ``spark`` also finds Spark's types (``StructType`` and its like).
    Tracebacks, and `inspect.getsource`, show it as ``file``. Raises BackendError for whatever it
    raises; its own error is the cause.
    """
    code = compiled(body, file)
    linecache.cache[file] = (len(body), None, body.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {
        "__name__": "__main__",
        "__file__": file,
        "__builtins__": builtins,
        "print": partial(print, file=output),
    }
    names = names_used(code)
    if "spark" in names:
        namespace |= spark_types(names)
    namespace |= {name: scope[name]() for name in names & scope.keys()}
    try:
        exec(code, namespace)  # noqa: S102 - running it is the task
    except SystemExit as end:
        if end.code not in (None, 0):
            raise BackendError(f"the script ended with exit code {end.code}") from end
    except Exception as error:
        raise BackendError(f"{_said(error)}{_place(error, file)}", code=_code(error)) from error


def call_work(work: Callable[[], object]) -> object:
    """Call a function; its result. Raises BackendError for whatever it raises, as its cause."""
    try:
        return work()
    except SystemExit as end:
        raise BackendError(f"it ended with exit code {end.code}") from end
    except Exception as error:
        raise BackendError(_said(error), code=_code(error)) from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {first_screen(str(error))}"


def _code(error: Exception) -> str:
    return error.code if isinstance(error, BackendError) else type(error).__name__


def _place(error: Exception, file: str) -> str:
    """Where in the script it happened: the innermost of its lines."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    if not frames:
        return ""
    return f" ({file}, line {frames[-1].lineno}, in {frames[-1].name})"
