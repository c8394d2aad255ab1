"""One runner at a time for each target: a lease in ``etl_control_state``. A verb.

Every change of the row raises its fence by one, so that of two runners who saw the same row one
wins. The lease is short and renewed while scripts run. A runner that dies stops renewing: another
one goes on at once where the dead process can be told, else when the row has not moved for as long
as the lease holds, by the waiter's own patience. No clock is compared with another one, so a clock
that jumps neither frees a lease nor loses one; the time in the row is for people.

With the lease goes a memory, of scripts that have begun and not succeeded. Whoever lost the lease
cannot write it.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from lakeflow_meta.arrow_values import rows_of
from lakeflow_meta.control.tables import STATE, ControlTables
from lakeflow_meta.errors import BackendError, ConflictError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.ports import Clock, ControlStore, Sleep, utc_now

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """Seconds: how long a lease holds, how long to wait for another runner, how often to look."""

    lease_seconds: float = 60.0
    wait_seconds: float = 3600.0
    poll_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Leases:
    """What all leases of one process share. ``owner`` names the process; ``is_alive`` tells of such
    a name whether its process may still run; ``monotonic`` counts seconds.
    """

    store: ControlStore
    tables: ControlTables
    owner: str
    is_alive: Callable[[str], bool] = bool
    terms: LeaseTerms = LeaseTerms()
    clock: Clock = utc_now
    sleep: Sleep = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    def ensure(self) -> None:
        """Make the table of leases where it is absent."""
        self.store.ensure(self.tables.of(STATE), STATE)

    def of(self, target: str) -> TargetLease:
        """A lease that is not held yet; each has an owner's name of its own."""
        return TargetLease(self, f"ddl/{target}", f"{self.owner}/{uuid.uuid4().hex}")


@dataclass(frozen=True, slots=True)
class _Row:
    """The lease as it is recorded."""

    owner: str = ""
    until: str = ""
    seconds: float = 0.0
    fence: int = 0
    memory: Mapping[str, Any] = field(default_factory=dict)


class TargetLease:
    """The right to run the scripts of one target. Made by `Leases.of`."""

    def __init__(self, shared: Leases, key: str, owner: str) -> None:
        self._shared = shared
        self._key = key
        self._owner = owner
        self._fence = 0
        self._memory: dict[str, Any] = {}
        self._renewed = 0.0
        self._lost = ""
        self._writing = threading.Lock()

    @contextmanager
    def held(self, waits: Callable[[str], None] = lambda _holder: None) -> Iterator[None]:
        """Hold the lease; it is renewed meanwhile, and given back at the end.

        ``waits`` is told once who has it. Raises ConflictError when another runner does not give it
        back in time, BackendError.
        """
        self._wait_for_it(waits)
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
        age = self._shared.monotonic() - self._renewed
        if not self._lost and age >= self._shared.terms.lease_seconds:
            self._lost = "the lease ran out before it could be renewed"
        if self._lost:
            raise ConflictError(f"{self._key}: {self._lost}; another runner may go on")

    # --- memory

    def recall(self, name: str) -> Any:
        """What was remembered under a name, by this or an earlier runner; None if nothing."""
        return self._memory.get(name)

    def remember(self, name: str, value: Any) -> None:
        """Write a value down now. Raises ConflictError when the lease was lost, BackendError."""
        self.check()
        with self._writing:
            self._memory[name] = value
            if not self._write(self._owner):
                self._lost = "another runner took it"
        self.check()

    def forget(self, name: str) -> None:
        """Leave a value out of whatever is written next."""
        with self._writing:
            self._memory.pop(name, None)

    # --- taking and keeping

    def _wait_for_it(self, waits: Callable[[str], None]) -> None:
        terms = self._shared.terms
        waited = still = 0.0
        last = _Row()
        while True:
            row = self._read()
            still = still if row.fence == last.fence else 0.0
            if self._is_free(row, still) and self._take(row):
                return
            if waited >= terms.wait_seconds:
                raise ConflictError(f"{self._key}: another runner holds it: {_holder(row)}")
            if not waited:
                waits(_holder(row))
            self._shared.sleep(terms.poll_seconds)
            waited += terms.poll_seconds
            still += terms.poll_seconds
            last = row

    def _is_free(self, row: _Row, still_seconds: float) -> bool:
        if not row.owner or not self._shared.is_alive(row.owner):
            return True
        return still_seconds >= max(row.seconds, self._shared.terms.lease_seconds)

    def _take(self, row: _Row) -> bool:
        """Take a lease that nobody has; another one may be first."""
        with self._writing:
            self._fence, self._memory = row.fence, dict(row.memory)
            return self._write(self._owner)

    def _read(self) -> _Row:
        table = self._shared.tables.of(STATE)
        rows = rows_of(self._shared.store.read(table, where={"key": self._key}))
        if not rows:
            return _Row()
        value = json.loads(rows[0]["value"])
        return _Row(
            value["owner"],
            value["until"],
            value.get("seconds", 0.0),
            rows[0]["fence"],
            value.get("memory", {}),
        )

    def _write(self, owner: str) -> bool:
        """Change the row, unless somebody else did. An answer that was lost is no loss: where the
        row has our name and the next fence, the earlier write was made."""
        terms, began = self._shared.terms, self._shared.monotonic()
        until = self._shared.clock() + timedelta(seconds=terms.lease_seconds)
        value = {
            "owner": owner,
            "until": until.isoformat(),
            "seconds": terms.lease_seconds,
            "memory": self._memory,
        }
        for fence in (self._fence + 1, self._fence + 2):
            result = self._shared.store.merge(
                self._shared.tables.of(STATE),
                [{"key": self._key, "value": canonical_json(value), "fence": fence}],
                keys=STATE.keys,
                fence="fence",
            )
            if result.changed:
                self._fence, self._renewed = fence, began
                return True
            if self._read().owner != self._owner:
                return False
        return False

    def _keep(self, stopped: threading.Event) -> None:
        while not stopped.wait(self._shared.terms.lease_seconds / 3):
            with self._writing:
                try:
                    renewed = self._write(self._owner)
                except (BackendError, ConflictError) as error:
                    logger.warning("%s could not be renewed: %s", self._key, error)
                    continue
            if not renewed:
                self._lost = "another runner took it"
                return

    def _give_back(self) -> None:
        """Scripts have run: where this fails, the lease ends by itself."""
        if self._lost:
            return
        with self._writing:
            try:
                self._write("")
            except (BackendError, ConflictError) as error:
                logger.warning("%s could not be given back: %s", self._key, error)


def _holder(row: _Row) -> str:
    return f"{row.owner}, until {row.until}"
