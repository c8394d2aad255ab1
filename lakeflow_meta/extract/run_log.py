"""The table of runs: a row when a run of an extract begins, one when it ends. A verb.

A row is written once, whatever is repeated: its identity follows from the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lakeflow_meta.control.tables import EXTRACT_RUNS, ControlTables
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.extract.history import KEYS, RunStatus, unfinished
from lakeflow_meta.ports import ControlStore, Row

_SHORT = ("extract_name", "run_id", "run_timestamp", "run_status")


class RunLog:
    """The rows of one family of control tables."""

    def __init__(self, store: ControlStore, tables: ControlTables) -> None:
        self._store = store
        self._table = tables.of(EXTRACT_RUNS)

    def ensure(self) -> None:
        """Make the table where it is missing. Raises BackendError."""
        self._store.ensure(self._table, EXTRACT_RUNS)

    def write(self, row: Row, actor: str) -> None:
        """Add a row that may be there already. Raises BackendError, ConflictError."""
        note = {"verb": "extract run", "actor": actor}
        self._store.merge(self._table, [row], keys=KEYS, insert_only=EXTRACT_RUNS.names, note=note)

    def unfinished(self, extract_name: str) -> list[Row]:
        """First rows of runs of an extract that have no last one, the oldest first.

        They are few; two looks at narrow columns find them without reading the whole history.
        """
        rows = self._read({"extract_name": extract_name}, _SHORT)
        known = unfinished(rows)
        if not known:
            return []
        ids = [row["run_id"] for row in known]
        return unfinished(self._read({"extract_name": extract_name, "run_id": ids}))

    def ends(self, extract_names: Iterable[str] | None = None) -> list[Row]:
        """Name, run, time and status of every row."""
        where = None if extract_names is None else {"extract_name": list(extract_names)}
        return self._read(where, _SHORT)

    def has_ended(self, extract_name: str, run_id: str) -> bool:
        """Whether the last row of a run is there."""
        rows = self._read({"extract_name": extract_name, "run_id": run_id}, _SHORT)
        return any(row["run_status"] != RunStatus.IN_PROGRESS for row in rows)

    def _read(
        self, where: Mapping[str, object] | None, columns: Sequence[str] | None = None
    ) -> list[Row]:
        try:
            found = self._store.read(self._table, columns=columns, where=where)
        except NotFoundError:
            return []
        rows: list[Row] = found.to_pylist()
        return rows
