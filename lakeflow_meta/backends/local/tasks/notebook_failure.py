"""What a task shows when a user's Python fails: the cell, the line, the cause; the user's frames.

Frames of this package, of pyspark and of py4j are left out: they are the same for every failure.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lakeflow_meta.backends.local.tasks.failure_report import (
    Source,
    excerpt,
    first_line_of,
    line_and_column,
)
from lakeflow_meta.backends.local.tasks.sql_runner import condition_and_state, spark_details
from lakeflow_meta.backends.local.tasks.task_attempt import TaskFailedError
from lakeflow_meta.errors import LakeflowMetaError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakeflow_meta.backends.local.spark.failures import SparkFailure

_OURS = f"{Path(__file__).parents[3]}{os.sep}"
_OF_SPARK = ("pyspark", "py4j", "delta")
_MOST_CAUSES = 10


def cell_failed(
    error: BaseException,
    source: Source,
    file_name: str,
    code: str,
    session: Callable[[], SparkSession] | None,
    output: TextIO,
) -> TaskFailedError:
    """The failure of the cell whose code was compiled as ``file_name``.

    ``session`` is None while no Spark has started.
    """
    line = _line_in(error, file_name, source)
    place = source.place(line) if line else source.place(1)
    failure = _spark_failure(error, session)
    name = failure.condition if failure else _name(error)
    message = failure.message if failure else _message(error)
    head = f"{name} at {place}" if name else place
    known = 0 < line <= code.count("\n") + 1
    why = first_line_of(message) or (code.split("\n")[line - 1].strip() if known else "")
    shown = f"{head}: {why}" if why else head
    report = [f"error: {_title(error, failure, place)}", message or "(no message)", ""]
    if known:
        report += [_code_excerpt(code, line, source), ""]
    report += [*_of_sql(failure), *_frames(error)]
    report += spark_details(failure, output) if failure else list(_causes(error))
    return TaskFailedError(shown, "\n".join(report).rstrip() + "\n")


def _title(error: BaseException, failure: SparkFailure | None, place: str) -> str:
    kind = condition_and_state(failure) if failure else _name(error)
    return f"{place}: {kind}" if kind else place


def _name(error: BaseException) -> str:
    """Errors that this package raises are told by their text alone."""
    told = isinstance(error, TaskFailedError | LakeflowMetaError)
    return "" if told else type(error).__name__


def _message(error: BaseException) -> str:
    """A syntax error adds its place to its text, which is told already."""
    return error.msg if isinstance(error, SyntaxError) else str(error)


def _spark_failure(
    error: BaseException, session: Callable[[], SparkSession] | None
) -> SparkFailure | None:
    if session is None:
        return None
    from lakeflow_meta.backends.local.spark.failures import is_of_spark, read_failure

    return read_failure(error, session()) if is_of_spark(error) else None


def _line_in(error: BaseException, file_name: str, source: Source) -> int:
    """The line of the cell that was running, from 1; 0 where it cannot be told."""
    first = max(source.line, 1)
    if isinstance(error, SyntaxError) and error.filename == file_name and error.lineno:
        return error.lineno - first + 1
    frames = traceback.extract_tb(error.__traceback__)
    lines = [each.lineno for each in frames if each.filename == file_name and each.lineno]
    return lines[0] - first + 1 if lines and lines[0] >= first else 0


def _code_excerpt(code: str, line: int, source: Source) -> str:
    start = sum(len(each) + 1 for each in code.split("\n")[: line - 1])
    text = code.split("\n")[line - 1]
    left = len(text) - len(text.lstrip())
    return excerpt(code, start + left, start + len(text), max(source.line, 1))


def _of_sql(failure: SparkFailure | None) -> list[str]:
    """The SQL text that Python handed to Spark, with the part that is to blame."""
    if failure is None or failure.span is None:
        return []
    span = failure.span
    line, column = line_and_column(span.text, span.start)
    shown = excerpt(span.text, span.start, span.end)
    return [f"in the SQL text, line {line}, column {column}:", shown, ""]


def _frames(error: BaseException) -> list[str]:
    found = [each for each in traceback.extract_tb(error.__traceback__) if _is_users(each.filename)]
    lines = "".join(traceback.format_list(found)).rstrip()
    return ["Traceback (most recent call last):", lines] if found else []


def _is_users(file_name: str) -> bool:
    return not file_name.startswith((_OURS, *_library_folders()))


@cache
def _library_folders() -> tuple[str, ...]:
    specs = [spec for name in _OF_SPARK if (spec := find_spec(name)) is not None]
    return tuple(
        f"{folder}{os.sep}" for spec in specs for folder in spec.submodule_search_locations or ()
    )


def _causes(error: BaseException) -> Iterator[str]:
    """What the error was raised from, or while handling what."""
    if isinstance(error, TaskFailedError) and error.report.count("\n") > 1:
        yield from ("", error.report)  # of a notebook that this one has run
        return
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions[:_MOST_CAUSES]:
            yield from ("", f"in it: {type(each).__name__}: {each}", *_frames(each))
    cause: Any = error
    for _ in range(_MOST_CAUSES):
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
        if cause is None:
            return
        yield from ("", f"caused by: {type(cause).__name__}: {cause}", *_frames(cause))
