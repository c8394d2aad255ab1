"""One attempt of a task, in a thread of its own, that can be asked to stop.

What can be stopped, is: subprocesses are ended, Spark jobs cancelled, and Python code gets an
exception at its next step. Code that never takes a step (a blocking call into C) cannot be
stopped; the run then goes on without it, says so, and does not try the task again.
"""

from __future__ import annotations

import ctypes
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from unicodedata import category

from lakeflow_meta.backends.local.tasks.task_context import TaskOutput
from lakeflow_meta.backends.local.tasks.task_output import captured
from lakeflow_meta.backends.local.tasks.task_work import UnrunnableTaskError
from lakeflow_meta.errors import LakeflowMetaError

_SHORT = 300


class TaskStoppedError(BaseException):
    """Raised inside a task that is to stop; no ``except Exception`` of the task can hold it up."""


class StopSignal:
    """Asks an attempt to stop, in every way that its runner has registered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stoppers: list[Callable[[], None]] = []
        self._requested = False

    @property
    def requested(self) -> bool:
        """Whether the attempt is to stop."""
        return self._requested

    def check(self) -> None:
        """Raise TaskStoppedError when the attempt is to stop."""
        if self._requested:
            raise TaskStoppedError

    @contextmanager
    def by(self, stopper: Callable[[], None]) -> Iterator[None]:
        """While inside, `request` calls ``stopper``, perhaps several times.

        A request that came before is passed on at once, so that none falls into the gap between
        starting something and registering how to stop it.
        """
        with self._lock:
            self._stoppers.append(stopper)
            if self._requested:
                stopper()
        try:
            yield
        finally:
            with self._lock:
                self._stoppers.remove(stopper)

    def request(self) -> None:
        """Ask to stop; asked again, it tries again."""
        with self._lock:
            self._requested = True
            for stopper in self._stoppers:
                stopper()


@contextmanager
def interruptible(stop: StopSignal) -> Iterator[None]:
    """Let ``stop`` raise TaskStoppedError in the Python code that this thread runs inside.

    The interpreter delivers it once, at the next bytecode of the thread.
    https://docs.python.org/3/c-api/init.html#c.PyThreadState_SetAsyncExc
    """
    thread = ctypes.c_ulong(threading.get_ident())
    sent = threading.Event()

    def interrupt() -> None:
        if not sent.is_set():
            sent.set()
            error = ctypes.py_object(TaskStoppedError)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)

    with stop.by(interrupt):
        yield


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt ended: an empty ``error`` is success. ``output`` is what it gave back."""

    error: str = ""
    stopped: bool = False
    output: TaskOutput | None = None


class Attempt:
    """Runs ``work(output, stop)`` in a thread; what it prints goes to ``log_path``.

    The folder of ``log_path`` is there: making it anew for each attempt costs a tenth of one.
    """

    def __init__(
        self,
        name: str,
        log_path: Path,
        work: Callable[[TextIO, StopSignal], TaskOutput | None],
        on_end: Callable[[], None],
    ) -> None:
        self.stop = StopSignal()
        self.result: AttemptResult | None = None
        self.log_path = log_path
        self._work = work
        self._on_end = on_end
        # A daemon: what cannot be stopped must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def _run(self) -> None:
        result = AttemptResult("the attempt was interrupted", stopped=True)
        try:
            result = self._attempt()
        except TaskStoppedError:
            pass  # the interruption came a moment after the work had ended
        finally:
            self.result = result
            self._on_end()

    def _attempt(self) -> AttemptResult:
        by_line = 1  # who follows the run reads what was printed, also after a kill
        log = self.log_path.open("w", by_line, encoding="utf-8", errors="backslashreplace")
        with log as output:
            try:
                with captured(output):
                    given = self._work(output, self.stop)
            except TaskStoppedError:
                return AttemptResult("stopped", stopped=True)
            except BaseException as error:  # noqa: BLE001 - a task may raise anything; it is recorded
                return self._failed(error, output)
        return AttemptResult(output=given)

    def _failed(self, error: BaseException, output: TextIO) -> AttemptResult:
        if isinstance(error, SystemExit) and error.code in {None, 0}:
            return AttemptResult()
        if isinstance(error, TaskFailedError):
            output.write(error.report)
        elif isinstance(error, LakeflowMetaError | UnrunnableTaskError):
            output.write(f"error: {error}\n")
        else:
            output.write("".join(traceback.format_exception(error)))
        return AttemptResult(short_error(error), stopped=self.stop.requested)


def short_error(error: BaseException) -> str:
    """One line that says what went wrong; the whole is in the log."""
    text = str(error).strip()
    first = text.splitlines()[0] if text else ""
    name = type(error).__name__
    told = isinstance(error, TaskFailedError | LakeflowMetaError | UnrunnableTaskError)
    line = _harmless(first if told else f"{name}: {first}" if first else name)
    return line if len(line) <= _SHORT else line[: _SHORT - 1] + "…"


def _harmless(line: str) -> str:
    """Without what a terminal takes for a command, such as to clear the screen."""
    return "".join("\ufffd" if category(c) == "Cc" and c != "\t" else c for c in line)


class TaskFailedError(Exception):
    """A task failed for a reason that our own runner found; the message is for people.

    ``report`` is what the log shows: several lines, for whoever looks into it.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(message)
        self.report = report or f"error: {message}\n"
