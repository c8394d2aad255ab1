"""What each table was like after its last clean sync, so that it need not be read again.

A table is clean when nothing differs and nothing was left alone on purpose. It stays clean while
its declaration has the same fingerprint and the platform the same stamp for it
(`ports.TableReader.stamps`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lakeflow_meta.control.tables import TABLES, ControlTables
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.fingerprint import fingerprint
from lakeflow_meta.ports import Actor, ControlStore, nobody
from lakeflow_meta.schema.capabilities import Capabilities
from lakeflow_meta.schema.table import Declared
from lakeflow_meta.schema.table_spec import definition

_RULES = 1
"""Raise this when the engine comes to look at more of a table: nothing is clean any more then."""


@dataclass(frozen=True, slots=True)
class CleanState:
    """A declaration's fingerprint, and the stamp of the table that was as declared."""

    fingerprint: str
    stamp: int


class SyncMemory(Protocol):
    """Remembers clean tables by `TableName.key`."""

    def recall(self) -> Mapping[str, CleanState]:
        """All that is remembered."""

    def remember(self, states: Mapping[str, CleanState]) -> None:
        """Keep these too; nothing is written where nothing is new."""


class NoMemory:
    """Forgets: every table is read each time."""

    def recall(self) -> Mapping[str, CleanState]:
        """Nothing."""
        return {}

    def remember(self, states: Mapping[str, CleanState]) -> None:
        """Nothing is kept."""


def declared_fingerprint(table: Declared, capabilities: Capabilities) -> str:
    """Changes with the declaration, with what the target can do, and with our own rules."""
    return fingerprint([_RULES, capabilities.name, str(table.full_name), definition(table)])


_NAME = "table_name"
_APPLIED = ("applied_fingerprint", "applied_version")


class RecordedMemory:
    """Memory in the control table of declared tables, beside each declaration."""

    def __init__(self, store: ControlStore, tables: ControlTables, actor: Actor = nobody) -> None:
        self._store = store
        self._actor = actor
        self._table = tables.of(TABLES)

        self._spelled: dict[str, str] = {}

    def recall(self) -> Mapping[str, CleanState]:
        """All that is remembered. Raises BackendError."""
        try:
            rows = self._store.read(self._table, columns=[_NAME, *_APPLIED]).to_pylist()
        except NotFoundError:
            return {}
        self._spelled = {row[_NAME].lower(): row[_NAME] for row in rows}
        states = {row[_NAME].lower(): [row[name] for name in _APPLIED] for row in rows}
        return {key: CleanState(*state) for key, state in states.items() if None not in state}

    def remember(self, states: Mapping[str, CleanState]) -> None:
        """One transaction for all; rows that are gone meanwhile stay gone. Raises BackendError."""
        rows = [
            {_NAME: self._spelled[key], _APPLIED[0]: state.fingerprint, _APPLIED[1]: state.stamp}
            for key, state in sorted(states.items())
            if key in self._spelled
        ]
        if rows:
            note = {"verb": "tables sync", "actor": self._actor()}
            self._store.merge(self._table, rows, keys=[_NAME], insert=False, note=note)
