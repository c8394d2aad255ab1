"""One module becomes one settings document, in the shape of the Jobs API's ``JobSettings``. Pure.

`check_module` reports everything that is wrong at once and is what validation and planning both
call; `build_job` builds what has passed it. Creating and updating send the same document.

https://docs.databricks.com/api/workspace/jobs/create
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from lakeflow_meta.control.rows import Module
from lakeflow_meta.errors import Problem, SpecError
from lakeflow_meta.findings import Finding, path_text
from lakeflow_meta.jobs.draft import DDL_KEY, TABLES_KEY, Draft
from lakeflow_meta.jobs.job_config import (
    MAX_CLUSTERS,
    MAX_DESCRIPTION_BYTES,
    MAX_ENVIRONMENTS,
    MAX_NAME_BYTES,
    STARTERS,
    JobConfig,
)
from lakeflow_meta.jobs.job_context import (
    DEPLOY_FIRST,
    PACKAGE_KEY,
    JobContext,
    JsonDict,
    package_task,
)
from lakeflow_meta.jobs.ownership import MAX_TAGS, RESERVED_PREFIX, ownership_tags
from lakeflow_meta.jobs.specs import body, spec_findings
from lakeflow_meta.jobs.task_checks import check_tasks
from lakeflow_meta.jobs.tasks import InlineQuery, ReadTask, merged_extra, read_task

__all__ = ["InlineQuery", "JobContext", "JobDefinition", "build_job", "check_module"]

MAX_REQUEST_BYTES = 10 * 2**20
"""https://learn.microsoft.com/azure/databricks/reference/jobs-2.0-api: 10 MB"""


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """The job that a module asks for."""

    module_name: str
    settings: Mapping[str, Any]
    permissions: tuple[Mapping[str, Any], ...] = ()
    """Not part of JobSettings: they have an API of their own."""
    queries: tuple[InlineQuery, ...] = ()
    """SQL to save first; `with_queries` puts the ids in."""

    @property
    def name(self) -> str:
        """The job's display name."""
        return str(self.settings["name"])

    def with_queries(self, query_ids: Mapping[str, str]) -> JobDefinition:
        """The same job with the ids of saved queries, by task key."""
        loops = {q.task_key: q.inside_loop for q in self.queries if q.task_key in query_ids}
        if not loops:
            return self
        tasks = list(self.settings["tasks"])
        for position, task in enumerate(tasks):
            key = task["task_key"]
            if key in loops:
                tasks[position] = _with_query(task, query_ids[key], inside_loop=loops[key])
        return replace(self, settings={**self.settings, "tasks": tasks})


def _with_query(task: JsonDict, query_id: str, *, inside_loop: bool) -> JsonDict:
    if inside_loop:
        loop = task["for_each_task"]
        inner = _with_query(loop["task"], query_id, inside_loop=False)
        return {**task, "for_each_task": {**loop, "task": inner}}
    sql = task["sql_task"]
    return {**task, "sql_task": {**sql, "query": {**sql["query"], "query_id": query_id}}}


def check_module(module: Module, *, context: JobContext) -> list[Finding]:
    """Everything that keeps the module from being a job.

    Paths start with ``job_config`` or with ``sources`` and a position in ``module.sources``.
    """
    return _read(module, context).findings


def build_job(module: Module, context: JobContext) -> JobDefinition:
    """The job of a module. Raises SpecError with every problem."""
    draft = _read(module, context)
    if draft.findings or draft.config is None:
        raise SpecError([_problem(module, context, finding) for finding in draft.findings])
    return JobDefinition(
        module.module_name,
        _settings(draft, draft.config),
        tuple(body(permission) for permission in draft.config.permissions or ()),
        tuple(task.inline for task in draft.tasks if task.inline is not None),
    )


def has_tasks(module: Module) -> bool:
    """Whether there is anything for a job to do."""
    return bool(module.sources or module.ddl_targets or module.tables)


