"""Loads one YAML twice with lakeflow-jobs-meta on local Spark; prints JSON.

    INTERPRETER_OF_THE_PEER bench/control_peer.py JOBS.yml WORK_FOLDER [JARS_FOLDER]

Run by `control.py peer`. Imports nothing of lakeflow_meta: the peer lives in an environment of its
own. Without JARS_FOLDER (the Delta jars) Spark fetches them itself.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def session(work: Path, jars: Path | None) -> Any:
    from delta import configure_spark_with_delta_pip
    from pyspark.sql import SparkSession

    extension, catalog = (
        "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog",
    )
    builder = (
        SparkSession.builder.master("local[*]")
        .config("spark.sql.extensions", extension)
        .config(catalog, "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.sources.default", "delta")
        .config("spark.sql.warehouse.dir", str(work / "warehouse"))
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.databricks.delta.snapshotPartitions", "1")
        .config("spark.ui.enabled", "false")
    )
    if jars is None:
        return configure_spark_with_delta_pip(builder).getOrCreate()
    return builder.config("spark.jars", ",".join(map(str, jars.glob("io.*.jar")))).getOrCreate()


def main() -> None:
    file, work = Path(sys.argv[1]), Path(sys.argv[2])
    jars = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    times: dict[str, float] = {}

    def timed(name: str, act: Any) -> Any:
        began = time.perf_counter()
        result = act()
        times[name] = time.perf_counter() - began
        return result

    spark = timed("Spark's start", lambda: session(work, jars))
    spark.sparkContext.setLogLevel("ERROR")
    timed("Spark's first statement", lambda: spark.sql("CREATE SCHEMA IF NOT EXISTS lakeflow"))

    from lakeflow_jobs_meta import MetadataManager

    manager = MetadataManager("lakeflow.etl_control")
    for name in ("first load", "again, unchanged"):
        timed(name, lambda: manager.load_yaml(str(file)))
    versions = spark.sql("DESCRIBE HISTORY lakeflow.etl_control").count()
    spark.stop()
    print(json.dumps({"seconds": times, "versions": versions}))


if __name__ == "__main__":
    main()
