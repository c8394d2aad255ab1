"""Edits of single rows on delta-rs: one MERGE that finds each row by all that it holds.

Delta gives rows no identity. A row is found again by comparing every column of a simple type, in
the version that the edits were worked out on; delta-rs refuses the commit when another writer came
between. Rows that are equal in all columns get equal edits, and share one row of the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable

from lakeflow_meta.arrow_values import array_of, values_of
from lakeflow_meta.backends.offered_rows import check_zones
from lakeflow_meta.control.sql.row_edits import AFTER, BEFORE, Action, RowEdit
from lakeflow_meta.sql import datafusion_ident, datafusion_literal

_ACTION = "action"


def write_edits(
    handle: DeltaTable,
    rows: pa.Table,
    edits: Sequence[RowEdit],
    properties: CommitProperties,
) -> int:
    """Write edits of ``rows``, the table's rows as ``handle`` has them; how many rows changed.

    A `RowEdit.row` is a position in ``rows``. Raises what delta-rs raises.
    """
    columns = [f for f in rows.schema if not pa.types.is_nested(f.type)]
    written = list(edits[0].after)
    source = _source(rows, edits, columns, written)
    merger = handle.merge(
        source,
        predicate=_same_row(columns),
        source_alias="s",
        target_alias="t",
        commit_properties=properties,
    )
    values = {datafusion_ident(n): datafusion_ident(AFTER + n, "s") for n in written}
    merger = merger.when_matched_delete(predicate=_is(Action.DELETE))
    if values:
        merger = merger.when_matched_update(values, predicate=_is(Action.UPDATE))
        merger = merger.when_not_matched_insert(values, predicate=_is(Action.INSERT))
    metrics: Mapping[str, int] = merger.execute()
    return sum(metrics[f"num_target_rows_{done}"] for done in ("inserted", "updated", "deleted"))


def _source(
    rows: pa.Table, edits: Sequence[RowEdit], columns: Sequence[pa.Field], written: Sequence[str]
) -> pa.Table:
    arrays: dict[str, pa.Array] = {_ACTION: array_of((e.action.value for e in edits), pa.string())}
    positions = array_of((edit.row for edit in edits), pa.int64())
    for field in columns:
        arrays[BEFORE + field.name] = rows.column(field.name).take(positions).combine_chunks()
    for name in written:
        values = [edit.after[name] for edit in edits]
        check_zones((name, value) for value in values)
        arrays[AFTER + name] = array_of(values, rows.schema.field(name).type)
    return _different(pa.table(arrays), edits)


def _different(source: pa.Table, edits: Sequence[RowEdit]) -> pa.Table:
    """Without the rows that say the same once more; two new rows that are equal stay two."""
    seen: set[tuple[object, ...]] = set()
    kept = []
    for position, (edit, row) in enumerate(
        zip(edits, zip(*map(values_of, source.columns), strict=True), strict=True)
    ):
        if edit.action is Action.INSERT or row not in seen:
            seen.add(row)
            kept.append(position)
    return source if len(kept) == source.num_rows else source.take(array_of(kept, pa.int64()))


def _same_row(columns: Sequence[pa.Field]) -> str:
    parts = [
        f"({datafusion_ident(f.name, 't')} IS NOT DISTINCT FROM"
        f" {datafusion_ident(BEFORE + f.name, 's')})"
        for f in columns
    ]
    is_new = f"s.{datafusion_ident(_ACTION)} <> {datafusion_literal(Action.INSERT.value)}"
    return " AND ".join([*parts, is_new])


def _is(action: Action) -> str:
    return f"s.{datafusion_ident(_ACTION)} = {datafusion_literal(action.value)}"