def _problem(module: Module, context: JobContext, finding: Finding) -> Problem:
    path = finding.path
    where = module.module_name
    if path[:1] == ("sources",) and len(path) > 1 and isinstance(path[1], int):
        where += f"/{module.sources[path[1]].source_id}"
        path = path[2:]
    text = f"{where}: {path_text(path)}" if path else where
    return Problem(context.control_table, 0, 0, text, finding.message, finding.hint)


# --------------------------------------------------------------------------- reading


def _read(module: Module, context: JobContext) -> Draft:
    draft = Draft(module, context)
    _read_config(draft)
    for position, source in enumerate(module.sources):
        task = read_task(source, context)
        draft.tasks.append(task)
        draft.findings += [finding.under("sources", position) for finding in task.findings]
    check_tasks(draft)
    _check_room(draft)
    _check_size(draft)
    return draft


def _check_room(draft: Draft) -> None:
    """What carries this package is one environment or job cluster more."""
    bodies = _with_nested([task.body for task in draft.tasks])
    for keyed, key in _KEYED:
        own = draft.first_keys or any(body.get(key) == PACKAGE_KEY for body in bodies)
        if own and keyed in draft.context.package_compute:
            count = len(getattr(draft.config, keyed, None) or ())
            if count >= _MOST[keyed]:
                text = f"{count} {keyed}, and this package's own tasks need one; a job takes"
                draft.add(("job_config", keyed), f"{text} {_MOST[keyed]}", "remove one")


def _check_size(draft: Draft) -> None:
    """Of the tasks: nothing else grows. What they depend on is short beside what they do."""
    size = len(json.dumps([task.body for task in draft.tasks]))
    if size > MAX_REQUEST_BYTES:
        draft.add((), f"the tasks have {size:,} bytes; a request takes {MAX_REQUEST_BYTES:,}")


def _read_config(draft: Draft) -> None:
    try:
        draft.config = config = JobConfig.model_validate(dict(draft.module.job_config))
    except ValidationError as error:
        draft.findings += [f.under("job_config") for f in spec_findings(error, JobConfig)]
        return
    fields = _job_fields(config, draft.module, draft.context)
    _check_tags(draft, config, fields["tags"])
    _check_lengths(draft, fields)
    for keyed, key in (("parameters", "name"), *_KEYED):
        _check_unique(draft, keyed, key)
    _check_package(draft)
    merged, clashes = merged_extra({**fields, "tasks": []}, config.extra)
    for clash in clashes:
        at = ("job_config", "extra", *clash)
        draft.add(at, f"{clash[-1]} is already set by its own key", "write it once")
    starters = [name for name in (*STARTERS, "triggers") if name in merged]
    if len(starters) > 1:
        text = f"{' and '.join(starters)} exclude each other; a job has one of them"
        draft.add(("job_config", "extra"), text, "remove one")


def _check_tags(draft: Draft, config: JobConfig, sent: Mapping[str, str]) -> None:
    written = config.tags or {}
    for tag in written:
        if tag.startswith(RESERVED_PREFIX):
            hint = f"tags that start with {RESERVED_PREFIX} say who owns the job"
            draft.add(("job_config", "tags", tag), f"tag {tag!r} is reserved", hint)
        elif not tag:
            draft.add(("job_config", "tags", tag), "a tag has no name", "write one")
    if len(sent) > MAX_TAGS:
        own = len(sent) - len(written)
        draft.add(("job_config", "tags"), f"{len(written)} tags; {MAX_TAGS - own} are possible")


def _check_lengths(draft: Draft, fields: Mapping[str, Any]) -> None:
    for name, most in (("name", MAX_NAME_BYTES), ("description", MAX_DESCRIPTION_BYTES)):
        if (size := len(fields.get(name, "").encode())) > most:
            draft.add(("job_config", name), f"{name} has {size} bytes; a job takes {most}")


_KEYED = (("job_clusters", "job_cluster_key"), ("environments", "environment_key"))
_MOST = {"job_clusters": MAX_CLUSTERS, "environments": MAX_ENVIRONMENTS}


def _check_unique(draft: Draft, keyed: str, key: str) -> None:
    entries = getattr(draft.config, keyed) or ()
    for name, count in Counter(getattr(entry, key) for entry in entries).items():
        if count > 1:
            draft.add(("job_config", keyed), f"{key} {name!r} is written {count} times", "keep one")


