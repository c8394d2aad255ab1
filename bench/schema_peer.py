"""Makes tables with delta-engine on local Spark, looks again, adds one column; prints JSON.

    INTERPRETER_OF_THE_PEER bench/schema_peer.py SOURCE WORK_FOLDER COUNT [JARS_FOLDER]

Run by `schema.py peer`. SOURCE is the unpacked source distribution of delta-engine: what it ships
reads Unity Catalog only, so its engine runs here with the reader of its own local tests. Imports
nothing of lakeflow_meta: the peer lives in an environment of its own (Python 3.12, pyspark,
delta-spark). Without JARS_FOLDER (the Delta jars) Spark fetches them itself.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from control_peer import session


def tables(schema: str, count: int, extra: bool = False) -> list[Any]:
    """As `schema.table` of the bench; ``extra``: the first one with one more column."""
    from delta_engine.schema import DeltaTable, String

    found = []
    for number in range(count):
        columns = columns_of_one()
        if extra and number == 0:
            columns.append(column("added", String()))
        name = f"t{number:05d}"
        found.append(DeltaTable("spark_catalog", schema, name, columns, comment="one of many"))
    return found


def column(name: str, data_type: Any, **parts: Any) -> Any:
    from delta_engine.schema import Column

    return Column(name, data_type, **parts)


def columns_of_one() -> list[Any]:
    from delta_engine import schema as s

    at = s.Struct((s.StructField("x", s.Double()), s.StructField("y", s.Double())))
    place = s.Struct((s.StructField("city", s.String()), s.StructField("at", at)))
    types = [s.Long(), s.String(), s.Decimal(18, 2), s.Date(), s.Timestamp(), s.Double()]
    types += [s.Boolean(), s.Integer()]
    nested = [place, s.Array(s.String()), s.Map(s.String(), s.Integer())]
    plain = [
        column(f"c{n:02d}", types[n % len(types)], comment=f"column {n}") for n in range(1, 17)
    ]
    key = column("id", s.Long(), nullable=False, comment="of the source system")
    return [key, *plain, *(column(f"n{n}", kind) for n, kind in enumerate(nested))]


def engine_of(spark: Any) -> Any:
    from delta_engine.adapters.databricks.spark._runner import SparkSqlRunner
    from delta_engine.adapters.databricks.spark.executor import SparkExecutor
    from delta_engine.application.engine import Engine
    from tests.adapters.databricks.native_reader import NativeSparkReader

    return Engine(reader=NativeSparkReader(spark), executor=SparkExecutor(SparkSqlRunner(spark)))


def turn(spark: Any, schema: str, count: int) -> dict[str, float]:
    """Seconds of each step over tables of a fresh schema."""
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    times: dict[str, float] = {}
    plain, extended = tables(schema, count), tables(schema, count, extra=True)
    timed(spark, times, "create", plain, count)
    timed(spark, times, "no-op, first", plain, 0)
    timed(spark, times, "no-op, again", plain, 0)
    timed(spark, times, "one column", extended, 1)
    return times


def timed(
    spark: Any, times: dict[str, float], name: str, declared: Sequence[Any], changed: int
) -> None:
    began = time.perf_counter()
    report = engine_of(spark).sync(*declared)
    times[name] = time.perf_counter() - began
    if report.counts.changed != changed or report.has_failures:
        raise SystemExit(f"{name}: {report.counts} instead of {changed} changed")


def main() -> None:
    source, work, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    sys.path[:0] = [str(source / "src"), str(source)]
    spark = session(work, Path(sys.argv[4]) if len(sys.argv) > 4 else None)
    spark.sparkContext.setLogLevel("ERROR")
    turn(spark, "warm", 20)
    times = turn(spark, "peer", count)
    spark.stop()
    print(json.dumps(times))


if __name__ == "__main__":
    main()
