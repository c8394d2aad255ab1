"""`StatementExecution`: the real SDK over HTTP, against a strict stand-in of the service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from contract.http_stand_in import TOKEN, WAREHOUSE, StandIn, StatementError
from databricks.sdk import WorkspaceClient

from lakeflow_meta.backends.sql_store import SqlStore
from lakeflow_meta.backends.statement_execution import StatementExecution
from lakeflow_meta.control.tables import STATE
from lakeflow_meta.errors import BackendError, ConflictError, NotFoundError
from lakeflow_meta.names import TableName

NOON = datetime(2025, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
TABLE = TableName.parse("main.lakeflow.etl_control_state")
ROWS = pa.table(
    {
        "text": pa.array(["it's", None, "", "漢字", '"'], pa.string()),
        "flag": pa.array([True, False, None, True, True], pa.bool_()),
        "small": pa.array([1, -2, None, 4, 2**31 - 1], pa.int32()),
        "big": pa.array([1, 2, 3, None, 2**62], pa.int64()),
        "real": pa.array([0.1, -1e300, None, 3.0, 1.0], pa.float64()),
        "day": pa.array([date(2025, 1, 31), None] * 2 + [None], pa.date32()),
        "at": pa.array([NOON, None] * 2 + [None], pa.timestamp("us", "UTC")),
        "money": pa.array([Decimal("1.50"), None] * 2 + [None], pa.decimal128(10, 2)),
    }
)


class Warehouse:
    """Canned answers; what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answer = ROWS
        self.failures: list[StatementError] = []

    def __call__(self, statement: str, parameters: Mapping[str, Any]) -> pa.Table:
        self.asked.append((statement, dict(parameters)))
        if self.failures:
            raise self.failures.pop(0)
        return self.answer


@pytest.fixture
def warehouse() -> Warehouse:
    return Warehouse()


@pytest.fixture
def service(warehouse: Warehouse) -> Iterator[StandIn]:
    with StandIn(warehouse, rows_a_chunk=2).running() as stand_in:
        yield stand_in


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def run(service: StandIn, slept: list[float]) -> StatementExecution:
    return runner(service, slept)


def runner(service: StandIn, slept: list[float], **options: Any) -> StatementExecution:
    client = WorkspaceClient(host=service.host, token=TOKEN)
    warehouse_id = options.pop("warehouse_id", WAREHOUSE)
    return StatementExecution(client, warehouse_id, sleep=slept.append, **options)


# --- results


def test_a_query_comes_back_whole_and_typed_from_its_chunks(run: StatementExecution) -> None:
    assert run.query("SELECT 1").equals(ROWS)


def test_a_stream_fetches_a_part_when_it_is_asked_for(
    run: StatementExecution, service: StandIn
) -> None:
    schema, parts = run.stream("SELECT 1")
    assert schema.equals(ROWS.schema)
    fetched = len([line for line in service.requests if "storage" in line])
    assert fetched == 1
    assert pa.concat_tables(parts).equals(ROWS)


def test_a_stream_that_lacks_its_end_is_an_error(run: StatementExecution, service: StandIn) -> None:
    service.faults.lose_last_chunk = True
    _, parts = run.stream("SELECT 1")
    with pytest.raises(BackendError):
        list(parts)


def test_without_links_a_query_comes_inline(service: StandIn, slept: list[float]) -> None:
    assert runner(service, slept, external_links=False).query("SELECT 1").equals(ROWS)
    assert not [line for line in service.requests if "storage" in line]


@pytest.mark.parametrize("links", [True, False])
def test_a_result_without_rows_still_has_its_columns(
    service: StandIn, slept: list[float], warehouse: Warehouse, links: bool
) -> None:
    warehouse.answer = ROWS.slice(0, 0)
    found = runner(service, slept, external_links=links).query("SELECT 1")
    assert found.schema.equals(ROWS.schema)
    assert found.num_rows == 0


