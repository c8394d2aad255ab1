"""Recorded modules as a Databricks Asset Bundle: the same bytes each time. Pure.

One ``resources.jobs`` entry a module, in the shape of the Jobs API, without the tags that mark a
job as ours: a bundle makes jobs of its own. `jobs_dialect` reads it back to the same job settings.

A bundle has no place for the text of a SQL task: its task names a saved query. So the id is a
variable that the bundle looks up by the name under which applying the module saved the query, and
the text stands in the variable's description, where our own reader finds it.

https://docs.databricks.com/dev-tools/bundles/settings.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lakeflow_meta.control.export import escaped
from lakeflow_meta.control.jobs_dialect_tasks import INLINE_SQL_MARK
from lakeflow_meta.control.rows import Module
from lakeflow_meta.control.yaml_text import yaml_text
from lakeflow_meta.errors import Problem, SpecError
from lakeflow_meta.fingerprint import content_hash
from lakeflow_meta.jobs.job_settings import (
    InlineQuery,
    JobContext,
    JobDefinition,
    build_job,
    has_tasks,
)
from lakeflow_meta.jobs.ownership import RESERVED_PREFIX, query_name

_HEADER = (
    "# Databricks Asset Bundle, exported from the control tables.\n"
    "# Deploy it with `databricks bundle deploy`, or load it with `lakeflow-meta sync FILE`.\n"
)


def export_bundle(modules: Iterable[Module], *, context: JobContext) -> str:
    """The jobs of all active modules that have something to run, as one bundle file.

    Raises SpecError with every problem of every module that cannot become a job.
    """
    wanted = sorted((m for m in modules if m.is_active and has_tasks(m)), key=_name)
    definitions = list(_definitions(wanted, context))
    variables: dict[str, Any] = {}
    jobs: dict[str, Any] = {}
    for definition in definitions:
        jobs[escaped(definition.module_name)] = _job(definition)
        for query in definition.queries:
            name = _variable(definition.module_name, query)
            variables[name] = _lookup(context.control_table, definition.module_name, query)
    document: dict[str, Any] = {"bundle": {"name": _bundle_name(context.control_table)}}
    if variables:
        document["variables"] = variables
    document["resources"] = {"jobs": jobs}
    return _HEADER + yaml_text(document)


def _name(module: Module) -> str:
    return module.module_name


def _definitions(modules: Iterable[Module], context: JobContext) -> Iterable[JobDefinition]:
    problems: list[Problem] = []
    definitions = []
    for module in modules:
        try:
            definitions.append(build_job(module, context))
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return definitions


def _job(definition: JobDefinition) -> dict[str, Any]:
    """The settings of a job; text that looks like a variable is escaped, our references are not."""
    references = {
        query.task_key: f"${{var.{_variable(definition.module_name, query)}}}"
        for query in definition.queries
    }
    plain = replace(definition, settings=escaped(dict(definition.settings)))
    settings = dict(plain.with_queries(references).settings)
    tags = {
        name: value
        for name, value in settings.pop("tags", {}).items()
        if not name.startswith(RESERVED_PREFIX)
    }
    tasks = settings.pop("tasks", [])
    permissions = [_permission(entry) for entry in definition.permissions]
    optional = {"tags": tags, "permissions": escaped(permissions)}
    return {**settings, **{k: v for k, v in optional.items() if v}, "tasks": tasks}


def _permission(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A bundle writes ``level`` where the API has ``permission_level``."""
    return {("level" if key == "permission_level" else key): v for key, v in entry.items()}


def _variable(module_name: str, query: InlineQuery) -> str:
    """A variable's name: readable, and different for different tasks."""
    identity = f"{module_name}/{query.task_key}"
    words = re.findall(r"[A-Za-z0-9]+", identity)
    return "_".join(["sql", *words, content_hash(identity.encode())[:8]])


def _lookup(control_table: str, module_name: str, query: InlineQuery) -> dict[str, Any]:
    return {
        "description": escaped(INLINE_SQL_MARK + query.text),
        "lookup": {"query": escaped(query_name(control_table, module_name, query.task_key))},
    }


def _bundle_name(control_table: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", control_table).strip("_") or "lakeflow_meta"
