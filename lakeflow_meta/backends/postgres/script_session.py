"""`ScriptSession` on PostgreSQL: one connection, each statement a transaction that has a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lakeflow_meta.backends.postgres.transactions import WasCommitted, executed, in_transaction

if TYPE_CHECKING:
    import psycopg

    from lakeflow_meta.ports import WriteId
    from lakeflow_meta.scripts.statements import Statement


class PostgresScriptSession:
    """The statements of one script; what they set holds until its end."""

    def __init__(self, connection: psycopg.Connection, was_committed: WasCommitted) -> None:
        self._connection = connection
        self._was_committed = was_committed

    def execute(
        self, statement: Statement, _write_id: WriteId, about_to_commit: Callable[[str], None]
    ) -> None:
        """Run one statement, and commit it. Raises BackendError, NotFoundError."""
        in_transaction(
            self._connection,
            lambda connection: executed(connection, statement.text, None),
            self._was_committed,
            outside=True,
            about_to_commit=about_to_commit,
        )

    def was_committed(self, transaction: str) -> bool | None:
        """Whether a transaction was committed; None where that cannot be told any more."""
        return self._was_committed(transaction)

    def close(self) -> None:
        """End the connection; what it did stays."""
        self._connection.close()
