"""A process that joins the JVM of another: it can be killed without the JVM going down with it.

Python processes of their own at the price of milliseconds: a server process imports everything
once and forks. What such a process had asked Spark for goes on after it was killed, as it does
with Spark Connect and with a notebook whose kernel died.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

_PRELOADED = [
    "deltalake",
    "pyarrow.compute",
    "pyspark.sql",
    "delta.tables",
    "lakeflow_meta.backends.deltars",
    "lakeflow_meta.backends.local.spark.session_names",
    "lakeflow_meta.backends.spark_ingest.loader",
    "lakeflow_meta.ingest.ingestor",
]


@dataclass(frozen=True, slots=True)
class Jvm:
    """How to reach a running embedded Spark."""

    port: int
    token: str
    warehouse: Path
    catalogs: tuple[str, ...]

    @classmethod
    def of(cls, spark: SparkSession, warehouse: Path, catalogs: tuple[str, ...]) -> Jvm:
        """The JVM of a session."""
        parameters = spark.sparkContext._gateway.gateway_parameters
        return cls(parameters.port, parameters.auth_token, warehouse, catalogs)

    def join(self) -> SparkSession:
        """A session of this process on that JVM."""
        from pyspark import SparkContext
        from pyspark.java_gateway import launch_gateway

        from lakeflow_meta.backends.local.spark.session_names import attach

        os.environ |= {"PYSPARK_GATEWAY_PORT": str(self.port), "PYSPARK_GATEWAY_SECRET": self.token}
        gateway = launch_gateway()
        jvm = gateway.jvm
        scala = jvm.org.apache.spark.SparkContext.getOrCreate()
        java = jvm.org.apache.spark.api.java.JavaSparkContext.fromSparkContext(scala)
        context = SparkContext(gateway=gateway, jsc=java)
        shared = jvm.org.apache.spark.sql.classic.SparkSession.getDefaultSession().get()
        session = SparkSession(context, shared.newSession())
        session.conf.set("spark.sql.codegen.wholeStage", "false")  # few rows: see `interpreted`
        session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        attach(session, self.warehouse, self.catalogs)
        return session


def start(target: Callable[..., None], *args: Any) -> BaseProcess:
    """Run a function of an importable module in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    process = context.Process(target=target, args=args, daemon=True)
    process.start()
    return process
