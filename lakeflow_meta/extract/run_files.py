"""What the files of one run are called, and which files of former runs they replace. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import cached_property
from zoneinfo import ZoneInfo

from lakeflow_meta.extract.config import Extract, NamePattern
from lakeflow_meta.extract.file_names import FileName
from lakeflow_meta.extract.timestamps import period_end


@dataclass(frozen=True)
class RunFiles:
    """The names of a run that began at ``moment`` (aware)."""

    extract: Extract
    moment: datetime

    def data(self, part: int) -> str:
        """The file with these rows; parts count from 1, and have a number where files are split."""
        number = part if self._data.parts else None
        return self._data.write(self._data_moment, number)

    def inner(self, part: int) -> str:
        """The same as it is called inside a zip: without the zip's own extension."""
        compression = self.extract.compression
        name = self.data(part)
        if compression is None or compression.archive is not None:
            return name
        return name.removesuffix("." + (compression.extension or "zip").removeprefix("."))

    @property
    def archive(self) -> str | None:
        """The zip that holds all files of the run."""
        return self._written(self.extract.archive_file())

    @property
    def trigger(self) -> str | None:
        """The empty file that is written last."""
        return self._written(self.extract.trigger_file())

    @property
    def manifest(self) -> str | None:
        """The file that lists the others."""
        return self._written(self.extract.manifest_file())

    def replaced(self, names: Iterable[str], parts: int) -> list[str]:
        """Files of a former run of the same moment that this one of so many parts does not write
        again: they would be taken for its own.
        """
        if not self._data.parts or self.archive is not None:
            return []
        found = ((name, self._part_name.fullmatch(name)) for name in names)
        return sorted(name for name, match in found if match and int(match[1]) > parts)

    @cached_property
    def _part_name(self) -> re.Pattern[str]:
        before, after = (self._data.write(self._data_moment, part) for part in (1, 2))
        at = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
        start = before[: at + 1].rpartition("part")[0] + "part"
        return re.compile(f"{re.escape(start)}([0-9]{{4,}}){re.escape(before[at + 1 :])}")

    @cached_property
    def _data(self) -> FileName:
        return self.extract.data_file()

    @cached_property
    def _data_moment(self) -> datetime:
        return self._moment_of(self.extract.file_name)

    def _written(self, name: FileName | None) -> str | None:
        if name is None:
            return None
        archive = self.extract.compression.archive if self.extract.compression else None
        return name.write(self._moment_of(self.extract.file_name if archive is None else archive))

    def _moment_of(self, pattern: NamePattern) -> datetime:
        """In the zone of the names; the end of the last period where the pattern says so."""
        zone = ZoneInfo(self.extract.file_name.time_zone or "UTC")
        local = self.moment.astimezone(zone)
        if pattern.period_end_day is None:
            return local
        end = period_end(local.date(), pattern.period_end_day)
        return datetime.combine(end, time(), tzinfo=UTC)
