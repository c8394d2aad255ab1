"""One orchestrator at a time creates jobs: a row with a lease in ``etl_control_state``.

The platform has no "create unless there is one", so whoever creates holds this lock, looks for
jobs that carry the tags of the module, and only then creates. A process that dies keeps the lock
until its lease is over; a lease that was not given back therefore tells of a run that died.
Leases compare wall clocks of different machines, so they are long against any clock difference.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lakeflow_meta.arrow_values import rows_of
from lakeflow_meta.errors import ConflictError, LakeflowMetaError, NotFoundError
from lakeflow_meta.jobs.records import CREATION_LEASE, Lease, read_lease
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Clock, ControlStore, Sleep

logger = logging.getLogger(__name__)

Renew = Callable[[], None]


class CreationLock:
    """The right to create jobs for one control table."""

    def __init__(
        self,
        store: ControlStore,
        table: TableName,
        *,
        clock: Clock,
        sleep: Sleep,
        lease_seconds: float,
        wait_seconds: float,
        poll_seconds: float = 0.5,
    ) -> None:
        self._store = store
        self._table = table
        self._clock = clock
        self._sleep = sleep
        self._lease_seconds = lease_seconds
        self._wait_seconds = wait_seconds
        self._poll_seconds = poll_seconds
        self._owner = str(uuid.uuid4())

    def was_abandoned(self) -> bool:
        """Whether a run that could create jobs died: its lease is over and was never given back."""
        try:
            lease = self._read()
        except NotFoundError:
            return False
        return not lease.given_back and lease.is_free(self._clock())

    @contextmanager
    def held(self) -> Iterator[Renew]:
        """Hold the lock; call what is yielded before each creation.

        Raises ConflictError when another run holds it for longer than this one waits, and out of
        the yielded call when the lock was lost.
        """
        lease = self._acquire()

        def renew() -> None:
            nonlocal lease
            remaining = (lease.until - self._clock()).total_seconds()
            if remaining < self._lease_seconds / 2:
                lease = self._take(lease, self._owner) or _lost()

        try:
            yield renew
        finally:
            self._give_back(lease)

    def _read(self) -> Lease:
        rows = rows_of(self._store.read(self._table, where={"key": CREATION_LEASE}))
        return read_lease(rows, self._clock())

    def _acquire(self) -> Lease:
        waited = 0.0
        while True:
            seen = self._read()
            taken = self._take(seen, self._owner) if seen.is_free(self._clock()) else None
            if taken is not None:
                return taken
            if waited >= self._wait_seconds:
                raise ConflictError(
                    f"another run has been creating jobs for {waited:.0f} seconds"
                    f" (row {CREATION_LEASE} of {self._table}); try again later"
                )
            self._sleep(self._poll_seconds)
            waited += self._poll_seconds

    def _take(self, seen: Lease, owner: str) -> Lease | None:
        """The lease as taken; None when somebody else was first (the fence has moved)."""
        offered = seen.taken(owner, self._clock(), self._lease_seconds)
        result = self._store.merge(
            self._table,
            [offered.row()],
            keys=["key"],
            fence="fence",
            note={"verb": "apply", "actor": owner},
        )
        return offered if result.changed else None

    def _give_back(self, lease: Lease) -> None:
        """The work is done: if this fails, the lease ends by itself."""
        try:
            self._take(lease, "")
        except LakeflowMetaError:
            logger.warning("the lock on creating jobs could not be given back", exc_info=True)


def _lost() -> Lease:
    raise ConflictError("the lock on creating jobs was lost to another run")
