"""`warehouse_utils` as people use it, on a real PostgreSQL that their environment names."""

from __future__ import annotations

import builtins
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from postgres_server import PostgresServer, free_port

from lakeflow_meta import BackendError, ConfigError, NotFoundError, warehouse_utils
from lakeflow_meta.app import App
from lakeflow_meta.backends.postgres.connect import PostgresConnector
from lakeflow_meta.warehouse.connection_faults import Address
from lakeflow_meta.warehouse.sql_warehouse import SqlWarehouse
from lakeflow_meta.warehouse_operations import check_warehouse

SECRET = "s3cret p'ass"  # noqa: S105 (of nobody)


@pytest.fixture
def make(tmp_path: Path, sleeps: list[float]) -> Iterator[Callable[..., SqlWarehouse]]:
    made: list[SqlWarehouse] = []

    def one(*arguments: Any, **options: Any) -> SqlWarehouse:
        given = {"home": tmp_path / "home", "sleep": sleeps.append, **options}
        made.append(warehouse_utils(*arguments, **given))
        return made[-1]

    yield one
    for warehouse in made:
        warehouse.close()


@pytest.fixture
def sleeps() -> list[float]:
    return []


@pytest.fixture
def utils(postgres_environment: PostgresServer, make: Callable[..., SqlWarehouse]) -> SqlWarehouse:
    return make("workspace", "warehouse")


def rows(frame: pd.DataFrame | None) -> list[dict[str, Any]]:
    assert frame is not None
    return frame.to_dict("records")


# --- statements


def test_a_query_gives_a_frame_and_anything_else_nothing(utils: SqlWarehouse) -> None:
    assert utils.execute_query(query="CREATE TABLE t (n bigint, t text)") is None
    assert utils.execute_query("INSERT INTO t VALUES (:n, :t)", {"n": 2**60, "t": "x"}) is None
    utils.execute_query(None, "INSERT INTO t VALUES (%s, %s)", [None, ""])
    frame = utils.execute_query(query="SELECT * FROM t ORDER BY n NULLS LAST", max_retries=0)
    assert isinstance(frame, pd.DataFrame)
    assert frame["n"].iloc[0] == 2**60
    assert frame["n"].isna().tolist() == [False, True]
    assert frame["t"].tolist() == ["x", ""]


def test_a_connection_is_of_psycopg_and_ones_own(utils: SqlWarehouse) -> None:
    with utils.get_connection() as connection:
        assert isinstance(connection, psycopg.Connection)
        utils.execute_query(connection, "CREATE TABLE t (n int)")
        assert rows(utils.execute_query(connection, "SELECT count(*) AS n FROM t")) == [{"n": 0}]
    assert connection.closed
    assert rows(utils.execute_query(connection, "SELECT 1 AS n")) == [{"n": 1}]


def test_a_rendered_statement_runs(utils: SqlWarehouse) -> None:
    name = 'Schema of "O\'Brien" ; --'
    statement = utils.sql.render("create_schema", schema_name=name)
    utils.execute_query(query=statement)
    assert name in utils.list_schemas()


def test_a_schema_is_made_once_whoever_is_first(utils: SqlWarehouse) -> None:
    met = threading.Barrier(6, timeout=10)

    def work(_number: int) -> None:
        met.wait()
        utils.create_schema_if_not_exists("log")

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    assert utils.list_schemas() == ["log", "public"]


def test_tables_are_made_listed_renamed_and_dropped(utils: SqlWarehouse) -> None:
    utils.create_schema_if_not_exists("s")
    utils.create_table(
        "Orders", "s", columns={"id": "bigint", "at": "timestamptz"}, required=["id"]
    )
    utils.create_table("Orders", "s", columns={"id": "bigint"}, if_not_exists=True)
    with pytest.raises(BackendError) as caught:
        utils.create_table("Orders", "s", columns={"id": "bigint"})
    assert caught.value.code == "42P07"
    assert utils.check_if_table_exists("Orders", "s")
    assert not utils.check_if_table_exists("orders", "s")
    assert utils.get_table_schema("Orders", "s") == {
        "id": "bigint",
        "at": "timestamp with time zone",
    }
    utils.rename_table("Orders", "new", "s")
    assert utils.list_tables("s") == ["new"]
    assert utils.get_table_metadata("new", "s") == {
        "table_catalog": utils.execute_query("SELECT current_database() AS d")["d"].iloc[0],
        "table_schema": "s",
        "table_name": "new",
        "table_type": "BASE TABLE",
    }
    assert utils.get_table_metadata("gone", "s") is None
    utils.vacuum_table("new", "s")
    utils.drop_table("new", "s")
    utils.drop_table("new", "s")
    assert utils.list_tables("s") == []


