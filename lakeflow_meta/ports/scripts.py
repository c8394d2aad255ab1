"""What DDL scripts run on: the sessions of one target, a lakehouse or a warehouse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from lakeflow_meta.scripts.statements import Statement


@dataclass(frozen=True, slots=True)
class WriteId:
    """Names one statement's write of rows: once committed, it is never made again."""

    app_id: str
    version: int


class ScriptSession(Protocol):
    """Runs the statements of one SQL script, in one session that nobody else uses."""

    def execute(
        self, statement: Statement, write_id: WriteId, about_to_commit: Callable[[str], None]
    ) -> None:
        """Run one statement. Raises BackendError, with the platform's own condition as its code.

        Where the platform keeps ids of writes (Delta does), rows whose ``write_id`` was committed
        before are not written again. Where it numbers its transactions, ``about_to_commit`` is
        given the number that `was_committed` understands, and may raise.
        """

    def was_committed(self, transaction: str) -> bool | None:
        """Whether a transaction was committed; None where that cannot be told any more.

        Waits for one that is still running. Raises BackendError.
        """

    def close(self) -> None:
        """End the session; what it did stays."""


class ScriptTarget(Protocol):
    """Where the scripts of one target run."""

    @property
    def noun(self) -> str:
        """What reports call it: lakehouse or warehouse."""

    @property
    def dialect(self) -> str:
        """Whose SQL its scripts are: a `warehouse.dialects.Dialect`."""

    @property
    def allows_transactions(self) -> bool:
        """Whether scripts may begin and end transactions themselves."""

    def open_session(self) -> ScriptSession:
        """A new session. Raises BackendError, ConfigError."""

    def lacks(self, names: frozenset[str]) -> str:
        """Why a Python script that uses these names cannot run here; empty where it can."""

    def run_python(self, body: str, file: str, output: TextIO) -> None:
        """Run a Python script in a namespace of its own; what it prints goes to ``output``.

        Raises BackendError for whatever the script raises.
        """
