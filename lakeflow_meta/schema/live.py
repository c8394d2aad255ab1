"""Live tables and views: what a reader found at a name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.field_paths import Path, read_path
from lakeflow_meta.schema.frozen_mapping import NOTHING, FrozenMapping
from lakeflow_meta.schema.table import Column, column_named


@dataclass(frozen=True, slots=True)
class LivePrimaryKey:
    """A primary key as the platform keeps it."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveForeignKey:
    """A foreign key as the platform keeps it."""

    name: str
    columns: tuple[str, ...]
    parent: TableName
    referenced_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveKeys:
    """The keys of a table, and the tables whose foreign keys name it."""

    primary: LivePrimaryKey | None = None
    foreign: tuple[LiveForeignKey, ...] = ()
    referenced_by: tuple[TableName, ...] = ()


@dataclass(frozen=True, slots=True)
class LiveTable:
    """A Delta table as it is now.

    ``None`` means "this reader cannot see it", never "there is none"; ``tags`` None covers the tags
    of columns too. ``checks`` maps lower-case names to expressions; ``properties`` has neither
    these nor what Delta keeps for itself; ``features`` are the protocol's table features.
    Clustering columns inside structs are dotted paths. ``location`` is that of external tables.
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
    keys: LiveKeys | None = None
    tags: FrozenMapping | None = None
    location: str = ""

    def column(self, name: str) -> Column | None:
        """The column of that name, without regard to case."""
        return column_named(self.columns, name)

    @property
    def clustering_paths(self) -> tuple[Path, ...]:
        """``clustered_by`` as paths; nothing where it cannot be seen."""
        names = self.clustered_by or ()
        return tuple((n,) if self.column(n) is not None else read_path(n) for n in names)


@dataclass(frozen=True, slots=True)
class LiveView:
    """A view as it is now; ``query`` is its text as the platform keeps it."""

    name: TableName
    query: str
    comment: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands at a table's name cannot be understood, so nothing may be planned for it."""

    reason: str
    hint: str = ""
    kind: Literal["no_schema", "not_delta", "unknown_type", "no_permission", "damaged"] = "damaged"


TableState = LiveTable | LiveView | Unreadable | None
"""None: there is no such table, and it may be created."""
