"""Live tables: what a reader found at a table's name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.frozen_mapping import NOTHING
from lakeflow_meta.schema.table import Column, column_named


@dataclass(frozen=True, slots=True)
class LiveForeignKey:
    """A foreign key as the platform keeps it."""

    name: str
    columns: tuple[str, ...]
    parent: TableName
    referenced_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveTable:
    """A Delta table as it is now.

    ``None`` means "this reader cannot see it", never "there is none". ``checks`` maps lower-case
    names to expressions; ``features`` are the protocol's table features.
    """

    name: TableName
    columns: tuple[Column, ...]
    comment: str = ""
    properties: Mapping[str, str] = NOTHING
    partitioned_by: tuple[str, ...] = ()
    clustered_by: tuple[str, ...] | None = ()
    checks: Mapping[str, str] = NOTHING
    version: int = 0
    features: frozenset[str] = frozenset()
    primary_key: tuple[str, ...] | None = None
    foreign_keys: tuple[LiveForeignKey, ...] | None = None

    def column(self, name: str) -> Column | None:
        """The column of that name, without regard to case."""
        return column_named(self.columns, name)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands at a table's name cannot be understood, so nothing may be planned for it."""

    reason: str
    hint: str = ""
    kind: Literal["no_schema", "not_delta", "unknown_type", "damaged"] = "damaged"


TableState = LiveTable | Unreadable | None
"""None: there is no such table, and it may be created."""
