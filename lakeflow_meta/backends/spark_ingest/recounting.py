"""Rows by file of a batch that was committed before: by somebody else, or in an earlier life."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark_ingest.commits import BatchCommit
from lakeflow_meta.backends.spark_ingest.rows import BatchRows
from lakeflow_meta.backends.spark_ingest.target_tables import TargetTables
from lakeflow_meta.ingest.batch import BATCH_ID, SOURCE_FILE, Batch
from lakeflow_meta.ingest.source import WriteMode
from lakeflow_meta.sql import qualified

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)


class Recounting:
    """Counts what a commit holds, from the nearest place that knows."""

    def __init__(
        self,
        session: Callable[[], SparkSession],
        rows: BatchRows,
        tables: TargetTables,
    ) -> None:
        self._session = session
        self._rows = rows
        self._tables = tables

    def counts(
        self, batch: Batch, commit: BatchCommit, held: Collection[str]
    ) -> Mapping[str, int | None]:
        """Rows of each file that the commit holds; None where that can no longer be told.

        ``held``: those files, without files of no bytes.

        The note of a merge says them. Else the table is asked as it was then, else the files are
        read once more.
        """
        noted = commit.counts_of(held) if held else {}
        if noted is not None:
            return noted
        if batch.source.target_config.write_mode is WriteMode.MERGE:
            return dict.fromkeys(held)
        if len(held) == 1:
            return dict.fromkeys(held, commit.rows)
        for ask in (self._in_table, self._in_files):
            try:
                counted = ask(batch, commit, held)
            except Exception as error:  # noqa: BLE001 - of whatever kind: the next place is asked
                logger.info("rows of batch %s were not counted: %s", batch.id, error)
                continue
            if counted is not None and commit.rows in (None, sum(counted.values())):
                return counted
        logger.warning("rows of batch %s can no longer be counted by file", batch.id)
        return dict.fromkeys(held)

    def _in_table(
        self, batch: Batch, commit: BatchCommit, held: Collection[str]
    ) -> dict[str, int] | None:
        """By our columns in the table, as the commit left it."""
        name = qualified(batch.source.target)
        then = self._session().read.option("versionAsOf", commit.version).table(name)
        if not {SOURCE_FILE, BATCH_ID} <= {column.lower() for column in then.columns}:
            return None
        rows = then.where(then[BATCH_ID] == str(batch.id)).groupBy(SOURCE_FILE).count()
        counted = {row[SOURCE_FILE]: row["count"] for row in rows.collect()}
        return {path: counted.get(path, 0) for path in held}

    def _in_files(
        self,
        batch: Batch,
        commit: BatchCommit,  # noqa: ARG002 - the files are what they were
        held: Collection[str],
    ) -> dict[str, int] | None:
        if not set(held) <= set(batch.paths):
            return None
        read = batch.only([file for file in batch.files if file.path in held])
        shape = self._tables.shape(batch.source.target)
        rows = self._rows.kept(read, shape).groupBy(SOURCE_FILE).count().collect()
        counted = {row[SOURCE_FILE]: row["count"] for row in rows}
        return {path: counted.get(path, 0) for path in held}
