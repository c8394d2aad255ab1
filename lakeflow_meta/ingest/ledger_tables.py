"""Where an ingestor keeps what it knows: the ledger, its lanes, and what was done by hand. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lakeflow_meta.control.tables import EVENTS, FILES, STATE, ControlTables, TableLayout
from lakeflow_meta.names import TableName


class TableNames(Protocol):
    """A family of control tables."""

    def of(self, layout: TableLayout) -> TableName:
        """The name of one member."""


@dataclass(frozen=True, slots=True)
class LedgerTables:
    """The family around a ledger of its own."""

    files: TableName
    state: TableName
    events: TableName

    @classmethod
    def named(cls, metadata_table: str) -> LedgerTables:
        """The family of ``catalog.schema.table``. Raises ConfigError.

        A ledger ``x_files`` has its lanes and events in ``x_state`` and ``x_events``, so that the
        ledger of a control table is the same for everybody; any other name gets these endings.
        """
        files = TableName.parse(metadata_table)
        base = files.name.removesuffix(FILES.suffix) or files.name
        control = ControlTables(files.sibling(base))
        return cls(files, control.of(STATE), control.of(EVENTS))

    def of(self, layout: TableLayout) -> TableName:
        """The name of one member. Raises KeyError for tables that an ingestor does not have."""
        members = {FILES.suffix: self.files, STATE.suffix: self.state, EVENTS.suffix: self.events}
        return members[layout.suffix]
