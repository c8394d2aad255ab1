"""What people ask for that takes several parts: one function a command. Between app and cli."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakeflow_meta.errors import ConfigError, NotFoundError, RunFailedError, SpecError
from lakeflow_meta.findings import did_you_mean

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.control.rows import Row, Source
    from lakeflow_meta.control.tables import TableLayout
    from lakeflow_meta.ingest.batch import IngestResult
    from lakeflow_meta.jobs.plan import JobsPlan
    from lakeflow_meta.ports import JobRun
    from lakeflow_meta.schema.plan import SchemaPlan
    from lakeflow_meta.schema.registry import Registry
    from lakeflow_meta.schema.report import SyncReport
    from lakeflow_meta.scripts.runner import ScriptsReport


# --------------------------------------------------------------------------- plan


@dataclass(frozen=True, slots=True)
class Plan:
    """Recorded against live: jobs, scripts and tables."""

    jobs: JobsPlan
    tables: SchemaPlan
    scripts: ScriptsReport

    @property
    def pending(self) -> bool:
        """Whether applying and running would change anything."""
        return bool(self.jobs.pending or self.tables.has_changes or self.scripts.has_changes)

    @property
    def failed(self) -> bool:
        """Whether something cannot be done as it is recorded."""
        return self.jobs.failed or self.tables.has_rejections or self.scripts.has_failures

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``plan``: what would change, and what cannot."""
        actions = [
            *(_job_action(a) for a in self.jobs.to_dict()["actions"]),
            *(_script_action(s) for s in self.scripts.scripts if s.pending),
            *(_table_action(t) for t in self.tables.to_dict()["tables"] if t["changes"]),
        ]
        return {"actions": actions}

    def lines(self) -> Iterator[str]:
        """The plan as a diff."""
        yield from self.jobs.lines()
        yield from self.scripts.lines()
        yield self.tables.text()
