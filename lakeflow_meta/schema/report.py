"""What a sync did, table by table. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from lakeflow_meta.errors import SyncFailedError
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.plan import Outlook, SchemaPlan, TablePlan


class TableStatus(StrEnum):
    """How a table came out. ``PLANNED`` only in a dry run: it would be created or changed."""

    CREATED = "created"
    CHANGED = "changed"
    DROPPED = "dropped"
    UNCHANGED = "unchanged"
    PLANNED = "planned"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def bad(self) -> bool:
        """Whether the table is not as declared afterwards because of a failure."""
        return self in (TableStatus.FAILED, TableStatus.SKIPPED)


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """One table. ``applied`` of its plan's statements ran; ``version`` is the one left behind."""

    plan: TablePlan
    status: TableStatus
    applied: int = 0
    error: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    version: int | None = None

    @property
    def name(self) -> TableName:
        """The table."""
        return self.plan.name

    def text_lines(self) -> Iterator[str]:
        """The outcome for people: the first line of an error, all of it is in `to_dict`."""
        yield f"{self.name}: {self.status}"
        if self.plan.outlook is not Outlook.UNCHANGED:
            yield from (f"  {line}" for line in self.plan.lines)
        if self.error:
            yield f"  ! {self.error.strip().splitlines()[0]}"
        if self.applied < len(self.plan.statements) and self.applied:
            yield f"  {self.applied} of {len(self.plan.statements)} statements were applied"
        yield from (f"  # {note}" for note in (*self.plan.notes, *self.notes))

    def to_dict(self) -> dict[str, Any]:
        """The outcome as JSON, with its plan."""
        return {
            **self.plan.to_dict(),
            "status": str(self.status),
            "applied": self.applied,
            "total": len(self.plan.statements),
            "error": self.error or None,
            "notes": [*self.plan.notes, *self.notes],
            "seconds": round(self.seconds, 3),
            "version": self.version,
        }


@dataclass(frozen=True, slots=True)
class SyncReport:
    """All tables of a sync, parents first."""

    plan: SchemaPlan
    outcomes: tuple[TableOutcome, ...]
    started_at: datetime
    ended_at: datetime
    dry_run: bool = False

    def __iter__(self) -> Iterator[TableOutcome]:
        return iter(self.outcomes)

    @property
    def has_changes(self) -> bool:
        """Whether a statement ran, or would run."""
        return any(outcome.applied for outcome in self.outcomes) or (
            self.dry_run and self.plan.has_changes
        )

    @property
    def has_failures(self) -> bool:
        """Whether a table failed or was skipped because of another one."""
        return any(outcome.status.bad for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[TableOutcome, ...]:
        """The tables that failed or were skipped."""
        return tuple(outcome for outcome in self.outcomes if outcome.status.bad)

    def raise_failures(self) -> None:
        """Raise SyncFailedError, which carries this report, when a table failed."""
        if self.has_failures:
            reasons = [
                o.error or str(o.plan.rejections[0])
                for o in self.failures[:1]
                if o.error or o.plan.rejections
            ]
            title = f"{len(self.failures)} of {len(self.outcomes)} tables failed"
            raise SyncFailedError(": ".join([title, *reasons]), self)

    def counts(self) -> dict[str, int]:
        """How many tables came out how."""
        found = Counter(outcome.status for outcome in self.outcomes)
        return {str(status): found[status] for status in TableStatus if found[status]}

    def summary(self) -> str:
        """One line."""
        counts = ", ".join(f"{count} {status}" for status, count in self.counts().items())
        return f"{len(self.outcomes)} tables: {counts}" if counts else "no tables are declared"

    def text(self, *, unchanged: bool = False) -> str:
        """The report for people; unchanged tables only on request or where they have notes."""
        shown = [
            "\n".join(outcome.text_lines())
            for outcome in self.outcomes
            if unchanged or outcome.status is not TableStatus.UNCHANGED or outcome.plan.notes
        ]
        return "\n".join([*shown, self.summary()])

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "dry_run": self.dry_run,
            "started_at": self.started_at.isoformat(),
            "seconds": round((self.ended_at - self.started_at).total_seconds(), 3),
            "counts": self.counts(),
            "tables": [outcome.to_dict() for outcome in self.outcomes],
        }
