"""Lanes: leased application ids, so that few ids with rising versions serve many writers.

Delta keeps each application id in the log of the target, and takes a version only when it is
higher than the last one of its id. So a lane is used by one ingestor at a time, and finishes a
version before it starts the next. A lane is a row of the controller's state, taken and renewed by
fenced writes. Holding it is a courtesy that keeps work from being done twice; that rows are never
written twice rests on Delta's own check alone, so a holder that was given up while it was only
slow does no harm.

Whether a holder is gone is told by its process where that can be seen, and no clock is asked: one
that jumps, forward or back, takes no lane from a slow process, and keeps none for a dead one. Of
processes on other machines only the lease is known; it counts by the clock of who asks, so clocks
that differ by more than a lease cost double work, or waiting, and never rows.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from lakeflow_meta.arrow_values import rows_of
from lakeflow_meta.control.tables import STATE
from lakeflow_meta.errors import ConflictError, LakeflowMetaError, NotFoundError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.ingest.ledger_tables import TableNames
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Clock, ControlStore

logger = logging.getLogger(__name__)

MAX_LANES = 32
"""Writers that one target can have at once."""

IsAlive = Callable[[str], bool | None]
"""Whether the process that an owner text names is running; None where that cannot be told."""

_own_runs: set[str] = set()
"""Owners that are at work in this process: of its own runs a process knows which have ended."""


class LaneLostError(ConflictError):
    """Somebody else holds the lane now."""


@dataclass(frozen=True, slots=True)
class _Record:
    """One lane as the state table has it. ``fence`` 0: there is no row yet."""

    number: int
    app_id: str
    version: int = 0
    owner: str = ""
    until: datetime | None = None
    fence: int = 0


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long a lease holds without being renewed, and how often its holder renews it."""

    seconds: float = 120.0
    renew_seconds: float = 30.0


