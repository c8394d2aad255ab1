"""One screen: is everything as recorded, what ran last, what failed, does the monitor live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.tables import FILES, SOURCES
from lakeflow_meta.operations import rows_of
from lakeflow_meta.plan_operations import plan

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.ports import JobRun


_SHOWN_ERRORS = 5


@dataclass(frozen=True, slots=True)
class MonitorStatus:
    """What the monitor of this home said last. ``looked_at`` is the time of its last look."""

    state: str
    looked_at: str
    iterations: int
    errors: Sequence[str]
    host: str
    pid: int

    def lines(self) -> Iterator[str]:
        """One line, and its errors."""
        process = f"process {self.pid} on {self.host}"
        said = {
            "running": process,
            "stopped": "it ended in order",
            "dead": f"{process} is gone; start `lakeflow-meta monitor` again",
            "silent": f"no look has ended in time; is {process} still there?",
        }.get(self.state, "its heartbeat file was written by others")
        yield f"monitor: {self.state}, last look {self.looked_at or 'not known'} ({said})"
        yield from (f"  ✗ {error}" for error in self.errors[:_SHOWN_ERRORS])
        if len(self.errors) > _SHOWN_ERRORS:
            yield f"  … and {len(self.errors) - _SHOWN_ERRORS} more"


@dataclass(frozen=True, slots=True)
class Status:
    """Is everything as recorded, what ran last, what failed."""

    control_table: str
    counts: Mapping[str, int]
    pending: Sequence[str]
    problems: Sequence[str]
    runs: Sequence[JobRun]
    monitor: MonitorStatus | None = None
    """None where no monitor has run with this home."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``status``."""
        return {
            "control_table": self.control_table,
            **self.counts,
            "pending": list(self.pending),
            "problems": list(self.problems),
            "monitor": asdict(self.monitor) if self.monitor else None,
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
        if self.monitor:
            yield from self.monitor.lines()
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
        return Status(str(app.tables.sources), counts, (), (), (), monitor_status(app))
    found = plan(app, None)
    actions = found.to_dict()["actions"]
    pending = [f"{a['action']} {a['name']}" for a in actions if not a.get("error")]
    wrong = (recorded.problems, found.problems, app.manager.recorded_extracts().problems)
    problems = [str(problem) for some in wrong for problem in some]
    problems += [
        f"{a['name']}: {a['error']}"
        for a in actions
        if a.get("error") and a["name"] not in recorded.unreadable
    ]
    latest: dict[str, JobRun] = {}
    for run in app.jobs.list_runs(limit=100):
        latest.setdefault(run.job_name, run)
    runs = [latest[name] for name in sorted(latest)]
    return Status(str(app.tables.sources), counts, pending, problems, runs, monitor_status(app))


def monitor_status(app: App) -> MonitorStatus | None:
    """What the heartbeat file of this home tells."""
    from lakeflow_meta.backends.heartbeat_file import HeartbeatFile, monitor_state
    from lakeflow_meta.monitor_operations import HEARTBEAT

    beat = HeartbeatFile(app.home / HEARTBEAT).read()
    if beat is None:
        return None
    last = beat.get("last")
    errors = last.get("errors") if isinstance(last, dict) else None
    return MonitorStatus(
        state=monitor_state(beat, app.clock()),
        looked_at=str(beat.get("at", "")),
        iterations=beat.get("iterations", 0),
        errors=[str(error) for error in errors] if isinstance(errors, list) else [],
        host=str(beat.get("host", "?")),
        pid=beat.get("pid", 0),
    )
