"""Programs of tasks: each in a process group of its own, ended together with what started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from lakeflow_meta.backends.local.tasks import launcher as launcher_program
from lakeflow_meta.backends.local.tasks.task_attempt import StopSignal

TERMINATE_SECONDS = 3.0
"""How long a program may take to end by itself before it is killed."""


def run_program(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    output: TextIO,
    stop: StopSignal,
) -> int:
    """Run a program to its end; its exit code, negative for a signal.

    Stopping ends it and all that it has started. Raises TaskStoppedError when stopped.
    """
    output.flush()
    launcher = [sys.executable, "-IS", launcher_program.__file__, str(os.getpid())]
    process = subprocess.Popen(
        [*launcher, *command],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output.fileno(),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    with process, stop.by(_Terminator(process)):
        code = process.wait()
    stop.check()
    return code


def said_last(log: Path) -> str:
    """What a program that failed said last: the error of a traceback, else its last line.

    In a traceback the error is the first line that is not indented:
    https://docs.python.org/3/library/traceback.html
    """
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _END_BYTES))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if line == _TRACEBACK]
    behind = lines[starts[-1] + 1 :] if starts else []
    error = next((line for line in behind if not line[0].isspace()), "")
    return error or (lines[-1].strip() if lines else "")


_TRACEBACK = "Traceback (most recent call last):"
_END_BYTES = 32_768


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
