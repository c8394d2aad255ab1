"""What Spark says when it refuses or fails, in parts that people read: not a Java stack.

Everything is taken from Spark's own fields (condition, SQLSTATE, query context), never from the
text of a message: https://spark.apache.org/docs/latest/sql-error-conditions.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.local.spark.names_in_sql import Rewritten
from lakeflow_meta.backends.local.spark.session_names import asked_text, statements_of
from lakeflow_meta.backends.spark import first_screen, translate

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_MOST_CAUSES = 20


@dataclass(frozen=True, slots=True)
class SqlSpan:
    """The part of a SQL text that is to blame: ``text[start:end]``, as people wrote it."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SparkFailure:
    """An error of Spark's. Empty where Spark does not tell; ``trace`` is the Java stack.

    ``context``: Spark's own picture of the SQL or the call that is to blame, where ``span`` is
    None.
    """

    condition: str
    state: str
    message: str
    cause: str = ""
    trace: str = ""
    span: SqlSpan | None = None
    context: str = ""


def is_of_spark(error: BaseException) -> bool:
    """Whether the JVM, or pyspark for it, raised this."""
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors.exceptions.base import PySparkException
    except ImportError:
        return False
    return isinstance(error, PySparkException | Py4JError)


def read_failure(error: Any, session: SparkSession, answer: Any = None) -> SparkFailure:
    """What an error says. ``answer`` is the DataFrame that failed, where the SQL had one."""
    rewritten = asked_text(error) or asked_text(answer)
    statements = statements_of(session)
    restore = statements.catalog.names.restore if statements else str
    if getattr(error, "_origin", None) is None:
        told = translate(error)
        message = _worker_error(error) or str(told).removeprefix(f"[{told.code}]").strip()
        return SparkFailure(told.code, "", restore(message), trace=_trace(error))
    condition, state = error.getCondition() or "", error.getSqlState() or ""
    span = _span(error, rewritten) if rewritten else None
    return SparkFailure(
        condition or type(error).__name__,
        state,
        restore(_message(error, condition, state)),
        restore(_cause(error)),
        _trace(error),
        span,
        "" if span else restore(_context(error)),
    )


def _worker_error(error: Any) -> str:
    """Of a user's Python function: its own error first; pyspark hands over its traceback as text.

    The last line of a traceback is the error: https://docs.python.org/3/library/traceback.html
    """
    from pyspark.errors import PythonException

    if not isinstance(error, PythonException):
        return ""
    text = first_screen(str(error))
    return f"{text.splitlines()[-1].strip()}\n{text}"


def _message(error: Any, condition: str, state: str) -> str:
    """Spark's sentence alone. Delta's conditions are not among those that Spark can look up."""
    from py4j.protocol import Py4JError

    try:
        text = str(error.getMessage()) if condition else ""
    except Py4JError:
        text = ""
    text = first_screen(text or str(error) or type(error).__name__)
    return text.removeprefix(f"[{condition}]").strip().removesuffix(f"SQLSTATE: {state}").strip()


def _context(error: Any) -> str:
    """Of SQL only: where Python called, its own traceback tells; Spark knows the Java frame."""
    of_sql = [each for each in error.getQueryContext() if each.contextType().name == "SQL"]
    return "\n".join(context.summary().strip() for context in of_sql)


def _cause(error: Any) -> str:
    """The innermost Java exception, where the error is not that one itself."""
    java = cause = error._origin  # noqa: SLF001 - there is no public way
    for _ in range(_MOST_CAUSES):
        deeper = cause.getCause()
        if deeper is None:
            break
        cause = deeper
    return "" if cause is java else first_screen(str(cause.toString()))


def _trace(error: Any) -> str:
    return str(getattr(error, "_stackTrace", None) or error)


def _span(error: Any, rewritten: Rewritten) -> SqlSpan | None:
    asked = rewritten.result
    for context in error.getQueryContext():
        if context.contextType().name != "SQL":
            continue
        start, end = context.startIndex(), context.stopIndex() + 1
        if asked[start:end] == context.fragment():  # else it is of a view's text
            return _written(rewritten, start, end)
    place = _parser_position(error)
    return None if place is None else _of_position(rewritten, *place)


def _written(rewritten: Rewritten, start: int, end: int) -> SqlSpan:
    first = rewritten.original_offset(start)
    return SqlSpan(rewritten.text, first, rewritten.original_offset(end, end=True))


def _of_position(rewritten: Rewritten, line: int, column: int) -> SqlSpan:
    lines = rewritten.result.splitlines(keepends=True)
    start = sum(len(each) for each in lines[: line - 1]) + column
    return _written(rewritten, start, start + 1)


def _parser_position(error: Any) -> tuple[int, int] | None:
    """Line, from 1, and column, from 0, of an error that has no query context."""
    from pyspark.errors import AnalysisException

    if not isinstance(error, AnalysisException):
        return None
    java: Any = error._origin  # noqa: SLF001 - not public
    line, column = java.line(), java.startPosition()
    return (line.get(), column.get()) if line.isDefined() and column.isDefined() else None
