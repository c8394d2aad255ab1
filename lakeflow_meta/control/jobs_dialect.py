"""``jobs:`` and ``resources: {jobs: …}`` as modules: a job is a module, a task a source. Pure.

Read are the dialects of lakeflow-jobs-meta 0.2.0 (``jobs:`` as a mapping, keys are the identity)
and 0.1 (``jobs:`` as a list with ``job_name``), and that of Databricks Asset Bundles. The result is
what ``modules:`` would hold, and a way back from each value to where it was written, so that every
later problem is shown at its own line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from lakeflow_meta.control.jobs_dialect_tasks import (
    JOB_FIELDS,
    JOB_NESTED,
    JOB_PASSED,
    FlatTask,
    flat_task,
    for_every_task,
    goes_to_extra,
    with_notification_settings,
)
from lakeflow_meta.control.yaml_nodes import Document
from lakeflow_meta.findings import Finding, Path, did_you_mean
from lakeflow_meta.jobs.job_context import PACKAGE_KEY

JOB_ROOTS = ("jobs", "resources", "bundle")
"""Root keys that this module reads. ``bundle`` names the bundle and is not used."""

BUNDLE_ROOTS = {
    "targets": "values that differ by target go into conf/<target>.yml, under variables:",
    "include": "name the files, or a folder of them, when you load",
    "workspace": "remove it: the target's settings name the workspace",
    "permissions": "write them in each job",
    "run_as": "write it in each job",
    "artifacts": "remove it",
    "presets": "remove it",
    "sync": "remove it",
}
"""Root keys of a bundle that are refused, and what to do instead."""

_JOB_KEYS = frozenset({*JOB_FIELDS, "extra", "tasks", "metadata_version"})
_BUNDLE_JOB_KEYS = frozenset({*JOB_FIELDS, *JOB_PASSED, "tasks"})
_OF_PACKAGE = {"environments": "environment_key", "job_clusters": "job_cluster_key"}
_WHO = frozenset({"task_key", "description", "source_config", "target_config"})
_VARIABLE_KEYS = frozenset({"default", "description", "type", "lookup"})
_BUNDLE_REFERENCE = re.compile(
    r"(?<!\$)\$\{(?:bundle|workspace|resources|artifacts|variables)\.[^}]*\}"
)


@dataclass(frozen=True, slots=True)
class TranslatedJob:
    """One job as an entry of ``modules:``; ``path`` leads to it in the document."""

    path: Path
    module: dict[str, Any]
    name_key: Path = ()
    tasks: tuple[tuple[int, FlatTask], ...] = ()
    """For every source its position among the tasks, and its translation."""

    def locate(self, path: Path) -> Path:
        """A path inside ``module`` as a path inside the job as it was written."""
        match path:
            case ("module_name", *_):
                return self.name_key
            case ("job_config", *rest):
                return tuple(rest)
            case ("sources", int(position), *rest):
                number, task = self.tasks[position]
                return ("tasks", number, *_locate_in_task(task, tuple(rest)))
            case ("sources", *rest):
                return ("tasks", *rest)
            case _:
                return path


def _locate_in_task(task: FlatTask, path: Path) -> Path:
    match path:
        case ("source_id", *_):
            return ("task_key",)
        case ("transformation_config", *rest):
            return task.locate(tuple(rest))
        case _:
            return path


def read_jobs(document: Document) -> tuple[list[TranslatedJob], list[Finding]]:
    """The jobs of one document, and what is wrong with them (paths in the document)."""
    reader = _Reader(document)
    value = document.value
    if "jobs" in value:
        reader.read_jobs(value["jobs"])
    if "resources" in value:
        reader.read_resources(value["resources"])
    if not isinstance(value.get("bundle", {}), dict):
        reader.findings.append(Finding(("bundle",), "bundle is not a mapping"))
    return reader.jobs, reader.findings


def variable_values(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Values of ``variables:``, those that are declared as in a bundle by their ``default``.

    https://docs.databricks.com/dev-tools/bundles/variables.html
    """
    return {name: _variable_value(value) for name, value in variables.items()}


def _variable_value(value: Any) -> Any:
    declared = isinstance(value, dict) and "default" in value and value.keys() <= _VARIABLE_KEYS
    return value["default"] if declared else value


