"""Points in the history of the control tables: a version, or a time with a zone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

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
    return read_time(text, "a version of the control table, or a time")


def read_time(text: str | datetime, wanted: str = "a time") -> datetime:
    """A time in UTC, from a text in ISO form or a datetime, with a zone. Raises ConfigError.

    ``wanted`` says in the error what may be written.
    """
    try:
        moment = datetime.fromisoformat(text.strip()) if isinstance(text, str) else text
    except ValueError as error:
        raise _no_time(text, wanted) from error
    if not isinstance(moment, datetime):
        raise _no_time(text, wanted)
    if moment.utcoffset() is None:
        raise ConfigError(
            f"time {text} has no zone; write {moment.isoformat()}+00:00 for UTC,"
            " or give a datetime with tzinfo"
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise _no_time(text, wanted) from error


def _no_time(text: object, wanted: str) -> ConfigError:
    return ConfigError(f"{text!r} is not {wanted}; write 2025-01-31T08:00:00+00:00")


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

    def reaches(self, moment: datetime) -> bool:
        """Whether the log still has what was current at a time, or that there was no table."""
        return self._first.version == 0 or self._first.at <= moment

    def version_at(self, moment: datetime) -> int | None:
        """The version that was current at a time, None where the table was made later.

        Raises ConfigError for a time before what the log still has.
        """
        made = [commit.version for commit in self.commits if commit.at <= moment]
        if made:
            return made[-1]
        if self.reaches(moment):
            return None
        raise ConfigError(
            f"the history of {self.table} begins at version {self._first.version},"
            f" {self._first.at.isoformat()}; what was at {moment.isoformat()} is no longer known"
        )

    @property
    def _first(self) -> Commit:
        return self.commits[0]
