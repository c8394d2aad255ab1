"""Whether a plan still holds: each module against what the plan was worked out from. Reads only."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from lakeflow_meta.control.tables import JOBS, MODULES, SOURCES, TABLES, ControlTables
from lakeflow_meta.errors import ConflictError, LakeflowMetaError
from lakeflow_meta.jobs.plan_basis import ModuleBasis, PlanBasis
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Commit, ControlStore

logger = logging.getLogger(__name__)

READ = (SOURCES, MODULES, TABLES, JOBS)
"""The control tables that a plan is worked out from."""

_SHOWN_MODULES, _SHOWN_COMMITS = 20, 3


class PlanCheck:
    """Compares plans of one family of control tables with how things are now."""

    def __init__(self, store: ControlStore, tables: ControlTables) -> None:
        self._store = store
        self._tables = tables

    def versions(self) -> dict[str, int | None]:
        """Versions of the tables that a plan reads, to be taken before they are read."""
        return {str(table): self._store.version(table) for table in self._read_tables()}

    def check(self, planned: PlanBasis, now: Mapping[str, ModuleBasis]) -> None:
        """Raises ConflictError that names every module that moved, and who changed what."""
        moved = {name: reasons for name in sorted(now) if (reasons := _moved(name, planned, now))}
        if not moved:
            return
        lines = [f"  {name}: {'; '.join(reasons)}" for name, reasons in moved.items()]
        hidden = len(lines) - _SHOWN_MODULES
        more = [f"  and {hidden} more"] if hidden > 0 else []
        title = "the plan does not hold any more, so nothing was changed; make a new one"
        commits = list(self._commits(planned.versions))
        raise ConflictError("\n".join([title, *lines[:_SHOWN_MODULES], *more, *commits]))

    def _read_tables(self) -> list[TableName]:
        return [self._tables.of(layout) for layout in READ]

    def _commits(self, versions: Mapping[str, int | None]) -> Iterator[str]:
        """What was committed since. It only explains, so where it cannot be read it is left out."""
        for table in self._read_tables():
            planned = versions.get(str(table))
            try:
                now = self._store.version(table)
                if planned is None or now is None or now == planned:
                    continue
                since = [c for c in self._store.history(table) if c.version > planned]
            except LakeflowMetaError as error:
                logger.info("who changed %s is not known: %s", table, error)
                continue
            told = ", ".join(map(_commit_text, since[-_SHOWN_COMMITS:]))
            yield f"  {table}: version {planned} → {now}" + (f" ({told})" if told else "")


def _moved(name: str, planned: PlanBasis, now: Mapping[str, ModuleBasis]) -> list[str]:
    before = planned.by_module.get(name)
    if before is None:
        return ["it was not there when the plan was made"]
    return before.moved(now[name])


def _commit_text(commit: Commit) -> str:
    who = commit.metadata.get("actor") or commit.metadata.get("userName") or "somebody"
    return f"{commit.version} by {who}: {commit.metadata.get('verb') or commit.operation}"
