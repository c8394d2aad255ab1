"""What is decided about the differences of one table. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from lakeflow_meta.schema.change import Change


class Rule(StrEnum):
    """Why a table was refused. docs/tables.md explains each."""

    TABLE_UNREADABLE = "table_unreadable"
    SCHEMA_MISSING = "schema_missing"
    ANOTHER_KIND = "another_kind"
    COLUMN_NOT_DECLARED = "column_not_declared"
    COLUMN_IN_USE = "column_in_use"
    COLUMN_MAPPING_NEEDED = "column_mapping_needed"
    AMBIGUOUS_RENAME = "ambiguous_rename"
    TYPE_CHANGE = "type_change"
    TYPE_WIDENING_NEEDED = "type_widening_needed"
    NOT_NULL_COLUMN_ADDED = "not_null_column_added"
    NULLABILITY_CHANGE = "nullability_change"
    NULLS_PRESENT = "nulls_present"
    VALUE_SOURCE_CHANGE = "value_source_change"
    PARTITIONING_CHANGE = "partitioning_change"
    LOCATION_CHANGE = "location_change"
    CLUSTERING_UNKNOWN = "clustering_unknown"
    CLUSTERING_OF_PARTITIONED_TABLE = "clustering_of_partitioned_table"
    PROPERTY_CHANGE = "property_change"
    CHECK_BROKEN = "check_broken"
    PRIMARY_KEY_REFERENCED = "primary_key_referenced"
    FOREIGN_KEY_PARENT = "foreign_key_parent"
    DATA_NOT_READ = "data_not_read"


@dataclass(frozen=True, slots=True)
class Rejection:
    """One difference that is refused."""

    rule: Rule
    subject: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def counted(self, rows: int) -> Rejection:
        """The same, with ``{rows}`` in the message replaced."""
        shown = "1 row" if rows == 1 else f"{rows:,} rows"
        return replace(self, message=self.message.replace("{rows}", shown))


@dataclass(frozen=True, slots=True)
class Question:
    """Something that only the data can tell: how many rows meet ``condition`` (SQL).

    ``found`` is the rejection where there are such rows, ``otherwise`` where there are none.
    """

    condition: str
    found: Rejection
    otherwise: Rejection | None = None

    def answer(self, rows: int) -> Rejection | None:
        """What follows from the number of rows."""
        return self.found.counted(rows) if rows else self.otherwise


@dataclass(slots=True)
class Verdict:
    """What may be done, what is refused, what is asked, and what is left alone on purpose.

    ``drift`` holds every difference that is not left alone, refused ones too.
    """

    allowed: list[Change] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    drift: list[Change] = field(default_factory=list)

    def allow(self, change: Change) -> None:
        """The change may be done, if nothing else is refused."""
        self.allowed.append(change)
        self.drift.append(change)

    def refuse(self, change: Change, *rejections: Rejection) -> None:
        """The change is shown, and stands in the way of all others."""
        self.drift.append(change)
        self.rejections += rejections

    def tell(self, note: str) -> None:
        """People are told: a difference stays, or a word of theirs is made use of."""
        if note not in self.notes:
            self.notes.append(note)
