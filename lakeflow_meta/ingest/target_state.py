"""What a target says of our batches beside what the ledger says of them, and what to tell. Pure.

The ledger and the target are two things. A table may be dropped, replaced by another of its name,
or be set to forget transactions; the ledger then still calls files ingested. Nothing is loaded
again for that alone, because nobody can tell a table that was emptied on purpose from one that was
lost; but it is never passed over in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.names import TableName

RETENTION = "delta.setTransactionRetentionDuration"
"""How long Delta remembers a transaction of an application; for ever where it is not set.

https://docs.delta.io/latest/table-properties.html
"""
SHORT_RETENTION = timedelta(days=7)
"""A batch that was left unfinished for longer may be appended twice where Delta forgets."""

REMEDY = "--force ingests them again"


@dataclass(frozen=True, slots=True)
class TargetState:
    """What the target is now."""

    exists: bool
    versions: Mapping[str, int] = field(default_factory=dict)
    """The highest transaction version by application id, of those that were asked for."""
    complete: bool = True
    """Whether ``versions`` is all that the table remembers of them."""
    retention: timedelta | None = None
    """How long the table remembers transactions; None: for ever."""


def target_warnings(
    table: TableName, state: TargetState, loaded: Mapping[str, int], lease_seconds: float
) -> list[str]:
    """What people have to know of a target before more goes into it.

    ``loaded``: by application id, the highest version whose rows the ledger holds as ingested.
    Raises ConfigError where the target forgets transactions so soon that an ingestor at work would
    not be safe.
    """
    if not state.exists:
        gone = f"{table} is gone, and the ledger holds files as ingested whose rows were in it"
        return [f"{gone}; new files make the table anew, without those rows: {REMEDY}"] * bool(
            loaded
        )
    found = []
    if state.complete and any(state.versions.get(app, 0) < last for app, last in loaded.items()):
        found.append(
            f"{table} does not know batches that the ledger holds as ingested: it was replaced by"
            f" another table, restored to an earlier version, or forgot them; if their rows are"
            f" missing, {REMEDY}"
        )
    if state.retention is not None:
        found += _retention_warnings(table, state.retention, lease_seconds)
    return found


def _retention_warnings(table: TableName, retention: timedelta, lease_seconds: float) -> list[str]:
    if retention.total_seconds() < lease_seconds:
        raise ConfigError(
            f"{table} forgets transactions after {retention} ({RETENTION}), before a batch that was"
            " left unfinished can be taken over: rows could be written twice; unset the property,"
            f" or give it at least {SHORT_RETENTION.days} days"
        )
    if retention >= SHORT_RETENTION:
        return []
    known = f"{table} forgets transactions after {retention} ({RETENTION})"
    return [f"{known}: a batch left unfinished for longer may be written twice; unset the property"]


_STEP = re.compile(
    r"([+-]?\d+(?:\.\d+)?)\s+(week|day|hour|minute|second|millisecond|microsecond)s?"
)


def retention_of(properties: Mapping[str, str]) -> timedelta | None:
    """The retention that table properties say (``interval 30 days``); None where none is set."""
    text = properties.get(RETENTION)
    steps = _STEP.findall((text or "").lower())
    if not steps:
        return None
    return sum((timedelta(**{f"{unit}s": float(n)}) for n, unit in steps), timedelta())
