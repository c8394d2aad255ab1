"""Control tables of older programs, and their rows as rows of ours. Pure.

Four layouts are known, all of lakeflow-jobs-meta and told apart by their columns: the one of its
first form (``lakeflow_job_meta``: a row a source, with or without ``created_by``), an interim one
(``parameters`` beside ``task_config``), that of 0.1 and that of 0.2.0 (a row a task; the job's
settings are copied on every row). A job's live name is kept, so that taking tables over renames
nothing on the platform.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from lakeflow_meta.control.jobs_dialect import source_of
from lakeflow_meta.control.jobs_dialect_tasks import (
    flat_task,
    for_every_task,
    with_notification_settings,
)
from lakeflow_meta.control.rows import (
    Module,
    Row,
    RowError,
    Source,
    module_row,
    read_source,
    source_row,
)
from lakeflow_meta.control.tables import SOURCES
from lakeflow_meta.errors import ConfigError, Problem
from lakeflow_meta.fingerprint import canonical_json

_CREATED, _UPDATED = "created_timestamp", "updated_timestamp"
_HINT = "correct the row in the older table, then migrate again"
_JOB_CONFIG = "_job_config"
"""Where forms without a column for it keep the job's settings: inside the first row's JSON."""


class Layout(StrEnum):
    """Whose table it is."""

    OWN = "lakeflow_meta"
    SOURCES = "lakeflow_job_meta, one row per source"
    INTERIM = "lakeflow_jobs_meta before 0.1"
    TASKS_0_1 = "lakeflow-jobs-meta 0.1"
    TASKS_0_2 = "lakeflow-jobs-meta 0.2"


_TASK_COLUMNS = ("job_name", "task_key", "depends_on", "task_type", "task_config", "disabled")
_TELLING: Mapping[Layout, tuple[str, ...]] = {
    Layout.OWN: SOURCES.names[: SOURCES.contract + 1],
    Layout.SOURCES: SOURCES.names[: SOURCES.contract],
    Layout.TASKS_0_2: ("resource_id", *_TASK_COLUMNS, "job_config"),
    Layout.TASKS_0_1: (*_TASK_COLUMNS, "job_config"),
    Layout.INTERIM: (*_TASK_COLUMNS, "parameters"),
}
"""The columns that make a layout; the first that has all of them is it."""

_AUDIT = frozenset({"created_by", "updated_by", _CREATED, _UPDATED})


def layout_of(columns: Sequence[str], table: str) -> Layout:
    """The layout that has these columns. Raises ConfigError for an unknown one."""
    present = {column.lower() for column in columns}
    for layout, telling in _TELLING.items():
        if present.issuperset(telling):
            return layout
    nearest = min(_TELLING.values(), key=lambda telling: len(set(telling) - present))
    lacking = ", ".join(name for name in nearest if name not in present)
    raise ConfigError(
        f"{table} is no control table that can be taken over: its columns are"
        f" {', '.join(columns)}; the nearest layout also has {lacking}"
    )


def untaken_columns(layout: Layout, columns: Sequence[str]) -> list[str]:
    """Columns of the older table that no column of ours takes up."""
    taken = {*_TELLING[layout], _CREATED, _UPDATED}
    return [column for column in columns if column.lower() not in taken]


def is_contract(columns: Sequence[str]) -> bool:
    """Whether a table begins with the columns of our sources, so that ours can be added to it."""
    wanted = SOURCES.names[: SOURCES.contract]
    return tuple(column.lower() for column in columns[: SOURCES.contract]) == wanted


@dataclass(frozen=True, slots=True)
class OlderTables:
    """The rows of an older control table and of its ``_jobs`` table."""

    layout: Layout
    table: str
    rows: Sequence[Row]
    jobs: Sequence[Row] = ()


@dataclass(slots=True)
class Translated:
    """Rows of ours. With ``problems`` nothing of them may be written."""

    modules: list[Row] = field(default_factory=list)
    sources: list[Row] = field(default_factory=list)
    jobs: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    """What people should know, and what hinders nothing."""


def translate(older: OlderTables) -> Translated:
    """The older rows as rows of the modules, the sources and the jobs table."""
    rows = [{name.lower(): value for name, value in row.items()} for row in older.rows]
    jobs = [{name.lower(): value for name, value in row.items()} for row in older.jobs]
    return _Translator(older.layout, older.table).translate(rows, jobs)


@dataclass(slots=True)
class _Settings:
    """What the rows of one module say of its job: they must agree."""

    config: dict[str, Any] | None = None
    config_row: str = ""
    names: dict[str, str] = field(default_factory=dict)
    times: list[tuple[Any, Any]] = field(default_factory=list)


class _Translator:
    def __init__(self, layout: Layout, table: str) -> None:
        self._layout = layout
        self._table = table
        self._found = Translated()
        self._settings: dict[str, _Settings] = {}
        self._sources: dict[str, dict[str, tuple[Source, Row]]] = {}

    def translate(self, rows: Iterable[Row], jobs: Iterable[Row]) -> Translated:
        read: Callable[[Row], Source] = (
            self._read_source if self._layout is Layout.SOURCES else self._read_task
        )
        for row in sorted(rows, key=_row_key):
            try:
                self._add_source(read(row), row)
            except RowError as error:
                self._problem(_row_key(row), str(error))
        live_names = self._read_jobs(sorted(jobs, key=_row_key))
        for name in sorted(self._settings):
            everywhere = self._add_module(name, live_names.get(name))
            for source, row in self._sources.get(name, {}).values():
                self._write_source(source, everywhere, row)
        return self._found

    def _write_source(self, source: Source, everywhere: Mapping[str, Any], row: Row) -> None:
        config = with_notification_settings(dict(source.transformation_config), everywhere)
        written = source_row(replace(source, transformation_config=config))
        self._found.sources.append({**written, **_times([_row_times(row)])})

    # --- sources

    def _read_source(self, row: Row) -> Source:
        """A row of the first form. It kept the job's settings in the first source's JSON."""
        source = read_source(row)
        config = dict(source.source_config)
        settings = config.pop(_JOB_CONFIG, None)
        self._note(source.module_name, row, settings, None)
        return replace(source, source_config=config)

    def _read_task(self, row: Row) -> Source:
        module_name = row.get("resource_id") or row.get("job_name")
        if not isinstance(module_name, str) or not isinstance(row.get("task_key"), str):
            raise RowError("the row names no job, or no task_key")
        task = _object(row, "task_config")
        settings = task.pop(_JOB_CONFIG, None)
        if self._layout is not Layout.INTERIM:
            settings = _object(row, "job_config") if _text(row, "job_config") else None
        elif parameters := _object(row, "parameters"):
            task.setdefault("parameters", parameters)
        self._note(module_name, row, settings, row.get("job_name"))
        fields = {
            "task_type": row.get("task_type"),
            **task,
            "depends_on": _names(row, "depends_on"),
            "disabled": True if row.get("disabled") else None,
        }
        config = flat_task({key: value for key, value in fields.items() if value is not None})
        made = source_of({"task_key": row["task_key"]}, config.config)
        return Source(module_name, **made)

    def _add_source(self, source: Source, row: Row) -> None:
        of_module = self._sources.setdefault(source.module_name, {})
        if source.source_id in of_module:
            self._problem(_row_key(row), "two rows have this job and task")
        of_module[source.source_id] = (source, row)

    def _note(self, module_name: str, row: Row, config: Any, job_name: str | None) -> None:
        """Remember what this row says of the job; a row may say nothing."""
        settings = self._settings.setdefault(module_name, _Settings())
        settings.times.append(_row_times(row))
        if job_name:
            settings.names.setdefault(job_name, _row_key(row))
        if config is None:
            return
        if not isinstance(config, dict):
            raise RowError(f"{_JOB_CONFIG} is JSON, but not an object")
        if settings.config is None:
            settings.config, settings.config_row = config, _row_key(row)
        elif settings.config != config:
            text = f"job_config differs from that of row {settings.config_row}"
            raise RowError(f"{text}; all rows of a job have the same")

    # --- modules

    def _add_module(self, name: str, live_name: str | None) -> Mapping[str, Any]:
        """Write the module's row; the notification settings that its tasks are to have."""
        settings = self._settings[name]
        config = dict(settings.config or {})
        if "_job_environments" in config:
            config["environments"] = config.pop("_job_environments")
        everywhere = for_every_task(config)
        display = live_name or self._only_name(name, settings)
        if display and display != name:
            config = {"name": display, **config}
        row = {**module_row(Module(name, config)), **_times(settings.times)}
        self._found.modules.append(row)
        return everywhere

    def _only_name(self, name: str, settings: _Settings) -> str | None:
        if len(settings.names) > 1:
            said = " and ".join(f"{n!r} (row {row})" for n, row in sorted(settings.names.items()))
            self._problem(name, f"rows of the job have different names: {said}")
        return next(iter(settings.names), None)

    # --- jobs

    def _read_jobs(self, rows: Iterable[Row]) -> dict[str, str]:
        """Records of the jobs that were made; the live name of each by module."""
        names: dict[str, str] = {}
        for row in rows:
            name = row.get("module_name") or row.get("resource_id") or row.get("job_name")
            if not isinstance(name, str) or row.get("job_id") is None:
                self._problem(str(name), "the row of the jobs table lacks a job or its id")
            elif name in names:
                self._problem(name, "two rows of the jobs table have this job")
            elif name not in self._settings:
                text = f"job {row['job_id']} has no tasks here; it is not taken over"
                self._found.notes.append(Problem(self._table, 0, 0, name, text))
            else:
                names[name] = self._live_name(row.get("job_name") or name)
                self._add_job(name, names[name], row)
        return names

    def _add_job(self, name: str, live_name: str, row: Row) -> None:
        record = {"module_name": name, "job_id": row["job_id"], "job_name": live_name}
        self._found.jobs.append({**record, **_times([_row_times(row)]), "is_active": True})
        sources = self._sources.get(name, {}).values()
        if not any(source.is_active for source, _ in sources):
            text = f"no source is active, so `apply` would retire job {row['job_id']}"
            hint = "activate one, or apply with --prune keep"
            self._found.notes.append(Problem(self._table, 0, 0, name, text, hint))

    def _live_name(self, job_name: str) -> str:
        """The name on the platform: 0.1 and 0.2 record it without the prefix that they add."""
        if self._layout in (Layout.TASKS_0_1, Layout.TASKS_0_2):
            return f"[Lakeflow Jobs Meta] {job_name}"
        return job_name

    def _problem(self, key: str, message: str) -> None:
        self._found.problems.append(Problem(self._table, 0, 0, key, message, _HINT))


