"""One little world for extracts: a datastore, a folder, control tables, and processes that die."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakeflow_meta.backends.extracts.folders import LocalExtractFolders
from lakeflow_meta.control.tables import (
    EXTRACT_DETAILS,
    EXTRACT_RUNS,
    EXTRACTS,
    STATE,
    ControlTables,
)
from lakeflow_meta.errors import BackendError
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.extractor import Choice, Extractor
from lakeflow_meta.extract.report import ExtractOutcome, ExtractsReport
from lakeflow_meta.extract.rows import to_rows
from lakeflow_meta.paths import PathMap
from lakeflow_meta.ports import ControlStore, Lease
from lakeflow_meta.progress import Event
from lakeflow_meta.scripts.target_lease import Leases, LeaseTerms, TargetLease
from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.crash import CrashPoint
from lakeflow_meta.testing.fake_store import FakeStore

TABLES = ControlTables.named("main.lakeflow.etl_control")
_AFTER = re.compile(r"`(\w+)` > :lakeflow_after")
_PERIOD = re.compile(r"`(\w+)` >= :lakeflow_from")
_COLUMNS = re.compile(r"SELECT (.+?) FROM")


@dataclass
class FakeStream:
    """A `RowStream` of a table that is there already."""

    table: pa.Table
    batch_rows: int
    breaks_after: int | None = None

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        batches = self.table.combine_chunks().to_batches(max_chunksize=self.batch_rows)
        for number, batch in enumerate(batches):
            if number == self.breaks_after:
                raise BackendError("the connection was lost", code="08006", transient=True)
            yield batch


class FakeRows:
    """A `RowSource` that knows what this package's own statements ask for: a table by the name in
    it, or the rows that stand for a whole statement.
    """

    dialect = "databricks"

    def __init__(self) -> None:
        self.tables: dict[str, pa.Table] = {}
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.batch_rows = 2
        self.breaks_after: int | None = None

    def query(self, statement: str, parameters: Any = None) -> list[dict[str, Any]]:
        self.asked.append((statement, dict(parameters or {})))
        return next(rows for text, rows in self.answers.items() if text in statement)

    @contextmanager
    def stream(
        self,
        statement: str,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        batch_rows: int = 65_536,
        read_only: bool = True,
    ) -> Iterator[FakeStream]:
        values = dict(parameters or {}) if isinstance(parameters, Mapping) else {}
        self.asked.append((statement, values))
        table = next(t for name, t in self.tables.items() if f"`{name}`" in statement)
        yield FakeStream(_chosen(table, statement, values), self.batch_rows, self.breaks_after)


def _chosen(table: pa.Table, statement: str, values: Mapping[str, Any]) -> pa.Table:
    if found := _AFTER.search(statement):
        table = table.filter(pc.greater(table[found[1]], pa.scalar(values["lakeflow_after"])))
    if found := _PERIOD.search(statement):
        column = table[found[1]]
        inside = pc.and_(
            pc.greater_equal(column, pa.scalar(values["lakeflow_from"])),
            pc.less(column, pa.scalar(values["lakeflow_until"])),
        )
        table = table.filter(inside)
    columns = _COLUMNS.search(statement)
    if columns and columns[1] != "*":
        table = table.select([name.strip("` ") for name in columns[1].split(",")])
    return table.slice(0, 0) if statement.endswith("LIMIT 0") else table


class World:
    """Everything outside the processes."""

    def __init__(self, folder: Path, store: ControlStore | None = None) -> None:
        self.folder = folder
        self.clock = FixedClock()
        self.store = store if store is not None else FakeStore(self.clock)
        self.rows = FakeRows()
        self.events: list[Event] = []
        self.dead: set[str] = set()
        for layout in (EXTRACTS, EXTRACT_DETAILS):
            self.store.ensure(TABLES.of(layout), layout)

    def record(self, *declared: Mapping[str, Any]) -> None:
        """Load extracts as `sync` would."""
        pairs = [to_rows(Extract.model_validate(each)) for each in declared]
        for position, layout in enumerate((EXTRACTS, EXTRACT_DETAILS)):
            rows = [{**pair[position]} for pair in pairs]
            self.store.merge(TABLES.of(layout), rows, keys=layout.keys)

    def set(self, layout: Any, extract_name: str, **values: Any) -> None:
        """Change a row, as people do in SQL."""
        row = {"extract_name": extract_name, **values}
        self.store.merge(TABLES.of(layout), [row], keys=layout.keys)

    def extractor(self, process: str = "p1", crash: CrashPoint | None = None) -> Extractor:
        crash = crash or CrashPoint()
        store = crash.wrap(self.store)
        shared = Leases(
            store,
            TABLES,
            process,
            lambda owner: owner.partition("/")[0] not in self.dead,
            LeaseTerms(wait_seconds=0.0),
            self.clock,
            lambda _seconds: None,
            lambda: 0.0,
        )

        def lease_of(name: str) -> Lease:
            return TargetLease(shared, f"extract/{name}", f"{process}/{name}")

        return Extractor(
            store,
            TABLES,
            lambda _datastore: crash.wrap(self.rows),
            crash.wrap(LocalExtractFolders(PathMap(self.folder))),
            lease_of,
            clock=self.clock,
            progress=self.events.append,
            actor=lambda: "ann",
            max_parallel=1,
        )

    def run(self, *names: str, process: str = "p1", **choice: Any) -> ExtractsReport:
        """A whole run by a process that lives on."""
        chosen = Choice(names=names or None, **choice)
        return self.extractor(process).run(chosen)

    def one(self, name: str = "customers", **options: Any) -> ExtractOutcome:
        """A run of one extract."""
        (outcome,) = self.run(name, **options).outcomes
        return outcome

    # --- what there is

    def files(self, below: str = "out/customers") -> dict[str, bytes]:
        """What readers of the folder see."""
        folder = self.folder / below
        found = (
            sorted(path for path in folder.iterdir() if path.is_file()) if folder.exists() else []
        )
        return {path.name: path.read_bytes() for path in found}

    def hidden(self) -> list[str]:
        """What is left of runs."""
        found = self.folder.rglob(".extracts/**/*")
        return sorted(str(path.relative_to(self.folder)) for path in found if path.is_file())

    def history(self, *columns: str) -> list[Any]:
        """The table of runs, in the order of writing."""
        rows = self.store.read(TABLES.of(EXTRACT_RUNS)).to_pylist()
        if not columns:
            return list(rows)
        return [
            row[columns[0]] if len(columns) == 1 else tuple(row[c] for c in columns) for row in rows
        ]

    def watermark(self, name: str = "customers") -> str | None:
        """The recorded one."""
        key = f"extract-watermark/{name}"
        rows = self.store.read(TABLES.of(STATE), where={"key": key}).to_pylist()
        value = json.loads(rows[0]["value"])["watermark"] if rows else None
        return value["text"] if value else None


__all__ = ["TABLES", "Choice", "CrashPoint", "FakeRows", "World"]
