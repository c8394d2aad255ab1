"""Rows of the control tables as values, and values as rows. Pure.

A row may have been written by hand in SQL, so reading one can fail: the row is reported with its
key, its module is one that nothing can be said of, and the others go on. A row that is inactive is
no part of anything, so nothing in it can be wrong.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lakeflow_meta.control.tables import MODULES, SOURCES, TABLES, TableLayout
from lakeflow_meta.errors import Problem
from lakeflow_meta.fingerprint import canonical_json

Row = dict[str, Any]
JsonObject = Mapping[str, Any]
T = TypeVar("T")

_DEPTH = 100

NO_MODULE = "(no module)"
"""Stands for the module of rows that name none."""


_SQL = "lakeflow-meta sql"


class RowError(ValueError):
    """A recorded row that cannot be used; the message names the column, the hint the remedy."""

    def __init__(self, message: str, hint: str = f"correct the row with `{_SQL}`") -> None:
        super().__init__(message)
        self.hint = hint


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
    definitions: Mapping[str, JsonObject] = field(default_factory=dict)
    """What is declared of each of these tables."""


@dataclass(frozen=True, slots=True)
class DeclaredTable:
    """One declared Delta table; it need not belong to a module."""

    table_name: str
    module_name: str = ""
    definition: JsonObject = field(default_factory=dict)
    is_active: bool = True


@dataclass(frozen=True, slots=True, order=True)
class BadRow:
    """A row that cannot be used. ``source_id`` is empty where it is no row of a named source."""

    module_name: str
    source_id: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the control tables hold: modules by name, and the rows that cannot be used.

    Of a module with a bad row, ``modules`` has what could be read, with a stand-in for the row: it
    is there for counting and naming, and nothing may be decided by it.
    """

    modules: Mapping[str, Module]
    bad_rows: tuple[BadRow, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong, once each, sorted."""
        return tuple(sorted({bad.problem for bad in self.bad_rows}))

    @property
    def unreadable(self) -> frozenset[str]:
        """Modules that have a bad row; `NO_MODULE` stands for rows that name none."""
        return frozenset(bad.module_name for bad in self.bad_rows)

    def only(self, names: Collection[str]) -> Recorded:
        """What there is of the named modules."""
        modules = {name: module for name, module in self.modules.items() if name in names}
        return Recorded(modules, tuple(bad for bad in self.bad_rows if bad.module_name in names))


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
        source_config=json_object(row, "source_config"),
        target_config=json_object(row, "target_config"),
        transformation_config=json_object(row, "transformation_config"),
        is_active=is_active(row),
        description=row.get("description") or "",
    )


def read_module(row: Mapping[str, Any]) -> Module:
    """Job-level settings from their row. Raises RowError."""
    targets = _json(row, "ddl_targets", [])
    if not isinstance(targets, list) or not all(isinstance(item, str) for item in targets):
        raise RowError("ddl_targets is not a JSON list of names")
    return Module(
        module_name=_text(row, "module_name"),
        job_config=json_object(row, "job_config"),
        description=row.get("description") or "",
        ddl_targets=tuple(targets),
        is_active=is_active(row),
    )


def read_table(row: Mapping[str, Any]) -> DeclaredTable:
    """A declared table from its row. Raises RowError."""
    return DeclaredTable(
        table_name=_text(row, "table_name"),
        module_name=row.get("module_name") or "",
        definition=json_object(row, "definition"),
        is_active=is_active(row),
    )


def read_recorded(
    sources: Iterable[Mapping[str, Any]],
    modules: Iterable[Mapping[str, Any]],
    tables: Iterable[Mapping[str, Any]],
    *,
    table: str,
) -> Recorded:
    """Put the rows of three control tables together; ``table`` names them in problems."""
    bad: list[BadRow] = []
    settings = {
        module.module_name: module
        for module in _read(modules, read_module, _module_stand_in, _Place(table, MODULES, bad))
    }
    by_module: dict[str, list[Source]] = {}
    for source in _read(sources, read_source, _source_stand_in, _Place(table, SOURCES, bad)):
        by_module.setdefault(source.module_name, []).append(source)
    kept: dict[str, list[DeclaredTable]] = {}
    for declared in _read(tables, read_table, _table_stand_in, _Place(table, TABLES, bad)):
        if declared.is_active and declared.module_name:
            kept.setdefault(declared.module_name, []).append(declared)
    named = {row.module_name for row in bad} - {NO_MODULE}
    found = {
        name: _module(settings.get(name, Module(name)), by_module.get(name, []), kept.get(name, []))
        for name in sorted({*settings, *by_module, *kept, *named})
    }
    return Recorded(found, tuple(sorted(set(bad))))


def _module(settings: Module, sources: Iterable[Source], tables: Sequence[DeclaredTable]) -> Module:
    active = [source for source in sources if source.is_active]
    return Module(
        module_name=settings.module_name,
        job_config=settings.job_config,
        description=settings.description,
        ddl_targets=settings.ddl_targets,
        is_active=settings.is_active,
        sources=tuple(sorted(active, key=_source_order)),
        tables=tuple(sorted(table.table_name for table in tables)),
        definitions={table.table_name: table.definition for table in tables},
    )


def _source_order(source: Source) -> tuple[bool, int, str]:
    return (source.execution_order is None, source.execution_order or 0, source.source_id)


# --------------------------------------------------------------------------- rows by hand


@dataclass(frozen=True, slots=True)
class _Place:
    """The table that rows are of, and where the bad ones are put."""

    sources: str
    layout: TableLayout
    bad: list[BadRow]

    def report(self, row: Mapping[str, Any], error: RowError) -> None:
        path = "/".join(_shown(row.get(key)) for key in self.layout.keys)
        file = self.sources + self.layout.suffix
        problem = Problem(file, 0, 0, path, str(error), error.hint)
        source_id = row.get("source_id") or "" if self.layout is SOURCES else ""
        self.bad.append(BadRow(row.get("module_name") or NO_MODULE, source_id, problem))


def _read(
    rows: Iterable[Mapping[str, Any]],
    parse: Callable[[Mapping[str, Any]], T],
    stand_in: Callable[[Mapping[str, Any]], T | None],
    place: _Place,
) -> Iterator[T]:
    """One value a key; where that cannot be read, or there are several, a stand-in for each row."""
    by_key: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_key.setdefault(tuple(row.get(key) for key in place.layout.keys), []).append(row)
    for group in by_key.values():
        active = [row for row in group if is_active(row)]
        first = (active or group)[0]
        try:
            _refuse_several(group, active)
            yield parse(first)
        except RowError as error:
            for row in active:
                place.report(row, error)
            yield from filter(None, map(stand_in, active or [first]))


def _refuse_several(group: list[Mapping[str, Any]], active: list[Mapping[str, Any]]) -> None:
    if active and len(group) > 1:
        hint = f"delete all but one of them with `{_SQL}`"
        raise RowError(f"{len(group)} rows have this key", hint)


def _source_stand_in(row: Mapping[str, Any]) -> Source | None:
    name, source_id = row.get("module_name"), row.get("source_id")
    return Source(name, source_id, is_active=is_active(row)) if name and source_id else None


def _module_stand_in(row: Mapping[str, Any]) -> Module | None:
    name = row.get("module_name")
    return Module(name, is_active=is_active(row)) if name else None


def _table_stand_in(row: Mapping[str, Any]) -> DeclaredTable | None:
    name = row.get("table_name")
    module = row.get("module_name") or ""
    return DeclaredTable(name, module, is_active=is_active(row)) if name else None


def is_active(row: Mapping[str, Any]) -> bool:
    """Whether the row counts; only an explicit false is a soft delete."""
    return row.get("is_active") is not False


def _shown(part: Any) -> str:
    """A part of a key as people would write it in SQL where it is empty."""
    return "NULL" if part is None else str(part) or "''"


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value:
        raise RowError(f"{column} is empty", f"set {column}, or delete the row: `{_SQL}`")
    return value


def json_object(row: Mapping[str, Any], column: str) -> JsonObject:
    """A JSON column that holds an object; empty where the column is. Raises RowError."""
    value = _json(row, column, {})
    if not isinstance(value, dict):
        raise RowError(f"{column} is JSON, but not an object")
    return value


def _json(row: Mapping[str, Any], column: str, default: Any) -> Any:
    text = row.get(column)
    if text is None or not text.strip():
        return default
    try:
        value = _JSON.decode(text)
        _refuse_depth(value, text)
        if "\\u" in text:
            canonical_json(value).encode()  # half of a surrogate pair is no text
    except json.JSONDecodeError as error:
        raise RowError(f"{column} is not JSON: {error.msg} at character {error.pos}") from error
    except UnicodeEncodeError as error:
        raise RowError(f"{column} is not JSON: it holds half of a surrogate pair") from error
    except ValueError as error:
        raise RowError(f"{column} is not JSON: {error}") from error
    except RecursionError as error:
        raise RowError(f"{column} is nested deeper than {_DEPTH} levels") from error
    return value


def _refuse_depth(value: Any, text: str) -> None:
    """What is nested deeper than any configuration would break whoever walks through it."""
    if text.count("[") + text.count("{") <= _DEPTH:
        return
    level, depth = [value], 0
    while level:
        if (depth := depth + 1) > _DEPTH:
            raise ValueError(f"it is nested deeper than {_DEPTH} levels")
        held = [v.values() if isinstance(v, dict) else v for v in level]
        level = [v for values in held for v in values if isinstance(v, dict | list)]


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number that JSON can hold")
    return value


_JSON = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)
"""Refuses what Python reads and JSON does not know: NaN and infinities."""
