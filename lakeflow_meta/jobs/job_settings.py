"""One module becomes one settings document, in the shape of the Jobs API's ``JobSettings``. Pure.

`check_module` reports everything that is wrong at once and is what validation and planning both
call; `build_job` builds what has passed it. Creating and updating send the same document.

https://docs.databricks.com/api/workspace/jobs/create
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from lakeflow_meta.control.rows import Module
from lakeflow_meta.errors import Problem, SpecError
from lakeflow_meta.findings import Finding, Path, did_you_mean, path_text
from lakeflow_meta.jobs.job_config import JobConfig
from lakeflow_meta.jobs.job_context import (
    DEPLOY_FIRST,
    PACKAGE_KEY,
    JobContext,
    JsonDict,
    package_task,
)
from lakeflow_meta.jobs.ownership import MAX_TAGS, RESERVED_PREFIX, ownership_tags
from lakeflow_meta.jobs.specs import body, spec_findings
from lakeflow_meta.jobs.task_order import cycles, waiting_for
from lakeflow_meta.jobs.tasks import InlineQuery, ReadTask, merged_extra, read_task

__all__ = ["InlineQuery", "JobContext", "JobDefinition", "build_job", "check_module"]

DDL_KEY = "_ddl"
TABLES_KEY = "_tables"
MAX_TASKS = 1000
"""https://docs.databricks.com/api/workspace/jobs/create (tasks)"""


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