def test_all_tables_of_one_schema_are_dropped_and_no_others(utils: SqlWarehouse) -> None:
    utils.create_schema_if_not_exists("s")
    for schema in ("s", "public"):
        for name in ("tmp_a", "tmp_b", "kept"):
            utils.create_table(name, schema, columns={"n": "int"})
    utils.execute_query("CREATE VIEW s.tmp_view AS SELECT 1 AS n")
    assert utils.drop_all_tables("s", table_prefix="tmp_") == ["tmp_a", "tmp_b"]
    assert utils.list_tables("s") == ["kept", "tmp_view"]
    assert utils.list_tables() == ["kept", "tmp_a", "tmp_b"]


def test_rows_are_written_read_and_deleted(utils: SqlWarehouse) -> None:
    frame = pd.DataFrame({"n": [1, 2, 3], "t": ["a", None, "o'c"]})
    assert utils.write_to_table(frame, "t") == 3
    assert utils.write_to_table([{"n": 4, "t": "d"}], "t", mode="append") == 1
    assert utils.get_table_row_count("t") == 4
    assert rows(utils.read_table("t", columns=["n"], filters={"t": "o'c"})) == [{"n": 3}]
    assert rows(utils.read_table("t", columns=["n"], filters={"t": None})) == [{"n": 2}]
    assert len(utils.read_table("t", filters={"n": [1, 2]}, limit=1)) == 1
    assert utils.delete_from_table("t", filters={"n": [1, 2]}) == 2
    assert utils.delete_from_table("t") == 2
    with pytest.raises(BackendError):
        utils.write_to_table(frame, "t", mode="errorIfExists")
    with pytest.raises(ConfigError, match=r"write mode 'upsert' is not known; .*overwrite"):
        utils.write_to_table(frame, "t", mode="upsert")
    with pytest.raises(ConfigError, match="cannot be written"):
        utils.write_to_table(42, "t")


def test_templates_of_ones_own_come_first(
    postgres_environment: PostgresServer, make: Callable[..., SqlWarehouse], tmp_path: Path
) -> None:
    folder = tmp_path / "sql"
    folder.mkdir()
    (folder / "newest.sql.jinja").write_text(
        "SELECT MAX({{ column | ident }}) AS newest FROM {{ table_name | ident }}"
    )
    utils = make(sql_templates=folder)
    utils.write_to_table([{"n": 1}, {"n": 7}], "t")
    text = utils.sql.render("newest", column="n", table_name="t")
    assert rows(utils.execute_query(text)) == [{"newest": 7}]
    with pytest.raises(ConfigError, match="no folder of SQL templates"):
        make(sql_templates=tmp_path / "nowhere")


def test_calls_that_cannot_be_meant_are_refused(
    utils: SqlWarehouse, make: Callable[..., SqlWarehouse]
) -> None:
    with pytest.raises(ConfigError, match="there is no query"):
        utils.execute_query()
    with pytest.raises(ConfigError, match=r"Unsupported dialect: mysql\. .*'databricks' and"):
        make(dialect="mysql")
    with pytest.raises(ConfigError, match="speaks postgres, not databricks"):
        make(dialect="databricks")


# --- when there is no connection


def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> int:
    port = free_port()
    monkeypatch.setenv("POSTGRES_PORT", str(port))
    return port


def test_a_server_that_is_down_is_told_once_with_what_to_do(
    utils: SqlWarehouse,
    make: Callable[..., SqlWarehouse],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sleeps: list[float],
) -> None:
    port = nobody_listens(monkeypatch)
    with pytest.raises(BackendError) as caught:
        make().execute_query("SELECT 1")
    assert (caught.value.code, caught.value.transient) == ("08001", True)
    assert "PostgreSQL Connection Error - Server Not Available" in str(caught.value)
    assert sleeps == [0.5, 1.0, 2.0]
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    advice = [text for text in told if "To fix this issue, try one of the following:" in text]
    assert len(advice) == 1
    for line in (
        "PostgreSQL server is not running or not accessible.",
        "sudo service postgresql start",
        "brew services start postgresql",
        "net start postgresql-x64-15",
        "sudo apt-get install postgresql",
        f"Current port: {port}",
        "POSTGRES_PORT=<your_port>",
    ):
        assert line in advice[0]


def test_a_wrong_password_is_told_apart_and_tried_once(
    utils: SqlWarehouse,
    make: Callable[..., SqlWarehouse],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sleeps: list[float],
) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", SECRET)
    with pytest.raises(BackendError) as caught:
        make().execute_query("SELECT 1")
    assert (caught.value.code, caught.value.transient, sleeps) == ("28P01", False, [])
    assert "PostgreSQL Authentication Error" in str(caught.value)
    for line in ("Failed to authenticate with", "ALTER USER postgres", "Current connection param"):
        assert line in caplog.text


def test_a_user_who_may_not_enter_is_an_authentication_error_too(
    utils: SqlWarehouse, make: Callable[..., SqlWarehouse], monkeypatch: pytest.MonkeyPatch
) -> None:
    utils.execute_query(
        f"DO $$ BEGIN CREATE ROLE dormant NOLOGIN PASSWORD '{'x' * 8}';"
        " EXCEPTION WHEN duplicate_object THEN END $$"
    )
    monkeypatch.setenv("POSTGRES_USER", "dormant")
    monkeypatch.setenv("POSTGRES_PASSWORD", "x" * 8)
    with pytest.raises(BackendError, match="PostgreSQL Authentication Error") as caught:
        make().execute_query("SELECT 1")
    assert caught.value.code == "28000"


