"""Ingested files: a part of the ledger, by source, status and path. Never all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lakeflow_meta.arrow_values import rows_of, scalar_of
from lakeflow_meta.errors import LakeflowMetaError
from lakeflow_meta.ingest.snapshot import FileStatus
from lakeflow_meta.ingest.source import FileSource, is_file_source
from lakeflow_meta.ingest_operations import place_of
from lakeflow_meta.ui.blocks import (
    Cards,
    Cell,
    Choice,
    Code,
    Filter,
    Kind,
    Link,
    Mark,
    Page,
    Place,
    Size,
    Table,
    Tone,
    place,
)
from lakeflow_meta.ui.paging import Part

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeflow_meta.control.rows import Row, Source
    from lakeflow_meta.ui.snapshot import Snapshot

_PAGE = 100
_TONES = {
    FileStatus.SUCCESS: Tone.GOOD,
    FileStatus.FAILED: Tone.BAD,
    FileStatus.PROCESSING: Tone.BUSY,
    FileStatus.PENDING: Tone.WAITING,
}


def files(snapshot: Snapshot, at: Place) -> Page:
    """A page of the ledger, the newest first."""
    sources = _sources(snapshot)
    part = Part.asked(at, _PAGE)
    choices = (
        Choice("source", "Source", at.get("source"), tuple(sources)),
        Choice("status", "Status", at.get("status"), tuple(map(str, FileStatus))),
        Choice("path", "Path holds", at.get("path")),
    )
    counts = Cards(
        tuple(
            (status, Link(f"{count:,}", place(Kind.FILES, status=status)))
            for status, count in sorted(snapshot.file_counts.items())
        )
    )
    table = _table(snapshot, at, sources, part)
    return Page(at, "Files", [counts, Filter(Kind.FILES, choices), table])


def _table(snapshot: Snapshot, at: Place, sources: Mapping[str, Source], part: Part) -> Table:
    ledger = snapshot.ledger
    total, rows = 0, []
    if ledger is not None:
        found = _narrowed(snapshot, ledger, at, sources)
        total = found.num_rows
        rows = [_file_row(row) for row in rows_of(found.slice(part.start, part.size))]
    columns = ("file", "status", "when", "rows", "size", "table", "attempt", "why")
    empty = "no file is like that" if ledger is not None else "nothing was ingested yet"
    return Table("Files, the newest first", columns, rows, empty, part.pager(total, "files"))


def _narrowed(
    snapshot: Snapshot, ledger: pa.Table, at: Place, sources: Mapping[str, Source]
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    if status := at.get("status"):
        ledger = ledger.filter(pc.equal(ledger["status"], scalar_of(status, pa.string())))
    if text := at.get("path"):
        ledger = ledger.filter(pc.match_substring(ledger["file_path"], text, ignore_case=True))
    if name := at.get("source"):
        if name not in sources:
            return ledger.slice(0, 0)
        target, path = place_of(snapshot.app, FileSource.of(sources[name]))
        mine = pc.equal(ledger["target_table"], scalar_of(target, pa.string()))
        ledger = ledger.filter(pc.and_(mine, pc.starts_with(ledger["file_path"], path)))
    return ledger


def _sources(snapshot: Snapshot) -> dict[str, Source]:
    """File sources that can be read, by name; what is wrong with others the overview says."""
    found: dict[str, Source] = {}
    for module in snapshot.recorded.modules.values():
        for source in module.sources:
            if is_file_source(source) and _is_sound(source):
                found[f"{module.module_name}/{source.source_id}"] = source
    return found


def _is_sound(source: Source) -> bool:
    try:
        FileSource.of(source)
    except LakeflowMetaError:
        return False
    return True


def _file_row(row: Row) -> tuple[Cell, ...]:
    status = row["status"] or ""
    known = _TONES.get(FileStatus(status)) if status in [*FileStatus] else None
    return (
        Code(row["file_path"] or ""),
        Mark(status, known or Tone.OFF),
        row["processed_at"],
        row["record_count"],
        Size(row["size_bytes"]),
        row["target_table"],
        row["attempt"],
        row["error_message"],
    )
