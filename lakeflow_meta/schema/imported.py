"""Live tables and views as declarations. Pure.

A sync of what is imported changes nothing on the tables that it was imported from. What cannot be
declared is left out with a warning that names the table and the reason; the other parts, and the
other tables, are imported all the same. All that is imported together makes a `Registry`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from lakeflow_meta.errors import ConfigError, Problem, SpecError
from lakeflow_meta.findings import Finding, path_text
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.capabilities import Capabilities
from lakeflow_meta.schema.constraint_names import foreign_key_name, primary_key_name
from lakeflow_meta.schema.field_paths import read_path
from lakeflow_meta.schema.imported_table import can_be_written, draft_of
from lakeflow_meta.schema.live import LiveTable, LiveView, TableState, Unreadable
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.table import (
    DeltaTable,
    ForeignKey,
    InvalidTableError,
    Policy,
    View,
    table_name,
)

# --------------------------------------------------------------------------- what to import


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be imported: tables and views by name, whole schemas by (catalog, schema)."""

    tables: tuple[TableName, ...]
    schemas: tuple[tuple[str, str], ...]

    def names(self, listed: Iterable[TableName]) -> list[TableName]:
        """Each name once, sorted; ``listed`` are the names that the schemas hold."""
        found = {name.key: name for name in (*listed, *self.tables)}
        return [found[key] for key in sorted(found)]


def read_wanted(names: Iterable[str]) -> Wanted:
    """Read ``catalog.schema.table`` and ``catalog.schema``. Raises ConfigError."""
    tables: dict[str, TableName] = {}
    schemas: dict[str, tuple[str, str]] = {}
    for text in names:
        match _parts_of(text):
            case (catalog, schema):
                place = table_name(catalog, schema, "any")
                schemas.setdefault(place.key, (place.catalog, place.schema))
            case (catalog, schema, name):
                table = table_name(catalog, schema, name)
                tables.setdefault(table.key, table)
            case _:
                raise ConfigError(f"{text!r}: write catalog.schema.table or catalog.schema")
    return Wanted(tuple(tables.values()), tuple(schemas.values()))


def _parts_of(text: str) -> tuple[str, ...]:
    try:
        return read_path(text)
    except ValueError:
        return ()


# --------------------------------------------------------------------------- all together


@dataclass(frozen=True, slots=True)
class ImportedTables:
    """Declarations by name, and what could not be declared; ``left_out`` names what is not there.

    The ``file`` of a warning is the name of the table, as for all problems of tables.
    """

    tables: tuple[DeltaTable | View, ...]
    warnings: tuple[Problem, ...]
    left_out: tuple[TableName, ...]


def import_tables(
    states: Mapping[TableName, TableState],
    capabilities: Capabilities,
    policy: Policy = Policy.ADDITIVE,
) -> ImportedTables:
    """Declare what a reader found. ``capabilities`` tell what should have been seen.

    A table of which something is left out is ``ADDITIVE`` whatever the policy is: ``STRICT`` would
    take away what the declaration could not name.
    """
    desk = _Desk(capabilities, policy)
    for name in sorted(states, key=lambda name: (name.key, name)):
        desk.take(name, states[name])
    desk.fit_together()
    return desk.result()


