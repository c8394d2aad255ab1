"""Which declared renames are still to be done, and the table as it looks after them. Pure.

A rename whose old name is gone is done, and does nothing. Chains (a → b, b → c) run from their end,
so that no name is ever taken: stopped in between, the next plan goes on where this one ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lakeflow_meta.schema.column_changes import AmbiguousRename, RenameColumn
from lakeflow_meta.schema.field_paths import (
    Path,
    path_key,
    read_path,
    renamed_at,
    shown_path,
    type_at,
)
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.table import DeltaTable


@dataclass(frozen=True, slots=True)
class Renames:
    """Renames to do, those that cannot be told, and the live table as they leave it."""

    todo: tuple[RenameColumn, ...]
    ambiguous: tuple[AmbiguousRename, ...]
    live: LiveTable

    @property
    def new_names(self) -> Mapping[str, str]:
        """New names of columns, by the lower-case old one."""
        return {one.path[0].lower(): one.name for one in self.todo if len(one.path) == 1}


def plan_renames(declared: DeltaTable, live: LiveTable) -> Renames:
    """What ``renamed_columns`` asks for."""
    pairs = [(read_path(old), read_path(new)) for old, new in declared.renamed_columns.items()]
    waiting = sorted(pairs, key=lambda pair: (len(pair[0]), path_key(pair[0])))
    todo: list[RenameColumn] = []
    progress = True
    while progress:
        progress = False
        for old, new in list(waiting):
            if type_at(live.columns, old) is not None and type_at(live.columns, new) is None:
                todo.append(RenameColumn(old, new[-1], len(todo)))
                live = _after(live, old, new)
                waiting.remove((old, new))
                progress = True
    return Renames(tuple(todo), tuple(_ambiguous(declared, live, waiting)), live)


def _ambiguous(
    declared: DeltaTable, live: LiveTable, waiting: list[tuple[Path, Path]]
) -> Iterator[AmbiguousRename]:
    """Both names are there, and the old one is not declared to be something new."""
    for old, new in waiting:
        if type_at(live.columns, old) is not None and type_at(declared.columns, old) is None:
            yield AmbiguousRename(old, new)


def _after(live: LiveTable, old: Path, new: Path) -> LiveTable:
    """Layout follows the column, as in Delta; keys do not, so they are compared by old names."""
    columns = renamed_at(live.columns, old, new[-1])
    clustered = live.clustered_by
    if clustered is not None:
        paths = (_followed(path, old, new) for path in live.clustering_paths)
        clustered = tuple(path[0] if len(path) == 1 else shown_path(path) for path in paths)
    partitioned = tuple(_followed((name,), old, new)[0] for name in live.partitioned_by)
    return replace(live, columns=columns, clustered_by=clustered, partitioned_by=partitioned)


def _followed(path: Path, old: Path, new: Path) -> Path:
    is_inside = path_key(path[: len(old)]) == path_key(old)
    return (*new, *path[len(old) :]) if is_inside else path
