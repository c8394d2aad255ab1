"""Foreign keys against parents that are not declared in the same run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.diff import ReferencedColumns, loses_primary_key
from lakeflow_meta.schema.live import LiveTable, LiveView, TableState, Unreadable
from lakeflow_meta.schema.registry import Registry, type_problems
from lakeflow_meta.schema.table import Declared, DeltaTable, ForeignKey
from lakeflow_meta.schema.verdict import Rejection, Rule

States = Mapping[TableName, TableState]


def referenced_columns(registry: Registry, states: States) -> ReferencedColumns:
    """Primary keys of all parents: declared ones, and those of live tables where they are seen."""
    states_by_key = {name.key: state for name, state in states.items()}
    live = {
        name.key: state.keys.primary.columns
        for name, state in states.items()
        if isinstance(state, LiveTable)
        and state.keys is not None
        and state.keys.primary is not None
    }
    declared = {
        key: tuple(_spelled(name, states_by_key.get(key)) for name in names)
        for key, names in registry.primary_keys.items()
    }
    return {**live, **declared}


def _spelled(name: str, state: TableState) -> str:
    column = state.column(name) if isinstance(state, LiveTable) else None
    return name if column is None else column.name


def losing_tables(
    tables: Iterable[Declared], states: States
) -> Mapping[str, tuple[TableName, ...]]:
    """Declared tables whose primary key goes, with the tables that refer to it."""
    found: dict[str, tuple[TableName, ...]] = {}
    for table in tables:
        if isinstance(table, DeltaTable):
            live = _live_state(table, states)
            if live is not None and live.keys is not None and loses_primary_key(table, live):
                found[table.full_name.key] = live.keys.referenced_by
    return found


def _live_state(table: DeltaTable, states: States) -> LiveTable | None:
    names = [table.full_name, *([table.old_name] if table.old_name else [])]
    found = (states.get(name) for name in names)
    return next((state for state in found if isinstance(state, LiveTable)), None)


def parent_rejections(
    table: Declared, registry: Registry, states: States, referenced: ReferencedColumns
) -> tuple[Rejection, ...]:
    """What is wrong with a table's keys to live tables; declared parents are checked before."""
    if not isinstance(table, DeltaTable):
        return ()
    return tuple(
        Rejection(Rule.FOREIGN_KEY_PARENT, f"foreign_keys[{index}]", message, hint)
        for index, key in enumerate(table.foreign_keys)
        if registry.get(key.parent) is None
        for message, hint in _findings(table, key, states, referenced)
    )


def _findings(
    table: DeltaTable, key: ForeignKey, states: States, referenced: ReferencedColumns
) -> Iterator[tuple[str, str]]:
    state = _state_of(key.parent, states)
    if state is None:
        yield f"the parent {key.parent} does not exist", "declare it, or create it first"
        return
    if isinstance(state, Unreadable):
        yield f"the parent {key.parent} cannot be read: {state.reason}", state.hint
        return
    if isinstance(state, LiveView):
        yield f"the parent {key.parent} is a view", "foreign keys name tables"
        return
    columns = key.referenced_columns or referenced.get(key.parent.key, ())
    if len(columns) != len(key.columns):
        hint = "name them in referenced_columns"
        yield f"the primary key of {key.parent} cannot be seen from here", hint
        return
    for problem in type_problems(table, key, key.parent, state, columns, ""):
        yield problem.message, problem.hint


def _state_of(name: TableName, states: States) -> TableState:
    """States are kept by one spelling of each name."""
    return next(state for known, state in states.items() if known.key == name.key)