def test_a_statement_without_a_result_gives_no_rows(
    run: StatementExecution, warehouse: Warehouse
) -> None:
    warehouse.answer = pa.table({})
    assert run.change("CREATE TABLE t").num_rows == 0


def test_what_a_result_lacks_is_an_error(run: StatementExecution, service: StandIn) -> None:
    service.faults.lose_last_chunk = True
    with pytest.raises(BackendError, match="4 of 5 rows") as lost:
        run.query("SELECT 1")
    assert lost.value.code == "RESULT_INCOMPLETE"
    service.faults.lose_last_chunk = False
    service.faults.truncated = True
    with pytest.raises(BackendError) as cut:
        run.query("SELECT 1")
    assert cut.value.code == "RESULT_TRUNCATED"


def test_an_expired_address_is_asked_for_again(run: StatementExecution, service: StandIn) -> None:
    service.faults.links = ["403"]
    assert run.query("SELECT 1").equals(ROWS)


def test_an_address_that_stays_closed_is_an_error_that_does_not_show_it(
    run: StatementExecution, service: StandIn
) -> None:
    service.faults.links = ["403"] * 3
    with pytest.raises(BackendError, match="HTTP 403") as closed:
        run.query("SELECT 1")
    assert closed.value.code == "RESULT_UNREACHABLE"
    assert "s3cr3t" not in str(closed.value)


def test_a_result_too_large_to_be_inline_is_an_error(
    service: StandIn, slept: list[float], warehouse: Warehouse
) -> None:
    warehouse.answer = pa.table({"text": ["x" * 2**20] * 26})
    with pytest.raises(BackendError):
        runner(service, slept, external_links=False).query("SELECT 1")


# --- parameters


