"""A `ScriptTarget` in memory: it refuses what exists already, and can keep ids of writes.

Statements are read by their first words: ``CREATE TABLE t``, ``DROP TABLE t``, ``INSERT INTO t …``,
``USE …``; whatever else is only remembered. One that holds ``boom`` is refused.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import TextIO

from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ports import ScriptSession, WriteId
from lakeflow_meta.scripts.statements import Kind, Statement
from lakeflow_meta.warehouse.dialects import Dialect

Wrap = Callable[[ScriptSession], ScriptSession]


class FakeScriptTarget:
    """One database. ``ran`` are the statements and Python scripts that had an effect, in order.

    ``keeps_ids``: as Delta, rows of one id are written once. ``numbers``: as PostgreSQL, it tells
    the number of a transaction before it commits. ``during`` is called with each statement or
    script before it runs; ``wrap`` stands around each session.
    """

    noun = "lakehouse"
    allows_transactions = True

    def __init__(
        self,
        *,
        keeps_ids: bool = True,
        numbers: bool = False,
        during: Callable[[str], None] = lambda _: None,
        wrap: Wrap = lambda session: session,
        missing: str = "",
    ) -> None:
        self.ran: list[str] = []
        self.tables: dict[str, list[str]] = {}
        self.sessions = 0
        self.keeps_ids = keeps_ids
        self.numbers = numbers
        self.during = during
        self.wrap = wrap
        self.missing = missing
        self.versions: dict[str, int] = {}
        self.transactions = itertools.count(1)
        self.committed: set[str] = set()
        self.lock = threading.Lock()

    @property
    def dialect(self) -> str:
        """PostgreSQL's where it numbers transactions, else Spark's."""
        return Dialect.POSTGRES if self.numbers else Dialect.DATABRICKS

    def open_session(self) -> ScriptSession:
        """A new session on the same tables."""
        self.sessions += 1
        return self.wrap(_Session(self))

    def lacks(self, names: frozenset[str]) -> str:
        """Whatever names ``missing`` cannot run."""
        return f"there is no {self.missing} here" if self.missing in names else ""

    def run_python(self, body: str, file: str, output: TextIO) -> None:
        """Only remembered."""
        self.during(body)
        if "boom" in body:
            raise BackendError("it exploded", code="BOOM")
        output.write(f"{file}\n")
        self.ran.append(body)


class _Session:
    def __init__(self, target: FakeScriptTarget) -> None:
        self._target = target
        self.used = ""

    def execute(
        self, statement: Statement, write_id: WriteId, about_to_commit: Callable[[str], None]
    ) -> None:
        target = self._target
        target.during(statement.text)
        if "boom" in statement.text:
            raise BackendError("it exploded", code="BOOM")
        self._check(statement)
        if target.numbers:
            number = str(next(target.transactions))
            about_to_commit(number)
            target.committed.add(number)
        with target.lock:
            self._apply(statement, write_id)

    def was_committed(self, transaction: str) -> bool | None:
        return transaction in self._target.committed

    def close(self) -> None:
        self.used = ""

    def _check(self, statement: Statement) -> None:
        there = _table(statement) in self._target.tables
        if statement.text.startswith("CREATE TABLE") and there:
            raise BackendError("it is there", code="TABLE_OR_VIEW_ALREADY_EXISTS")
        if statement.text.startswith(("DROP TABLE", "INSERT INTO")) and not there:
            raise NotFoundError("it is not there", code="TABLE_OR_VIEW_NOT_FOUND")

    def _apply(self, statement: Statement, write_id: WriteId) -> None:
        target, text = self._target, statement.text
        if statement.kind is Kind.ROWS and target.keeps_ids:
            if target.versions.get(write_id.app_id, 0) >= write_id.version:
                return
            target.versions[write_id.app_id] = write_id.version
        match text.split():
            case ["CREATE", "TABLE", name, *_]:
                target.tables[name] = []
            case ["DROP", "TABLE", name, *_]:
                del target.tables[name]
            case ["INSERT", "INTO", name, *rest]:
                target.tables[name].append(" ".join([*rest, self.used]).strip())
            case ["USE", name]:
                self.used = name
                return
        target.ran.append(text)


def _table(statement: Statement) -> str:
    return statement.text.split()[2] if len(statement.text.split()) > 2 else ""
