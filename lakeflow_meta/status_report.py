"""What `status` found, as JSON and as one screen of 24 lines of 80 characters. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

from lakeflow_meta.ports import JobRun, RunState

if TYPE_CHECKING:
    from lakeflow_meta.serve_operations import Upcoming

_SHOWN_ERRORS = 5
_PROBLEMS, _FAILED, _RUNS, _NEXT = 3, 2, 3, 3
"""How many lines of each kind a screen has room for; the rest is counted."""
_COLUMN = 46


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
class DeclaredStatus:
    """The metadata folder of the project against what is recorded.

    ``changes`` are the rows that a sync would add or change; ``not_declared`` counts recorded ones
    that the folder does not have. With ``problems`` nothing could be compared.
    """

    folder: str
    changes: Sequence[str] = ()
    not_declared: int = 0
    problems: Sequence[str] = ()

    def lines(self) -> Iterator[str]:
        """What to do, or that all is well."""
        if self.problems:
            count = _count(len(self.problems), "problem")
            yield f"✗ {self.folder}: {count}; see: lakeflow-meta validate {self.folder}"
        elif self.changes:
            count = _count(len(self.changes), "change")
            yield f"{self.folder}: {count} to record: {_some(self.changes)}"
            yield f"next: lakeflow-meta sync {self.folder}"
        else:
            also = f"; {self.not_declared:,} more recorded" if self.not_declared else ""
            yield f"{self.folder}: everything is recorded as declared{also}"


@dataclass(frozen=True, slots=True)
class FilesStatus:
    """The ledger of ingested files in a few numbers. ``failed`` are paths with their reasons."""

    ingested: int = 0
    failed: Sequence[tuple[str, str]] = ()

    def lines(self) -> Iterator[str]:
        """Nothing where nothing failed."""
        if self.failed:
            path, reason = self.failed[0]
            count = _count(len(self.failed), "file")
            yield f"✗ {count} failed: lakeflow-meta ingest log --status failed"
            yield f"    {_short_path(path)}: {reason}"


@dataclass(frozen=True, slots=True)
class Status:
    """Is everything as declared and recorded, what ran last, what failed, what is next."""

    control_table: str
    counts: Mapping[str, int]
    pending: Sequence[str]
    problems: Sequence[str]
    runs: Sequence[JobRun]
    monitor: MonitorStatus | None = None
    """None where no monitor has run with this home."""
    waiting: Sequence[str] = ()
    """Scripts and tables that no apply brings up, but a run of their module does."""
    declared: DeclaredStatus | None = None
    """None where the project has no metadata folder."""
    upcoming: Sequence[Upcoming] = ()
    files: FilesStatus = field(default_factory=FilesStatus)
    target: str = "local"
    home: str = ""
    home_bytes: int | None = None
    """None where it is not quickly told."""
    now: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``status``."""
        return {
            "control_table": self.control_table,
            **self.counts,
            "pending": [*self.pending, *self.waiting],
            "problems": list(self.problems),
            "monitor": asdict(self.monitor) if self.monitor else None,
            "runs": [_run_dict(run) for run in self.runs],
            "target": self.target,
            "home": self.home or None,
            "home_bytes": self.home_bytes,
            "declared": asdict(self.declared) if self.declared else None,
            "upcoming": [entry.to_dict() for entry in self.upcoming],
            "failed_files": [
                {"path": path, "reason": reason} for path, reason in self.files.failed
            ],
        }

    def lines(self) -> Iterator[str]:
        """One screen for people."""
        shown = ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        yield f"{self.control_table}: {shown}"
        if self.home:
            size = "" if self.home_bytes is None else f" ({_size(self.home_bytes)})"
            yield f"target {self.target}, home {self.home}{size}"
        if self.declared:
            yield from self.declared.lines()
        yield from _capped([f"✗ {problem}" for problem in self.problems], _PROBLEMS)
        yield from self._pending_lines()
        yield from self._failed_lines()
        yield from self.files.lines()
        yield from self._run_lines()
        yield from self._upcoming_lines()
        if self.monitor:
            yield from self.monitor.lines()

    def _pending_lines(self) -> Iterator[str]:
        if self.pending:
            yield f"{_count(len(self.pending), 'change')} to apply: {_some(self.pending)}"
            yield "next: lakeflow-meta plan, then lakeflow-meta apply"
        if self.waiting:
            count = _count(len(self.waiting), "script or table")
            yield f"{count} to bring up: {_some(self.waiting)}"
        if self.waiting and not self.pending:
            yield "next: lakeflow-meta run MODULE, or lakeflow-meta ddl run and tables sync"
        if self.pending or self.waiting:
            return
        if not self.counts.get("sources") and not self.problems:
            yield "nothing is recorded yet"
            if self.declared is None:
                yield "next: lakeflow-meta init, or lakeflow-meta sync PATH"
        elif not self.problems:
            yield "everything is as recorded"

    def _failed_lines(self) -> Iterator[str]:
        failed = [run for run in self.runs if is_to_be_mended(run)]
        for run in failed[:_FAILED]:
            yield f"✗ {run.job_name}: {run.state}, {self._when(run)} (run {run.run_id})"
            yield from _why(run)
        if len(failed) > _FAILED:
            yield f"  … and {len(failed) - _FAILED:,} more jobs whose last run failed"

    def _run_lines(self) -> Iterator[str]:
        others = [run for run in self.runs if not is_to_be_mended(run)]
        lines = [
            f"last run of {run.job_name}: {run.state}{_took(run)}, {self._when(run)}"
            f" (run {run.run_id})"
            for run in others
        ]
        yield from _capped(lines, _RUNS, "lakeflow-meta runs")

    def _upcoming_lines(self) -> Iterator[str]:
        entries = [entry for entry in self.upcoming if not entry.paused]
        lines = [f"next run of {entry.job_name}: {self._due(entry)}" for entry in entries]
        yield from _capped(lines, _NEXT, "lakeflow-meta serve --list")
        paused = len(self.upcoming) - len(entries)
        if paused:
            yield f"paused: {_count(paused, 'job')}"

    def _due(self, entry: Upcoming) -> str:
        if entry.next_at is None:
            return entry.trigger
        at = f"{entry.next_at:%Y-%m-%d %H:%M %Z}"
        return f"{_ahead(self.now, entry.next_at)}{at} ({entry.trigger})"

    def _when(self, run: JobRun) -> str:
        at = run.ended_at or run.started_at
        return f"{at:%Y-%m-%d %H:%M}" if self.now is None else _ago(self.now - at)