@dataclass(slots=True)
class _Draft:
    """A module while it is read: all parts, and all findings."""

    module: Module
    context: JobContext
    config: JobConfig | None = None
    tasks: list[ReadTask] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(self, path: Path, message: str, hint: str = "") -> None:
        self.findings.append(Finding(path, message, hint))


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
    config = draft.config
    settings = _job_fields(config, module, context)
    tasks = _tasks(draft)
    if tasks:
        settings["tasks"] = tasks
        _add_package_compute(settings, context)
    settings, _ = merged_extra(settings, config.extra)
    return JobDefinition(
        module.module_name,
        settings,
        tuple(body(permission) for permission in config.permissions or ()),
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


def _read(module: Module, context: JobContext) -> _Draft:
    draft = _Draft(module, context)
    _read_config(draft)
    for position, source in enumerate(module.sources):
        task = read_task(source, context)
        draft.tasks.append(task)
        draft.findings += [finding.under("sources", position) for finding in task.findings]
    _check_keys(draft)
    _check_dependencies(draft)
    _check_references(draft)
    return draft


def _read_config(draft: _Draft) -> None:
    try:
        draft.config = config = JobConfig.model_validate(dict(draft.module.job_config))
    except ValidationError as error:
        draft.findings += [f.under("job_config") for f in spec_findings(error, JobConfig)]
        return
    for tag in config.tags or {}:
        if tag.startswith(RESERVED_PREFIX):
            hint = f"tags that start with {RESERVED_PREFIX} say who owns the job"
            draft.add(("job_config", "tags", tag), f"tag {tag!r} is reserved", hint)
    if config.permissions and not draft.context.applies_permissions:
        hint = "remove them, and set them on the platform: an update leaves them as they are"
        draft.add(("job_config", "permissions"), "permissions are not applied here", hint)
    fields = _job_fields(config, draft.module, draft.context)
    if len(fields["tags"]) > MAX_TAGS:
        count, own = len(config.tags or {}), len(fields["tags"]) - len(config.tags or {})
        draft.add(("job_config", "tags"), f"{count} tags; {MAX_TAGS - own} are possible")
    for keyed, key in (("parameters", "name"), *_KEYED):
        _check_unique(draft, keyed, key)
    _check_package(draft)
    for clash in merged_extra({**fields, "tasks": []}, config.extra)[1]:
        at = ("job_config", "extra", *clash)
        draft.add(at, f"{clash[-1]} is already set by its own key", "write it once")


_KEYED = (("job_clusters", "job_cluster_key"), ("environments", "environment_key"))


def _check_unique(draft: _Draft, keyed: str, key: str) -> None:
    entries = getattr(draft.config, keyed) or ()
    for name, count in Counter(getattr(entry, key) for entry in entries).items():
        if count > 1:
            draft.add(("job_config", keyed), f"{key} {name!r} is written {count} times", "keep one")


def _check_package(draft: _Draft) -> None:
    """The key of what carries this package is ours; our first tasks need it on the platform."""
    for keyed, key in _KEYED:
        if any(getattr(e, key) == PACKAGE_KEY for e in getattr(draft.config, keyed) or ()):
            text = f"{key} {PACKAGE_KEY!r} is that of this package's own tasks"
            draft.add(("job_config", keyed), text, "rename it")
    if draft.context.package_missing and _first_keys(draft.module):
        draft.add((), draft.context.package_missing, DEPLOY_FIRST)


def _check_keys(draft: _Draft) -> None:
    """Every task key once, our own included; not too many."""
    own = {DDL_KEY: "ddl_targets", TABLES_KEY: "tables"}
    taken = {key: f"the module's own task for {own[key]}" for key in _first_keys(draft.module)}
    for position, task in enumerate(draft.tasks):
        at: Path = ("sources", position, "source_id")
        earlier = taken.setdefault(task.key, f"source {task.source_id!r}")
        if earlier == f"source {task.source_id!r}" and _seen_before(draft, position):
            draft.add(at, f"source_id {task.source_id!r} is written twice", "rename one")
        elif earlier != f"source {task.source_id!r}":
            text = f"task key {task.key!r} of source {task.source_id!r} is that of {earlier}"
            draft.add(at, text, "rename one; task keys have letters, digits, _ and - only")
    count = len(draft.tasks) + len(_first_keys(draft.module))
    if count > MAX_TASKS:
        draft.add(("sources",), f"{count} tasks; a job takes {MAX_TASKS}", "split the module")


def _seen_before(draft: _Draft, position: int) -> bool:
    first = _positions(draft)[draft.tasks[position].source_id]
    return first != position


def _positions(draft: _Draft) -> dict[str, int]:
    """The first position of every source id."""
    return {task.source_id: i for i, task in reversed(list(enumerate(draft.tasks)))}


def _check_dependencies(draft: _Draft) -> None:
    known = {task.source_id for task in draft.tasks} | set(_first_keys(draft.module))
    for position, task in enumerate(draft.tasks):
        for number, parent in enumerate(_explicit(task) or ()):
            at: Path = ("sources", position, "transformation_config", "depends_on", number)
            if parent == task.source_id:
                draft.add(at, f"{parent!r} depends on itself", "remove it")
            elif parent not in known:
                draft.add(
                    at,
                    f"depends on {parent!r}, which is no active source of the module",
                    did_you_mean(parent, known - {task.source_id}),
                )
    explicit = {task.source_id for task in draft.tasks if _explicit(task) is not None}
    if explicit:
        _check_cycles(draft)


def _check_cycles(draft: _Draft) -> None:
    """Without explicit dependencies there are none."""
    positions = _positions(draft)
    graph = _graph(draft)
    graph = {name: [need for need in needs if need != name] for name, needs in graph.items()}
    for cycle in cycles(graph):
        at: Path = ("sources", positions.get(cycle[0], 0))
        text = f"sources wait for each other: {' → '.join(cycle)}"
        draft.add(at, text, "each waits for the next; remove one depends_on or execution_order")


def _check_references(draft: _Draft) -> None:
    """Tasks name clusters and environments that the job has."""
    if draft.config is None:
        return
    clusters = {cluster.job_cluster_key for cluster in draft.config.job_clusters or ()}
    environments = {e.environment_key for e in draft.config.environments or ()}
    for position, task in enumerate(draft.tasks):
        spec = task.spec
        if spec is None:
            continue
        for name, known, kind in (
            ("job_cluster_key", clusters, "job_clusters"),
            ("environment_key", environments, "environments"),
        ):
            key = getattr(spec, name)
            if key is not None and key not in known:
                at: Path = ("sources", position, "transformation_config", name)
                hint = did_you_mean(key, known) if known else f"add it to job_config.{kind}"
                draft.add(at, f"{name} {key!r} is not among the job's {kind}", hint)


# --------------------------------------------------------------------------- building


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


def _first_keys(module: Module) -> list[str]:
    """Keys of the tasks that come before every source."""
    ddl = [DDL_KEY] if module.ddl_targets else []
    return [*ddl, TABLES_KEY] if module.tables else ddl


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


def _explicit(task: ReadTask) -> list[str] | None:
    """Source ids that the task names in ``depends_on``; None when it says nothing."""
    if task.spec is None or task.spec.depends_on is None:
        return None
    return [dependency.task_key for dependency in task.spec.depends_on]


def _graph(draft: _Draft) -> dict[str, list[str]]:
    """What every source waits for, by source id (our own first tasks by key)."""
    orders = [(source.source_id, source.execution_order) for source in draft.module.sources]
    explicit = {t.source_id: e for t in draft.tasks if (e := _explicit(t)) is not None}
    return waiting_for(orders, explicit, _first_keys(draft.module)[-1:])


def _tasks(draft: _Draft) -> list[JsonDict]:
    graph = _graph(draft)
    keys = {task.source_id: task.key for task in draft.tasks}
    tasks = _first_tasks(draft.module, draft.context)
    for task in draft.tasks:
        outcomes = _outcomes(task)
        needs = [_dependency(keys.get(n, n), outcomes.get(n)) for n in graph[task.source_id]]
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
