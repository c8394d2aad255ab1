"""What to tell people when PostgreSQL cannot be reached, and what to do about it. Pure.

No message holds a password: they are made of what may be shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from textwrap import dedent

BANNER = "=" * 70


class Fault(StrEnum):
    """Why there is no connection; the value is the title that people see."""

    SERVER_DOWN = "PostgreSQL Connection Error - Server Not Available"
    AUTHENTICATION = "PostgreSQL Authentication Error"
    NO_DATABASE = "PostgreSQL Database Error"
    NO_DRIVER = "PostgreSQL Driver Error"
    OTHER = "PostgreSQL Connection Error"


_REASONS = {
    Fault.SERVER_DOWN: "PostgreSQL server is not running or not accessible.",
    Fault.AUTHENTICATION: "Failed to authenticate with PostgreSQL server.",
    Fault.NO_DATABASE: "The database '{database}' does not exist.",
    Fault.NO_DRIVER: "psycopg is not available.",
    Fault.OTHER: "PostgreSQL refused the connection.",
}
_REMEDIES = {
    Fault.SERVER_DOWN: """\
        To fix this issue, try one of the following:
        1. Start PostgreSQL:
             Linux:   sudo service postgresql start
             macOS:   brew services start postgresql, or open Postgres.app
             Windows: net start postgresql-x64-15
        2. Install PostgreSQL:
             Linux:   sudo apt-get install postgresql
             macOS:   brew install postgresql
             Windows: https://www.postgresql.org/download/windows/
        3. Check where it listens:
             Current host: {host}
             Current port: {port}
             Set another:  export POSTGRES_HOST=<your_host> POSTGRES_PORT=<your_port>
        4. Or use the embedded server: unset POSTGRES_HOST, POSTGRES_PORT, POSTGRES_USER and
           POSTGRES_PASSWORD""",
    Fault.AUTHENTICATION: """\
        To fix this issue, try one of the following:
        1. Set the password of the user:
             sudo -u postgres psql -c "ALTER USER {user} PASSWORD '<password>';"
        2. Say who you are:
             export POSTGRES_USER=<your_user>
             export POSTGRES_PASSWORD=<your_password>
             export POSTGRES_DATABASE=<your_database>
        3. Use another user that may connect.
        Current connection parameters:
             Host: {host}
             Port: {port}
             User: {user}
             Database: {database}""",
    Fault.NO_DATABASE: """\
        To create it, run:
             sudo -u postgres createdb {database}
        Or name one that is there:
             export POSTGRES_DATABASE=<your_database>""",
    Fault.NO_DRIVER: """\
        Please install it with:
             pip install 'lakeflow_meta[postgres]'""",
    Fault.OTHER: """\
        Check that the server takes connections from here (pg_hba.conf, listen_addresses), that it
        is not full (max_connections), and what its log says:
             Linux:   /var/log/postgresql/
             macOS:   /opt/homebrew/var/log/
        Current connection parameters:
             Host: {host}
             Port: {port}
             User: {user}
             Database: {database}""",
}

AUTHENTICATION_STATES = frozenset({"28P01", "28000"})
NO_DATABASE_STATE = "3D000"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is, and who asks; all of it may be shown."""

    host: str
    port: str
    user: str
    database: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.database}"


def fault_of(sqlstate: str) -> Fault:
    """What an SQLSTATE means that came instead of a connection; none came from no server.

    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    if not sqlstate:
        return Fault.SERVER_DOWN
    if sqlstate in AUTHENTICATION_STATES:
        return Fault.AUTHENTICATION
    return Fault.NO_DATABASE if sqlstate == NO_DATABASE_STATE else Fault.OTHER


def reason(fault: Fault, address: Address) -> str:
    """One sentence."""
    return _REASONS[fault].format(database=address.database)


def message(fault: Fault, address: Address, said: str = "") -> str:
    """All that people are told: title, reason, what the server said, remedies."""
    remedies = dedent(_REMEDIES[fault]).format(
        host=address.host, port=address.port, user=address.user, database=address.database
    )
    lines = [f"\n{BANNER}", str(fault), BANNER, reason(fault, address)]
    if said:
        lines.append(said)
    return "\n".join([*lines, "", remedies, BANNER])
