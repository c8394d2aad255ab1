"""What stands behind the stand-in of a SQL warehouse: each statement runs on a SparkSession."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
from contract.http_stand_in import StatementError
from pyspark.sql import SparkSession

from lakeflow_meta.backends.spark import translate


def run_on(session: SparkSession, statement: str, parameters: Mapping[str, Any]) -> pa.Table:
    values = {name: typed(*given) for name, given in parameters.items()}
    try:
        return session.sql(statement, values or None).toArrow()
    except Exception as error:
        found = translate(error)
        raise StatementError(f"[{found.code}] {found}") from error


def typed(kind: str, value: str) -> Any:
    match kind:
        case "STRING":
            return value
        case "BOOLEAN":
            return value == "true"
        case "BIGINT":
            return int(value)
        case "TIMESTAMP":
            return datetime.fromisoformat(value)
    raise AssertionError(kind)
