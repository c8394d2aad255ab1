"""The table that a batch goes to: its columns, its creation, and our columns in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

from lakeflow_meta.backends.spark_ingest.columns import TableShape
from lakeflow_meta.backends.spark_ingest.commits import Locate
from lakeflow_meta.backends.spark_ingest.evolution import needs_mapping
from lakeflow_meta.backends.spark_ingest.made_by_table import table_rules
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ingest.batch import (
    BATCH_ID,
    INGESTED_AT,
    METADATA_COLUMNS,
    SOURCE_FILE,
    Batch,
)
from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident, qualified
from lakeflow_meta.sql_ingest import create_clustered

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType


class TargetTables:
    """Target tables as one Spark session sees them."""

    def __init__(self, session: Callable[[], SparkSession], locate: Locate) -> None:
        self._session = session
        self._locate = locate

    def shape(self, table: TableName) -> TableShape | None:
        """Columns of a table; None where there is none."""
        name = qualified(table)
        session = self._session()
        if not session.catalog.tableExists(name):
            return None
        return TableShape.of(session.table(name).schema)

    def nothing(self, table: TableName) -> DataFrame:
        """No row at all, in those columns of a table that anybody may write."""
        frame = self._session().table(qualified(table))
        made = table_rules(self._session(), table, self._locate).made
        written = [name for name in frame.columns if name.lower() not in made]
        return frame.select(*map(ident, written)).limit(0)

    def create(self, batch: Batch, frame: DataFrame) -> TableShape:
        """Make the table, empty: Delta keeps no note in a commit that creates and fills one."""
        session, table = self._session(), batch.source.target
        config = batch.source.target_config
        self._check_schema(table)
        nothing = no_rows(session, self.with_metadata(frame, batch, None).schema)
        _check_layout(batch, nothing)
        maps_columns = bool(needs_mapping(nothing.schema.fields))
        if config.cluster_by:
            view = f"lakeflow_{uuid4().hex}"
            nothing.createOrReplaceTempView(view)
            try:
                statement = create_clustered(
                    table, view, config.cluster_by, maps_columns=maps_columns
                )
                session.sql(statement).collect()
            finally:
                session.catalog.dropTempView(view)
        else:
            writer = nothing.write.format("delta").mode("ignore")
            if maps_columns:
                writer = writer.option("delta.columnMapping.mode", "name")
            writer.partitionBy(*config.partition_by).saveAsTable(qualified(table))
        return TableShape.of(session.table(qualified(table)).schema)

    def _check_schema(self, table: TableName) -> None:
        """No schema is made by itself: its name may be a typing error. Raises NotFoundError."""
        schema = f"{ident(table.catalog)}.{ident(table.schema)}"
        if not self._session().catalog.databaseExists(schema):
            raise NotFoundError(
                f"there is no schema {table.catalog}.{table.schema} for table {table.name}; make it"
                f" first, e.g. in a DDL script: CREATE SCHEMA IF NOT EXISTS {schema}",
                code="SCHEMA_NOT_FOUND",
            )

    def with_metadata(self, frame: DataFrame, batch: Batch, shape: TableShape | None) -> DataFrame:
        """The frame with our columns at its end, and without what only we know of its rows."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        columns = _chosen_columns(batch, shape)
        values = {
            SOURCE_FILE: frame[SOURCE_FILE],
            INGESTED_AT: F.lit(batch.ingested_at).cast("timestamp"),
            BATCH_ID: F.lit(str(batch.id)),
        }
        data = [frame[ident(name)] for name in frame.columns if name != SOURCE_FILE]
        ours = [values[name].alias(name) for name in METADATA_COLUMNS if name in columns]
        return frame.select(*data, *ours)


def transaction(
    batch: Batch, attempt: str, counts: Mapping[str, int] | None = None
) -> dict[str, str]:
    """Options of a writer: who writes, so that Delta takes it once, and the note of the commit."""
    return {
        "txnAppId": batch.id.app_id,
        "txnVersion": str(batch.id.version),
        "userMetadata": batch.commit_note(attempt, counts),
    }


def no_rows(session: SparkSession, schema: StructType) -> DataFrame:
    """No row of columns that may all be NULL: what is forbidden is for people to say.

    Spark knows that there is none, and runs nothing; of an empty list it makes an RDD.
    """
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    columns = [
        F.lit(None).cast(field.dataType).alias(field.name, metadata=field.metadata or {})
        for field in schema.fields
    ]
    return session.range(0).select(*columns).limit(0)


def _check_layout(batch: Batch, frame: DataFrame) -> None:
    """Raises BackendError: a column that the new table is to be laid out by does not exist."""
    config = batch.source.target_config
    known = {name.lower() for name in frame.columns}
    missing = [n for n in (*config.partition_by, *config.cluster_by) if n.lower() not in known]
    if missing:
        word = "partition_by" if config.partition_by else "cluster_by"
        raise BackendError(
            f"{batch.source.name}: {word}: the files have no column {', '.join(missing)}",
            code="NO_LAYOUT_COLUMN",
        )


def _chosen_columns(batch: Batch, shape: TableShape | None) -> frozenset[str]:
    """Which metadata columns to write. Raises BackendError: asked for, but the table lacks them."""
    wanted = batch.source.target_config.metadata_columns
    if wanted is False:
        return frozenset()
    present = frozenset(METADATA_COLUMNS) if shape is None else shape.metadata_columns
    missing = sorted(set(METADATA_COLUMNS) - present)
    if wanted and missing:
        raise BackendError(
            f"{batch.source.target} has no column {', '.join(missing)}; add them to the table, or"
            " leave metadata_columns out",
            code="MISSING_METADATA_COLUMNS",
        )
    return present
