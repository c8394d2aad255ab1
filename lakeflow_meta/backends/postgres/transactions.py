"""One statement, one transaction: carried out once or not at all, and it is known which.

What breaks before the COMMIT has left nothing behind. Where the connection breaks in the COMMIT,
the server is asked later what became of the transaction, by its number.
https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from lakeflow_meta.backends.postgres.connect import TEMPLATES
from lakeflow_meta.backends.postgres.faults import CONNECTION_LOST, NO_BLOCK_STATES, told
from lakeflow_meta.backends.postgres.parameters import bound
from lakeflow_meta.backends.postgres.results import answer_of
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ports import OUTCOME_UNKNOWN, Answer, Parameters

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_NOT_GIVEN_YET = "22023"
"""invalid_parameter_value: a number that the server has not given to anybody."""
WasCommitted = Callable[[str], bool | None]
"""What became of a transaction, by its number; None where nobody knows. Raises BackendError."""


def executed(connection: psycopg.Connection, statement: str, parameters: Parameters) -> Answer:
    """Send a statement and read what it brings. Raises psycopg.Error, BackendError, ConfigError."""
    text, values = bound(statement, parameters)
    with connection.cursor() as cursor:
        cursor.execute(text.encode(), values)
        return answer_of(cursor)


def run_inside(connection: psycopg.Connection, statement: str, parameters: Parameters) -> Answer:
    """The same in a transaction that somebody else ends. Raises BackendError, ConfigError."""
    import psycopg

    try:
        return executed(connection, statement, parameters)
    except psycopg.Error as error:
        raise told(error, connection) from error


def in_transaction(
    connection: psycopg.Connection,
    work: Callable[[psycopg.Connection], _T],
    was_committed: WasCommitted,
    *,
    outside: bool = False,
    about_to_commit: Callable[[str], None] | None = None,
) -> _T:
    """Do the work between BEGIN and COMMIT. ``outside``: where it refuses that, without them, once.

    ``about_to_commit`` gets the number of the transaction, if it has written anything, and may
    raise. Raises BackendError: transient only where nothing was done.
    """
    import psycopg

    try:
        connection.set_autocommit(False)
        done = work(connection)
    except psycopg.Error as error:
        failure = told(error, connection)
        roll_back(connection)
        if not outside or failure.code not in NO_BLOCK_STATES:
            raise failure from error
    except BaseException:
        roll_back(connection)
        raise
    else:
        commit(connection, was_committed, about_to_commit)
        return done
    return _outside(connection, work)


def commit(
    connection: psycopg.Connection,
    was_committed: WasCommitted,
    about_to_commit: Callable[[str], None] | None = None,
) -> None:
    """Commit what is open. Raises BackendError: transient only where nothing was done."""
    import psycopg

    try:
        transaction = _number(connection)
    except psycopg.Error as error:
        failure = told(error, connection)
        roll_back(connection)
        raise failure from error
    if transaction is not None and about_to_commit is not None:
        try:
            about_to_commit(transaction)
        except BaseException:
            roll_back(connection)
            raise
    try:
        connection.commit()
    except psycopg.Error as error:
        if not connection.closed:  # the server refused, and has rolled back
            raise told(error, connection) from error
        if transaction is not None:
            _ask(transaction, was_committed, error)


def _ask(transaction: str, was_committed: WasCommitted, lost: psycopg.Error) -> None:
    """Nothing where a COMMIT was done whose answer did not come. Raises BackendError."""
    try:
        done = was_committed(transaction)
    except BackendError as error:
        raise _unknown(transaction) from error
    if done is None:
        raise _unknown(transaction) from lost
    if not done:
        raise BackendError(
            "the connection was lost, and nothing was done", code=CONNECTION_LOST, transient=True
        ) from lost
    logger.warning("the connection was lost in a COMMIT, which was done all the same")


def _unknown(transaction: str) -> BackendError:
    return BackendError(
        f"the connection was lost while transaction {transaction} was committed, and whether it was"
        " cannot be told; look at the data before you run the statement again",
        code=OUTCOME_UNKNOWN,
    )


def _outside(connection: psycopg.Connection, work: Callable[[psycopg.Connection], _T]) -> _T:
    """Sent once. Raises BackendError, never transient: it may have been done in part."""
    import psycopg

    connection.set_autocommit(True)
    try:
        return work(connection)
    except psycopg.Error as error:
        failure = told(error, connection)
        code = OUTCOME_UNKNOWN if connection.closed else failure.code
        raise BackendError(str(failure), code=code) from error
    finally:
        if not connection.closed:
            connection.set_autocommit(False)


def _number(connection: psycopg.Connection) -> str | None:
    """Of the open transaction, with the life of the server; None where it has written nothing."""
    statement = TEMPLATES.render("internal/transaction_number").encode()
    found = connection.execute(statement).fetchone()
    return None if found is None or found[0] is None else f"{found[0]}@{found[1]}"


def outcome(connection: psycopg.Connection, transaction: str) -> bool | None:
    """Whether a transaction was committed; None where that cannot be told.

    After a crash the server may give numbers again that it had given to transactions which left no
    trace. So a number goes with the life of the server: when it was started, and when it began its
    statistics, which it does anew after it recovers. In another life "committed" may be somebody
    else's; all the rest says that ours was not. Raises BackendError, transient for one that is
    still running.
    """
    number, _, life = transaction.partition("@")
    statement = TEMPLATES.render("internal/transaction_outcome", number=number, life=life)
    try:
        table = run_inside(connection, statement, None).table
    except BackendError as error:
        if error.code == _NOT_GIVEN_YET:
            return False
        raise
    finally:
        roll_back(connection)
    found = {} if table is None else table.to_pylist()[0]
    status, same_life = found.get("status"), found.get("same_life")
    if status == "in progress" and same_life:  # its process has not noticed that we are gone
        raise BackendError(f"transaction {number} is running", code="in progress", transient=True)
    if status is None or (status == "committed" and not same_life):
        return None
    return bool(status == "committed")


def is_in_transaction(connection: psycopg.Connection) -> bool:
    """Whether somebody has begun one that is not ended."""
    from psycopg.pq import TransactionStatus

    status = connection.info.transaction_status
    return status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)


def roll_back(connection: psycopg.Connection) -> None:
    """What cannot be rolled back is closed; the server then rolls back by itself."""
    import psycopg

    try:
        connection.rollback()
    except psycopg.Error:
        connection.close()
