"""What starts a job by itself, read from its settings. Pure.

https://docs.databricks.com/api/workspace/jobs/create (schedule, trigger, continuous)
https://docs.databricks.com/jobs/triggers
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.findings import path_text
from lakeflow_meta.fingerprint import fingerprint
from lakeflow_meta.jobs.cron_times import CronTimes, cron_times
from lakeflow_meta.jobs.job_config import STARTERS, Continuous, Schedule, Trigger
from lakeflow_meta.jobs.ownership import MODULE_TAG, tag_value
from lakeflow_meta.jobs.specs import Spec, spec_findings
from lakeflow_meta.ports import LiveJob

_SECONDS = {"MINUTES": 60, "HOURS": 3600, "DAYS": 86400, "WEEKS": 7 * 86400}


@dataclass(frozen=True, slots=True)
class AtTimes:
    """By a Quartz cron expression."""

    expression: str
    zone: str

    @property
    def times(self) -> CronTimes:
        """Raises ConfigError where this machine does not know the zone."""
        return cron_times(self.expression, self.zone)

    def __str__(self) -> str:
        return f"{self.expression} {self.zone}"


@dataclass(frozen=True, slots=True)
class Periodically:
    """Every so often, counted from when the trigger was first seen."""

    interval: timedelta
    text: str

    def after(self, moment: datetime, anchor: datetime) -> datetime:
        """The first time of the grid that is later than ``moment`` and than ``anchor``."""
        steps = max((moment - anchor) // self.interval, 0) + 1
        return anchor + steps * self.interval

    def __str__(self) -> str:
        return f"every {self.text}"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an event may have to wait. Zero: not at all.

    ``between``: "at least this much time since the last time the trigger fired";
    ``quiet``: "only after no activity for this time" (jobs/create, trigger).
    """

    between: timedelta = timedelta()
    quiet: timedelta = timedelta()

    def __str__(self) -> str:
        quiet, between = self.quiet.total_seconds(), self.between.total_seconds()
        return (f", after {quiet:g} s of quiet" if quiet else "") + (
            f", at most every {between:g} s" if between else ""
        )


@dataclass(frozen=True, slots=True)
class OnFiles:
    """When files arrive in a folder, or below it."""

    url: str
    patience: Patience

    def __str__(self) -> str:
        return f"files in {self.url}{self.patience}"


@dataclass(frozen=True, slots=True)
class OnTables:
    """When data of Delta tables changes: of any of them, or of all since the last run."""

    tables: tuple[str, ...]
    all_of_them: bool
    patience: Patience

    def __str__(self) -> str:
        word = " and " if self.all_of_them else " or "
        return f"changes of {word.join(self.tables)}{self.patience}"


@dataclass(frozen=True, slots=True)
class Always:
    """A new run as soon as the last one has ended. ``retries_tasks``: the platform would try failed
    tasks again, by ``task_retry_mode``; here only ``max_retries`` of a task does.
    """

    retries_tasks: bool = False

    def __str__(self) -> str:
        hint = "; task_retry_mode has no effect here, give the tasks max_retries"
        return f"continuous{hint if self.retries_tasks else ''}"


@dataclass(frozen=True, slots=True)
class NotHere:
    """Something that the embedded workspace cannot wait for, or cannot read."""

    reason: str

    def __str__(self) -> str:
        return f"never here: {self.reason}"


Starter = AtTimes | Periodically | OnFiles | OnTables | Always | NotHere


@dataclass(frozen=True, slots=True)
class StartedJob:
    """A job that something starts. ``identity`` changes when what starts it does; ``module_tag``
    is the tag of its module, "" where it is of none.
    """

    job_id: int
    name: str
    starter: Starter
    paused: bool
    identity: str
    module_tag: str = ""


def started_job(job: LiveJob) -> StartedJob | None:
    """What starts a job; None where only people do. What cannot be read is `NotHere`."""
    kind = next((name for name in STARTERS if job.settings.get(name) is not None), None)
    if kind is None:
        return None
    document = dict(job.settings[kind])
    paused = document.pop("pause_status", None) == "PAUSED"
    name = str(job.settings.get("name", "Untitled"))
    tags = job.settings.get("tags") or {}
    return StartedJob(
        job.job_id,
        name,
        _starter(kind, document),
        paused,
        identity=fingerprint({kind: document}),
        module_tag=str(tags.get(MODULE_TAG, "")),
    )


def chosen_by(names: Collection[str]) -> Callable[[StartedJob], bool]:
    """Whether a job is of one of these modules, or has one of these names; all if none is given."""
    if not names:
        return lambda _job: True
    tags = {tag_value(name) for name in names}
    return lambda job: job.name in names or job.module_tag in tags


_MODELS: Mapping[str, type[Spec]] = {
    "schedule": Schedule,
    "trigger": Trigger,
    "continuous": Continuous,
}


def _starter(kind: str, document: Mapping[str, Any]) -> Starter:
    model = _MODELS[kind]
    try:
        return _read(model.model_validate(document))
    except ValidationError as error:
        found = spec_findings(error, model)
        return NotHere("; ".join(f"{kind}.{path_text(f.path)}: {f.message}" for f in found))
    except ConfigError as error:
        return NotHere(str(error))


def _read(written: Any) -> Starter:
    match written:
        case Schedule():
            cron_times(written.quartz_cron_expression, written.timezone_id)  # raises ConfigError
            return AtTimes(written.quartz_cron_expression, written.timezone_id)
        case Continuous():
            return Always(retries_tasks=written.task_retry_mode == "ON_FAILURE")
        case Trigger(periodic=periodic) if periodic is not None:
            seconds = periodic.interval * _SECONDS[periodic.unit]
            unit = periodic.unit.lower() if periodic.interval > 1 else periodic.unit.lower()[:-1]
            return Periodically(timedelta(seconds=seconds), f"{periodic.interval} {unit}")
        case Trigger(file_arrival=files) if files is not None:
            return OnFiles(files.url, _patience(files))
        case Trigger(table_update=tables) if tables is not None:
            names = tuple(tables.table_names)
            return OnTables(names, tables.condition == "ALL_UPDATED", _patience(tables))
        case _:
            return NotHere("a trigger of the kind model is one of the platform alone")


def _patience(written: Any) -> Patience:
    return Patience(
        between=timedelta(seconds=written.min_time_between_triggers_seconds or 0),
        quiet=timedelta(seconds=written.wait_after_last_change_seconds or 0),
    )
