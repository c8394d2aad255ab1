"""What a task prints goes to its own log, also when several run in this process at once.

``sys.stdout`` and ``sys.stderr`` are one for the whole process. While any task runs they are
replaced by a switch that looks up the log of whoever prints, and everything else goes where it
went before. A `threading.Thread` that a task starts (so also a pool's) prints as the task that
started it; a thread that outlives its task prints where it would have without one. What it logs,
and what programs print that it starts by `subprocess` or `os.system`, goes to its log too, as long
as it says nothing else.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, TextIO

Mark = Callable[[], AbstractContextManager[None]]
"""Entered by a thread before it works."""

_output: ContextVar[TextIO | None] = ContextVar("task_output", default=None)
_marks: ContextVar[tuple[Mark, ...]] = ContextVar("marks_of_threads", default=())
_lock = threading.Lock()
_tasks = 0
_before: dict[str, Any] = {}
_thread_start = threading.Thread.start
_popen_init = subprocess.Popen.__init__
_os_system = os.system
_FIRST_STREAM = 4
"""Where ``stdout`` stands among the arguments of `subprocess.Popen`; ``stderr`` comes next."""


class _Switch:
    """Stands in for one of the two streams."""

    def __init__(self, otherwise: TextIO) -> None:
        self._otherwise = otherwise

    def __getattr__(self, name: str) -> Any:
        output = _output.get()
        ours = output is not None and not output.closed
        return getattr(output if ours else self._otherwise, name)


@contextmanager
def captured(output: TextIO) -> Iterator[None]:
    """Send what this thread, and those that it starts, print to ``output``."""
    _install()
    token = _output.set(output)
    try:
        yield
    finally:
        _output.reset(token)
        _uninstall()


@contextmanager
def not_captured() -> Iterator[None]:
    """What is started inside outlives the task and belongs to all, as Spark does."""
    token = _output.set(None)
    try:
        yield
    finally:
        _output.reset(token)


@contextmanager
def marked_threads(mark: Mark) -> Iterator[None]:
    """Threads that are started inside enter ``mark`` first, and leave it when they end."""
    token = _marks.set((*_marks.get(), mark))
    try:
        yield
    finally:
        _marks.reset(token)


def _start(thread: threading.Thread) -> None:
    """`threading.Thread.start`, with what the starting thread has of its task."""
    if _output.get() is None:
        _thread_start(thread)
        return
    context, run, marks = copy_context(), thread.run, _marks.get()

    def run_inside() -> None:
        thread.__dict__.pop("run", None)
        with ExitStack() as stack:
            for mark in marks:
                stack.enter_context(mark())
            context.run(run)

    thread.__dict__["run"] = run_inside
    _thread_start(thread)


class _TaskLog(logging.Handler):
    """Writes what a task logs to its own log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Nothing of what is logged outside of tasks."""
        output = _open_output()
        if output is not None:
            output.write(f"{self.format(record)}\n")


_task_log = _TaskLog()
_task_log.setFormatter(logging.Formatter(logging.BASIC_FORMAT))


def _open_output() -> TextIO | None:
    output = _output.get()
    return None if output is None or output.closed else output


def _start_program(process: Any, *args: Any, **kwargs: Any) -> None:
    """`subprocess.Popen`, where streams that are not named are those of the task."""
    output = _open_output()
    if output is not None:
        output.flush()
        for place, name in enumerate(("stdout", "stderr"), _FIRST_STREAM):
            if len(args) <= place and kwargs.get(name) is None:
                kwargs[name] = output
    _popen_init(process, *args, **kwargs)


def _system(command: Any) -> int:
    """`os.system`, with the task's output; the status as of ``os.wait``."""
    if _open_output() is None:
        return _os_system(command)
    code = subprocess.run(command, shell=True, check=False).returncode  # noqa: S602 - as it was
    return code << 8 if code >= 0 else -code


def _install() -> None:
    global _tasks
    with _lock:
        _tasks += 1
        if _tasks == 1:
            for name in ("stdout", "stderr"):
                _before[name] = getattr(sys, name)
                setattr(sys, name, _Switch(_before[name]))
            setattr(threading.Thread, "start", _start)  # noqa: B010 - a method is not assigned to
            setattr(subprocess.Popen, "__init__", _start_program)  # noqa: B010 - likewise
            os.system = _system
            if logging.root.handlers:  # else Python writes to sys.stderr by itself
                logging.root.addHandler(_task_log)


def _uninstall() -> None:
    """Put everything back after the last task, unless somebody else has replaced it since."""
    global _tasks
    with _lock:
        _tasks -= 1
        if _tasks > 0:
            return
        for name, before in _before.items():
            if isinstance(getattr(sys, name), _Switch):
                setattr(sys, name, before)
        _before.clear()
        if threading.Thread.start is _start:
            setattr(threading.Thread, "start", _thread_start)  # noqa: B010 - likewise
        if subprocess.Popen.__init__ is _start_program:
            setattr(subprocess.Popen, "__init__", _popen_init)  # noqa: B010 - likewise
        if os.system is _system:
            os.system = _os_system
        logging.root.removeHandler(_task_log)
