"""Rows of the control tables as values, and values as rows. Pure.

A row may have been written by hand in SQL, so reading one can fail: the row is reported with its
key, and the others go on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lakeflow_meta.errors import Problem
from lakeflow_meta.fingerprint import canonical_json

Row = dict[str, Any]
JsonObject = Mapping[str, Any]


class RowError(ValueError):
    """A recorded row that cannot be read; the message names the column."""


@dataclass(frozen=True, slots=True)
class Source:
    """One source: one task of a module."""

    module_name: str
    source_id: str
    source_type: str = ""
    execution_order: int | None = None
    source_config: JsonObject = field(default_factory=dict)
    target_config: JsonObject = field(default_factory=dict)
    transformation_config: JsonObject = field(default_factory=dict)
    is_active: bool = True
    description: str = ""


@dataclass(frozen=True, slots=True)
class Module:
    """One module with all that its job is made of."""

    module_name: str
    job_config: JsonObject = field(default_factory=dict)
    description: str = ""
    ddl_targets: tuple[str, ...] = ()
    is_active: bool = True
    sources: tuple[Source, ...] = ()
    """Active sources by execution order, then name; sources without an order come last."""
    tables: tuple[str, ...] = ()
    """Full names of the active declared tables that the module keeps, sorted."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the control tables hold: modules by name, and rows that could not be read."""

    modules: Mapping[str, Module]
    problems: tuple[Problem, ...] = ()


def source_row(source: Source) -> dict[str, Any]:
    """The control-table row of a source, without its timestamps."""
    return {
        "source_id": source.source_id,
        "module_name": source.module_name,
        "source_type": source.source_type,
        "execution_order": source.execution_order,
        "source_config": canonical_json(source.source_config),
        "target_config": canonical_json(source.target_config),
        "transformation_config": canonical_json(source.transformation_config),
        "is_active": source.is_active,
        "description": source.description or None,
    }


def module_row(module: Module) -> dict[str, Any]:
    """The control-table row of a module's job-level settings, without its timestamps."""
    return {
        "module_name": module.module_name,
        "job_config": canonical_json(module.job_config),
        "description": module.description or None,
        "ddl_targets": canonical_json(list(module.ddl_targets)),
        "is_active": module.is_active,
    }


def read_source(row: Mapping[str, Any]) -> Source:
    """A source from its row. Raises RowError."""
    return Source(
        module_name=_text(row, "module_name"),
        source_id=_text(row, "source_id"),
        source_type=row.get("source_type") or "",
        execution_order=row.get("execution_order"),
        source_config=_json_object(row, "source_config"),
        target_config=_json_object(row, "target_config"),
        transformation_config=_json_object(row, "transformation_config"),
        is_active=row.get("is_active") is not False,
        description=row.get("description") or "",
    )


def read_module(row: Mapping[str, Any]) -> Module:
    """Job-level settings from their row. Raises RowError."""
    targets = _json(row, "ddl_targets", [])
    if not isinstance(targets, list) or not all(isinstance(item, str) for item in targets):
        raise RowError("ddl_targets is not a JSON list of names")
    return Module(
        module_name=_text(row, "module_name"),
        job_config=_json_object(row, "job_config"),
        description=row.get("description") or "",
        ddl_targets=tuple(targets),
        is_active=row.get("is_active") is not False,
    )


def read_recorded(
    sources: Iterable[Mapping[str, Any]],
    modules: Iterable[Mapping[str, Any]],
    tables: Iterable[Mapping[str, Any]],
    *,
    table: str,
) -> Recorded:
    """Put the rows of three control tables together; ``table`` names them in problems."""
    reader = _Reader(table)
    settings = {m.module_name: m for m in reader.read(modules, read_module, "module_name")}
    by_module: dict[str, dict[str, Source]] = {}
    for source in reader.read(sources, read_source, "module_name", "source_id"):
        reader.put(by_module.setdefault(source.module_name, {}), source)
    kept: dict[str, list[str]] = {}
    for row in tables:
        if row.get("is_active") is not False and row.get("module_name"):
            kept.setdefault(row["module_name"], []).append(row["table_name"])
    names = sorted({*settings, *by_module, *kept})
    found = {
        name: _module(settings.get(name, Module(name)), by_module.get(name, {}), kept.get(name, []))
        for name in names
    }
    return Recorded(found, tuple(sorted(reader.problems)))


def _module(settings: Module, sources: Mapping[str, Source], tables: list[str]) -> Module:
    active = [source for source in sources.values() if source.is_active]
    return Module(
        module_name=settings.module_name,
        job_config=settings.job_config,
        description=settings.description,
        ddl_targets=settings.ddl_targets,
        is_active=settings.is_active,
        sources=tuple(sorted(active, key=_source_order)),
        tables=tuple(sorted(tables)),
    )


def _source_order(source: Source) -> tuple[bool, int, str]:
    return (source.execution_order is None, source.execution_order or 0, source.source_id)


class _Reader:
    """Reads rows, and collects the ones that cannot be read instead of stopping."""

    def __init__(self, table: str) -> None:
        self._table = table
        self.problems: list[Problem] = []

    def read(self, rows: Iterable[Mapping[str, Any]], parse: Any, *keys: str) -> list[Any]:
        parsed = []
        for row in rows:
            try:
                parsed.append(parse(row))
            except RowError as error:
                self._report("/".join(str(row.get(key)) for key in keys), str(error))
        return parsed

    def put(self, sources: dict[str, Source], source: Source) -> None:
        if source.source_id in sources:
            self._report(
                f"{source.module_name}/{source.source_id}", "two rows have this module and source"
            )
        sources[source.source_id] = source

    def _report(self, key: str, message: str) -> None:
        self.problems.append(
            Problem(self._table, 0, 0, key, message, "correct the row with `lakeflow-meta sql`")
        )


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value:
        raise RowError(f"{column} is empty")
    return value


def _json(row: Mapping[str, Any], column: str, default: Any) -> Any:
    text = row.get(column)
    if text is None or not text.strip():
        return default
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise RowError(f"{column} is not JSON: {error.msg} at character {error.pos}") from error


def _json_object(row: Mapping[str, Any], column: str) -> JsonObject:
    value = _json(row, column, {})
    if not isinstance(value, dict):
        raise RowError(f"{column} is JSON, but not an object")
    return value