@dataclass(slots=True)
class _Reader:
    document: Document
    jobs: list[TranslatedJob] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def read_jobs(self, value: Any) -> None:
        if isinstance(value, list):
            for position, job in enumerate(value):
                self._read_listed(job, ("jobs", position))
        else:
            self._read_named(value, ("jobs",), _JOB_KEYS)

    def read_resources(self, value: Any) -> None:
        at: Path = ("resources",)
        if not isinstance(value, dict):
            self._add(at, "resources is not a mapping", "write resources: {jobs: {…}}")
            return
        for key in sorted(value.keys() - {"jobs"}):
            self._add(
                (*at, str(key)), f"resources.{key} is not read", "of a bundle only jobs are read"
            )
        for path, reference in _bundle_references(self.document, at):
            hint = "name a variable of your own: ${var.name}"
            self._add(path, f"{reference} is known to bundles only", hint)
        if "jobs" in value:
            self._read_named(value["jobs"], (*at, "jobs"), _BUNDLE_JOB_KEYS)

    def _read_named(self, value: Any, at: Path, keys: frozenset[str]) -> None:
        if not isinstance(value, dict):
            self._add(at, "jobs is neither a mapping nor a list", "write the jobs by their names")
            return
        for name, job in value.items():
            written = self.document.written_keys.get((*at, name), name)
            self._read_job(name, job, (*at, written), keys)

    def _read_listed(self, job: Any, at: Path) -> None:
        name = job.get("job_name") if isinstance(job, dict) else None
        if not isinstance(job, dict):
            self._add(at, "a job is a mapping", "write job_name: … and tasks: […]")
        elif not isinstance(name, str) or not name:
            self._add(at, "job_name is missing, or is no text", "add job_name: …")
        else:
            rest = {key: item for key, item in job.items() if key != "job_name"}
            self._read_job(name, rest, at, _JOB_KEYS, ("job_name",))

    def _read_job(
        self, name: str, job: Any, at: Path, keys: frozenset[str], name_key: Path = ()
    ) -> None:
        if not isinstance(job, dict):
            self._add(
                at,
                f"job {name!r} is {'empty' if job is None else 'not a mapping'}",
                "add tasks: […]",
            )
            return
        for key in job.keys() - keys:
            self._add((*at, key), f"unknown key {key!r}", did_you_mean(key, keys))
        config = _job_config({k: v for k, v in job.items() if k in keys}, keys)
        everywhere = for_every_task(config) if keys is _JOB_KEYS else {}
        tasks: list[tuple[int, FlatTask]] = []
        sources = []
        for number, task in self._tasks(job, at):
            found = flat_task({k: v for k, v in task.items() if k not in _WHO})
            self.findings += [f.under(*at, "tasks", number) for f in found.findings]
            tasks.append((number, found))
            sources.append(source_of(task, with_notification_settings(found.config, everywhere)))
        said = {k: job[k] for k in ("description", "metadata_version") if job.get(k) is not None}
        module = {"module_name": name, **said, "job_config": config, "sources": sources}
        self.jobs.append(TranslatedJob(at, module, name_key, tuple(tasks)))

    def _tasks(self, job: Mapping[str, Any], at: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
        tasks = job.get("tasks")
        if not isinstance(tasks, list) or not tasks:
            path = (*at, "tasks") if "tasks" in job else at
            self._add(path, "the job has no list of tasks", "add tasks: [{task_key: …}]")
            return
        for number, task in enumerate(tasks):
            path = (*at, "tasks", number)
            key = task.get("task_key") if isinstance(task, dict) else None
            if not isinstance(task, dict):
                self._add(path, "a task is a mapping", "write task_key: … and task_type: …")
            elif not isinstance(key, str) or not key:
                where = (*path, "task_key") if "task_key" in task else path
                self._add(where, "task_key is missing, or is no text", "write it, in quotes")
            else:
                yield number, task

    def _add(self, path: Path, message: str, hint: str = "") -> None:
        self.findings.append(Finding(path, message, hint))


def source_of(task: Mapping[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """An entry of ``sources:`` for a task and its translated fields."""
    source: dict[str, Any] = {"source_id": task["task_key"], "transformation_config": config}
    if isinstance(config.get("task_type"), str):
        source["source_type"] = config["task_type"]
    for key in ("description", "source_config", "target_config"):
        if task.get(key) is not None:
            source[key] = task[key]
    return source


def _job_config(job: Mapping[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    """The job-level keys as ``job_config`` has them."""
    config: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in job.items():
        if key in ("tasks", "description", "metadata_version"):
            continue
        if keys is _BUNDLE_JOB_KEYS and goes_to_extra(key, value, JOB_PASSED, JOB_NESTED):
            extra[key] = value
        elif key == "permissions" and isinstance(value, list):
            config[key] = [_permission(entry) for entry in value]
        elif key in _OF_PACKAGE and keys is _BUNDLE_JOB_KEYS and isinstance(value, list):
            config[key] = [entry for entry in value if not _carries_package(key, entry)]
        else:
            config[key] = value
    return {**config, "extra": extra} if extra else config


def _carries_package(key: str, entry: Any) -> bool:
    """What an exported bundle has for this package's own tasks; here it is put in when applied."""
    return isinstance(entry, dict) and entry.get(_OF_PACKAGE[key]) == PACKAGE_KEY


def _permission(entry: Any) -> Any:
    """A bundle writes ``level`` where the API has ``permission_level``."""
    if not isinstance(entry, dict):
        return entry
    return {("permission_level" if k == "level" else k): v for k, v in entry.items()}


# --------------------------------------------------------------------------- where it is written


def _node_at(root: yaml.Node | None, path: Path) -> yaml.Node | None:
    node = root
    for part in path:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for key, value in node.value if key.value == part), None)
    return node


def _bundle_references(document: Document, at: Path) -> Iterator[tuple[Path, str]]:
    """References below ``at`` that only a bundle can resolve. ``$${`` is an escape, there and here.

    https://github.com/databricks/cli/pull/6484
    """
    if _BUNDLE_REFERENCE.search(document.text):
        yield from _references(_node_at(document.root, at), at, set())


def _references(node: yaml.Node | None, at: Path, seen: set[int]) -> Iterator[tuple[Path, str]]:
    """Each node once, however many aliases it has."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        yield from ((at, match[0]) for match in _BUNDLE_REFERENCE.finditer(node.value))
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from _references(item, (*at, position), seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _references(value, (*at, key.value), seen)
