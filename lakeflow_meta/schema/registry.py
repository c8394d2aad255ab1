"""What is declared for one run: each name once, keys that fit, parents before children. Pure."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lakeflow_meta.errors import ConfigError, Problem, SpecError
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import place_of
from lakeflow_meta.schema.constraint_names import foreign_key_name, primary_key_name
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.table import Declared, DeltaTable, ForeignKey, View
from lakeflow_meta.schema.types import same_type
from lakeflow_meta.sql_tokens import names_in_query


@dataclass(frozen=True, slots=True)
class NamePolicy:
    """How declared tables may be named; empty is no limit.

    ``namespaces`` are patterns of ``catalog.schema`` (``main.*``); ``tables`` and ``columns`` are
    regular expressions that a whole name must match. Raises ConfigError for an expression that is
    none.
    """

    namespaces: Sequence[str] = ()
    tables: str = ""
    columns: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "namespaces", tuple(self.namespaces))
        for pattern in (self.tables, self.columns):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigError(f"naming pattern {pattern!r}: {error}") from error

    def problems(self, table: Declared) -> Iterator[Problem]:
        """What the policy has against a declaration."""
        name = table.full_name
        place = f"{name.catalog}.{name.schema}".lower()
        patterns = [pattern.lower() for pattern in self.namespaces]
        if patterns and not any(fnmatchcase(place, pattern) for pattern in patterns):
            allowed = ", ".join(self.namespaces)
            yield _problem(table, "table", f"the table is outside of {allowed}")
        if self.tables and not re.fullmatch(self.tables, name.name):
            yield _problem(table, "table", f"name {name.name!r} does not match {self.tables}")
        if self.columns and isinstance(table, DeltaTable):
            for index, column in enumerate(table.columns):
                if not re.fullmatch(self.columns, column.name):
                    path = f"columns[{index}].name"
                    message = f"name {column.name!r} does not match {self.columns}"
                    yield _problem(table, path, message)


class Registry:
    """A collection of declared tables, views and drops.

    ``namespaces`` (patterns of ``catalog.schema``) or a whole ``policy`` limit names. A parent of a
    foreign key may be outside the registry: it is then looked up on the platform (`outsiders`).
    """

    def __init__(
        self,
        tables: Iterable[Declared] = (),
        *,
        namespaces: Iterable[str] = (),
        policy: NamePolicy | None = None,
    ) -> None:
        self._policy = policy or NamePolicy(tuple(namespaces))
        self._tables: dict[str, Declared] = {}
        self._beside: Registry | None = None
        self.register(*tables)

    def register(self, *tables: Declared) -> Registry:
        """Add declarations; the registry itself, for chaining.

        Raises SpecError naming every one that is already there or against the policy; then none is
        added.
        """
        added = dict(self._tables)
        problems = [problem for table in tables for problem in self._refusals(table, added)]
        problems += _location_problems(added.values())
        if problems:
            raise SpecError(problems)
        self._tables = added
        return self

    def _refusals(self, table: Declared, added: dict[str, Declared]) -> Iterator[Problem]:
        first = added.setdefault(table.full_name.key, table)
        if first is not table:
            message = f"the table is already declared as {first.full_name}"
            yield _problem(table, "table", message, "names are compared without case; keep one")
            return
        yield from self._policy.problems(table)

    def __len__(self) -> int:
        return len(self._tables)

    def __iter__(self) -> Iterator[Declared]:
        return iter(self._tables[key] for key in sorted(self._tables))

    @property
    def tables(self) -> Iterator[DeltaTable]:
        """The declared Delta tables, by name."""
        return (table for table in self if isinstance(table, DeltaTable))

    @property
    def keys(self) -> frozenset[str]:
        """`TableName.key` of everything that is declared."""
        return frozenset(self._tables)

    def get(self, name: TableName) -> Declared | None:
        """What is declared under that name, without regard to case."""
        return self._tables.get(name.key)

    def subset(self, names: Iterable[TableName]) -> Registry:
        """Only these. Raises SpecError for names that are not declared."""
        wanted = list(names)
        missing = [name for name in wanted if self.get(name) is None]
        if missing:
            raise SpecError(
                [Problem(str(name), 0, 0, "", "no such table is declared") for name in missing]
            )
        chosen = Registry(self._tables[key] for key in sorted({name.key for name in wanted}))
        chosen._beside = self
        return chosen

    @property
    def primary_keys(self) -> dict[str, tuple[str, ...]]:
        """Primary keys of declared tables, of those beside a `subset` too, by `TableName.key`."""
        beside = self._beside.primary_keys if self._beside else {}
        return {**beside, **{t.full_name.key: tuple(t.primary_key) for t in self.tables}}

    def outsiders(self) -> list[TableName]:
        """Parents of foreign keys that are not declared here, sorted."""
        parents = {key.parent.key: key.parent for t in self.tables for key in t.foreign_keys}
        return [parents[key] for key in sorted(parents) if key not in self._tables]

    def old_names(self) -> list[TableName]:
        """Names that tables had before, sorted. Raises SpecError where one is declared, too."""
        old = {t.old_name.key: t.old_name for t in self.tables if t.old_name is not None}
        return [old[key] for key in sorted(old)]

    def parents_of(self, table: Declared) -> list[TableName]:
        """Declared tables that foreign keys or a view's query name, the table itself left out."""
        if isinstance(table, DeltaTable):
            named = {key.parent.key for key in table.foreign_keys}
        elif isinstance(table, View):
            named = {".".join(parts).lower() for parts in names_in_query(table.query)}
        else:
            named = set()
        keys = named - {table.full_name.key}
        return [self._tables[key].full_name for key in sorted(keys) if key in self._tables]

    def in_order(self) -> tuple[Declared, ...]:
        """Parents first, then by name. Raises SpecError with every problem between tables."""
        parents = {
            key: {parent.key for parent in self.parents_of(table)}
            for key, table in self._tables.items()
        }
        order = _dependency_order(parents)
        problems = [
            *self._key_problems(),
            *self._rename_problems(),
            *self._cycle_problems(parents, set(order)),
        ]
        if problems:
            raise SpecError(problems)
        return tuple(self._tables[key] for key in order)

    def _rename_problems(self) -> Iterator[Problem]:
        seen: dict[str, DeltaTable] = {}
        for table in self.tables:
            old = table.old_name
            if old is None:
                continue
            if old.key in self._tables:
                message = f"{old} is the earlier name of the table, but declared, too"
                yield _problem(table, "renamed_from", message, "take one of them out")
            first = seen.setdefault(old.key, table)
            if first is not table:
                message = f"{old} is also the earlier name of {first.full_name}"
                yield _problem(table, "renamed_from", message)

    def _cycle_problems(
        self, parents: Mapping[str, set[str]], ordered: set[str]
    ) -> Iterator[Problem]:
        rest = {key: parents[key] - ordered for key in sorted(parents.keys() - ordered)}
        for cycle in _cycles(rest):
            shown = " → ".join(str(self._tables[key].full_name) for key in [*cycle, cycle[0]])
            table = self._tables[cycle[0]]
            what = "views" if isinstance(table, View) else "foreign keys"
            path = "view" if isinstance(table, View) else "foreign_keys"
            hint = f"leave out one of these {what}"
            yield _problem(table, path, f"{what} go round: {shown}", hint)

    def _key_problems(self) -> Iterator[Problem]:
        names: dict[tuple[str, str], DeltaTable] = {}
        for table in self.tables:
            if table.primary_key:
                yield from _name_taken(names, table, "primary_key", primary_key_name(table))
            for index, key in enumerate(table.foreign_keys):
                path = f"foreign_keys[{index}]"
                name = foreign_key_name(table.full_name, key)
                yield from _name_taken(names, table, path, name)
                parent = self.get(key.parent)
                if isinstance(parent, DeltaTable):
                    yield from _fit_problems(table, key, parent, path)
                elif parent is not None:
                    yield _problem(table, path, f"{parent.full_name} is declared, but is no table")


