"""The PostgreSQL of an embedded workspace: below its home, started on need, shared, stopped last.

Every process that uses it holds a shared lock (flock(2)) for as long as it lives; the kernel drops
the lock of a killed one. Whoever ends and finds nobody else stops the server. A server whose last
user was killed goes on, and the next user finds it. A server that was killed is started again by
the next connection, and replays its log.

It listens on no port. Its socket is in a folder that only its user, and root, may enter, so it asks
for no password.
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from lakeflow_meta.backends.postgres.cluster import PORT, SUPERUSER, PostgresCluster, find_programs
from lakeflow_meta.backends.postgres.connect import (
    TEMPLATES,
    NoConnectionError,
    NoDatabaseError,
    PostgresConnector,
)
from lakeflow_meta.backends.postgres.faults import told
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.warehouse.connection_faults import Address

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger(__name__)

_LONGEST_SOCKET_PATH = 103
"""Bytes that the name of a socket may have everywhere: 107 on Linux, 103 on macOS (unix(7))."""


class EmbeddedPostgres:
    """The server of one home. One object a home and process: use `of_home`."""

    _servers: ClassVar[dict[Path, EmbeddedPostgres]] = {}
    _making: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, home: Path) -> None:
        self.folder = home.absolute() / "postgres"
        self._lock = threading.Lock()
        self._users: int | None = None
        self._pid = os.getpid()

    @classmethod
    def of_home(cls, home: Path) -> EmbeddedPostgres:
        """The one of this process. Nothing is started yet."""
        with cls._making:
            return cls._servers.setdefault(home.absolute(), cls(home))

    @cached_property
    def cluster(self) -> PostgresCluster:
        """The data directory. Raises ConfigError where there is no PostgreSQL to run it."""
        return PostgresCluster(
            self.folder / "data", programs=find_programs(), sockets=_socket_folder(self.folder)
        )

    @property
    def exists(self) -> bool:
        """Whether it was ever started in this home."""
        return (self.folder / "data" / "PG_VERSION").exists()

    def ensure_running(self) -> None:
        """Start the server where it is not running. Raises ConfigError, BackendError."""
        with self._lock, self.alone():
            self._hold()
            if not self.cluster.exists:
                logger.info("making the embedded PostgreSQL in %s", self.folder)
                self.cluster.create()
            self._check_version()
            if not self.cluster.is_running():
                self.cluster.start()

    def release(self) -> None:
        """This process needs the server no more; the last to say so stops it."""
        with self._lock:
            if self._users is None or self._pid != os.getpid():
                return
            with self.alone():
                users, self._users = self._users, None
                last = _try_lock(users)
                os.close(users)
                if last:
                    self.cluster.stop()
                    with suppress(OSError):  # among temporary files nothing is left behind
                        self.cluster.sockets.rmdir()

    def address(self, database: str) -> Address:
        """Of one of its databases."""
        return Address(str(self.cluster.sockets), str(PORT), SUPERUSER, database)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time starts or stops the server, or makes a database."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError as error:
            raise ConfigError(
                f"{self.folder} belongs to another user; choose another --home, or name a server:"
                " POSTGRES_HOST"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    # --- inside

    def _hold(self) -> None:
        """Take the lock of users, once; a forked process takes one of its own."""
        if self._users is not None and self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._users = os.open(self.folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._users, fcntl.LOCK_SH)
        atexit.register(self.release)

    def _check_version(self) -> None:
        made_by = (self.cluster.data / "PG_VERSION").read_text().strip()
        if made_by != self.cluster.version:
            raise ConfigError(
                f"{self.cluster.data} was made by PostgreSQL {made_by}, and PostgreSQL"
                f" {self.cluster.version} is installed; move its data by pg_dump, or remove it"
            )


def _try_lock(descriptor: int) -> bool:
    """Whether nobody else holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _socket_folder(folder: Path) -> Path:
    """Below the home, or where that name is too long, one of our own among temporary files."""
    beside = folder / "socket"
    if len(os.fsencode(beside / f".s.PGSQL.{PORT}")) <= _LONGEST_SOCKET_PATH:
        return beside
    name = sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"lakeflow-postgres-{name}"


class EmbeddedConnector:
    """Connections to one database of an embedded server, both made where they are missing."""

    password = None

    def __init__(self, server: EmbeddedPostgres, database: str) -> None:
        self._server = server
        self._database = database
        self._started = False

    def __repr__(self) -> str:
        return f"EmbeddedConnector({self._server.folder}, {self._database!r})"

    @property
    def address(self) -> Address:
        """Where it is. Raises ConfigError where there is no PostgreSQL to run."""
        return self._server.address(self._database)

    def connect(self) -> psycopg.Connection:
        """As `PostgresConnector.connect`; a server that is gone is started once more."""
        connector = PostgresConnector(self.address)
        if not self._started:
            self._server.ensure_running()
            self._started = True
        try:
            return connector.connect()
        except NoConnectionError:
            self._server.ensure_running()
        except NoDatabaseError:
            self._create_database()
        return connector.connect()

    def _create_database(self) -> None:
        """One process at a time, because PostgreSQL makes two at once from one template fail."""
        import psycopg

        maintenance = PostgresConnector(self._server.address(SUPERUSER))
        name = {"database_name": self._database}
        with self._server.alone(), maintenance.connect() as connection:
            connection.set_autocommit(True)
            try:
                found = connection.execute(_sql("internal/check_database_exists", name)).fetchone()
                if found is None:
                    connection.execute(_sql("internal/create_database", name))
            except psycopg.Error as error:
                raise told(error, connection) from error


def _sql(template: str, values: dict[str, str]) -> bytes:
    return TEMPLATES.render(template, **values).encode()