@dataclass(slots=True)
class _Desk:
    """Where declarations are made and fitted together. Keys are `TableName.key`."""

    capabilities: Capabilities
    policy: Policy
    tables: dict[str, DeltaTable | View] = field(default_factory=dict)
    warnings: list[Problem] = field(default_factory=list)
    left_out: list[TableName] = field(default_factory=list)
    incomplete: set[str] = field(default_factory=set)

    def take(self, name: TableName, state: TableState) -> None:
        """Declare what stands at one name."""
        match state:
            case None:
                self._leave(name, "there is no such table or view")
            case Unreadable(reason, hint):
                self._leave(name, reason, hint)
            case _ if not can_be_written(state.name):
                self._leave(state.name, "the name cannot be written as catalog.schema.table")
            case LiveView():
                self._take_view(state)
            case LiveTable():
                self._take_table(state)
            case _:
                assert_never(state)

    def _take_view(self, live: LiveView) -> None:
        name, query = live.name, live.query.strip()
        if not query:
            self._leave(name, "the text of the view cannot be seen", "ask its owner")
            return
        try:
            view = View(name.catalog, name.schema, name.name, query, live.comment)
        except InvalidTableError as error:
            self._leave(name, error.findings[0].message, error.findings[0].hint)
        else:
            self.tables[name.key] = view

    def _take_table(self, live: LiveTable) -> None:
        draft = draft_of(live, self.policy)
        table = draft.table()
        if table is None:
            self._leave(live.name, draft.broken[-1].message, draft.broken[-1].hint)
            return
        for finding in [*draft.broken, *_unseen(live, self.capabilities)]:
            self._warn_incomplete(live.name, finding)
        self._warn_of_key_name(live, table)
        self.tables[live.name.key] = table

    def _warn_of_key_name(self, live: LiveTable, table: DeltaTable) -> None:
        there = live.keys.primary if live.keys is not None else None
        derived = primary_key_name(table)
        if there is not None and table.primary_key and there.name.lower() != derived:
            message = f"the primary key is named {there.name}, which cannot be declared"
            hint = f"it stays; a new table would name it {derived}"
            self.warnings.append(_warning(live.name, Finding(("primary_key",), message, hint)))

    def _leave(self, name: TableName, reason: str, hint: str = "") -> None:
        self.tables.pop(name.key, None)
        self.left_out.append(name)
        self.warnings.append(_warning(name, Finding((), f"not imported: {reason}", hint)))

    def _warn_incomplete(self, name: TableName, finding: Finding) -> None:
        self.incomplete.add(name.key)
        said = replace(finding, message=f"left out: {finding.message}")
        self.warnings.append(_warning(name, said))

    # --- tables with each other

    def fit_together(self) -> None:
        """Leave out what a `Registry` refuses: circles of foreign keys, two tables in one place."""
        while problems := _registry_problems(self.tables.values()):
            # One a table, since each may move what the next one of the same table names.
            for problem in {problem.file: problem for problem in problems}.values():
                self._settle(self.tables[problem.file.lower()], problem)

    def _settle(self, table: DeltaTable | View, problem: Problem) -> None:
        place = _FOREIGN_KEYS.fullmatch(problem.path)
        if isinstance(table, View) or not (place or problem.path == "primary_key"):
            self._leave(table.full_name, problem.message, problem.hint)
            return
        finding = Finding((problem.path,), problem.message)
        if place is None:
            fitting = replace(table, primary_key=())
        else:
            index = int(place[1]) if place[1] else self._link_of_circle(table)
            if index is None:
                return  # what was settled before has opened the circle
            key = table.foreign_keys[index]
            name = foreign_key_name(table.full_name, key)
            finding = Finding(("foreign_keys",), f"foreign key {name}: {problem.message}")
            others = [*table.foreign_keys[:index], *table.foreign_keys[index + 1 :]]
            fitting = replace(table, foreign_keys=others)
        self._warn_incomplete(table.full_name, finding)
        self.tables[table.full_name.key] = fitting

    def _link_of_circle(self, table: DeltaTable) -> int | None:
        """The first foreign key whose parent leads back to the table."""
        own = table.full_name.key
        links = (
            index
            for index, key in enumerate(table.foreign_keys)
            if key.parent.key != own and self._leads(key.parent.key, own)
        )
        return next(links, None)

    def _leads(self, start: str, goal: str) -> bool:
        pending, seen = [start], {start}
        while pending:
            table = self.tables.get(pending.pop())
            parents = (k.parent.key for k in getattr(table, "foreign_keys", ()))
            new = {key for key in parents if key not in seen}
            pending += new
            seen |= new
        return goal in seen

    def result(self) -> ImportedTables:
        """Everything, sorted by name."""
        found = [self._finished(self.tables[key]) for key in sorted(self.tables)]
        return ImportedTables(
            tuple(found), tuple(sorted(set(self.warnings))), tuple(sorted(set(self.left_out)))
        )

    def _finished(self, table: DeltaTable | View) -> DeltaTable | View:
        if isinstance(table, View):
            return table
        keys = [self._as_short_as_possible(key) for key in table.foreign_keys]
        policy = table.policy
        if policy is Policy.STRICT and table.full_name.key in self.incomplete:
            policy = Policy.ADDITIVE
            message = "declared additive: strict would take away what is left out"
            self.warnings.append(_warning(table.full_name, Finding(("policy",), message)))
        return replace(table, foreign_keys=keys, policy=policy)

    def _as_short_as_possible(self, key: ForeignKey) -> ForeignKey:
        """Without the referenced columns where they are the parent's primary key in its order."""
        parent = self.tables.get(key.parent.key)
        if isinstance(parent, DeltaTable) and _lowered(parent.primary_key) == _lowered(
            key.referenced_columns
        ):
            return replace(key, referenced_columns=())
        return key


_FOREIGN_KEYS = re.compile(r"foreign_keys(?:\[(\d+)\])?")


def _registry_problems(tables: Iterable[DeltaTable | View]) -> tuple[Problem, ...]:
    try:
        Registry(tables).in_order()
    except SpecError as error:
        return error.problems
    return ()


def _warning(name: TableName, finding: Finding) -> Problem:
    return Problem(str(name), 0, 0, path_text(finding.path), finding.message, finding.hint)


def _unseen(live: LiveTable, capabilities: Capabilities) -> Iterator[Finding]:
    """What the table may have, but the reader could not see."""
    seen = {
        "cluster_by": live.clustered_by is not None,
        "primary_key": live.keys is not None or not capabilities.keys,
        "tags": live.tags is not None or not capabilities.tags,
    }
    words = {"cluster_by": "clustering columns", "primary_key": "keys", "tags": "tags"}
    for part, visible in seen.items():
        if not visible:
            yield Finding((part,), f"{words[part]} cannot be seen from here")


def _lowered(names: Iterable[str]) -> list[str]:
    return [name.lower() for name in names]