class Lanes:
    """The lanes of one target, for one owner."""

    def __init__(
        self,
        store: ControlStore,
        tables: TableNames,
        target: TableName,
        *,
        owner: str,
        is_alive: IsAlive,
        clock: Clock,
        terms: LeaseTerms,
    ) -> None:
        self._store = store
        self._table = tables.of(STATE)
        self._prefix = f"ingest/{target.key}/"
        self._owner = owner
        self._is_alive = is_alive
        self._clock = clock
        self._terms = terms

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Be known as running, to other runs of this process, as long as the block runs."""
        _own_runs.add(self._owner)
        try:
            yield
        finally:
            _own_runs.discard(self._owner)

    def acquire(self, avoid: Collection[str] = ()) -> Lane:
        """Lease any free lane but those of the application ids in ``avoid``.

        Raises ConflictError when all are held by living owners.
        """
        records = self._read()
        while True:
            usable = [record for record in records if record.app_id not in avoid]
            if (lane := self._first_free(usable)) is not None:
                return lane
            records = self._read()
            if len(records) >= MAX_LANES:
                raise ConflictError(
                    f"all {MAX_LANES} lanes of {self._prefix} are held by running ingestors"
                )
            records.append(_new(records))

    def acquire_app(self, app_id: str) -> Lane | None:
        """Lease the lane of an application id; None while a living owner holds it."""
        records = self._read()
        known = [record for record in records if record.app_id == app_id]
        return self._first_free(known or [replace(_new(records), app_id=app_id)])

    def _first_free(self, records: list[_Record]) -> Lane | None:
        for record in records:
            if self._is_free(record) and (lane := self._take(record)) is not None:
                return lane
        return None

    def _is_free(self, record: _Record) -> bool:
        if not record.owner or record.until is None:
            return True
        if _process(record.owner) == _process(self._owner):
            return record.owner not in _own_runs
        alive = self._is_alive(record.owner)
        return record.until <= self._clock() if alive is None else not alive

    def _take(self, record: _Record) -> Lane | None:
        taken = self.leased(record)
        return Lane(self, taken) if self.write(taken) else None

    def leased(self, record: _Record) -> _Record:
        """The record with a fresh lease of this owner and the next fence."""
        until = self._clock() + timedelta(seconds=self._terms.seconds)
        return replace(record, owner=self._owner, until=until, fence=record.fence + 1)

    def write(self, record: _Record) -> bool:
        """Put the record down where its fence follows the recorded one; whether it stands."""
        row = {
            "key": f"{self._prefix}{record.number}",
            "value": _text(record),
            "fence": record.fence,
        }
        self._store.merge(self._table, [row], keys=STATE.keys, fence="fence")
        found = rows_of(self._store.read(self._table, where={"key": row["key"]}))
        return [item["value"] for item in found] == [row["value"]]

    @property
    def terms(self) -> LeaseTerms:
        """The lease that this owner asks for."""
        return self._terms

    def _read(self) -> list[_Record]:
        keys = [f"{self._prefix}{number}" for number in range(MAX_LANES)]
        try:
            rows = rows_of(self._store.read(self._table, where={"key": keys}))
        except NotFoundError:
            self._store.ensure(self._table, STATE)
            return []
        found = [_record(row) for row in rows]
        return sorted(found, key=lambda record: record.number)


class Lane:
    """A lane that this process holds. Safe to renew from another thread."""

    def __init__(self, lanes: Lanes, record: _Record) -> None:
        self._lanes = lanes
        self._record = record
        self._lock = threading.Lock()

    @property
    def app_id(self) -> str:
        """``txnAppId`` of this lane."""
        return self._record.app_id

    @property
    def version(self) -> int:
        """The highest version that was ever started in this lane."""
        return self._record.version

    @property
    def owner(self) -> str:
        """Who holds it."""
        return self._record.owner

    @property
    def until(self) -> datetime | None:
        """Until when the lease holds."""
        return self._record.until

    def start_version(self, version: int) -> None:
        """Note that a version is in use, before anything carries it. Raises LaneLostError."""
        self._renew(version)

    def release(self) -> None:
        """Let others have the lane. A lane that was lost already stays with its new holder."""
        with self._lock:
            free = replace(self._record, owner="", until=None, fence=self._record.fence + 1)
            self._lanes.write(free)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease from a thread as long as the block runs."""
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(over,), name="lease", daemon=True)
        beat.start()
        try:
            yield
        finally:
            over.set()
            beat.join()

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(self._lanes.terms.renew_seconds):
            try:
                self._renew(self._record.version)
            except LaneLostError:
                logger.warning("lane %s was taken over while its batch was loading", self.app_id)
                return
            except LakeflowMetaError as error:
                logger.warning("the lease of lane %s was not renewed: %s", self.app_id, error)

    def _renew(self, version: int) -> None:
        with self._lock:
            renewed = replace(self._lanes.leased(self._record), version=version)
            if not self._lanes.write(renewed):
                raise LaneLostError(f"lane {self.app_id} is held by another ingestor now")
            self._record = renewed


def _process(owner: str) -> str:
    return owner.partition("/")[0]


def _new(records: list[_Record]) -> _Record:
    used = {record.number for record in records}
    number = next(number for number in range(MAX_LANES + 1) if number not in used)
    return _Record(number, app_id=f"ingest-{uuid4().hex[:12]}")


def _text(record: _Record) -> str:
    return canonical_json(
        {
            "app_id": record.app_id,
            "version": record.version,
            "owner": record.owner,
            "until": record.until.isoformat() if record.until else None,
        }
    )


def _record(row: Mapping[str, Any]) -> _Record:
    value = json.loads(row["value"])
    return _Record(
        number=int(row["key"].rpartition("/")[2]),
        app_id=value["app_id"],
        version=value["version"],
        owner=value["owner"],
        until=datetime.fromisoformat(value["until"]) if value["until"] else None,
        fence=row["fence"],
    )
