"""One real PostgreSQL for a whole test run: TCP, passwords, and no waiting for the disk.

Fixtures (a plugin of `conftest.py`, so any test can name them):

* ``postgres_server``: the server; a test that stops it starts it again.
* ``database``: the name of a fresh, empty database.
* ``warehouse``: the `PostgresWarehouse` on a fresh database.
* ``postgres_environment``: a fresh database, with ``POSTGRES_*`` set to it.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from lakeflow_meta.backends.postgres.cluster import SUPERUSER, PostgresCluster, find_programs

if TYPE_CHECKING:
    import psycopg

    from lakeflow_meta.backends.postgres.warehouse import PostgresWarehouse

PASSWORD = "pässword with 'quotes' and spaces"  # noqa: S105 (of a server that lives for one run)


@dataclass(frozen=True)
class PostgresServer:
    """A running server, and how to reach it."""

    cluster: PostgresCluster
    port: int
    host: str = "127.0.0.1"
    user: str = SUPERUSER
    password: str = PASSWORD

    @property
    def programs(self) -> Path:
        """The folder of `psql` and its like."""
        return self.cluster.programs

    def connect(self, database: str = "postgres", **options: str) -> psycopg.Connection:
        """A connection of its own, in autocommit."""
        import psycopg

        given = {**self.parameters(database), **options}
        return psycopg.connect(**given, autocommit=True)

    def parameters(self, database: str) -> dict[str, str]:
        """What `psycopg.connect` takes."""
        return {
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "password": self.password,
            "dbname": database,
        }

    def environment(self, database: str) -> Mapping[str, str]:
        """The same as the variables that people set."""
        return {
            "POSTGRES_HOST": self.host,
            "POSTGRES_PORT": str(self.port),
            "POSTGRES_USER": self.user,
            "POSTGRES_PASSWORD": self.password,
            "POSTGRES_DATABASE": database,
        }

    def new_database(self) -> str:
        """An empty database: its name."""
        name = f"test_{uuid4().hex[:12]}"
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" STRATEGY file_copy')
        return name

    def restart(self, mode: str = "immediate") -> None:
        """As if the server had crashed and been started again."""
        self.cluster.stop(mode)
        self.cluster.start()


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(folder: Path) -> PostgresServer:
    """A new server below a folder."""
    port = free_port()
    cluster = PostgresCluster(
        folder / "data",
        programs=find_programs(),
        sockets=folder / "socket",
        settings={
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "fsync": "off",
            "full_page_writes": "off",
            "max_wal_size": "4GB",
            "max_connections": "40",
            "deadlock_timeout": "100ms",
            "wal_level": "minimal",
            "max_wal_senders": "0",
        },
    )
    secret = folder / "secret"
    secret.write_text(f"{PASSWORD}\n", encoding="utf-8")
    secret.chmod(0o644)
    cluster.create(authentication="scram-sha-256", password_file=secret)
    secret.unlink()
    cluster.start()
    return PostgresServer(cluster, port)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server that all tests share. Its folder has a name that needs care."""
    # A short path: the name of a socket has at most 107 bytes (unix(7)).
    folder = Path(tempfile.mkdtemp(prefix="pg ö'"))
    server = start_server(folder)
    yield server
    server.cluster.stop("immediate")
    shutil.rmtree(folder)


@pytest.fixture
def database(postgres_server: PostgresServer) -> str:
    """A fresh database of the shared server."""
    return postgres_server.new_database()


@pytest.fixture
def postgres_environment(
    postgres_server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> PostgresServer:
    """``POSTGRES_*`` name a fresh database; variables of libpq are out of the way."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    for name, value in postgres_server.environment(database).items():
        monkeypatch.setenv(name, value)
    return postgres_server


@pytest.fixture
def warehouse(postgres_server: PostgresServer, database: str) -> Iterator[PostgresWarehouse]:
    """The warehouse on a fresh database, which does not wait between attempts."""
    made = warehouse_on(postgres_server, database)
    yield made
    made.close()


def warehouse_on(
    server: PostgresServer, database: str, *, port: int | None = None, **options: Any
) -> PostgresWarehouse:
    """A warehouse on a database of a server, or of what listens at another port."""
    from lakeflow_meta.backends.postgres.connect import PostgresConnector
    from lakeflow_meta.backends.postgres.warehouse import PostgresWarehouse
    from lakeflow_meta.warehouse.connection_faults import Address

    address = Address(server.host, str(port or server.port), server.user, database)
    connector = PostgresConnector(address, SecretStr(server.password))
    return PostgresWarehouse(connector, **{"sleep": lambda _seconds: None, **options})
