"""What was done to jobs, written to the control tables in few commits.

A record follows its platform call. When the process dies in between, the next run finds the job
by the recorded id or by its tags, sees that it is as wanted, and writes the record then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lakeflow_meta.control.tables import EVENTS, JOBS, ControlTables
from lakeflow_meta.errors import LakeflowMetaError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.jobs.records import JobRecord
from lakeflow_meta.jobs.settings_diff import Change
from lakeflow_meta.ports import Clock, ControlStore


class Journal:
    """Collects records and events and writes them, events first, `BATCH` modules at a time."""

    BATCH = 50

    def __init__(
        self, store: ControlStore, tables: ControlTables, *, clock: Clock, actor: str
    ) -> None:
        self._store = store
        self._tables = tables
        self._clock = clock
        self._actor = actor
        self._records: dict[str, JobRecord] = {}
        self._removed: set[str] = set()
        self._events: list[dict[str, Any]] = []
        self.failures: dict[str, str] = {}
        """Modules whose job is as wanted but could not be recorded, with the reason."""

    def record(self, record: JobRecord) -> None:
        """The job is as the record says."""
        self._removed.discard(record.module_name)
        self._records[record.module_name] = record
        self._flush_when_full()

    def remove(self, module_name: str) -> None:
        """The module has no job any more."""
        self._records.pop(module_name, None)
        self._removed.add(module_name)
        self._flush_when_full()

    def event(self, module_name: str, action: str, job_id: int, changes: Sequence[Change]) -> None:
        """Something was done."""
        job: dict[str, Any] = {"job_id": job_id}
        self._events.append(
            {
                "at": self._clock(),
                "actor": self._actor,
                "verb": "apply",
                "object": module_name,
                "action": action,
                "before": canonical_json(job | _side(changes, "before")),
                "after": canonical_json(job | _side(changes, "after")),
                "outcome": "done",
            }
        )

    def _flush_when_full(self) -> None:
        if len(self._records) + len(self._removed) >= self.BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting. What cannot be written is kept in ``failures``."""
        touched = sorted({*self._records, *self._removed})
        try:
            self._write(touched)
        except LakeflowMetaError as error:
            self.failures |= dict.fromkeys(touched, str(error))
        self._records.clear()
        self._removed.clear()
        self._events.clear()

    def _write(self, touched: Sequence[str]) -> None:
        note = {"verb": "apply", "actor": self._actor}
        if self._events:
            self._store.append(self._tables.of(EVENTS), self._events, note=note)
        if touched:
            now = self._clock()
            self._store.merge(
                self._tables.of(JOBS),
                [record.row(now) for _, record in sorted(self._records.items())],
                keys=JOBS.keys,
                insert_only=("created_timestamp",),
                touch=("updated_timestamp", "control_version"),
                scope={"module_name": touched},
                note=note,
            )


def _side(changes: Sequence[Change], side: str) -> dict[str, Any]:
    values = {change.path: getattr(change, side) for change in changes}
    return {path: value for path, value in values.items() if value is not None}
