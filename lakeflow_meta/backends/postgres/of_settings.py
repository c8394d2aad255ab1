"""The PostgreSQL of a local target: the server that is named, else the embedded one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from lakeflow_meta.backends.postgres.cluster import PORT, SUPERUSER, find_programs
from lakeflow_meta.backends.postgres.connect import PostgresConnector, load_driver
from lakeflow_meta.backends.postgres.embedded import EmbeddedConnector, EmbeddedPostgres
from lakeflow_meta.backends.postgres.warehouse import PostgresWarehouse
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.ports import Sleep
from lakeflow_meta.warehouse.connection_faults import Address

if TYPE_CHECKING:
    from lakeflow_meta.settings import PostgresSettings

_USUAL_HOST = "localhost"
_USUAL_PASSWORD = SecretStr("postgres")


def open_postgres(
    settings: PostgresSettings, home: Path, password: str | None, sleep: Sleep = time.sleep
) -> PostgresWarehouse:
    """Connects on first use. ``password`` is that of the environment, None where there is none."""
    named = _named(settings, password)
    return PostgresWarehouse(
        named or EmbeddedConnector(EmbeddedPostgres.of_home(home), settings.database),
        pool_size=settings.pool_size,
        pool_wait_seconds=settings.pool_wait_seconds,
        sleep=sleep,
    )


def _named(settings: PostgresSettings, password: str | None) -> PostgresConnector | None:
    """The server, where its host, port, user or password is given; the rest is as usual."""
    given = (settings.host, settings.port, settings.user, password or None)
    if given == (None, None, None, None):
        return None
    address = Address(
        settings.host or _USUAL_HOST,
        str(settings.port or PORT),
        settings.user or SUPERUSER,
        settings.database,
    )
    return PostgresConnector(address, SecretStr(password) if password else _USUAL_PASSWORD)


def postgres_state(settings: PostgresSettings, home: Path, password: str | None) -> str:
    """How it is reached, by reaching it; an embedded one is not started for that.

    Raises ConfigError, BackendError, NotFoundError.
    """
    named = _named(settings, password)
    if named is not None:
        return f"{_version(named)} at {named.address}"
    embedded = EmbeddedPostgres.of_home(home)
    try:
        load_driver()
        find_programs()
    except ConfigError as error:
        if embedded.exists:
            raise
        return f"none ({error})"
    if not embedded.exists:
        return "embedded PostgreSQL; it is made when it is first used"
    if not embedded.cluster.is_running():
        return f"embedded PostgreSQL in {embedded.folder}; it starts when it is used"
    maintenance = PostgresConnector(embedded.address(SUPERUSER))
    return f"embedded {_version(maintenance)} in {embedded.folder}, running"


def _version(connector: PostgresConnector) -> str:
    with connector.connect() as connection:
        return f"PostgreSQL {connection.info.parameter_status('server_version')}"
