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

from py4j.protocol import Py4JError

from lakeflow_meta.backends.spark import first_screen

_FILE_CONDITIONS = ("FAILED_READ_FILE", "PATH_NOT_FOUND")
_RAISED = "USER_RAISED_EXCEPTION"
_DATA_STATES = ("22", "23")
"""SQLSTATE classes: data exception, integrity constraint violation."""

_CONCURRENT_TRANSACTION = "io.delta.exceptions.ConcurrentTransactionException"
_MOST_CAUSES = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """What failed. ``paths``: spellings of the physical file that the error names, if it does."""

    reason: str
    paths: tuple[str, ...]
    about_data: bool
    same_transaction: bool
    """Whether another writer committed a transaction of the same application meanwhile."""


@dataclass(frozen=True, slots=True)
class _Cause:
    class_name: str
    message: str
    condition: str = ""
    state: str = ""
    parameters: Mapping[str, str] | None = None


def read_fault(error: BaseException) -> Fault:
    """What an error of Spark's says."""
    causes = list(_causes(error))
    paths: tuple[str, ...] = ()
    for cause in causes:
        if cause.condition.startswith(_FILE_CONDITIONS) and cause.parameters:
            paths = _spellings(cause.parameters.get("path", ""))
            break
    return Fault(
        reason=_reason(causes),
        paths=paths,
        about_data=bool(paths) or any(_is_about_data(cause) for cause in causes),
        same_transaction=any(cause.class_name == _CONCURRENT_TRANSACTION for cause in causes),
    )


def _is_about_data(cause: _Cause) -> bool:
    return cause.condition == _RAISED or cause.state.startswith(_DATA_STATES)


def _reason(causes: list[_Cause]) -> str:
    """The innermost words; with the condition in front of them that says what they are about."""
    innermost = causes[-1]
    if innermost.condition == _RAISED and innermost.parameters:
        return innermost.parameters.get("errorMessage", innermost.message)
    told = next((cause for cause in reversed(causes) if cause.condition), innermost)
    words = first_screen(told.message).split("\n")[0]
    if told is innermost:
        return words
    return f"{words} ({first_screen(innermost.message)})"


def _causes(error: BaseException) -> Iterator[_Cause]:
    java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    if java is None:
        yield _without_java(error)
        return
    seen = 0
    while java is not None and seen < _MOST_CAUSES:
        yield _java_cause(java)
        java = java.getCause()
        seen += 1


def _java_cause(java: Any) -> _Cause:
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
