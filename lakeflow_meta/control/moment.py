"""Points in the history of the control tables: a version, or a time with a zone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Commit

Point = int | datetime


def read_point(text: str | int | datetime) -> Point:
    """A version (digits) or a time as people write it. Raises ConfigError."""
    if isinstance(text, int):
        return text
    if isinstance(text, str) and text.strip().isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text.strip()) if isinstance(text, str) else text
    except ValueError as error:
        hint = "write a version of the control table, or a time: 2025-01-31T08:00:00+00:00"
        raise ConfigError(f"{text!r} is neither; {hint}") from error
    if moment.tzinfo is None:
        raise ConfigError(f"time {text} has no zone; write {text}+00:00 for UTC")
    return moment


@dataclass(frozen=True, slots=True)
class TableHistory:
    """The commits of one table that its log still has, oldest first."""

    table: TableName
    commits: Sequence[Commit]

    def commit(self, version: int) -> Commit:
        """The commit that made a version. Raises ConfigError."""
        for commit in self.commits:
            if commit.version == version:
                return commit
        known = f"it has {self._first.version} to {self.commits[-1].version}"
        raise ConfigError(f"{self.table} has no version {version} in its history; {known}")

    def version_at(self, moment: datetime) -> int | None:
        """The version that was current at a time, None where the table was made later.

        Raises ConfigError for a time before what the log still has.
        """
        made = [commit.version for commit in self.commits if commit.at <= moment]
        if made:
            return made[-1]
        if self._first.version == 0:
            return None
        raise ConfigError(
            f"the history of {self.table} begins at version {self._first.version},"
            f" {self._first.at.isoformat()}; what was at {moment.isoformat()} is no longer known"
        )

    @property
    def _first(self) -> Commit:
        return self.commits[0]
