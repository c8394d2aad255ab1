"""Runs the body of one script. A verb.

Before each statement of a SQL script it is written down which ones have finished and which one
starts. So whoever runs the script again, after a failure or a kill, goes on behind what finished,
and knows which single statement may have run with nobody left to tell. That one is asked again: a
write of rows carries its id, and Delta does not commit it twice; a CREATE that finds its own work
there already, or a DROP that finds nothing to drop, is done.
"""

from __future__ import annotations

import logging
import uuid
from typing import TextIO

from lakeflow_meta.errors import BackendError
from lakeflow_meta.ports import OUTCOME_UNKNOWN, ScriptSession, ScriptTarget, WriteId
from lakeflow_meta.scripts.script import Language, Script, file_name
from lakeflow_meta.scripts.script_progress import ScriptProgress
from lakeflow_meta.scripts.statements import (
    Kind,
    Statement,
    kept_after,
    read_statements,
    says_done,
)
from lakeflow_meta.scripts.target_lease import TargetLease

logger = logging.getLogger(__name__)


def run_body(script: Script, target: ScriptTarget, lease: TargetLease, output: TextIO) -> None:
    """Run a script to its end. Raises BackendError that says where it failed, ConflictError when
    the lease was lost, ConfigError where no session can be had.
    """
    if script.language is Language.PY:
        target.run_python(script.body, file_name(script.script_id), output)
        return
    statements = read_statements(script.body, target.dialect)
    if not statements:
        return
    session = target.open_session()
    try:
        _SqlRun(script, statements, session, lease).run()
    finally:
        session.close()


class _SqlRun:
    """One run of the statements of one script, in one session."""

    def __init__(
        self,
        script: Script,
        statements: tuple[Statement, ...],
        session: ScriptSession,
        lease: TargetLease,
    ) -> None:
        self._name = script.script_id
        self._statements = statements
        self._digests = [statement.digest for statement in statements]
        self._kept = kept_after(statements)
        self._session = session
        self._lease = lease
        kept = ScriptProgress.of(lease.recall(self._name), uuid.uuid4().hex)
        self._progress = kept.within(self._digests)

    def run(self) -> None:
        finished = len(self._progress.done)
        if finished:
            logger.info("%s goes on behind statement %d", self._name, finished)
        for position, statement in enumerate(self._statements):
            if position < finished and statement.kind is not Kind.SESSION:
                continue
            self._lease.check()
            self._run(position, statement)
            if self._kept[position] and position >= finished:
                self._progress = self._progress.finished(self._digests, position)

    def _run(self, position: int, statement: Statement) -> None:
        marked = self._kept[position] and statement.kind not in (Kind.SESSION, Kind.END)
        doubtful = marked and self._progress.in_doubt(self._digests, position)
        if doubtful and self._progress.transaction:
            committed = self._session.was_committed(self._progress.transaction)
            if committed:
                return
            doubtful = committed is None
        if marked:
            self._remember(self._progress.starting(self._digests, position))
        write_id = WriteId(f"ddl-{self._progress.execution}", self._progress.number)
        try:
            self._session.execute(statement, write_id, self._committing if marked else _unmarked)
        except BackendError as error:
            if doubtful and says_done(statement.kind, error.code):
                number = position + 1
                logger.warning("%s: statement %d ran before: %s", self._name, number, error)
                return
            if error.code != OUTCOME_UNKNOWN:  # then it may have run after all
                self._remember(self._progress.stopped() if marked else self._progress)
            raise _failed(error, position + 1, len(self._statements)) from error

    def _committing(self, transaction: str) -> None:
        self._remember(self._progress.committing(transaction))

    def _remember(self, progress: ScriptProgress) -> None:
        """If the process dies before, the statement has not run; if behind, it is in doubt. That of
        a statement whose failure is known is written before the failure is logged.
        """
        self._progress = progress
        self._lease.remember(self._name, progress.to_dict())


def _unmarked(_transaction: str) -> None:
    """Of a statement that runs again anyway."""


def _failed(error: BackendError, number: int, total: int) -> BackendError:
    message = f"statement {number} of {total}: {error}"
    return BackendError(message, code=error.code, transient=error.transient)
