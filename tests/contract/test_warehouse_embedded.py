"""The embedded PostgreSQL: below a home, shared by its processes, there again after kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import ROOT

from lakeflow_meta.backends.postgres.cluster import PostgresCluster, find_programs
from lakeflow_meta.backends.postgres.embedded import EmbeddedConnector, EmbeddedPostgres
from lakeflow_meta.backends.postgres.warehouse import PostgresWarehouse

USER = """
import sys
from lakeflow_meta import warehouse_utils
utils = warehouse_utils(home=sys.argv[1])
utils.execute_query("SELECT pg_advisory_xact_lock(1); CREATE TABLE IF NOT EXISTS seen (pid int)")
utils.execute_query("INSERT INTO seen SELECT pg_backend_pid()")
print(utils.get_table_row_count("seen"), flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose name needs care and is too long for the name of a socket."""
    folder = tmp_path_factory.mktemp("home of ünits") / ("deep" * 20)
    yield folder
    EmbeddedPostgres.of_home(folder).release()
    PostgresCluster(
        folder / "postgres" / "data", programs=find_programs(), sockets=folder / "unused"
    ).stop("immediate")


def user(home: Path) -> subprocess.Popen[str]:
    """A process that uses the server until it is told to end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POSTGRES_")}
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(home)],
        env={**clean, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> int:
    process.communicate("\n", timeout=30)
    return process.returncode


def is_up(home: Path) -> bool:
    return (home / "postgres" / "data" / "postmaster.pid").exists()


def test_processes_share_one_server_and_the_last_stops_it(home: Path) -> None:
    first, second = user(home), user(home)
    counts = sorted([said(first), said(second)])
    assert counts in ([1, 2], [2, 2])
    assert end(first) == 0
    assert is_up(home)
    assert end(second) == 0
    assert not is_up(home)


def test_a_killed_user_leaves_the_server_to_the_next(home: Path) -> None:
    killed = user(home)
    before = said(killed)
    killed.kill()
    killed.communicate(timeout=30)
    assert is_up(home)
    following = user(home)
    assert said(following) == before + 1
    assert end(following) == 0
    assert not is_up(home)


def test_a_killed_server_is_started_again_with_all_that_was_committed(home: Path) -> None:
    server = EmbeddedPostgres.of_home(home)
    warehouse = PostgresWarehouse(EmbeddedConnector(server, "local"), sleep=time.sleep)
    before = warehouse.query("SELECT count(*) AS n FROM seen")[0]["n"]
    pid = int((server.cluster.data / "postmaster.pid").read_text().partition("\n")[0])
    os.kill(pid, signal.SIGKILL)
    assert warehouse.execute("INSERT INTO seen VALUES (0)") == 1
    assert warehouse.query("SELECT count(*) AS n FROM seen") == [{"n": before + 1}]
    warehouse.close()


def test_a_file_that_names_another_program_is_in_nobodys_way(home: Path) -> None:
    server = EmbeddedPostgres.of_home(home)
    server.ensure_running()
    server.release()
    assert not is_up(home)
    lines = [str(os.getpid()), str(server.cluster.data), "0", "5432", "", "", "", "ready"]
    (server.cluster.data / "postmaster.pid").write_text("\n".join(lines))
    warehouse = PostgresWarehouse(EmbeddedConnector(server, "other base"))
    assert warehouse.query("SELECT current_database() AS d") == [{"d": "other base"}]
    warehouse.close()


def test_nobody_else_may_enter_its_folders_and_no_port_is_open(home: Path) -> None:
    cluster = EmbeddedPostgres.of_home(home).cluster
    for folder in (cluster.data, cluster.sockets):
        assert folder.stat().st_mode & 0o077 == 0
    warehouse = PostgresWarehouse(EmbeddedConnector(EmbeddedPostgres.of_home(home), "local"))
    assert warehouse.query("SHOW listen_addresses") == [{"listen_addresses": ""}]
    warehouse.close()


def test_half_of_a_data_directory_is_made_anew(tmp_path: Path) -> None:
    cluster = PostgresCluster(
        tmp_path / "data", programs=find_programs(), sockets=tmp_path / "socket"
    )
    (tmp_path / "data.partial" / "base").mkdir(parents=True)
    cluster.create()
    assert cluster.exists
    assert not (tmp_path / "data.partial").exists()
