"""What a sync would do, found out: reads what may have changed, plans it, asks the data. A verb.

Tables that are as they were after their last clean sync are not read again. What the plans ask of
the data is one query a table, run at once for several tables, before anything is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from lakeflow_meta.errors import BackendError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import SqlSession, TableReader
from lakeflow_meta.schema.capabilities import Capabilities
from lakeflow_meta.schema.live import TableState
from lakeflow_meta.schema.parents import (
    losing_tables,
    parent_rejections,
    referenced_columns,
)
from lakeflow_meta.schema.plan import (
    Outlook,
    SchemaPlan,
    Surroundings,
    TablePlan,
    keep_together,
    plan_declared,
    standing_notes,
)
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.sync_memory import CleanState, SyncMemory, declared_fingerprint
from lakeflow_meta.schema.table import Declared, DeltaTable


@dataclass(frozen=True, slots=True)
class Looks:
    """Plans of tables as they are, and the stamps that these had right before they were read."""

    plans: Mapping[TableName, TablePlan]
    stamps: Mapping[TableName, int]
    capabilities: Capabilities

    def clean_states(self, plans: Mapping[TableName, TablePlan]) -> dict[str, CleanState]:
        """What to remember of tables that hold no difference."""
        return {
            name.key: CleanState(
                declared_fingerprint(plan.table, self.capabilities), self.stamps[name]
            )
            for name, plan in plans.items()
            if name in self.stamps and _is_clean(plan, self.capabilities)
        }


@dataclass(frozen=True, slots=True)
class Survey(Looks):
    """A whole plan, and what it was made of. ``as_remembered`` are tables that were not read."""

    plan: SchemaPlan
    around: Surroundings
    remembered: Mapping[str, CleanState]
    as_remembered: frozenset[TableName]


def _is_clean(plan: TablePlan, capabilities: Capabilities) -> bool:
    """Whether nothing differs, and nothing is left alone that people should hear of again."""
    return plan.is_as_declared and set(plan.notes) <= set(standing_notes(plan.table, capabilities))


class Surveyor:
    """Makes plans. ``session`` is called only if the data has to be asked."""

    def __init__(
        self,
        reader: TableReader,
        session: Callable[[], SqlSession],
        memory: SyncMemory,
        capabilities: Capabilities,
        max_parallel: int,
    ) -> None:
        self._reader = reader
        self._session = session
        self._memory = memory
        self._capabilities = capabilities
        self._max_parallel = max_parallel

    def survey(self, registry: Registry) -> Survey:
        """Plan everything that is declared. Raises SpecError, BackendError."""
        tables = registry.in_order()
        names = [table.full_name for table in tables]
        others = [*registry.outsiders(), *registry.old_names()]
        remembered = self._memory.recall()
        stamps = self.stamps([*names, *others])
        outside = {name.key for name in registry.outsiders()}
        known = frozenset(
            table.full_name
            for table in tables
            if outside.isdisjoint(_parents(table)) and self._is_as_it_was(table, remembered, stamps)
        )
        states = self._reader.describe([*(name for name in names if name not in known), *others])
        losing = losing_tables(tables, states)
        known, states = self._with_children(losing, known, states)
        around = Surroundings(
            self._capabilities,
            referenced_columns(registry, states),
            registry.keys,
            frozenset(losing),
        )
        plans = self._with_answers(
            [
                self._as_it_was(table)
                if table.full_name in known
                else _plan(table, registry, states, around)
                for table in tables
            ]
        )
        parents = {table.full_name: tuple(registry.parents_of(table)) for table in tables}
        plans = keep_together(plans, parents)
        return Survey(
            {plan.name: plan for plan in plans},
            stamps,
            self._capabilities,
            SchemaPlan(tuple(plans), parents),
            around,
            remembered,
            known,
        )

    def _with_children(
        self,
        losing: Mapping[str, Sequence[TableName]],
        known: frozenset[TableName],
        states: Mapping[TableName, TableState],
    ) -> tuple[frozenset[TableName], Mapping[TableName, TableState]]:
        """Tables that lose a foreign key to another one's plan are read, whatever is remembered."""
        children = {child.key for names in losing.values() for child in names}
        unread = [name for name in known if name.key in children]
        if not unread:
            return known, states
        return known.difference(unread), {**states, **self._reader.describe(sorted(unread))}

    def look_again(self, survey: Survey, planned: Sequence[TablePlan]) -> Looks:
        """Plans of some tables as they are now, by one reading. Raises BackendError."""
        names = [name for plan in planned for name in read_names(plan.table)]
        stamps = self.stamps(names)
        states = self._reader.describe(names)
        losing = losing_tables([plan.table for plan in planned], states)
        around = replace(survey.around, losing=frozenset(losing))
        plans = {
            plan.name: plan_declared(
                plan.table,
                states[plan.name],
                around,
                old=_state_of(_old_name(plan.table), states),
            )
            for plan in planned
        }
        return Looks(plans, stamps, self._capabilities)

    def stamps(self, names: Sequence[TableName]) -> Mapping[TableName, int]:
        """The stamps of tables. Raises BackendError."""
        return self._reader.stamps(names)

    def _is_as_it_was(
        self,
        table: Declared,
        remembered: Mapping[str, CleanState],
        stamps: Mapping[TableName, int],
    ) -> bool:
        known = remembered.get(table.full_name.key)
        if known is None or known.stamp != stamps.get(table.full_name):
            return False
        return known.fingerprint == declared_fingerprint(table, self._capabilities)

    def _as_it_was(self, table: Declared) -> TablePlan:
        notes = standing_notes(table, self._capabilities)
        return TablePlan(table, Outlook.UNCHANGED, notes=notes)

    def _with_answers(self, plans: Sequence[TablePlan]) -> list[TablePlan]:
        if not any(plan.questions for plan in plans):
            return list(plans)
        ask = partial(_answered, self._session())
        with ThreadPoolExecutor(self._max_parallel, thread_name_prefix="ask-data") as pool:
            return list(pool.map(ask, plans))


def _plan(
    table: Declared,
    registry: Registry,
    states: Mapping[TableName, TableState],
    around: Surroundings,
) -> TablePlan:
    return plan_declared(
        table,
        states[table.full_name],
        around,
        parent_rejections(table, registry, states, around.referenced),
        _state_of(_old_name(table), states),
    )


def read_names(table: Declared) -> list[TableName]:
    """The name of a table, and the one that it had before."""
    old = _old_name(table)
    return [table.full_name] if old is None else [table.full_name, old]


def _parents(table: Declared) -> set[str]:
    """Tables that foreign keys name; those that nobody declared are looked at each time."""
    keys = table.foreign_keys if isinstance(table, DeltaTable) else ()
    return {key.parent.key for key in keys}


def _old_name(table: Declared) -> TableName | None:
    return table.old_name if isinstance(table, DeltaTable) else None


def _state_of(name: TableName | None, states: Mapping[TableName, TableState]) -> TableState:
    return None if name is None else states[name]


def _answered(session: SqlSession, plan: TablePlan) -> TablePlan:
    """Ask the data what the plan wants to know."""
    if not plan.questions:
        return plan
    try:
        row = session.execute(plan.query)[0]
    except BackendError as error:
        return plan.unanswered(str(error))
    return plan.answered([row[f"q{index}"] for index in range(len(plan.questions))])
