"""Rows of a Spark query as a stream of Arrow batches, in the memory of two partitions.

Each partition is packed into Arrow's own bytes where it is computed, and partitions are fetched one
after another, in order, the next one while this one is used. So nothing is made a row in Python,
and the driver never holds the result. This is public API only, and works on clusters, serverless
compute and the embedded session alike:
https://spark.apache.org/docs/latest/api/python/reference/pyspark.sql/api/pyspark.sql.DataFrame.mapInArrow.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakeflow_meta.backends.spark import translate
from lakeflow_meta.errors import BackendError, ConfigError, LakeflowMetaError
from lakeflow_meta.ports import Row
from lakeflow_meta.sql_rows import with_literals

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_PACKED_ROWS = 65_536
_PACKED_BYTES = 32 * 2**20


class SparkRows:
    """A `ports.RowSource` on a SparkSession, which is asked for when the first statement runs."""

    dialect = "databricks"

    def __init__(self, session: Callable[[], SparkSession]) -> None:
        self._make = session
        self._binds = True

    def query(
        self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> list[Row]:
        """Run a statement; its few rows."""
        with _translated():
            rows: list[Row] = self._frame(statement, parameters).toArrow().to_pylist()
        return rows

    @contextmanager
    def stream(
        self,
        statement: str,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        batch_rows: int = _PACKED_ROWS,
        read_only: bool = True,
    ) -> Iterator[SparkStream]:
        """The rows of a query, as its tables are now."""
        if not read_only:
            raise ConfigError("Spark has no procedures that give rows; write a query")
        with _translated():
            frame = self._frame(statement, parameters)
            yield SparkStream(frame, batch_rows)

    @cached_property
    def _session(self) -> SparkSession:
        return self._make()

    def _frame(
        self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None
    ) -> DataFrame:
        if not parameters:
            return self._session.sql(statement)
        if not isinstance(parameters, Mapping):
            raise ConfigError("Spark takes values by name: write :name in the statement")
        values = {name: _bindable(value) for name, value in parameters.items()}
        if self._binds:
            try:
                return self._session.sql(statement, values)
            except Exception as error:
                if translate(error).code != "UNBOUND_SQL_PARAMETER":
                    raise
                self._binds = False
        return self._session.sql(with_literals(statement, values))


def _bindable(value: Any) -> Any:
    """A time without a zone goes as text: as a timestamp, Spark would give it a zone."""
    zoneless = isinstance(value, datetime) and value.tzinfo is None
    return value.isoformat(sep=" ") if zoneless else value


class SparkStream:
    """A `ports.RowStream`."""

    def __init__(self, frame: DataFrame, batch_rows: int) -> None:
        self._frame = frame
        self._rows = batch_rows

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types of the columns; times that have a zone have UTC."""
        with _translated():
            found: pa.Schema = self._frame.limit(0).toArrow().schema
        return pa.schema([_in_utc(field) for field in found])

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The rows, once."""
        schema = self.schema
        with _translated():
            packed = self._frame.mapInArrow(_packer(_PACKED_ROWS, _PACKED_BYTES), "packed BINARY")
            for row in packed.toLocalIterator(prefetchPartitions=True):
                yield from self._unpacked(row.packed, schema)

    def _unpacked(self, data: bytes, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            found = reader.read_all()
        if found.num_columns != len(schema):
            raise BackendError("Spark gave other columns than it had said", code="SCHEMA_CHANGED")
        table = found.rename_columns(schema.names).cast(schema).combine_chunks()
        yield from table.to_batches(max_chunksize=self._rows)


def _in_utc(field: pa.Field) -> pa.Field:
    zoned = pa.types.is_timestamp(field.type) and field.type.tz is not None
    return field.with_type(pa.timestamp("us", "UTC")) if zoned else field


def _packer(most_rows: int, most_bytes: int) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Runs on executors, which may not have this package: it names nothing of it."""

    def pack(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        def packed(held: list[Any]) -> Any:
            sink = pa.BufferOutputStream()
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with pa.ipc.new_stream(sink, held[0].schema, options=options) as writer:
                for each in held:
                    writer.write_batch(each)
            data = pa.array([sink.getvalue().to_pybytes()], pa.binary())
            return pa.RecordBatch.from_arrays([data], ["packed"])

        held: list[Any] = []
        for batch in batches:
            if batch.num_rows:
                held.append(batch)
            rows, size = sum(b.num_rows for b in held), sum(b.nbytes for b in held)
            if rows >= most_rows or size >= most_bytes:
                yield packed(held)
                held = []
        if held:
            yield packed(held)

    return pack


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except LakeflowMetaError:
        raise
    except Exception as error:
        raise translate(error) from error
