"""Errors of psycopg as ours: by SQLSTATE, by class, and by the state of the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.warehouse.retries import is_passing

if TYPE_CHECKING:
    import psycopg

CONNECTION_LOST = "08006"
NO_BLOCK_STATES = frozenset({"25001", "2D000"})
"""The statement cannot run inside of a transaction block (VACUUM, CREATE DATABASE, a procedure
that commits); it was refused before it did anything that lasts."""

_NOT_FOUND_STATES = frozenset({"42P01", "3F000", "3D000", "42883", "42704", "42703"})


def told(error: psycopg.Error, connection: psycopg.Connection | None = None) -> BackendError:
    """What the server, or the driver, refused. The text is the server's own, with its hint."""
    lost = connection is not None and connection.closed
    sqlstate = error.sqlstate or (CONNECTION_LOST if lost else "")
    code = sqlstate or type(error).__name__
    text = "\n".join(part for part in (str(error), _context(error)) if part)
    if sqlstate in _NOT_FOUND_STATES:
        return NotFoundError(text, code=code)
    return BackendError(text, code=code, transient=is_passing(sqlstate))


def _context(error: psycopg.Error) -> str:
    """Where in a function it happened."""
    return f"CONTEXT: {error.diag.context}" if error.diag.context else ""
