"""Expectations on rows, checked in the pass that writes them.

A condition sees the columns of the table: those that the files do not have are their default, or
NULL. https://docs.databricks.com/ldp/expectations
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING
from uuid import uuid4

from lakeflow_meta.backends.spark import translate
from lakeflow_meta.backends.spark_ingest.columns import TableShape
from lakeflow_meta.backends.spark_ingest.misfits import raised
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ingest.batch import SOURCE_FILE, Batch
from lakeflow_meta.ingest.expectations import Expectation, OnViolation
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.sql import ident

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Observation

FAILED_EXPECTATIONS = "_failed_expectations"

_DEFAULT = "CURRENT_DEFAULT"


class Expectations:
    """What a source expects of the rows of one batch. Made for one pass."""

    def __init__(self, batch: Batch, shape: TableShape) -> None:
        self._all = batch.source.target_config.expectations
        self._shape = shape
        self._observation: Observation | None = None

    def kept(self, frame: DataFrame) -> DataFrame:
        """The rows to write. A row that breaks a ``fail`` raises when it is read."""
        return self._filtered(frame, self._verdicts(frame)) if self._all else frame

    def kept_and_counted(self, frame: DataFrame) -> DataFrame:
        """The same; `violations` are known once the rows were written."""
        from pyspark.sql import Observation

        if not any(self._counted):
            return self.kept(frame)
        verdicts = self._verdicts(frame)
        self._observation = Observation(uuid4().hex)
        wide = self._widened(frame).observe(self._observation, *self._counts(verdicts))
        return self._filtered(wide, verdicts).select(*map(ident, frame.columns))

    def violations(self, frame: DataFrame) -> dict[str, int]:
        """Rows by the expectation that they did not meet. Only after the write was committed.

        Spark Connect may have no metrics of a write; then ``frame`` is read once more.
        """
        if self._observation is None:
            return {}
        found = self._observation.get or self._counted_in(frame)
        return {name: count for name, count in found.items() if count}

    def _counted_in(self, frame: DataFrame) -> dict[str, int]:
        row = self._widened(frame).agg(*self._counts(self._verdicts(frame))).collect()[0]
        found: dict[str, int] = row.asDict()
        return found

    def _counts(self, verdicts: Mapping[str, Column]) -> list[Column]:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        return [F.count_if(~verdicts[one.name]).alias(one.name) for one in self._counted]

    def dropped(self, frame: DataFrame) -> DataFrame:
        """The rows that are left out, with the names of what they did not meet."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        verdicts = self._verdicts(frame)
        drops = [one.name for one in self._all if one.on_violation is OnViolation.DROP]
        names = F.array_compact(F.array(*(F.when(~verdicts[n], F.lit(n)) for n in drops)))
        wide = self._widened(frame).withColumn(FAILED_EXPECTATIONS, names)
        rows = wide.where(F.size(FAILED_EXPECTATIONS) > 0)
        return rows.select(*map(ident, frame.columns), FAILED_EXPECTATIONS)

    @property
    def _counted(self) -> list[Expectation]:
        return [one for one in self._all if one.on_violation is not OnViolation.FAIL]

    def _filtered(self, frame: DataFrame, verdicts: Mapping[str, Column]) -> DataFrame:
        tests = list(self._tests(verdicts))
        if not tests:
            return frame
        kept = self._widened(frame).where(reduce(and_, tests))
        return kept.select(*map(ident, frame.columns))

    def _tests(self, verdicts: Mapping[str, Column]) -> Iterator[Column]:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        for one in self._all:
            met = verdicts[one.name]
            if one.on_violation is OnViolation.DROP:
                yield met
            elif one.on_violation is OnViolation.FAIL:
                message = f"expectation {one.name} is not met: {one.condition}"
                refused = raised(F.col(SOURCE_FILE), F.lit(message))
                yield F.when(met, F.lit(True)).otherwise(refused)

    def _widened(self, frame: DataFrame) -> DataFrame:
        """The frame with the columns of the table that the files do not have."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        present = {name.lower() for name in frame.columns}
        for field in self._shape.fields:
            if field.name.lower() not in present:
                default = (field.metadata or {}).get(_DEFAULT, "NULL")
                frame = frame.withColumn(field.name, F.expr(default).cast(field.dataType))
        return frame

    def _verdicts(self, frame: DataFrame) -> dict[str, Column]:
        """By expectation, whether a row meets it. Raises BackendError: it is no condition here."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        wide = self._widened(frame)
        verdicts = {}
        for one in self._all:
            try:
                kind = wide.select(F.expr(one.condition)).schema.fields[0].dataType
            except Exception as error:
                raise _broken(one, str(translate(error))) from error
            if kind.typeName() != "boolean":
                raise _broken(one, f"it is no condition but {kind.simpleString()}")
            verdicts[one.name] = F.coalesce(F.expr(one.condition), F.lit(False))
        return verdicts


def any_dropped(source: FileSource, violations: Mapping[str, int]) -> bool:
    """Whether rows were left out, by what was counted."""
    expectations = source.target_config.expectations
    return any(violations.get(e.name) for e in expectations if e.on_violation is OnViolation.DROP)


def _broken(one: Expectation, why: str) -> BackendError:
    return BackendError(
        f"expectation {one.name} ({one.condition}) cannot be checked: {why}", code="EXPECTATION"
    )
