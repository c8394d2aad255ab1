"""Which file a failing Spark job is about, told by error conditions and their parameters.

Spark wraps the cause several times, and raises some errors of Java without a class of pyspark's;
so the whole chain of causes is read. https://spark.apache.org/docs/latest/sql-error-conditions.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from lakeflow_meta.backends.spark import first_screen
from lakeflow_meta.backends.spark_ingest.misfits import Misfit

_FILE_CONDITIONS = ("FAILED_READ_FILE", "PATH_NOT_FOUND")
_RAISED = "USER_RAISED_EXCEPTION"
_DATA_STATES = ("22", "23")
"""SQLSTATE classes: data exception, integrity constraint violation."""

_FAILED_TASK = "TASK_WRITE_FAILED"
_CONCURRENT_TRANSACTION = "ConcurrentTransactionException"
_CONCURRENT_CONDITION = "DELTA_CONCURRENT_TRANSACTION"
_MOST_CAUSES = 20
_MOST_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Fault:
    """What failed. ``paths``: spellings of the physical file that the error names, if it does."""

    reason: str
    paths: tuple[str, ...]
    about_data: bool
    same_transaction: bool
    """Whether another writer committed a transaction of the same application meanwhile."""
    unclear: bool = False
    """Whether it may be about data or not: Spark Connect tells no causes, and a write that fails in
    a task is all that it says. Reading alone then shows what it is."""


@dataclass(frozen=True, slots=True)
class _Cause:
    class_name: str
    message: str
    condition: str = ""
    state: str = ""
    parameters: Mapping[str, str] | None = None

    @property
    def is_same_transaction(self) -> bool:
        """Whether Delta refused it for a transaction of the same application."""
        told = self.condition.startswith(_CONCURRENT_CONDITION)
        return told or self.class_name.rpartition(".")[2] == _CONCURRENT_TRANSACTION

    @property
    def is_python(self) -> bool:
        """Whether a function of Python raised, on a worker."""
        return self.class_name.rpartition(".")[2] == "PythonException"


def read_fault(error: BaseException) -> Fault:
    """What an error of Spark's says."""
    causes = list(_causes(error))
    if (misfit := _misfit(causes)) is not None:
        return Fault(misfit.reason, (misfit.path,), about_data=True, same_transaction=False)
    paths: tuple[str, ...] = ()
    for cause in causes:
        if cause.condition.startswith(_FILE_CONDITIONS) and cause.parameters:
            paths = _spellings(cause.parameters.get("path", ""))
            break
    return Fault(
        reason=_reason(causes),
        paths=paths,
        about_data=bool(paths) or any(_is_about_data(cause) for cause in causes),
        same_transaction=any(cause.is_same_transaction for cause in causes),
        unclear=_conditions(causes) == 1 and causes[0].condition.startswith(_FAILED_TASK),
    )


def _conditions(causes: list[_Cause]) -> int:
    return sum(bool(cause.condition) for cause in causes)


def _misfit(causes: list[_Cause]) -> Misfit | None:
    """What a row said that did not fit; its file is named."""
    for cause in causes:
        if cause.condition == _RAISED and cause.parameters:
            return Misfit.read(cause.parameters.get("errorMessage", ""))
    return None


def _is_about_data(cause: _Cause) -> bool:
    data = cause.condition == _RAISED or cause.state.startswith(_DATA_STATES)
    return data or cause.is_python


def _reason(causes: list[_Cause]) -> str:
    """The innermost words; with the condition in front of them that says what they are about."""
    raised = next((cause for cause in causes if cause.is_python), None)
    if raised is not None:
        return _in_python(raised.message)
    innermost = causes[-1]
    if innermost.condition == _RAISED and innermost.parameters:
        return innermost.parameters.get("errorMessage", innermost.message)
    told = next((cause for cause in reversed(causes) if cause.condition), innermost)
    words = first_screen(told.message).split("\n")[0]
    if told is innermost:
        return words
    return f"{words} ({first_screen(innermost.message)})"


_TRACEBACK = "Traceback (most recent call last):"


def _in_python(message: str) -> str:
    """What a function raised, and its traceback; the end of it where it is long."""
    lines = message[max(0, message.rfind(_TRACEBACK)) :].rstrip().split("\n")
    python = [line for line in lines if not line.startswith("\tat ")]
    raised = next((line for line in reversed(python) if line and not line.startswith(" ")), "")
    return f"a function of Python raised {raised}\n" + "\n".join(python)[-_MOST_CHARACTERS:]


def _causes(error: BaseException) -> Iterator[_Cause]:
    java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    if java is None:
        yield _without_java(error)
        yield from _on_the_server(error)
        return
    seen = 0
    while java is not None and seen < _MOST_CAUSES:
        yield _java_cause(java)
        java = java.getCause()
        seen += 1


_CAUSED_BY = re.compile(r"^Caused by: ([\w.$]+): (.*)$", re.MULTILINE)


def _on_the_server(error: Any) -> Iterator[_Cause]:
    """Causes that Spark Connect tells: classes and messages in a stack trace, no conditions."""
    read = getattr(error, "getStackTrace", None)
    for found in _CAUSED_BY.finditer((read() if read else None) or ""):
        yield _Cause(found[1], found[2])


def _java_cause(java: Any) -> _Cause:
    from py4j.protocol import Py4JError  # not a part of a client of Spark Connect

    name, message = str(java.getClass().getName()), str(java.getMessage() or java.toString())
    try:
        condition, state = str(java.getCondition() or ""), str(java.getSqlState() or "")
        parameters = dict(java.getMessageParameters())
    except Py4JError:  # not an error of Spark's: it has no condition
        return _Cause(name, message)
    return _Cause(name, message, condition, state, parameters)


def _without_java(error: Any) -> _Cause:
    """An error of Spark Connect, or of Python."""
    read = {name: getattr(error, name, None) for name in ("getCondition", "getSqlState")}
    condition, state = (str((call() if call else None) or "") for call in read.values())
    parameters = getattr(error, "getMessageParameters", None)
    return _Cause(
        type(error).__name__,
        str(error),
        condition,
        state,
        dict((parameters() if parameters else None) or {}),
    )


def _spellings(path: str) -> tuple[str, ...]:
    """Some errors name the file as a URI, some as a path; both with a scheme in front."""
    plain = re.sub("^file:/+", "/", path)
    return (unquote(plain), plain) if path else ()
