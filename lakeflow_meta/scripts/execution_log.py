"""What ran: rows of ``ddl_script_executions``, which are only added. A verb.

A row with `Success` means: never again. Rows that others wrote by SQL count too, with no more than
the four columns of the contract; one without a target counts for every target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from lakeflow_meta.arrow_values import rows_of
from lakeflow_meta.control.tables import EVENTS, EXECUTIONS, ControlTables
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.ports import Actor, Clock, ControlStore, Row
from lakeflow_meta.scripts.script import Script

SUCCESS = "Success"
FAILURE = "Failure"

_JUST_AFTER = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution. ``started_at`` is None where nothing ran; with an ``error`` it failed."""

    script_id: str
    script_name: str
    error: str = ""
    target: str | None = None
    checksum: str | None = None
    started_at: datetime | None = None
    seconds: float | None = None
    failed: bool = False

    @property
    def status(self) -> str:
        """One of the two words of the contract."""
        return FAILURE if self.failed or self.error else SUCCESS


@dataclass(frozen=True, slots=True)
class Success:
    """The last successful execution of a script; the checksum is None where nobody wrote it."""

    checksum: str | None


class ExecutionLog:
    """The log around one control table; ``run_id`` is that of all rows written here."""

    def __init__(
        self,
        store: ControlStore,
        tables: ControlTables,
        *,
        clock: Clock,
        actor: Actor,
        run_id: str,
    ) -> None:
        self._store = store
        self._tables = tables
        self._clock = clock
        self._actor = cache(actor)
        self._run_id = run_id
        self._latest: dict[str, datetime] = {}

    @property
    def table(self) -> str:
        """The full name of the log's table."""
        return str(self._tables.of(EXECUTIONS))

    def ensure(self) -> bool:
        """Make the table where it is absent; True if it was. What runs later must be logged, so
        who runs it is asked here too."""
        self._actor()
        return self._store.ensure(self._tables.of(EXECUTIONS), EXECUTIONS)

    def applied(self) -> Mapping[str, str | None]:
        """Scripts that ran, with the checksum of the text that ran last."""
        return {
            row["script_id"]: row["checksum"]
            for row in self._rows(None)
            if row["execution_status"] == SUCCESS
        }

    def success_of(self, script_id: str, target: str) -> Success | None:
        """Whether a script ran for a target."""
        found = None
        for row in self._rows(script_id):
            if row["execution_status"] == SUCCESS and row["target"] in (None, target):
                found = Success(row["checksum"])
        return found

    def rows_of(self, target: str) -> list[Row]:
        """All rows that concern a target, oldest first."""
        rows = self._read(lambda table: rows_of(self._store.read(table)))
        chosen = [row for row in rows if row["target"] in (None, target)]
        return sorted(chosen, key=lambda row: row["update_date"])

    def write(self, execution: Execution) -> None:
        """Append one row. Raises BackendError, ConflictError."""
        row = {
            "script_id": execution.script_id,
            "script_name": execution.script_name,
            "execution_status": execution.status,
            "update_date": self._now(execution.script_id),
            "checksum": execution.checksum,
            "started_at": execution.started_at,
            "duration_seconds": execution.seconds,
            "error": execution.error or None,
            "run_id": self._run_id,
            "executed_by": self._actor() or None,
            "target": execution.target,
        }
        self._store.append(self._tables.of(EXECUTIONS), [row], note=self._note)

    def write_once(self, execution: Execution) -> bool:
        """Add a `Success` unless there is one; of two at once one adds it. True if it did."""
        if self._rows(execution.script_id):
            return False
        row = {
            "script_id": execution.script_id,
            "script_name": execution.script_name,
            "execution_status": SUCCESS,
            "update_date": self._now(execution.script_id),
            "executed_by": self._actor() or None,
        }
        fixed = [name for name in row if name != "script_id"]
        table = self._tables.of(EXECUTIONS)
        merged = self._store.merge(
            table, [row], keys=["script_id"], insert_only=fixed, note=self._note
        )
        return merged.changed

    def accept(self, script: Script, before: str | None) -> None:
        """Let a changed text count as what ran: an event that says so, then a row that counts.

        If the process dies between the two, accepting it again adds another event.
        """
        table = self._tables.of(EVENTS)
        self._store.ensure(table, EVENTS)
        event = {
            "at": self._clock(),
            "actor": self._actor(),
            "verb": "ddl run",
            "object": script.script_id,
            "action": "accepted",
            "before": canonical_json({"checksum": before}),
            "after": canonical_json({"checksum": script.checksum}),
            "outcome": "done",
        }
        self._store.append(table, [event], note=self._note)
        self.write(
            Execution(script.script_id, script.name, target=script.target, checksum=script.checksum)
        )

    # --- inside

    def _rows(self, script_id: str | None) -> list[Row]:
        """Rows of one script or of all, in the order in which they were written."""
        columns = ["script_id", "execution_status", "update_date", "checksum", "target"]
        where = None if script_id is None else {"script_id": script_id}
        rows = self._read(
            lambda table: rows_of(self._store.read(table, columns=columns, where=where))
        )
        rows.sort(key=lambda row: row["update_date"])
        for row in rows:
            self._latest[row["script_id"]] = row["update_date"]
        return rows

    def _read(self, read: Callable[..., list[Row]]) -> list[Row]:
        """None where the log was never made, so nothing is in it."""
        try:
            return read(self._tables.of(EXECUTIONS))
        except NotFoundError:
            return []

    def _now(self, script_id: str) -> datetime:
        """The time, and later than the script's last row though a clock was set back."""
        now, latest = self._clock(), self._latest.get(script_id)
        stamp = now if latest is None else max(now, latest + _JUST_AFTER)
        self._latest[script_id] = stamp
        return stamp

    @property
    def _note(self) -> dict[str, str]:
        return {"verb": "ddl run", "actor": self._actor()}
