"""Connections to PostgreSQL, and why there is none.

The password is in no log, error, representation or frame of a traceback: it is kept in a
`SecretStr`, goes to the driver in the call alone, and the driver's own errors, which hold on to
what they were given, go no further than this module.

A refused connection has no SQLSTATE in libpq's interface, only text. Asked again with
``PQERRORS_SQLSTATE``, libpq writes the SQLSTATE instead of the text:
https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQSETERRORVERBOSITY
"""

from __future__ import annotations

import ctypes
import logging
import re
import select
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from lakeflow_meta.errors import BackendError, ConfigError, NotFoundError
from lakeflow_meta.warehouse.connection_faults import (
    Address,
    Fault,
    fault_of,
    message,
    reason,
)
from lakeflow_meta.warehouse.dialects import Dialect
from lakeflow_meta.warehouse.retries import is_passing
from lakeflow_meta.warehouse.sql_templates import SqlTemplates

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGconn

logger = logging.getLogger(__name__)

TEMPLATES = SqlTemplates(Dialect.POSTGRES)
NO_SERVER = "08001"
"""SQLSTATE of the standard: the client cannot establish the connection."""

_LETS_US_IN = "00000"
_USUAL = {
    "application_name": "lakeflow_meta",
    "client_encoding": "UTF8",
    # A server that is gone without a word is noticed within a minute.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_VERBOSITY_SQLSTATE = 3
_SQLSTATE = re.compile(r":  ([0-9A-Z]{5})$", re.MULTILINE)
_NOT_SHOWN = {"password", "sslpassword", "oauth_client_secret"}
_DEFAULTS = {"host": "localhost", "port": "5432", "user": "postgres", "dbname": "postgres"}


class NoConnectionError(BackendError):
    """There is no connection; ``advice`` is the whole message for people."""

    advice = ""


class NoDatabaseError(NotFoundError):
    """The server has no such database; ``advice`` is the whole message for people."""

    advice = ""


@dataclass(frozen=True)
class PostgresConnector:
    """Makes connections to one database. Its representation shows nothing secret."""

    address: Address
    password: SecretStr | None = None
    options: Mapping[str, SecretStr] = field(default_factory=dict)
    """Other parameters of libpq, e.g. ``sslmode``."""
    connect_seconds: int = 10
    """For each address of the host; psycopg makes 2 of anything less."""

    @classmethod
    def of_text(cls, text: SecretStr) -> PostgresConnector:
        """From ``postgresql://…`` or ``host=… dbname=…``. Raises ConfigError, which shows none of
        the text: it may hold a password.
        """
        driver = load_driver()
        parts: dict[str, Any] | None = None
        try:
            parts = driver.conninfo.conninfo_to_dict(text.get_secret_value())
        except driver.ProgrammingError:
            logger.debug("a connection string cannot be read")
        if parts is None:
            raise ConfigError(
                "the connection string cannot be read;"
                " write postgresql://user@host:port/database, or host=… port=… user=… dbname=…"
            )
        shown = {name: str(parts.get(name) or usual) for name, usual in _DEFAULTS.items()}
        address = Address(shown["host"], shown["port"], shown["user"], shown["dbname"])
        rest = {name: SecretStr(str(parts[name])) for name in parts.keys() - shown.keys()}
        return cls(address, rest.pop("password", None), rest)

    def connect(self) -> psycopg.Connection:
        """A new connection with the settings that results rest on (UTC, ISO).

        Raises ConfigError (no driver), NoDatabaseError, NoConnectionError.
        """
        driver = load_driver()
        said: str | None = None
        silent = False
        try:
            connection: psycopg.Connection = driver.connect(
                **self._parameters(), autocommit=True, prepare_threshold=None
            )
        except driver.Error as error:
            said = str(error)
            silent = isinstance(error, driver.errors.ConnectionTimeout)
        if said is not None:  # outside: the driver's error knows the password
            raise self._refused(said, "" if silent else self.sqlstate())
        try:
            connection.execute(TEMPLATES.render("internal/session_settings").encode())
            connection.set_autocommit(False)
        except driver.Error as error:
            connection.close()
            raise NoConnectionError(
                f"{self.address}: the connection was lost", code=NO_SERVER, transient=True
            ) from error
        return connection

    def sqlstate(self) -> str:
        """What a server answers to a try to connect: an SQLSTATE, or nothing where none answers.
        ``00000`` where it lets us in.
        """
        from psycopg import pq

        deadline = time.monotonic() + self.connect_seconds
        return _asked_for_sqlstate(pq.PGconn.connect_start(self._conninfo()), deadline)

    def _conninfo(self) -> bytes:
        text: str = load_driver().conninfo.make_conninfo(**self._parameters())
        return text.encode()

    def _parameters(self) -> dict[str, Any]:
        given = {
            **_USUAL,
            "connect_timeout": self.connect_seconds,
            **{name: value.get_secret_value() for name, value in self.options.items()},
            "host": self.address.host,
            "port": self.address.port,
            "user": self.address.user,
            "dbname": self.address.database,
        }
        if self.password is not None:
            given["password"] = self.password.get_secret_value()
        return given

    def _refused(self, said: str, sqlstate: str) -> BackendError:
        if sqlstate == _LETS_US_IN:  # it was full, or starting, and no longer is
            sqlstate = NO_SERVER
        fault = fault_of(sqlstate)
        kind = NoDatabaseError if fault is Fault.NO_DATABASE else NoConnectionError
        error = kind(
            f"{fault}: {reason(fault, self.address)} ({self.address})",
            code=sqlstate or NO_SERVER,
            transient=not sqlstate or is_passing(sqlstate),
        )
        error.advice = message(fault, self.address, said if fault is Fault.OTHER else "")
        return error


def load_driver() -> Any:
    """psycopg. Raises ConfigError with the way to get it, which is logged too."""
    try:
        import psycopg
    except ImportError as error:  # also: it is there, and libpq is not
        nowhere = Address("", "", "", "")
        logger.error("%s", message(Fault.NO_DRIVER, nowhere, str(error)))  # noqa: TRY400 (no trace)
        raise ConfigError(
            f"{reason(Fault.NO_DRIVER, nowhere)} Please install it with:"
            " pip install 'lakeflow_meta[postgres]'"
        ) from error
    return psycopg


# --- asking again, for the SQLSTATE ---------------------------------------------------------------


def _asked_for_sqlstate(pgconn: PGconn, deadline: float) -> str:
    from psycopg import pq

    try:
        _set_verbosity(pgconn)
        _finish_connecting(pgconn, deadline)
        if pgconn.status == pq.ConnStatus.OK:
            return _LETS_US_IN
        found = _SQLSTATE.findall(pgconn.get_error_message())
        return str(found[-1]) if found else ""
    finally:
        pgconn.finish()


def _set_verbosity(pgconn: PGconn) -> None:
    """By the libpq that the driver is linked to, which has no call for it of its own."""
    from psycopg import pq

    module = sys.modules[pq.PGconn.__module__]
    ctypes_libpq = getattr(module, "impl", None)  # the implementation in pure Python
    library = getattr(ctypes_libpq, "pq", None) or ctypes.CDLL(str(module.__file__))
    set_verbosity = library.PQsetErrorVerbosity
    set_verbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
    address = pgconn.pgconn_ptr  # type: ignore[attr-defined]  # not in the protocol of psycopg.pq
    set_verbosity(ctypes.c_void_p(address), _VERBOSITY_SQLSTATE)


def _finish_connecting(pgconn: PGconn, deadline: float) -> None:
    """https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PQCONNECTSTARTPARAMS"""
    from psycopg import pq

    waits_for: dict[int, int] = {
        pq.PollingStatus.READING: select.POLLIN,
        pq.PollingStatus.WRITING: select.POLLOUT,
    }
    while pgconn.status != pq.ConnStatus.BAD and time.monotonic() < deadline:
        step = pgconn.connect_poll()
        if step not in waits_for:
            return
        ready = select.poll()
        ready.register(pgconn.socket, waits_for[step])
        ready.poll(200)