def _check_package(draft: Draft) -> None:
    """The key of what carries this package is ours; our first tasks need it on the platform."""
    for keyed, key in _KEYED:
        if any(getattr(e, key) == PACKAGE_KEY for e in getattr(draft.config, keyed) or ()):
            text = f"{key} {PACKAGE_KEY!r} is that of this package's own tasks"
            draft.add(("job_config", keyed), text, "rename it")
    if draft.context.package_missing and draft.first_keys:
        draft.add((), draft.context.package_missing, DEPLOY_FIRST)


# --------------------------------------------------------------------------- building


def _settings(draft: Draft, config: JobConfig) -> JsonDict:
    """The finished document of a module without findings."""
    settings = _job_fields(config, draft.module, draft.context)
    tasks = _tasks(draft)
    if tasks:
        settings["tasks"] = tasks
        _add_package_compute(settings, draft.context)
    return merged_extra(settings, config.extra)[0]


def _job_fields(config: JobConfig, module: Module, context: JobContext) -> JsonDict:
    """Everything but tasks and ``extra``."""
    fields = body(config)
    for name in ("extra", "permissions", "name", "description", "tags"):
        fields.pop(name, None)
    silence = fields.pop("notification_settings", {})
    emails = silence.pop("email_notifications", None) or fields.pop("email_notifications", {})
    named = {
        "name": config.name or context.job_name(module.module_name),
        "description": config.description or module.description,
        "tags": {
            **(config.tags or {}),
            **ownership_tags(context.control_table, module.module_name),
        },
        "notification_settings": silence,
        "email_notifications": emails,
    }
    always_on: JsonDict = {"continuous": {}} if config.continuous is not None else {}
    everything = {**named, **fields}
    sent = {name: value for name, value in everything.items() if value not in (None, "", {}, [])}
    return {**always_on, **sent}


def _first_tasks(module: Module, context: JobContext) -> list[JsonDict]:
    tasks: list[JsonDict] = []
    if module.ddl_targets:
        run = package_task(context, ["ddl", "run", *module.ddl_targets])
        tasks.append({"task_key": DDL_KEY, **run})
    if module.tables:
        sync = package_task(context, ["tables", "sync", "--module", module.module_name])
        after = {"depends_on": [{"task_key": DDL_KEY}]} if tasks else {}
        tasks.append({"task_key": TABLES_KEY, **after, **sync})
    return tasks


def _tasks(draft: Draft) -> list[JsonDict]:
    waits = draft.waits()
    keys = {task.source_id: task.key for task in draft.tasks}
    tasks = _first_tasks(draft.module, draft.context)
    for task in draft.tasks:
        outcomes = _outcomes(task)
        needs = [_dependency(keys.get(n, n), outcomes.get(n)) for n in waits[task.source_id]]
        after = {"depends_on": needs} if needs else {}
        key, rest = {"task_key": task.key}, dict(task.body)
        tasks.append({**key, **after, **{n: v for n, v in rest.items() if n != "task_key"}})
    return tasks


def _add_package_compute(settings: JsonDict, context: JobContext) -> None:
    """The environment or cluster that carries this package, where a task asks for it."""
    for keyed, key in _KEYED:
        entry = context.package_compute.get(keyed)
        if entry and any(task.get(key) == PACKAGE_KEY for task in _with_nested(settings["tasks"])):
            settings[keyed] = [*settings.get(keyed, ()), dict(entry)]


def _with_nested(tasks: Sequence[JsonDict]) -> list[JsonDict]:
    return [*tasks, *(task["for_each_task"]["task"] for task in tasks if "for_each_task" in task)]


def _outcomes(task: ReadTask) -> dict[str, str | None]:
    named: Sequence[Any] = (task.spec.depends_on or ()) if task.spec else ()
    return {dependency.task_key: dependency.outcome for dependency in named}


def _dependency(key: str, outcome: str | None) -> JsonDict:
    return {"task_key": key} if outcome is None else {"task_key": key, "outcome": outcome}
