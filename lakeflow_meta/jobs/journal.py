"""What was done to jobs, written to the control tables in few commits.

A record follows its platform call. When the process dies in between, the next run finds the job
by the recorded id or by its tags, sees that it is as wanted, and writes the record then.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakeflow_meta.control.tables import EVENTS, JOBS, ControlTables
from lakeflow_meta.errors import LakeflowMetaError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.jobs.records import JobRecord
from lakeflow_meta.jobs.settings_diff import Change, values_after, values_before
from lakeflow_meta.ports import Clock, ControlStore


@dataclass(slots=True)
class _Page:
    """What goes into one commit of each table."""

    records: dict[str, JobRecord] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.records) + len(self.removed)

    @property
    def touched(self) -> list[str]:
        return sorted({*self.records, *self.removed})


class Journal:
    """Collects records and events and writes them, events first, `BATCH` modules at a time.

    Safe to use from several threads: while one of them writes, the others go on collecting.
    """

    BATCH = 100
    """Modules a commit. A commit takes a second on a SQL warehouse, however many rows it has; jobs
    go out at 20 a second meanwhile, so that no size makes a run longer, and a small one only makes
    more versions. What a killed process leaves unrecorded is five seconds of work."""

    def __init__(
        self, store: ControlStore, tables: ControlTables, *, clock: Clock, actor: str
    ) -> None:
        self._store = store
        self._tables = tables
        self._clock = clock
        self._actor = actor
        self._page = _Page()
        self._collecting = threading.Lock()
        self._writing = threading.Lock()
        self.failures: dict[str, str] = {}
        """Modules whose job is as wanted but could not be recorded, with the reason."""

    def record(self, record: JobRecord) -> None:
        """The job is as the record says."""
        with self._collecting:
            self._page.removed.discard(record.module_name)
            self._page.records[record.module_name] = record
        self._flush_when_full()

    def remove(self, module_name: str) -> None:
        """The module has no job any more."""
        with self._collecting:
            self._page.records.pop(module_name, None)
            self._page.removed.add(module_name)
        self._flush_when_full()

    def event(self, module_name: str, action: str, job_id: int, changes: Sequence[Change]) -> None:
        """Something was done."""
        job: dict[str, Any] = {"job_id": job_id}
        event = {
            "at": self._clock(),
            "actor": self._actor,
            "verb": "apply",
            "object": module_name,
            "action": action,
            "before": canonical_json(job | values_before(changes)),
            "after": canonical_json(job | values_after(changes)),
            "outcome": "done",
        }
        with self._collecting:
            self._page.events.append(event)

    def _flush_when_full(self) -> None:
        if self._page.size >= self.BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting, after what is being written. What fails is in ``failures``.

        Whoever waits here for others finds that they have written its records with theirs.
        """
        with self._writing:
            with self._collecting:
                page, self._page = self._page, _Page()
            try:
                self._write(page)
            except LakeflowMetaError as error:
                self.failures |= dict.fromkeys(page.touched, str(error))

    def _write(self, page: _Page) -> None:
        note: Mapping[str, str] = {"verb": "apply", "actor": self._actor}
        if page.events:
            self._store.append(self._tables.of(EVENTS), page.events, note=note)
        if touched := page.touched:
            now = self._clock()
            self._store.merge(
                self._tables.of(JOBS),
                [record.row(now) for _, record in sorted(page.records.items())],
                keys=JOBS.keys,
                insert_only=("created_timestamp",),
                touch=("updated_timestamp", "control_version"),
                scope={"module_name": touched},
                note=note,
            )
