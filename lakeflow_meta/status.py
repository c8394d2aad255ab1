"""One screen: is everything as recorded, what ran last, what failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.tables import FILES, SOURCES
from lakeflow_meta.operations import plan, rows_of

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.ports import JobRun


@dataclass(frozen=True, slots=True)
class Status:
    """Is everything as recorded, what ran last, what failed."""

    control_table: str
    counts: Mapping[str, int]
    pending: Sequence[str]
    problems: Sequence[str]
    runs: Sequence[JobRun]

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``status``."""
        return {
            "control_table": self.control_table,
            **self.counts,
            "pending": list(self.pending),
            "problems": list(self.problems),
            "runs": [
                {
                    "run_id": r.run_id,
                    "job_name": r.job_name,
                    "state": str(r.state),
                    "started_at": r.started_at,
                    "failed_tasks": [t.task_key for t in r.tasks if str(t.state) == "failed"],
                }
                for r in self.runs
            ],
        }

    def lines(self) -> Iterator[str]:
        """One screen for people."""
        shown = ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        yield f"{self.control_table}: {shown}"
        yield from (f"✗ {problem}" for problem in self.problems)
        if self.pending:
            yield f"{len(self.pending)} change(s) to apply: {', '.join(self.pending[:5])}"
            yield "next: lakeflow-meta plan, then lakeflow-meta apply"
        elif not self.problems:
            yield "everything is as recorded"
        for r in self.runs:
            seconds = (r.ended_at - r.started_at).total_seconds() if r.ended_at else 0.0
            yield f"last run of {r.job_name}: {r.state} in {seconds:.1f} s (run {r.run_id})"


def status(app: App) -> Status:
    """Read everything once; starts no Spark."""
    recorded = app.manager.recorded()
    counts = {
        "modules": sum(m.is_active for m in recorded.modules.values()),
        "sources": sum(len(m.sources) for m in recorded.modules.values()),
        "tables": sum(len(m.tables) for m in recorded.modules.values()),
        "files ingested": sum(r["status"] == "success" for r in rows_of(app, FILES)),
    }
    if app.store.version(app.tables.of(SOURCES)) is None:
        return Status(str(app.tables.sources), counts, (), (), ())
    found = plan(app, None)
    pending = [f"{a['action']} {a['name']}" for a in found.to_dict()["actions"]]
    problems = [str(problem) for problem in recorded.problems]
    latest: dict[str, JobRun] = {}
    for run in app.jobs.list_runs(limit=100):
        latest.setdefault(run.job_name, run)
    runs = [latest[name] for name in sorted(latest)]
    return Status(str(app.tables.sources), counts, pending, problems, runs)
