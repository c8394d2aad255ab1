"""The program of a Python task's process: a file, or an entry point of a package.

``python program_start.py file PATH ARGUMENTS…`` or ``… wheel PACKAGE ENTRY_POINT ARGUMENTS…``.
Where the environment says which embedded workspace it is of, a program that asks pyspark for a
session gets one on that workspace's tables; a program that does not ask starts no JVM, and imports
no more of lakeflow_meta than that hook.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, TracebackType

WORKSPACE = "LAKEFLOW_META_PROGRAM_WORKSPACE"
"""Which workspace this program is of, as JSON: see `program_workspace`."""

_keep: list[ModuleType] = []
"""This module, after another has become ``__main__``: Python would empty it."""


def main(arguments: list[str]) -> None:
    """Run the program; `sys.argv` is its own."""
    kind, *rest = arguments
    _hook_spark()
    sys.excepthook = _without_machinery
    if kind == "file":
        _run_file(rest)
    else:
        _load("wheel_entry").main(rest)


def _hook_spark() -> None:
    if WORKSPACE not in os.environ:
        return
    if importlib.util.find_spec("lakeflow_meta") is None:
        sys.path.append(str(Path(__file__).parents[4]))
    module = importlib.import_module("lakeflow_meta.backends.local.tasks.program_workspace")
    module.install_hooks(os.environ[WORKSPACE])


def _run_file(arguments: list[str]) -> None:
    """As ``python PATH ARGUMENTS…`` does: modules beside the file can be imported."""
    path = arguments[0]
    sys.argv = arguments
    sys.path.insert(0, str(Path(path).parent))
    program = ModuleType("__main__")
    vars(program).update(__file__=path, __builtins__=__builtins__)
    _keep.append(sys.modules["__main__"])
    sys.modules["__main__"] = program
    code = compile(Path(path).read_bytes(), path, "exec")
    exec(code, vars(program))  # noqa: S102 - running it is the task


def _load(name: str) -> ModuleType:
    """A module beside this one, which need not be importable by name."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _without_machinery(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Show the program's own frames: not ours, and not pyspark's and py4j's inner ones."""
    shown = traceback.TracebackException(kind, error, trace)
    for each in _chain(shown):
        inner = [frame for frame in each.stack if not _INNER.search(frame.filename)]
        each.stack = traceback.StackSummary.from_list(inner)
    print(*shown.format(), sep="", end="", file=sys.stderr)  # noqa: T201 - as Python does


_INNER = re.compile(r"[\\/](?:pyspark|py4j|lakeflow_meta[\\/]backends)[\\/]")


def _chain(shown: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """The exception and those that it came from."""
    each: traceback.TracebackException | None = shown
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__


if __name__ == "__main__":
    main(sys.argv[1:])
