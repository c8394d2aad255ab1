"""The quarantine table: rows that an expectation dropped, with the names of what they broke.

It is written after the commit of their batch and before the batch is settled, as a transaction of
the same identity: however often it is repeated, the rows are there once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

from lakeflow_meta.backends.spark_ingest.blame import Blame
from lakeflow_meta.backends.spark_ingest.columns import TableShape
from lakeflow_meta.backends.spark_ingest.expectations import FAILED_EXPECTATIONS, Expectations
from lakeflow_meta.backends.spark_ingest.target_tables import no_rows, transaction
from lakeflow_meta.backends.spark_ingest.writes import Writes
from lakeflow_meta.ingest.batch import BATCH_ID, INGESTED_AT, METADATA_COLUMNS, SOURCE_FILE, Batch
from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident, qualified

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

logger = logging.getLogger(__name__)

_OURS = {*METADATA_COLUMNS, FAILED_EXPECTATIONS}


class Quarantine:
    """One quarantine table."""

    def __init__(self, writes: Writes, table: TableName) -> None:
        self._writes = writes
        self._table = table

    def fill(self, batch: Batch, blame: Blame, *, sure: bool) -> list[str]:
        """Add the dropped rows of a batch, once; warnings of files that cannot be read any more.

        ``sure``: rows were dropped; else that is looked at first. Raises errors of Spark's.
        """
        last = self._writes.commits.last_version(self._table, batch.id.app_id)
        if last is not None and last >= batch.id.version:
            return []
        try:
            rows = self._dropped(batch)
            if sure or not rows.isEmpty():
                self._append(rows, batch)
        except Exception as error:
            lost = blame.of(batch, error)
            if lost is None:
                raise
            return [*self._fill_rest(batch, blame, lost, sure), *map(_warning, lost.items())]
        return []

    def _fill_rest(
        self, batch: Batch, blame: Blame, lost: Mapping[str, str], sure: bool
    ) -> list[str]:
        rest = batch.without(lost)
        return self.fill(rest, blame, sure=sure) if rest.files else []

    def _dropped(self, batch: Batch) -> DataFrame:
        shape = self._writes.tables.shape(batch.source.target)
        frame = self._writes.rows.conformed(batch, shape)
        return Expectations(batch, shape or TableShape.of(frame.schema)).dropped(frame)

    def _append(self, rows: DataFrame, batch: Batch) -> None:
        """The table is made where it is missing, and gets columns that it lacks."""
        session, name = self._writes.session(), qualified(self._table)
        told = self._told(rows, batch)
        if not session.catalog.tableExists(name):
            empty = no_rows(session, told.schema)
            empty.write.format("delta").mode("ignore").saveAsTable(name)
        options = transaction(batch, uuid4().hex) | {"mergeSchema": "true"}
        told.write.format("delta").mode("append").options(**options).saveAsTable(name)

    def _told(self, rows: DataFrame, batch: Batch) -> DataFrame:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        return rows.select(
            *(rows[ident(name)] for name in rows.columns if name not in _OURS),
            rows[SOURCE_FILE],
            F.lit(batch.ingested_at).cast("timestamp").alias(INGESTED_AT),
            F.lit(str(batch.id)).alias(BATCH_ID),
            rows[FAILED_EXPECTATIONS],
        )


def _warning(lost: tuple[str, str]) -> str:
    path, why = lost
    return f"{path}: rows that an expectation dropped are not in the quarantine table: {why}"
