"""Whether a job is to be started now, from what was remembered and what is seen. Pure.

https://docs.databricks.com/jobs/file-arrival-triggers
https://docs.databricks.com/jobs/trigger-table-update
https://docs.databricks.com/jobs/continuous
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile

from lakeflow_meta.fingerprint import canonical_json, fingerprint
from lakeflow_meta.ports import JobRun, RunState, Trigger, TriggerKind
from lakeflow_meta.serve.memory import Fire, Memory, Note
from lakeflow_meta.serve.triggers import (
    Always,
    AtTimes,
    OnFiles,
    OnTables,
    Patience,
    Periodically,
    StartedJob,
)

RESTART_SECONDS = 1.0
"""Between two runs of a continuous job; the platform takes up to a minute."""
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 5.0, 600.0
"""After a failure, doubled with each further one. The platform names no figures."""

FileStamps = Mapping[str, tuple[int, int]]
"""Size and time of change by name."""


@dataclass(frozen=True, slots=True)
class Decision:
    """``memory`` is what to remember, whether it fires or not; ``appeared`` and ``gone`` change
    the files that are no news. ``missed`` is a time that nobody was there to see.
    """

    memory: Memory
    fire: Fire | None = None
    missed: datetime | None = None
    appeared: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()

    def note(self, job_id: int) -> Note:
        """What to remember."""
        return Note(job_id, self.memory, self.appeared, self.gone)


def current_memory(job: StartedJob, memory: Memory | None, now: datetime) -> Memory:
    """The memory of what starts the job now: another trigger begins anew, and so does a schedule
    that was paused. What has arrived during a pause is not forgotten.
    """
    if memory is None or memory.identity != job.identity:
        return Memory(job.identity, since=now, looked_until=now, paused=job.paused)
    if memory.paused == job.paused:
        return memory
    if job.paused:
        return replace(memory, paused=True)
    since = now if isinstance(job.starter, Always) else memory.since
    return replace(memory, paused=False, since=since, looked_until=now)


def next_time(job: StartedJob, memory: Memory | None, now: datetime) -> datetime | None:
    """When a schedule fires next; None where it waits for something else, or is not known."""
    match job.starter:
        case AtTimes() as at:
            return at.times.after(now)
        case Periodically() as every if memory is not None and memory.identity == job.identity:
            return every.after(now, memory.since)
        case _:
            return None


# --------------------------------------------------------------------------- times


def due_by_time(
    job: StartedJob, memory: Memory, now: datetime, *, was_away: bool = False
) -> Decision:
    """One fire for all times since the last look, however many there were.

    ``was_away``: nobody looked in between. Then they are told as missed, and not made up for.
    A clock that went back lets times come again; their token is that of the first time.
    """
    if now < memory.looked_until:
        return Decision(replace(memory, looked_until=now))
    due = next_time_after(job, memory, memory.looked_until)
    if due is None or due > now:
        return Decision(memory)
    looked = replace(memory, looked_until=now)
    if was_away:
        return Decision(looked, missed=due)
    token = f"{job.job_id}@{due.isoformat()}"
    fire = Fire(job.job_id, token, Trigger(TriggerKind.PERIODIC, due), f"due {_short(due)}")
    return Decision(_fired(looked, now), fire)


def next_time_after(job: StartedJob, memory: Memory, moment: datetime) -> datetime | None:
    """The first due time after a moment. Raises TypeError for what has none."""
    match job.starter:
        case AtTimes() as at:
            return at.times.after(moment)
        case Periodically() as every:
            return every.after(moment, memory.since)
        case other:
            raise TypeError(f"{other} has no times")


# --------------------------------------------------------------------------- continuous


def due_when_ended(
    job: StartedJob, memory: Memory, newest: Sequence[JobRun], now: datetime
) -> Decision:
    """A new run when none is under way, later and later while runs fail.

    ``newest`` are the last runs, the newest first. A run that was cancelled is no failure: "to
    have your continuous job pick up a new configuration, cancel the existing run".
    """
    if any(not run.state.ended for run in newest):
        return Decision(memory)
    ended = newest[0].ended_at if newest else None
    if ended is not None and timedelta() <= now - ended < _pause(newest, memory.since):
        return Decision(memory)
    return _numbered(job, memory, Trigger(TriggerKind.CONTINUOUS, now))


def _pause(newest: Sequence[JobRun], since: datetime) -> timedelta:
    recent = takewhile(lambda run: run.started_at >= since, newest)
    failures = sum(1 for _ in takewhile(_failed, recent))
    if not failures:
        return timedelta(seconds=RESTART_SECONDS)
    longest = min(FIRST_BACKOFF_SECONDS * 2 ** (failures - 1), LONGEST_BACKOFF_SECONDS)
    return timedelta(seconds=longest)


def _failed(run: JobRun) -> bool:
    return run.state.bad and run.state is not RunState.CANCELLED


# --------------------------------------------------------------------------- events


def due_by_files(
    job: StartedJob,
    starter: OnFiles,
    memory: Memory,
    seen: frozenset[str],
    files: FileStamps,
    now: datetime,
) -> Decision:
    """One run for all files that are new; the first look only takes note of what is there.

    "Only new files trigger runs. Overwriting an existing file with a file of the same name does
    not trigger a run."
    """
    names = frozenset(files)
    gone = seen - names
    if not memory.has_baseline:
        return Decision(replace(memory, has_baseline=True), appeared=names - seen, gone=gone)
    new = sorted(names - seen)
    mark = fingerprint([[name, *files[name]] for name in new]) if new else ""
    active = _active(memory, mark, now)
    if not new or not _may_fire(active, starter.patience, now):
        return Decision(active, gone=gone)
    reason = new[0] if len(new) == 1 else f"{len(new)} files, first {new[0]}"
    trigger = Trigger(TriggerKind.FILE_ARRIVAL, now, {"location": starter.url})
    decision = _numbered(job, active, trigger, reason)
    return replace(decision, appeared=frozenset(new), gone=gone)


def due_by_tables(
    job: StartedJob,
    starter: OnTables,
    memory: Memory,
    versions: Mapping[str, tuple[int, bool]],
    now: datetime,
) -> Decision:
    """One run for all changes since the last one. ``versions``: the newest version of each table,
    and whether data has changed since the version that ``memory`` knows.
    """
    known = {name: version for name, (version, _) in versions.items()}
    if not memory.has_baseline:
        return Decision(replace(memory, has_baseline=True, versions=known))
    changed = memory.changed | {name for name, (_, has_changed) in versions.items() if has_changed}
    changed &= frozenset(starter.tables)
    looked = replace(memory, versions=known, changed=changed)
    mark = fingerprint([[name, known[name]] for name in sorted(changed)]) if changed else ""
    active = _active(looked, mark, now)
    enough = changed == frozenset(starter.tables) if starter.all_of_them else bool(changed)
    if not enough or not _may_fire(active, starter.patience, now):
        return Decision(active)
    reason = ", ".join(f"{name} v{known[name]}" for name in sorted(changed))
    details = {"updated_tables": canonical_json(sorted(changed))}
    trigger = Trigger(TriggerKind.TABLE, now, details)
    return _numbered(job, replace(active, changed=frozenset()), trigger, reason)


def _active(memory: Memory, mark: str, now: datetime) -> Memory:
    """Remembers since when nothing has moved."""
    moved = mark != memory.activity or (memory.active_at is not None and memory.active_at > now)
    if not mark or not moved:
        return memory if mark or not memory.activity else replace(memory, activity="")
    return replace(memory, activity=mark, active_at=now)


def _may_fire(memory: Memory, patience: Patience, now: datetime) -> bool:
    is_quiet = memory.active_at is None or now - memory.active_at >= patience.quiet
    since_last = None if memory.fired_at is None else now - memory.fired_at
    return is_quiet and (since_last is None or not timedelta() <= since_last < patience.between)


def _numbered(job: StartedJob, memory: Memory, trigger: Trigger, reason: str = "") -> Decision:
    token = f"{job.job_id}#{memory.since.isoformat()}#{memory.fires + 1}"
    fired = _fired(replace(memory, activity=""), trigger.at)
    return Decision(fired, Fire(job.job_id, token, trigger, reason))


def _fired(memory: Memory, at: datetime | None) -> Memory:
    return replace(memory, fires=memory.fires + 1, fired_at=at)


def _short(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")
