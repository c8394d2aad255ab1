"""Every error that this package raises on purpose.

    LakeflowMetaError
    ├── ConfigError                settings, environment, missing Java        exit code 2
    ├── SpecError                  what people declared is wrong; carries     exit code 2
    │                              every problem with file, line and path
    ├── UnsafeChangeError          a change that needs an explicit word       exit code 1
    ├── ConflictError              somebody else was first                    exit code 1
    ├── BackendError               Spark, Delta, SDK or disk refused          exit code 1
    │   └── NotFoundError
    └── RunFailedError             some objects of many failed; carries the   exit code 1
        └── SyncFailedError        report (schema engine)

Raise when a call cannot keep its promise. Where one object of many fails, record its outcome, go
on with the others, and raise one `RunFailedError` at the end. Errors are told apart by class,
error condition or SQLSTATE, never by message text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in what people declared.

    ``line`` and ``column`` count from 1; 0 where the source has no lines (a control-table row).
    ``path`` leads to the value inside the document, e.g. ``modules[0].sources[2].source_id``.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        text = f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class LakeflowMetaError(Exception):
    """Base of every error of this package; ``exit_code`` is what the command line returns."""

    exit_code: ClassVar[int] = 1


class ConfigError(LakeflowMetaError):
    """The settings or the machine do not allow the call; the message says what to do."""

    exit_code = 2


class SpecError(LakeflowMetaError):
    """What people declared is wrong. Carries every problem found, not only the first."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        title = "1 problem" if count == 1 else f"{count} problems"
        super().__init__("\n".join([title, *(f"  {problem}" for problem in self.problems)]))


class UnsafeChangeError(LakeflowMetaError):
    """The plan holds a change that needs an explicit word. Carries the plan."""

    def __init__(self, message: str, plan: Any) -> None:
        super().__init__(message)
        self.plan = plan


class ConflictError(LakeflowMetaError):
    """Somebody else changed the same thing first."""


class BackendError(LakeflowMetaError):
    """Spark, Delta, the SDK or the disk refused.

    ``code`` is the platform's own: an error condition, an SQLSTATE or an SDK class name.
    ``transient`` says whether the same call may succeed later.
    """

    def __init__(self, message: str, *, code: str = "", transient: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.transient = transient


class NotFoundError(BackendError):
    """The named object does not exist (typed by the platform, never guessed from text)."""


class RunFailedError(LakeflowMetaError):
    """At least one object of many failed. ``report`` holds the outcome of every one."""

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report


class SyncFailedError(RunFailedError):
    """At least one table could not be synchronised."""