def test_values_travel_as_typed_parameters(run: StatementExecution, warehouse: Warehouse) -> None:
    there = datetime(2025, 3, 1, 17, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    values = {"a": "it's", "b": True, "c": 7, "d": 0.1, "e": there, "f": None}
    values |= {"g": date(2025, 1, 31), "h": Decimal("-1.50"), "i": Decimal("1E+3")}
    run.query("SELECT :a, :b, :c, :d, :e, :f, :g, :h, :i", values)
    assert warehouse.asked[0][1] == {
        "a": ("STRING", "it's"),
        "b": ("BOOLEAN", "true"),
        "c": ("BIGINT", "7"),
        "d": ("DOUBLE", "0.1"),
        "e": ("TIMESTAMP", "2025-03-01T12:00:00+00:00"),
        "f": ("STRING", None),
        "g": ("DATE", "2025-01-31"),
        "h": ("DECIMAL(3,2)", "-1.50"),
        "i": ("DECIMAL(4,0)", "1000"),
    }


@pytest.mark.parametrize("value", [datetime(2025, 1, 1), [1], float("nan")])  # noqa: DTZ001
def test_a_value_that_is_no_parameter_is_refused(run: StatementExecution, value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        run.query("SELECT :a", {"a": value})


# --- waiting


def test_a_slow_statement_is_waited_for_with_growing_pauses(
    run: StatementExecution, service: StandIn, slept: list[float]
) -> None:
    service.faults.states = ["PENDING", "PENDING", "RUNNING"]
    assert run.query("SELECT 1").num_rows == 5
    assert slept == sorted(slept)
    assert len(slept) == 3


def test_a_poll_that_fails_is_repeated_and_the_statement_runs_once(
    run: StatementExecution, service: StandIn
) -> None:
    service.faults.states = ["PENDING"]
    service.faults.polls = ["429", "503"]
    run.change("INSERT")
    assert len(service.executions) == 1


def test_what_takes_too_long_is_cancelled(service: StandIn, slept: list[float]) -> None:
    service.faults.states = ["RUNNING"] * 20
    with pytest.raises(BackendError) as late:
        runner(service, slept, timeout_seconds=2).change("INSERT")
    assert late.value.code == "CANCELED"
    assert service.cancelled == [service.executions[0].id]


def test_a_cancel_that_came_too_late_gives_the_result(service: StandIn, slept: list[float]) -> None:
    service.faults.states = ["RUNNING"] * 10
    service.faults.deaf_to_cancel = True
    assert runner(service, slept, timeout_seconds=2).query("SELECT 1").num_rows == 5


def test_what_cannot_be_stopped_has_an_unknown_outcome(
    service: StandIn, slept: list[float]
) -> None:
    service.faults.states = ["RUNNING"] * 100
    service.faults.deaf_to_cancel = True
    with pytest.raises(BackendError) as stuck:
        runner(service, slept, timeout_seconds=2).change("INSERT")
    assert stuck.value.code == "OUTCOME_UNKNOWN"


def test_ctrl_c_cancels_the_statement(service: StandIn) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    service.faults.states = ["RUNNING"]
    client = WorkspaceClient(host=service.host, token=TOKEN)
    with pytest.raises(KeyboardInterrupt):
        StatementExecution(client, WAREHOUSE, sleep=interrupted).query("SELECT 1")
    assert service.cancelled == [service.executions[0].id]


# --- refused, failed, lost


def test_a_busy_warehouse_is_asked_again_and_a_write_runs_once(
    run: StatementExecution, service: StandIn, warehouse: Warehouse
) -> None:
    service.faults.posts = ["429", "429"]
    run.change("INSERT")
    assert [statement for statement, _ in warehouse.asked] == ["INSERT"]


@pytest.mark.parametrize("fault", ["lost", "unreached", "503"])
def test_a_write_whose_answer_is_lost_is_never_sent_again(
    run: StatementExecution, service: StandIn, fault: str
) -> None:
    service.faults.posts = [fault]
    with pytest.raises(BackendError, match="INSERT") as lost:
        run.change("INSERT")
    assert lost.value.code == "OUTCOME_UNKNOWN"
    assert not lost.value.transient
    assert len([line for line in service.requests if line.startswith("POST")]) == 1


def test_a_query_whose_answer_is_lost_is_sent_again(
    run: StatementExecution, service: StandIn
) -> None:
    service.faults.posts = ["lost"]
    assert run.query("SELECT 1").num_rows == 5


def test_a_refusal_is_told_by_its_code(run: StatementExecution, service: StandIn) -> None:
    service.faults.posts = ["403"]
    with pytest.raises(BackendError) as refused:
        run.change("INSERT")
    assert (refused.value.code, refused.value.transient) == ("PERMISSION_DENIED", False)


def test_a_missing_warehouse_does_not_mean_a_missing_table(
    service: StandIn, slept: list[float]
) -> None:
    store = SqlStore(runner(service, slept, warehouse_id="gone"))
    with pytest.raises(BackendError) as refused:
        store.version(TABLE)
    assert not isinstance(refused.value, NotFoundError)
    assert refused.value.code == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize(
    ("failure", "code", "not_found", "transient"),
    [
        (
            StatementError("[TABLE_OR_VIEW_NOT_FOUND] a.b", "42P01"),
            "TABLE_OR_VIEW_NOT_FOUND",
            True,
            False,
        ),
        (StatementError("no such table", "42P01"), "42P01", True, False),
        (
            StatementError("[DELTA_CONCURRENT_APPEND.X] late"),
            "DELTA_CONCURRENT_APPEND",
            False,
            True,
        ),
        (StatementError("somebody was first", "2D521"), "2D521", False, True),
        (StatementError("[PARSE_SYNTAX_ERROR] x", "42601"), "PARSE_SYNTAX_ERROR", False, False),
        (StatementError("wait", error_code="TEMPORARILY_UNAVAILABLE"), None, False, True),
    ],
)
def test_a_failed_statement_is_told_by_condition_or_sqlstate(
    run: StatementExecution,
    warehouse: Warehouse,
    failure: StatementError,
    code: str | None,
    not_found: bool,
    transient: bool,
) -> None:
    warehouse.failures = [failure]
    with pytest.raises(BackendError) as failed:
        run.query("SELECT 1")
    assert failed.value.code == (code or failure.error_code)
    assert isinstance(failed.value, NotFoundError) is not_found
    assert failed.value.transient is transient


@pytest.mark.parametrize("state", ["CANCELED", "CLOSED"])
def test_a_statement_that_somebody_ended_is_an_error(
    run: StatementExecution, service: StandIn, state: str
) -> None:
    service.faults.end_state = state
    with pytest.raises(BackendError) as ended:
        run.query("SELECT 1")
    assert ended.value.code == state


# --- the store on it


def store_on(service: StandIn, warehouse: Warehouse, **options: Any) -> SqlStore:
    warehouse.answer = pa.table(
        {
            "key": pa.array([], pa.string()),
            "value": pa.array([], pa.string()),
            "fence": pa.array([], pa.int64()),
        }
    )
    return SqlStore(runner(service, []), sleep=lambda _: None, **options)


def test_a_lost_race_is_run_again(service: StandIn, warehouse: Warehouse) -> None:
    store = store_on(service, warehouse)
    store.read(TABLE)
    store.append(TABLE, [{"key": "warm up"}])
    before = len(warehouse.asked)
    warehouse.failures = [StatementError("[DELTA_CONCURRENT_APPEND] late", "2D521")] * 2
    store.append(TABLE, [{"key": "a", "value": "it's"}])
    texts = {statement for statement, _ in warehouse.asked[before:]}
    assert len(warehouse.asked) - before == 3
    assert len(texts) == 1
    kind, rows = warehouse.asked[-1][1]["rows_0"]
    assert (kind, json.loads(rows)) == ("STRING", [{"key": "a", "value": "it's"}])


def test_races_that_stay_lost_end_in_a_conflict(service: StandIn, warehouse: Warehouse) -> None:
    store = store_on(service, warehouse, retry_seconds=0.2)
    warehouse.failures = []
    store.append(TABLE, [{"key": "warm up"}])
    warehouse.failures = [StatementError("[DELTA_CONCURRENT_APPEND] late", "2D521")] * 500
    with pytest.raises(ConflictError):
        store.append(TABLE, [{"key": "a"}])


def test_a_broken_connection_is_no_lost_race(service: StandIn, warehouse: Warehouse) -> None:
    store = store_on(service, warehouse)
    store.append(TABLE, [{"key": "warm up"}])
    service.faults.posts = ["lost"]
    with pytest.raises(BackendError) as lost:
        store.append(TABLE, [{"key": "a"}])
    assert lost.value.code == "OUTCOME_UNKNOWN"
    assert len([s for s, _ in warehouse.asked if s.startswith("INSERT")]) == 2


def test_more_than_a_statement_takes_is_refused_before_it_is_sent(
    service: StandIn, warehouse: Warehouse
) -> None:
    store = store_on(service, warehouse)
    with pytest.raises(BackendError) as refused:
        store.append(TABLE, [{"key": str(n), "value": "x" * 2**20} for n in range(17)])
    assert refused.value.code == "STATEMENT_TOO_LARGE"
    assert not [s for s, _ in warehouse.asked if s.startswith("INSERT")]


def test_a_control_table_is_created_once(service: StandIn, warehouse: Warehouse) -> None:
    store = store_on(service, warehouse)
    assert store.ensure(TABLE, STATE) is False
    warehouse.failures = [
        StatementError("[TABLE_OR_VIEW_NOT_FOUND] x", "42P01"),
        StatementError("[SCHEMA_NOT_FOUND] x", "42704"),
    ]
    assert store.ensure(TABLE, STATE) is True
    made = [s.split("(")[0].strip() for s, _ in warehouse.asked if s.startswith("CREATE")]
    table = "CREATE TABLE `main`.`lakeflow`.`etl_control_state`"
    assert made == [table, "CREATE SCHEMA IF NOT EXISTS `main`.`lakeflow`", table]
