"""Declared tables of one run: each name once, keys that fit, parents before children. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lakeflow_meta.errors import Problem, SpecError
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.constraint_names import foreign_key_name, primary_key_name
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.table import DeltaTable, ForeignKey
from lakeflow_meta.schema.types import same_type


class Registry:
    """A collection of declared tables.

    ``namespaces`` (``catalog.schema``) limits where tables may be; empty is no limit. A parent of a
    foreign key may be outside the registry: it is then looked up on the platform (`outsiders`).
    """

    def __init__(
        self, tables: Iterable[DeltaTable] = (), *, namespaces: Iterable[str] = ()
    ) -> None:
        self._namespaces = tuple(namespace.lower() for namespace in namespaces)
        self._tables: dict[str, DeltaTable] = {}
        self.register(*tables)

    def register(self, *tables: DeltaTable) -> Registry:
        """Add tables; the registry itself, for chaining.

        Raises SpecError naming every table that is already there or outside the namespaces; then
        none is added.
        """
        added = dict(self._tables)
        problems = [problem for table in tables if (problem := self._refusal(table, added))]
        if problems:
            raise SpecError(problems)
        self._tables = added
        return self

    def _refusal(self, table: DeltaTable, added: dict[str, DeltaTable]) -> Problem | None:
        name = table.full_name
        first = added.setdefault(name.key, table)
        if first is not table:
            message = f"the table is already declared as {first.full_name}"
            return _problem(table, "table", message, "names are compared without case; keep one")
        if self._namespaces and f"{name.catalog}.{name.schema}".lower() not in self._namespaces:
            allowed = ", ".join(self._namespaces)
            return _problem(table, "table", f"the table is outside of {allowed}")
        return None

    def __len__(self) -> int:
        return len(self._tables)

    def __iter__(self) -> Iterator[DeltaTable]:
        return iter(self._tables[key] for key in sorted(self._tables))

    def get(self, name: TableName) -> DeltaTable | None:
        """The declared table of that name, without regard to case."""
        return self._tables.get(name.key)

    def subset(self, names: Iterable[TableName]) -> Registry:
        """Only these tables. Raises SpecError for names that are not declared."""
        wanted = list(names)
        missing = [name for name in wanted if self.get(name) is None]
        if missing:
            raise SpecError(
                [Problem(str(name), 0, 0, "", "no such table is declared") for name in missing]
            )
        return Registry(self._tables[key] for key in sorted({name.key for name in wanted}))

    def outsiders(self) -> list[TableName]:
        """Parents of foreign keys that are not declared here, sorted."""
        parents = {key.parent.key: key.parent for table in self for key in table.foreign_keys}
        return [parents[key] for key in sorted(parents) if key not in self._tables]

    def parents_of(self, table: DeltaTable) -> list[TableName]:
        """Declared tables that a table's foreign keys name, itself left out."""
        own = table.full_name.key
        keys = {key.parent.key for key in table.foreign_keys} - {own}
        return [self._tables[key].full_name for key in sorted(keys) if key in self._tables]

    def in_order(self) -> tuple[DeltaTable, ...]:
        """Parents first, then by name. Raises SpecError with every problem between tables."""
        parents = {
            key: {parent.key for parent in self.parents_of(table)}
            for key, table in self._tables.items()
        }
        order = _dependency_order(parents)
        problems = [*self._key_problems(), *self._cycle_problems(parents, set(order))]
        if problems:
            raise SpecError(problems)
        return tuple(self._tables[key] for key in order)

    def _cycle_problems(
        self, parents: Mapping[str, set[str]], ordered: set[str]
    ) -> Iterator[Problem]:
        rest = {key: parents[key] - ordered for key in sorted(parents.keys() - ordered)}
        for cycle in _cycles(rest):
            shown = " → ".join(str(self._tables[key].full_name) for key in [*cycle, cycle[0]])
            hint = "leave out one of these foreign keys"
            table = self._tables[cycle[0]]
            yield _problem(table, "foreign_keys", f"foreign keys go round: {shown}", hint)

    def _key_problems(self) -> Iterator[Problem]:
        names: dict[tuple[str, str], DeltaTable] = {}
        for table in self:
            if table.primary_key:
                yield from _name_taken(names, table, "primary_key", primary_key_name(table))
            for index, key in enumerate(table.foreign_keys):
                path = f"foreign_keys[{index}]"
                name = foreign_key_name(table.full_name, key)
                yield from _name_taken(names, table, path, name)
                parent = self.get(key.parent)
                if parent is not None:
                    yield from _fit_problems(table, key, parent, path)


def _name_taken(
    names: dict[tuple[str, str], DeltaTable], table: DeltaTable, path: str, name: str
) -> Iterator[Problem]:
    """Constraint names are unique in a schema, over all its tables, without regard to case."""
    schema = f"{table.catalog}.{table.schema}".lower()
    first = names.setdefault((schema, name.lower()), table)
    if first is not table:
        message = f"constraint name {name!r} is also made for {first.full_name}"
        yield _problem(table, path, message, "give the foreign key a name of its own")


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


def _problem(table: DeltaTable, path: str, message: str, hint: str = "") -> Problem:
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