# --------------------------------------------------------------------------- words


def is_to_be_mended(run: JobRun) -> bool:
    """Whether a task of it failed, also where the run did not."""
    return run.state.bad or run.state is RunState.SUCCESS_WITH_FAILURES


def _why(run: JobRun) -> Iterator[str]:
    """What failed, and the commands that show why and that set it right."""
    broken = next((task for task in run.tasks if task.error and task.state.bad), None)
    if broken is not None:
        yield f"    {broken.task_key}: {' '.join(broken.error.split())}"
        if broken.log_path:
            yield f"    log: lakeflow-meta runs {run.run_id} --logs {broken.task_key}"
    elif run.error:
        yield f"    {' '.join(run.error.split())}"
    yield f"    mend it, then: lakeflow-meta run --repair {run.run_id}"


def _run_dict(run: JobRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "job_name": run.job_name,
        "state": str(run.state),
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "failed_tasks": [t.task_key for t in run.tasks if t.state is RunState.FAILED],
    }


def _took(run: JobRun) -> str:
    if run.ended_at is None:
        return ""
    return f" in {(run.ended_at - run.started_at).total_seconds():.1f} s"


def _count(number: int, noun: str) -> str:
    """``2 scripts or tables`` for ``script or table``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {' or '.join(f'{word}s' for word in noun.split(' or '))}"


def _some(names: Sequence[str]) -> str:
    """The first names, as many as have room in a line, and how many more there are."""
    shown: list[str] = []
    for name in names:
        if shown and len(", ".join([*shown, name])) > _COLUMN:
            break
        shown.append(name)
    more = f" … and {len(names) - len(shown):,} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more


def _capped(lines: Sequence[str], most: int, command: str = "") -> Iterator[str]:
    shown = lines if len(lines) <= most else lines[: most - 1]
    yield from shown
    if len(lines) > len(shown):
        see = f": {command}" if command else ""
        yield f"  … and {len(lines) - len(shown):,} more{see}"


def _short_path(path: str) -> str:
    return path if len(path) <= _COLUMN else f"…{path[1 - _COLUMN :]}"


def _ago(passed: timedelta) -> str:
    seconds = passed.total_seconds()
    return "just now" if seconds < 60 else f"{_span(seconds)} ago"


def _ahead(now: datetime | None, at: datetime) -> str:
    if now is None or at <= now:
        return ""
    seconds = (at - now).total_seconds()
    return f"in {_span(seconds)}, " if seconds >= 60 else f"in {ceil(seconds)} s, "


def _span(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return _count(int(seconds // length), unit)
    return _count(int(seconds), "second")


def _size(size_bytes: int) -> str:
    value = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:,.0f} {unit}" if value >= 10 or unit == "bytes" else f"{value:,.1f} {unit}"
