"""Runs the statements of a SQL task one after the other; the last result goes to the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lakeflow_meta.backends.local.tasks.failure_report import (
    Source,
    excerpt,
    first_line_of,
    line_and_column,
)
from lakeflow_meta.backends.local.tasks.redacted_output import RedactedOutput
from lakeflow_meta.backends.local.tasks.result_table import text_table
from lakeflow_meta.backends.local.tasks.task_attempt import StopSignal, TaskFailedError
from lakeflow_meta.errors import LakeflowMetaError
from lakeflow_meta.sql import LocatedStatement, locate_statements
from lakeflow_meta.sql_tokens import parameter_names, tokens

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakeflow_meta.backends.local.spark.failures import SparkFailure

MOST_ROWS = 1000
"""Rows that a SQL task gives to the tasks behind it."""


@dataclass(frozen=True, slots=True)
class SqlResult:
    """The last statement that had columns: its DataFrame and the first `MOST_ROWS` rows."""

    frame: DataFrame
    rows: Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Statement:
    """One statement of a text: its number of how many, and where the text lies."""

    located: LocatedStatement
    number: int
    count: int
    whole: str
    source: Source


def run_statements(
    text: str,
    parameters: Mapping[str, str],
    session: SparkSession,
    output: TextIO,
    stop: StopSignal,
    source: Source,
) -> SqlResult | None:
    """Run every statement of ``text``, each with the parameters that it names bound.

    The first that fails ends it; what came before stays done, as on a warehouse. Raises
    TaskFailedError that says which statement failed, where and why.
    """
    found = locate_statements(text)
    result: SqlResult | None = None
    for number, located in enumerate(found, start=1):
        stop.check()
        statement = _Statement(located, number, len(found), text, source)
        output.write(f"-- [{number}/{len(found)}] {_title(located.text)}\n")
        output.flush()
        result = _run(statement, parameters, session, output) or result
    if result is not None:
        output.write(text_table(result.frame.columns, result.rows))
    return result


def _run(
    statement: _Statement, parameters: Mapping[str, str], session: SparkSession, output: TextIO
) -> SqlResult | None:
    text = statement.located.text
    named = {name: parameters[name] for name in parameter_names(text) & set(parameters)}
    frame = None
    try:
        frame = session.sql(text, args=named) if named else session.sql(text)
        return SqlResult(frame, frame.take(MOST_ROWS)) if frame.columns else None
    except LakeflowMetaError as error:
        raise _refused(statement, error) from error
    except Exception as error:
        raise _failed(statement, error, session, frame, output) from error


def _refused(statement: _Statement, error: LakeflowMetaError) -> TaskFailedError:
    """What the local catalog does not take."""
    place = _place(statement, statement.located.start)
    line = f"statement {statement.number} of {statement.count} at {place}: {error}"
    return TaskFailedError(line, f"error: {line}\n")


def _failed(
    statement: _Statement,
    error: Exception,
    session: SparkSession,
    frame: DataFrame | None,
    output: TextIO,
) -> TaskFailedError:
    from lakeflow_meta.backends.local.spark.failures import read_failure

    failure = read_failure(error, session, frame)
    start, end = _blamed(statement, failure)
    place = _place(statement, start)
    which = f"statement {statement.number} of {statement.count}"
    line = f"{failure.condition} at {place}, {which}: {first_line_of(failure.message)}"
    first = max(statement.source.line, 1)
    report = [
        f"error: {which} failed at {place}: {condition_and_state(failure)}",
        failure.message,
        "",
        excerpt(statement.whole, start, end, first),
        *spark_details(failure, output),
    ]
    return TaskFailedError(line, "\n".join(report) + "\n")


def _blamed(statement: _Statement, failure: SparkFailure) -> tuple[int, int]:
    """Start and end in the whole text; the statement's first line where Spark names no part."""
    start = statement.located.start
    span = failure.span
    if span is not None and span.text == statement.located.text:
        return start + span.start, start + span.end
    code = statement.located.text[_code_start(statement.located.text) :]
    start += len(statement.located.text) - len(code)
    return start, start + len(code.partition("\n")[0].rstrip())


def _place(statement: _Statement, offset: int) -> str:
    return statement.source.place(*line_and_column(statement.whole, offset))


def condition_and_state(failure: SparkFailure) -> str:
    """``UNRESOLVED_COLUMN.WITH_SUGGESTION (SQLSTATE 42703)``."""
    state = f" (SQLSTATE {failure.state})" if failure.state else ""
    return f"{failure.condition}{state}"


def spark_details(failure: SparkFailure, output: TextIO) -> list[str]:
    """What comes after the first screen; the Java stack goes to a file beside the log."""
    lines = ["", failure.context] if failure.context else []
    lines += ["", f"caused by: {failure.cause}"] if failure.cause else []
    name = getattr(output, "name", None)
    if not failure.trace or not isinstance(name, str | Path):
        return lines
    trace = Path(f"{name}.trace")
    redact = output.redact if isinstance(output, RedactedOutput) else str
    try:
        trace.write_text(redact(failure.trace), encoding="utf-8", errors="backslashreplace")
    except OSError as error:  # what failed first is what is to be told
        return [*lines, "", f"the Java stack trace could not be kept: {error}"]
    return [*lines, "", f"the Java stack trace: {trace}"]


def _title(statement: str) -> str:
    first = statement[_code_start(statement) :].partition("\n")[0].rstrip()
    return first if len(first) <= 100 else first[:99] + "…"


def _code_start(statement: str) -> int:
    """Where the comments above a statement end."""
    return next((token.start for token in tokens(statement)), 0)
