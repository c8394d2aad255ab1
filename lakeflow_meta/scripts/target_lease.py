"""One runner at a time for each target: a lease in ``etl_control_state``.

Every change of the row raises its fence by one, so that of two runners who saw the same row one
wins. The lease is short and renewed while scripts run. A runner that dies stops renewing: another
one goes on when the lease is over, or at once where the dead process can be told.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from lakeflow_meta.control.tables import STATE
from lakeflow_meta.errors import BackendError, ConflictError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Clock, ControlStore, Sleep

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """Seconds: how long a lease holds, how long to wait for another runner, how often to look."""

    lease_seconds: float = 60.0
    wait_seconds: float = 3600.0
    poll_seconds: float = 1.0


class TargetLease:
    """The right to run the scripts of one target. ``owner`` names this runner and nobody else."""

    def __init__(
        self,
        store: ControlStore,
        table: TableName,
        target: str,
        owner: str,
        *,
        terms: LeaseTerms,
        clock: Clock,
        sleep: Sleep,
        is_alive: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._table = table
        self._key = f"ddl/{target}"
        self._owner = owner
        self._terms = terms
        self._clock = clock
        self._sleep = sleep
        self._is_alive = is_alive
        self._fence = 0
        self._until = clock()
        self._lost = ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease; it is renewed meanwhile, and given back at the end.

        Raises ConflictError when another runner does not give it back in time.
        """
        self._wait_for_it()
        stopped = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(stopped,), name=self._key, daemon=True)
        keeper.start()
        try:
            yield
        finally:
            stopped.set()
            keeper.join()
            self._give_back()

    def check(self) -> None:
        """Raises ConflictError when the lease was lost, so that nothing more may be run."""
        if not self._lost and self._clock() >= self._until:
            self._lost = "the lease ran out before it could be renewed"
        if self._lost:
            raise ConflictError(f"{self._key}: {self._lost}; another runner may go on")

    def _wait_for_it(self) -> None:
        waited = 0.0
        while not self._take():
            if waited >= self._terms.wait_seconds:
                holder = self._holder()
                raise ConflictError(f"{self._key}: another runner holds it: {holder}")
            self._sleep(self._terms.poll_seconds)
            waited += self._terms.poll_seconds

    def _take(self) -> bool:
        """Take the lease if nobody has it; another one may be first."""
        owner, until, fence = self._read()
        if owner and until > self._clock() and self._is_alive(owner):
            return False
        return self._write(self._owner, fence + 1)

    def _read(self) -> tuple[str, datetime, int]:
        rows = self._store.read(self._table, where={"key": self._key}).to_pylist()
        if not rows:
            return "", self._clock(), 0
        value = json.loads(rows[0]["value"])
        return value["owner"], datetime.fromisoformat(value["until"]), rows[0]["fence"]

    def _holder(self) -> str:
        owner, until, _ = self._read()
        return f"{owner}, until {until.isoformat()}"

    def _write(self, owner: str, fence: int) -> bool:
        until = self._clock() + timedelta(seconds=self._terms.lease_seconds)
        value = canonical_json({"owner": owner, "until": until.isoformat()})
        result = self._store.merge(
            self._table,
            [{"key": self._key, "value": value, "fence": fence}],
            keys=STATE.keys,
            fence="fence",
        )
        if result.changed:
            self._fence, self._until = fence, until
        return result.changed

    def _keep(self, stopped: threading.Event) -> None:
        while not stopped.wait(self._terms.lease_seconds / 3):
            try:
                renewed = self._write(self._owner, self._fence + 1)
            except (BackendError, ConflictError) as error:
                logger.warning("%s could not be renewed: %s", self._key, error)
                continue
            if not renewed:
                self._lost = "another runner took it"
                return

    def _give_back(self) -> None:
        """Scripts have run: where this fails, the lease ends by itself."""
        try:
            self._write("", self._fence + 1)
        except (BackendError, ConflictError) as error:
            logger.warning("%s could not be given back: %s", self._key, error)