def test_a_missing_database_is_told_apart(
    utils: SqlWarehouse,
    make: Callable[..., SqlWarehouse],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sleeps: list[float],
) -> None:
    monkeypatch.setenv("POSTGRES_DATABASE", "nowhere")
    with pytest.raises(NotFoundError) as caught:
        make().execute_query("SELECT 1")
    assert (caught.value.code, sleeps) == ("3D000", [])
    assert "The database 'nowhere' does not exist." in str(caught.value)
    assert "sudo -u postgres createdb nowhere" in caplog.text


def test_a_full_server_is_waited_for(
    postgres_server: PostgresServer,
    database: str,
    utils: SqlWarehouse,
    make: Callable[..., SqlWarehouse],
    monkeypatch: pytest.MonkeyPatch,
    sleeps: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = f"few_{database[-8:]}"
    with postgres_server.connect() as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'few' CONNECTION LIMIT 0")
    monkeypatch.setenv("POSTGRES_USER", name)
    monkeypatch.setenv("POSTGRES_PASSWORD", "few")
    with pytest.raises(BackendError) as caught:
        make().execute_query("SELECT 1", max_retries=1)
    assert (caught.value.code, caught.value.transient, sleeps) == ("53300", True, [0.5])
    assert "max_connections" in caplog.text


def test_a_missing_driver_is_told_with_how_to_get_it(
    utils: SqlWarehouse,
    make: Callable[..., SqlWarehouse],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "psycopg":
            raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'lakeflow_meta\[postgres\]'"):
        make().execute_query("SELECT 1")
    assert "psycopg is not available." in caplog.text


def everything_shown(error: BaseException) -> str:
    """A traceback with all local variables of all frames but those of the tests."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    chain, texts = [shown], []
    while chain:
        one = chain.pop()
        one.stack[:] = [frame for frame in one.stack if "tests" not in Path(frame.filename).parts]
        texts += one.format(chain=False)
        chain += [other for other in (one.__cause__, one.__context__) if other is not None]
    return "".join(texts)


@pytest.mark.parametrize("broken", ["password", "database", "port", "statement", "string"])
def test_a_password_is_never_shown(
    utils: SqlWarehouse,
    postgres_server: PostgresServer,
    make: Callable[..., SqlWarehouse],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = postgres_server.password if broken == "statement" else SECRET
    monkeypatch.setenv("POSTGRES_PASSWORD", secret)
    options: dict[str, Any] = {}
    if broken == "database":
        monkeypatch.setenv("POSTGRES_PASSWORD", postgres_server.password)
        monkeypatch.setenv("POSTGRES_DATABASE", "nowhere")
        secret = postgres_server.password
    elif broken == "port":
        nobody_listens(monkeypatch)
    elif broken == "string":
        options["connection_string"] = f"host=localhost password={secret} dbname=x"

    def use() -> None:
        made = make(**options)
        logging.getLogger("test").info("%r", made)
        made.execute_query("SELEC 1", max_retries=0)

    with pytest.raises((BackendError, ConfigError)) as caught:
        use()
    for text in (everything_shown(caught.value), caplog.text, repr(caught.value)):
        assert secret not in text
        assert "s3cret" not in text


def test_a_connection_string_wins(
    postgres_server: PostgresServer, database: str, make: Callable[..., SqlWarehouse]
) -> None:
    address = psycopg.conninfo.make_conninfo(**postgres_server.parameters(database))
    utils = make(connection_string=address)
    assert rows(utils.execute_query("SELECT current_database() AS d")) == [{"d": database}]
    assert postgres_server.password not in repr(utils)


def test_a_server_that_does_not_answer_is_not_waited_for_without_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = Address("127.0.0.1", str(deaf.getsockname()[1]), "me", "mine")
        with pytest.raises(BackendError) as caught:
            PostgresConnector(address, connect_seconds=2).connect()
    assert (caught.value.code, caught.value.transient) == ("08001", True)


def test_the_doctor_tells_how_the_warehouse_is_reached(
    utils: SqlWarehouse,
    postgres_server: PostgresServer,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def check() -> Any:
        return check_warehouse(App.from_environment(overrides={"home": tmp_path / "home"}))

    found = check()
    assert found.ok
    assert f"at postgres@127.0.0.1:{postgres_server.port}/{database}" in found.detail
    nobody_listens(monkeypatch)
    found = check()
    assert not found.ok
    assert "Server Not Available" in found.detail
    for name in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE"):
        monkeypatch.delenv(f"POSTGRES_{name}")
    found = check()
    assert (found.ok, found.detail) == (
        True,
        "embedded PostgreSQL; it is made when it is first used",
    )
    assert not (tmp_path / "home" / "postgres").exists()