def _name_taken(
    names: dict[tuple[str, str], DeltaTable], table: DeltaTable, path: str, name: str
) -> Iterator[Problem]:
    """Constraint names are unique in a schema, over all its tables, without regard to case."""
    schema = f"{table.catalog}.{table.schema}".lower()
    first = names.setdefault((schema, name.lower()), table)
    if first is not table:
        message = f"constraint name {name!r} is also made for {first.full_name}"
        yield _problem(table, path, message, "give the foreign key a name of its own")


def _location_problems(tables: Iterable[Declared]) -> Iterator[Problem]:
    """Two tables in one place would write over each other."""
    seen: dict[str, Declared] = {}
    for table in tables:
        if not isinstance(table, DeltaTable) or not table.location:
            continue
        first = seen.setdefault(place_of(table.location), table)
        if first is not table:
            message = f"the location is also that of {first.full_name}"
            yield _problem(table, "location", message, "give each table a place of its own")


def _fit_problems(
    table: DeltaTable, key: ForeignKey, parent: DeltaTable, path: str
) -> Iterator[Problem]:
    referenced = key.referenced_columns or parent.primary_key
    wanted = {name.lower() for name in parent.primary_key}
    if {name.lower() for name in referenced} != wanted or len(referenced) != len(key.columns):
        shown = ", ".join(parent.primary_key) or "nothing"
        message = f"the key does not name the primary key of {parent.full_name} ({shown})"
        yield _problem(table, path, message, "a foreign key names the parent's whole primary key")
        return
    yield from type_problems(table, key, parent.full_name, parent, referenced, path)


def type_problems(
    table: DeltaTable,
    key: ForeignKey,
    parent: TableName,
    columns: DeltaTable | LiveTable,
    referenced: Sequence[str],
    path: str,
) -> Iterator[Problem]:
    """Pairs of columns whose types differ, or whose parent column does not exist."""
    for name, other in zip(key.columns, referenced, strict=True):
        local, remote = table.column(name), columns.column(other)
        if local is None:
            continue
        if remote is None:
            yield _problem(table, path, f"{parent} has no column {other!r}")
        elif not same_type(local.data_type, remote.data_type):
            pair = f"{name} is {local.data_type}, {parent}.{other} is {remote.data_type}"
            yield _problem(table, path, f"types differ: {pair}")


def _problem(table: Declared, path: str, message: str, hint: str = "") -> Problem:
    return Problem(str(table.full_name), 0, 0, path, message, hint)


def _dependency_order(parents: Mapping[str, set[str]]) -> list[str]:
    """Parents first, the smallest name first among those that are ready; cycles are left out."""
    children: dict[str, list[str]] = {}
    for key, named in parents.items():
        for parent in named:
            children.setdefault(parent, []).append(key)
    waiting = {key: len(named) for key, named in parents.items()}
    ready = [key for key, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        key = heapq.heappop(ready)
        order.append(key)
        for child in children.get(key, []):
            waiting[child] -= 1
            if waiting[child] == 0:
                heapq.heappush(ready, child)
    return order


def _cycles(parents: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """Cycles among tables that each still wait for another one; each table in one at most."""
    seen: set[str] = set()
    for start in parents:
        walk: list[str] = []
        current = start
        while current not in seen:
            seen.add(current)
            walk.append(current)
            current = min(parents[current])
        if current in walk:
            cycle = walk[walk.index(current) :]
            first = cycle.index(min(cycle))
            yield cycle[first:] + cycle[:first]
