"""What `serve` remembers, in a SQLite file of its own: ``serve.db`` in the home.

Apart from ``workspace.db``, because it is of one process and may be deleted at any time: jobs and
runs stay, and what starts them is then seen for the first time. Every write is one transaction
that is on the disk when it returns, so a killed process has claimed a fire, with all that belongs
to it, or has not.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from lakeflow_meta.backends.processes import has_ended, process_name
from lakeflow_meta.backends.sqlite_file import SqliteFile
from lakeflow_meta.errors import ConflictError
from lakeflow_meta.ports import Clock, utc_now
from lakeflow_meta.serve.memory import (
    Fire,
    Memory,
    Note,
    fire_to_json,
    read_fire,
    read_memory,
)

logger = logging.getLogger(__name__)

_LAYOUT = 1
_KEPT_FIRES = 20_000
"""Settled fires that are kept, so that a clock that goes back starts nothing twice."""

_TABLES = """
CREATE TABLE identity (id TEXT NOT NULL);
CREATE TABLE holder (one INTEGER PRIMARY KEY CHECK (one = 1), process TEXT, beat_at TEXT);
CREATE TABLE memories (job_id INTEGER PRIMARY KEY, memory TEXT NOT NULL);
CREATE TABLE seen_files (
  job_id INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (job_id, name)
) WITHOUT ROWID;
CREATE TABLE fires (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  token TEXT NOT NULL UNIQUE,
  job_id INTEGER NOT NULL,
  fire TEXT NOT NULL,
  claimed_at TEXT NOT NULL,
  outcome TEXT
);
CREATE INDEX open_fires ON fires (number) WHERE outcome IS NULL;
"""


class ServeStore(SqliteFile):
    """A `ports.FireStore`. Raises as `SqliteFile` does."""

    def __init__(self, path: Path, clock: Clock = utc_now, process: str | None = None) -> None:
        super().__init__(path, if_damaged="delete it: jobs and runs are kept elsewhere")
        self._clock = clock
        self._process = process or process_name()
        self.lay_out(_LAYOUT, _create)
        self.identity: str = self.rows("SELECT id FROM identity")[0]["id"]

    # ----------------------------------------------------------------- one process at a time

    def take(self) -> str | None:
        """See `FireStore.take`."""
        now = self._clock()
        with self.transaction() as connection:
            row = connection.execute("SELECT process, beat_at FROM holder").fetchone()
            former = None if row is None or row["process"] is None else str(row["process"])
            if former is not None and former != self._process:
                seen = datetime.fromisoformat(row["beat_at"])
                if not has_ended(former, seen, now):
                    raise ConflictError(_held(former, seen))
            connection.execute(
                "INSERT INTO holder (one, process, beat_at) VALUES (1, ?, ?)"
                " ON CONFLICT (one) DO UPDATE SET process = excluded.process,"
                " beat_at = excluded.beat_at",
                (self._process, now.isoformat()),
            )
        return former if former != self._process else None

    def renew(self) -> None:
        """See `FireStore.renew`."""
        with self.transaction() as connection:
            changed = connection.execute(
                "UPDATE holder SET beat_at = ? WHERE process = ?",
                (self._clock().isoformat(), self._process),
            ).rowcount
            connection.execute(
                "DELETE FROM fires WHERE outcome IS NOT NULL"
                " AND number <= (SELECT max(number) FROM fires) - ?",
                (_KEPT_FIRES,),
            )
        if not changed:
            raise ConflictError(
                f"another process has taken {self.path} over; this one starts no more jobs"
            )

    def let_go(self) -> None:
        """See `FireStore.let_go`."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM holder WHERE process = ?", (self._process,))

    def held_by(self) -> str | None:
        """Who serves now, for people; None where nobody does, or did and is gone."""
        for row in self.rows("SELECT process, beat_at FROM holder"):
            seen = datetime.fromisoformat(row["beat_at"])
            if not has_ended(row["process"], seen, self._clock()):
                return _named(row["process"])
        return None

    # ----------------------------------------------------------------- memory

    def memories(self) -> Mapping[int, Memory]:
        """See `FireStore.memories`. One that is damaged is logged, and begun again."""
        found = {}
        for row in self.rows("SELECT job_id, memory FROM memories"):
            try:
                found[int(row["job_id"])] = read_memory(row["memory"])
            except (ValueError, KeyError, TypeError) as error:
                logger.warning("%s: job %s is begun again: %r", self.path, row["job_id"], error)
        return found

    def seen_files(self, job_id: int) -> frozenset[str]:
        """See `FireStore.seen_files`."""
        rows = self.rows("SELECT name FROM seen_files WHERE job_id = ?", (job_id,))
        return frozenset(row["name"] for row in rows)

    def remember(self, notes: Sequence[Note]) -> None:
        """See `FireStore.remember`."""
        with self.transaction() as connection:
            for note in notes:
                _remember(connection, note)

    def claim(self, fire: Fire, note: Note) -> bool:
        """See `FireStore.claim`."""
        with self.transaction() as connection:
            _remember(connection, note)
            cursor = connection.execute(
                "INSERT INTO fires (token, job_id, fire, claimed_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (token) DO NOTHING",
                (fire.token, fire.job_id, fire_to_json(fire), self._clock().isoformat()),
            )
            return cursor.rowcount == 1

    def settle(self, token: str, outcome: str) -> None:
        """See `FireStore.settle`."""
        with self.transaction() as connection:
            connection.execute("UPDATE fires SET outcome = ? WHERE token = ?", (outcome, token))

    def open_fires(self) -> list[Fire]:
        """See `FireStore.open_fires`."""
        rows = self.rows(
            "SELECT job_id, token, fire FROM fires WHERE outcome IS NULL ORDER BY number"
        )
        return [read_fire(row["job_id"], row["token"], row["fire"]) for row in rows]

    def forget(self, job_ids: Iterable[int]) -> None:
        """See `FireStore.forget`."""
        values = [(job_id,) for job_id in job_ids]
        with self.transaction() as connection:
            connection.executemany("DELETE FROM memories WHERE job_id = ?", values)
            connection.executemany("DELETE FROM seen_files WHERE job_id = ?", values)
            connection.executemany("DELETE FROM fires WHERE job_id = ?", values)


def _remember(connection: sqlite3.Connection, note: Note) -> None:
    connection.execute(
        "INSERT INTO memories (job_id, memory) VALUES (?, ?)"
        " ON CONFLICT (job_id) DO UPDATE SET memory = excluded.memory",
        (note.job_id, note.memory.to_json()),
    )
    connection.executemany(
        "DELETE FROM seen_files WHERE job_id = ? AND name = ?",
        [(note.job_id, name) for name in note.gone],
    )
    connection.executemany(
        "INSERT INTO seen_files (job_id, name) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(note.job_id, name) for name in note.appeared],
    )


def _create(connection: sqlite3.Connection, _former: int) -> None:
    for statement in _TABLES.split(";"):
        connection.execute(statement)
    connection.execute("INSERT INTO identity (id) VALUES (?)", (secrets.token_hex(8),))


def _held(process: str, beat_at: datetime) -> str:
    return (
        f"{_named(process)} serves this home already (last sign of life"
        f" {beat_at.isoformat(timespec='seconds')}); stop it first, or use another --home"
    )


def _named(process: str) -> str:
    machine, _, rest = process.partition(":")
    return f"process {rest.partition(':')[0]} on {machine.partition('@')[0]}"
