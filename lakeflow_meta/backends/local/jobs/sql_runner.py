"""Runs the statements of a SQL task one after the other; the last result goes to the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from lakeflow_meta.backends.local.jobs.result_table import SHOWN_ROWS, text_table
from lakeflow_meta.backends.local.jobs.task_attempt import StopSignal
from lakeflow_meta.sql import split_statements
from lakeflow_meta.sql_tokens import parameter_names

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run_statements(
    text: str,
    parameters: Mapping[str, str],
    session: SparkSession,
    output: TextIO,
    stop: StopSignal,
) -> None:
    """Run every statement of ``text``, each with the parameters that it names bound.

    The first that fails ends it; what came before stays done, as on a warehouse.
    """
    statements = split_statements(text)
    result = ""
    for number, statement in enumerate(statements, start=1):
        stop.check()
        output.write(f"-- [{number}/{len(statements)}] {_title(statement)}\n")
        output.flush()
        named = {name: parameters[name] for name in parameter_names(statement) & set(parameters)}
        frame = session.sql(statement, args=named) if named else session.sql(statement)
        if frame.columns:
            result = text_table(frame.columns, frame.take(SHOWN_ROWS + 1))
    output.write(result)


def _title(statement: str) -> str:
    lines = [line.strip() for line in statement.splitlines()]
    first = next((line for line in lines if line and not line.startswith("--")), "")
    return first if len(first) <= 100 else first[:99] + "…"
