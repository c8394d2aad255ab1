"""`warehouse_utils` on a Databricks SQL warehouse: the real SDK, and a stand-in of the service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from contract.http_stand_in import TOKEN, WAREHOUSE, StandIn, StatementError
from databricks.sdk import WorkspaceClient

from lakeflow_meta import BackendError, ConfigError, NotFoundError, warehouse_utils
from lakeflow_meta.backends.databricks_warehouse import DatabricksWarehouse
from lakeflow_meta.backends.statement_execution import StatementExecution
from lakeflow_meta.ports import CopyOptions
from lakeflow_meta.warehouse.sql_warehouse import SqlWarehouse

ROWS = pa.table({"n": pa.array([1, None, 3], pa.int64()), "t": ["a", "b", None]})


class Service:
    """Answers by the begin of a statement."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.failures: list[StatementError] = []
        self.answers: dict[str, pa.Table] = {}

    def __call__(self, statement: str, parameters: Mapping[str, Any]) -> pa.Table:
        self.asked.append((statement, dict(parameters)))
        if self.failures:
            raise self.failures.pop(0)
        for start, answer in self.answers.items():
            if statement.startswith(start):
                return answer
        return pa.table({})


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def stand_in(service: Service) -> Iterator[StandIn]:
    with StandIn(service, rows_a_chunk=2).running() as running:
        yield running


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def utils(
    stand_in: StandIn, slept: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SqlWarehouse:
    monkeypatch.chdir(tmp_path)
    return warehouse_utils(
        "workspace",
        WAREHOUSE,
        workspace_client=WorkspaceClient(host=stand_in.host, token=TOKEN),
        sleep=slept.append,
    )


@pytest.fixture
def warehouse(stand_in: StandIn, slept: list[float]) -> DatabricksWarehouse:
    client = WorkspaceClient(host=stand_in.host, token=TOKEN)
    return DatabricksWarehouse(
        StatementExecution(client, WAREHOUSE, sleep=slept.append), sleep=slept.append
    )


def test_a_query_gives_a_frame_with_its_values_bound(utils: SqlWarehouse, service: Service) -> None:
    service.answers["SELECT"] = ROWS
    frame = utils.execute_query(
        query="SELECT * FROM t WHERE at > :day", params={"day": date(2025, 1, 31)}
    )
    assert frame is not None
    assert frame["t"].isna().tolist() == [False, False, True]
    assert service.asked == [("SELECT * FROM t WHERE at > :day", {"day": ("DATE", "2025-01-31")})]


def test_the_same_calls_speak_the_other_dialect(utils: SqlWarehouse, service: Service) -> None:
    utils.create_schema_if_not_exists("Log")
    assert [statement for statement, _ in service.asked] == [
        "SELECT 1 AS schema_exists FROM INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = 'log'",
        "CREATE SCHEMA IF NOT EXISTS `Log`",
    ]
    service.answers["DELETE"] = pa.table({"num_affected_rows": pa.array([3], pa.int64())})
    assert utils.delete_from_table("t", "s", filters={"a`b": "o'c\\"}) == 3
    assert service.asked[-1][0] == "DELETE FROM `s`.`t` WHERE `a``b` = 'o\\'c\\\\'"
    with utils.get_connection() as connection:
        assert utils.execute_query(connection, "SELECT 1") is None


def test_a_statement_that_failed_as_a_whole_is_tried_again(
    utils: SqlWarehouse, service: Service, slept: list[float]
) -> None:
    service.failures = [
        StatementError("[DELTA_CONCURRENT_APPEND] files were added", "2D521") for _ in range(2)
    ]
    utils.execute_query("UPDATE t SET a = 1")
    assert len(service.asked) == 3
    assert slept == [0.5, 1.0]


def test_an_error_of_the_statement_itself_is_not_tried_again(
    utils: SqlWarehouse, service: Service, slept: list[float]
) -> None:
    service.failures = [StatementError("[TABLE_OR_VIEW_NOT_FOUND] no t", "42P01")]
    with pytest.raises(NotFoundError) as caught:
        utils.execute_query("UPDATE t SET a = 1")
    assert caught.value.code == "TABLE_OR_VIEW_NOT_FOUND"
    assert slept == []


def test_a_write_whose_answer_was_lost_is_never_sent_again(
    utils: SqlWarehouse, stand_in: StandIn, service: Service, slept: list[float]
) -> None:
    stand_in.faults.posts = ["lost"]
    with pytest.raises(BackendError) as caught:
        utils.execute_query("INSERT INTO t VALUES (1)")
    assert (caught.value.code, caught.value.transient) == ("OUTCOME_UNKNOWN", False)
    assert len(service.asked) == 1
    assert slept == []


def test_a_query_whose_answer_was_lost_is_sent_again(
    utils: SqlWarehouse, stand_in: StandIn, service: Service
) -> None:
    service.answers["SELECT"] = ROWS
    stand_in.faults.posts = ["503"]
    frame = utils.execute_query("SELECT * FROM t")
    assert frame is not None
    assert len(frame) == 3


def test_rows_stream_part_by_part(
    warehouse: DatabricksWarehouse, service: Service, stand_in: StandIn
) -> None:
    service.answers["SELECT"] = ROWS
    with warehouse.stream("SELECT * FROM t", batch_rows=1) as rows:
        assert rows.schema.equals(ROWS.schema)
        assert pa.Table.from_batches(rows).equals(ROWS)


def test_what_a_sql_warehouse_does_not_have_is_refused_by_name(
    warehouse: DatabricksWarehouse, utils: SqlWarehouse
) -> None:
    with pytest.raises(ConfigError, match="no COPY"):
        warehouse.copy_text("SELECT 1", options=CopyOptions())
    with pytest.raises(ConfigError, match="not written to a SQL warehouse"):
        utils.write_to_table([{"a": 1}], "t")
    with pytest.raises(ConfigError, match="by name"):
        utils.execute_query("SELECT %s", [1])
    with pytest.raises(ConfigError, match="cannot be a list"):
        utils.execute_query("SELECT :a", {"a": [1]})
