"""Foreign keys against parents that are not declared in the same run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.diff import ReferencedColumns
from lakeflow_meta.schema.live import LiveTable, LiveView, TableState, Unreadable
from lakeflow_meta.schema.registry import Registry, type_problems
from lakeflow_meta.schema.table import Declared, DeltaTable, ForeignKey
from lakeflow_meta.schema.verdict import Rejection, Rule

States = Mapping[TableName, TableState]


def referenced_columns(registry: Registry, states: States) -> ReferencedColumns:
    """Primary keys of all parents: declared ones, and those of live tables where they are seen."""
    live = {
        name.key: state.keys.primary.columns
        for name, state in states.items()
        if isinstance(state, LiveTable)
        and state.keys is not None
        and state.keys.primary is not None
    }
    return {**live, **registry.primary_keys}


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
