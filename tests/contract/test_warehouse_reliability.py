"""Statements on a real PostgreSQL that breaks: carried out once or not at all, and told which."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from postgres_proxy import Relay, relay_to
from postgres_server import PostgresServer, warehouse_on

from lakeflow_meta.backends.postgres.warehouse import PostgresWarehouse
from lakeflow_meta.errors import BackendError, ConfigError, NotFoundError
from lakeflow_meta.ports import CopyOptions, WriteId
from lakeflow_meta.scripts.statements import Statement, read_statements
from lakeflow_meta.warehouse.dialects import Dialect

WRITE_ID = WriteId("test", 1)


def statement(text: str) -> Statement:
    (found,) = read_statements(text, Dialect.POSTGRES)
    return found


@pytest.fixture
def relay(postgres_server: PostgresServer) -> Iterator[Relay]:
    with relay_to(postgres_server.port) as made:
        yield made


@pytest.fixture
def sleeps() -> list[float]:
    return []


@pytest.fixture
def far(
    postgres_server: PostgresServer, database: str, relay: Relay, sleeps: list[float]
) -> Iterator[PostgresWarehouse]:
    """A warehouse behind the relay."""

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        time.sleep(0.05)

    made = warehouse_on(postgres_server, database, port=relay.port, sleep=sleep)
    made.execute("CREATE TABLE t (id int)")
    yield made
    made.close()


def while_running(
    server: PostgresServer, database: str, text: str, act: Callable[[int], object]
) -> threading.Thread:
    """Act on the server process of a statement as soon as it is seen running."""

    def watch() -> None:
        with server.connect() as connection:
            for _ in range(200):
                found = connection.execute(
                    "SELECT pid FROM pg_stat_activity"
                    " WHERE state = 'active' AND query LIKE %s AND datname = %s",
                    [f"%{text}%", database],
                ).fetchone()
                if found:
                    break
                time.sleep(0.02)
        assert found
        act(found[0])

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def terminate(server: PostgresServer, pid: int) -> None:
    with server.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 2000)", [pid])


def test_a_statement_that_a_restart_broke_is_run_again_and_once(
    warehouse: PostgresWarehouse, postgres_server: PostgresServer, database: str
) -> None:
    patient = warehouse_on(postgres_server, database, sleep=time.sleep)
    warehouse.execute("CREATE TABLE t (id int)")
    breaking = while_running(
        postgres_server, database, "pg_sleep(0.4)", lambda _pid: postgres_server.restart()
    )
    assert patient.execute("INSERT INTO t SELECT 1 FROM pg_sleep(0.4)") == 1
    breaking.join()
    assert patient.query("SELECT count(*) AS n FROM t") == [{"n": 1}]


def test_a_connection_that_was_dropped_is_replaced(
    warehouse: PostgresWarehouse,
    postgres_server: PostgresServer,
    database: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dropping = while_running(
        postgres_server,
        database,
        "pg_sleep(0.4)",
        lambda pid: terminate(postgres_server, pid),
    )
    found = warehouse.query("SELECT pg_backend_pid() AS pid, 'x' AS x FROM pg_sleep(0.4)")
    dropping.join()
    assert found[0]["x"] == "x"
    assert "Retryable error on attempt 1" in caplog.text


def test_an_idle_connection_that_the_server_closed_costs_no_attempt(
    warehouse: PostgresWarehouse, postgres_server: PostgresServer
) -> None:
    pid = warehouse.query("SELECT pg_backend_pid() AS pid")[0]["pid"]
    terminate(postgres_server, pid)
    answer = warehouse.run("SELECT pg_backend_pid() AS pid", max_retries=0).table
    assert answer.to_pylist() != [{"pid": pid}]


def test_a_deadlock_is_told_apart_and_both_sides_end_well(warehouse: PostgresWarehouse) -> None:
    warehouse.execute("CREATE TABLE t (id int PRIMARY KEY, n int)")
    warehouse.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
    met = threading.Barrier(2, timeout=10)

    def add(first: int, second: int) -> None:
        met.wait()
        warehouse.execute(
            f"UPDATE t SET n = n + 1 WHERE id = {first}; SELECT pg_sleep(0.2);"
            f" UPDATE t SET n = n + 1 WHERE id = {second}"
        )

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(add, (1, 2), (2, 1)))
    assert warehouse.query("SELECT n FROM t ORDER BY id") == [{"n": 2}, {"n": 2}]


def test_a_deadlock_without_retries_is_an_error_with_its_sqlstate(
    warehouse: PostgresWarehouse,
) -> None:
    warehouse.execute("CREATE TABLE t (id int PRIMARY KEY, n int)")
    warehouse.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
    crossed = threading.Barrier(2, timeout=10)

    def update(first: int, second: int) -> str:
        crossed.wait()
        try:
            warehouse.run(
                f"UPDATE t SET n = {first} WHERE id = {first}; SELECT pg_sleep(0.2);"
                f" UPDATE t SET n = {first} WHERE id = {second}",
                max_retries=0,
            )
        except BackendError as error:
            return f"{error.code} {error.transient}"
        return "done"

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(update, (1, 2), (2, 1))) == ["40P01 True", "done"]


def test_a_commit_that_was_done_but_not_answered_is_not_done_again(
    far: PostgresWarehouse, relay: Relay
) -> None:
    relay.cut, relay.passed = b"COMMIT", True
    assert far.execute("INSERT INTO t VALUES (1)") == 1
    assert relay.cuts == 1
    assert far.query("SELECT count(*) AS n FROM t") == [{"n": 1}]


def test_a_commit_that_never_arrived_is_done_again(
    far: PostgresWarehouse, relay: Relay, sleeps: list[float]
) -> None:
    relay.cut = b"COMMIT"
    assert far.execute("INSERT INTO t VALUES (1)") == 1
    assert relay.cuts == 1
    assert far.query("SELECT count(*) AS n FROM t") == [{"n": 1}]


def test_a_commit_whose_outcome_nobody_can_tell_is_not_repeated(
    far: PostgresWarehouse, relay: Relay, postgres_server: PostgresServer, database: str
) -> None:
    relay.cut, relay.passed = b"COMMIT", True
    relay.deaf_after = True
    with pytest.raises(BackendError, match="whether it was cannot be told") as caught:
        far.execute("INSERT INTO t VALUES (1)")
    assert caught.value.code == "OUTCOME_UNKNOWN"
    assert not caught.value.transient
    with postgres_server.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_waits_grow_and_end_after_so_many_retries(
    far: PostgresWarehouse, relay: Relay, sleeps: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    relay.cut, relay.always = b"INSERT", True
    with pytest.raises(BackendError) as caught:
        far.run("INSERT INTO t VALUES (1)", max_retries=3)
    assert sleeps == [0.5, 1.0, 2.0]
    assert relay.cuts == 4
    assert caught.value.transient
    assert "Max retries (3) exceeded" in caplog.text


@pytest.mark.parametrize(
    ("statement", "code", "kind"),
    [
        ("SELEC 1", "42601", BackendError),
        ("SELECT * FROM nowhere", "42P01", NotFoundError),
        ("SELECT 1/0", "22012", BackendError),
        ("INSERT INTO once VALUES (1)", "23505", BackendError),
        ("SELECT * FROM pg_authid", "42501", BackendError),
    ],
)
def test_what_would_fail_again_is_sent_once(
    postgres_server: PostgresServer,
    database: str,
    statement: str,
    code: str,
    kind: type[BackendError],
) -> None:
    slept: list[float] = []
    warehouse = warehouse_on(postgres_server, database, sleep=slept.append)
    warehouse.execute("CREATE TABLE once (id int PRIMARY KEY); INSERT INTO once VALUES (1)")
    warehouse.execute("CREATE ROLE poor NOLOGIN; GRANT SELECT ON once TO poor") if code == (
        "42501"
    ) else None
    prefix = "SET LOCAL ROLE poor; " if code == "42501" else ""
    with pytest.raises(kind) as caught:
        warehouse.execute(prefix + statement)
    assert (caught.value.code, caught.value.transient, slept) == (code, False, [])


def test_a_serialization_failure_is_tried_again(warehouse: PostgresWarehouse) -> None:
    warehouse.execute("CREATE SEQUENCE attempts")
    warehouse.execute(
        "CREATE FUNCTION fails_once() RETURNS int LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('attempts') = 1 THEN RAISE SQLSTATE '40001'; END IF; RETURN 7; END $$"
    )
    assert warehouse.query("SELECT fails_once() AS seven") == [{"seven": 7}]
    assert warehouse.query("SELECT last_value AS n FROM attempts") == [{"n": 2}]


def test_what_cannot_run_in_a_transaction_runs_outside_of_one_and_once(
    warehouse: PostgresWarehouse,
) -> None:
    warehouse.execute("CREATE TABLE t (id int)")
    warehouse.execute("VACUUM t")
    warehouse.execute(
        "CREATE PROCEDURE two_steps() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (1);"
        " COMMIT; INSERT INTO t VALUES (2); END $$"
    )
    warehouse.execute("CALL two_steps()")
    assert warehouse.query("SELECT id FROM t ORDER BY id") == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize("text", ["BEGIN", "INSERT INTO t VALUES (1); COMMIT", "rollback"])
def test_transactions_of_ones_own_need_a_connection_of_ones_own(
    warehouse: PostgresWarehouse, text: str
) -> None:
    warehouse.execute("CREATE TABLE t (id int)")
    with pytest.raises(ConfigError, match=r"get_connection\(\)"):
        warehouse.execute(text)
    assert warehouse.query("SELECT * FROM t") == []


def test_inside_of_a_callers_transaction_nothing_is_committed_or_repeated(
    warehouse: PostgresWarehouse,
) -> None:
    warehouse.execute("CREATE TABLE t (id int)")
    with warehouse.connect() as own:
        own.execute("SELECT 1")
        assert warehouse.run("INSERT INTO t VALUES (1)", connection=own).changed == 1
        own.rollback()
        warehouse.run("INSERT INTO t VALUES (2)", connection=own)
        own.rollback()
    assert warehouse.query("SELECT id FROM t") == [{"id": 2}]


def test_threads_share_a_pool_and_more_of_them_wait(
    postgres_server: PostgresServer, database: str
) -> None:
    warehouse = warehouse_on(postgres_server, database, pool_size=3)
    warehouse.execute("CREATE TABLE t (id int)")

    def work(number: int) -> int:
        warehouse.execute("INSERT INTO t VALUES (:n)", {"n": number})
        return int(warehouse.query("SELECT pg_backend_pid() AS pid")[0]["pid"])

    with ThreadPoolExecutor(12) as threads:
        pids = set(threads.map(work, range(60)))
    assert warehouse.query("SELECT count(DISTINCT id) AS n FROM t") == [{"n": 60}]
    assert 1 <= len(pids) <= 3


def test_a_pool_that_is_exhausted_says_so_in_time(
    postgres_server: PostgresServer, database: str
) -> None:
    slept: list[float] = []
    warehouse = warehouse_on(
        postgres_server, database, pool_size=1, pool_wait_seconds=0.05, sleep=slept.append
    )
    with warehouse.stream("SELECT 1 AS one"), pytest.raises(BackendError) as caught:
        warehouse.query("SELECT 1")
    assert (caught.value.code, slept) == ("POOL_EXHAUSTED", [])
    assert warehouse.query("SELECT 1 AS one") == [{"one": 1}]


def test_a_stream_whose_server_dies_is_an_error_never_an_end(
    warehouse: PostgresWarehouse, postgres_server: PostgresServer
) -> None:
    query = "SELECT i, repeat('x', 200) AS filler FROM generate_series(1, 500000) AS i"
    seen: list[int] = []

    def read() -> None:
        with warehouse.stream(query) as rows:
            for batch in rows:
                if not seen:
                    postgres_server.restart()
                seen.append(batch.num_rows)

    with pytest.raises(BackendError) as caught:
        read()
    assert caught.value.transient
    assert 0 < sum(seen) < 500000


def test_a_stream_that_nobody_reads_to_its_end_leaves_nothing_behind(
    postgres_server: PostgresServer, database: str
) -> None:
    warehouse = warehouse_on(postgres_server, database, pool_size=1, pool_wait_seconds=5)
    for _ in range(3):
        with warehouse.stream("SELECT i FROM generate_series(1, 200000) AS i") as rows:
            assert next(iter(rows)).num_rows > 0
    with warehouse.copy_text("SELECT 1", options=CopyOptions()) as blocks:
        assert list(blocks) == [b"1\n"]
    assert warehouse.query("SHOW transaction_read_only") == [{"transaction_read_only": "off"}]


def test_a_value_that_cannot_be_read_ends_the_transaction(
    postgres_server: PostgresServer, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    warehouse = warehouse_on(postgres_server, database, pool_size=1, pool_wait_seconds=1)
    warehouse.execute("CREATE TABLE t (d date)")
    with pytest.raises(BackendError, match="infinity"):
        warehouse.query("INSERT INTO t VALUES ('infinity') RETURNING d")
    assert warehouse.query("SELECT count(*) AS n FROM t") == [{"n": 0}]


def test_a_number_from_before_a_crash_is_not_mistaken_for_a_later_one(
    warehouse: PostgresWarehouse, postgres_server: PostgresServer
) -> None:
    warehouse.execute("CREATE TABLE t (id int)")
    tokens: list[str] = []
    session = warehouse.script_session()
    session.execute(statement("INSERT INTO t VALUES (1)"), WRITE_ID, tokens.append)
    assert session.was_committed(tokens[0]) is True
    session.close()
    number, _, life = tokens[0].partition("@")
    later = int(number) + 1000
    assert warehouse.was_committed(f"{later}@{life}") is False
    postgres_server.restart()
    assert warehouse.was_committed(f"{later}@{life}") is False
    assert warehouse.was_committed(tokens[0]) is None


def test_a_crash_of_one_server_process_is_another_life_too(
    warehouse: PostgresWarehouse, postgres_server: PostgresServer
) -> None:
    warehouse.execute("CREATE TABLE t (id int)")
    tokens: list[str] = []
    session = warehouse.script_session()
    session.execute(statement("INSERT INTO t VALUES (1)"), WRITE_ID, tokens.append)
    pid = warehouse.query("SELECT pg_backend_pid() AS pid")[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)  # until its parent has seen it, and begun to recover
    patient = PostgresWarehouse(warehouse._connector, sleep=time.sleep)
    assert patient.query("SELECT id FROM t") == [{"id": 1}]
    assert patient.was_committed(tokens[0]) is None
    session.close()
    patient.close()


def test_a_script_may_stop_a_commit(warehouse: PostgresWarehouse) -> None:
    warehouse.execute("CREATE TABLE t (id int)")
    session = warehouse.script_session()

    def stop(_transaction: str) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        session.execute(statement("INSERT INTO t VALUES (1)"), WRITE_ID, stop)
    session.execute(statement("SET search_path = pg_catalog"), WRITE_ID, stop)
    session.execute(statement("SELECT 1"), WRITE_ID, stop)
    with pytest.raises(NotFoundError):
        session.execute(statement("SELECT * FROM t"), WRITE_ID, stop)
    session.close()
    assert warehouse.query("SELECT * FROM t") == []
