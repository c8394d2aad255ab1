"""What tasks printed: found by the record of runs alone, and never read whole for a page.

No part of a request names a file: the run store says which one an attempt wrote.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow_meta.errors import BackendError, NotFoundError

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.ports import TaskRun

TAIL_BYTES = 64 * 1024
_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a log; ``cut`` where there is more before it."""

    text: str
    size_bytes: int
    cut: bool


def whole_number(text: str, what: str) -> int:
    """An id of a request. Raises NotFoundError for what is none."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFoundError(f"there is no {what} {text!r}")
    return int(text)


def read_tail(app: App, run_id: int, task: TaskRun, most: int = TAIL_BYTES) -> Tail | None:
    """The end of what an attempt has printed so far, None where it has printed nothing.

    Raises BackendError, ConfigError where the target has no logs to show.
    """
    if app.target.runs_here:
        return None if task.log_path is None else _tail_of_file(task.log_path, most)
    text = _remote_log(app, run_id, task)
    if text is None:
        return None
    return Tail(text[-most:], len(text.encode(errors="replace")), len(text) > most)


def read_whole(app: App, run_id: int, task: TaskRun) -> tuple[int, Iterator[bytes]]:
    """The size of a log, and its bytes in pieces; what is printed meanwhile is left out.

    Raises NotFoundError.
    """
    if app.target.runs_here and task.log_path is not None and task.log_path.is_file():
        size = task.log_path.stat().st_size
        return size, _pieces(task.log_path, size)
    text = None if app.target.runs_here else _remote_log(app, run_id, task)
    if text is None:
        raise NotFoundError(f"run {run_id} has no log of task {task.task_key!r}", code="NO_LOG")
    content = text.encode(errors="replace")
    return len(content), iter([content])


def _remote_log(app: App, run_id: int, task: TaskRun) -> str | None:
    try:
        return app.target.task_log(run_id, task.label, task.attempt)
    except NotFoundError:
        return None


def _tail_of_file(path: Path, most: int) -> Tail | None:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(size - most, 0)
            file.seek(start)
            content = file.read(most)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BackendError(f"{path} cannot be read: {error.strerror}") from error
    if start:  # not from the middle of a line, where there are several
        content = content[content.find(b"\n") + 1 :] if b"\n" in content[:-1] else content
    return Tail(content.decode("utf-8", errors="replace"), size, start > 0)


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while left > 0 and (piece := file.read(min(left, _CHUNK_BYTES))):
            left -= len(piece)
            yield piece