def _row_key(row: Row) -> str:
    names = ("module_name", "resource_id", "job_name")
    first = next((row[name] for name in names if row.get(name)), None)
    second = row.get("source_id") or row.get("task_key")
    return f"{first}/{second}" if second else str(first)


def _row_times(row: Row) -> tuple[Any, Any]:
    return row.get(_CREATED), row.get(_UPDATED)


def _times(pairs: Iterable[tuple[Any, Any]]) -> Row:
    """The first creation and the last update; None where nobody wrote it."""
    created, updated = zip(*pairs, strict=True)
    return {
        _CREATED: min((at for at in created if at is not None), default=None),
        _UPDATED: max((at for at in updated if at is not None), default=None),
    }


def _text(row: Row, column: str) -> str:
    return (row.get(column) or "").strip()


def _json(row: Row, column: str, default: Any) -> Any:
    try:
        return json.loads(_text(row, column) or canonical_json(default))
    except json.JSONDecodeError as error:
        raise RowError(f"{column} is not JSON: {error.msg} at character {error.pos}") from error


def _object(row: Row, column: str) -> dict[str, Any]:
    value = _json(row, column, {})
    if not isinstance(value, dict):
        raise RowError(f"{column} is JSON, but not an object")
    return value


def _names(row: Row, column: str) -> list[str]:
    value = _json(row, column, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RowError(f"{column} is JSON, but not a list of task keys")
    return value
