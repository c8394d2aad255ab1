"""Names that a home knows, for shells that complete them: quick, and without a trace.

Nothing is made, changed or waited for, and no Arrow library is loaded: an answer to the Tab key
has 0.3 seconds for the whole process. What is not there has no names.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from lakeflow_meta.backends.local.spark.warehouse import Warehouse
from lakeflow_meta.errors import BackendError
from lakeflow_meta.names import TableName

_BUSY_SECONDS = 0.1
_MOST_RUNS = 30

_RUNS = "SELECT run_id, job_name, state, started_at FROM runs ORDER BY run_id DESC LIMIT ?"
_TASKS = "SELECT DISTINCT task_key, position FROM task_runs WHERE run_id = ? ORDER BY position"

FILE_SOURCES = (
    "SELECT DISTINCT module_name, source_id FROM names WHERE is_active IS NOT FALSE AND"
    " (coalesce(transformation_config, '') NOT LIKE '%\"task_type\"%'"
    ' OR transformation_config LIKE \'%"task_type":"ingest"%\')'
)
MODULES = "SELECT DISTINCT module_name FROM names WHERE is_active IS NOT FALSE"
TABLES = "SELECT DISTINCT table_name FROM names WHERE is_active IS NOT FALSE"
EXTRACTS = "SELECT DISTINCT extract_name, execution_group FROM names WHERE is_active IS NOT FALSE"
TARGETS = "SELECT DISTINCT target FROM names WHERE is_active IS NOT FALSE"
"""What `of_table` asks; the table is called ``names``."""


class KnownNames:
    """The names of one embedded workspace."""

    def __init__(self, home: Path) -> None:
        self._warehouse = Warehouse(home / "warehouse")
        self._database = home / "workspace.db"

    def of_table(self, table: TableName, query: str) -> list[tuple[str, ...]]:
        """The answer of one constant query on a control table. Raises BackendError."""
        if not self._warehouse.is_delta(table):
            return []
        from deltalake import DeltaTable, QueryBuilder
        from deltalake.exceptions import DeltaError

        try:
            handle = DeltaTable(self._warehouse.table_path(table))
            found = QueryBuilder().register("names", handle).execute(query).read_all()
        except (DeltaError, OSError) as error:
            raise BackendError(str(error), code=type(error).__name__) from error
        columns = [found.column(name) for name in found.column_names]
        texts = [
            [str(column[row].as_py() or "") for row in range(len(column))] for column in columns
        ]
        return sorted(zip(*texts, strict=True))

    def runs(self) -> list[tuple[str, str]]:
        """Ids of the newest runs, and what each was. Raises BackendError."""
        rows = self._rows(_RUNS, (_MOST_RUNS,))
        return [(str(r[0]), f"{r[1]}: {r[2]}, {str(r[3])[:16]}") for r in rows]

    def tasks(self, run_id: int) -> list[str]:
        """Tasks of a run, in their order. Raises BackendError."""
        return [str(row[0]) for row in self._rows(_TASKS, (run_id,))]

    def _rows(self, query: str, values: Sequence[int]) -> list[tuple[object, ...]]:
        if not self._database.is_file():
            return []
        address = f"{self._database.absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as connection:
                return connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise BackendError(str(error), code=type(error).__name__) from error
