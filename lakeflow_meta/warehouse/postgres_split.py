"""Where the statements of a PostgreSQL script end. Pure."""

from __future__ import annotations

from lakeflow_meta.sql import split_tokens
from lakeflow_meta.sql_tokens import Token
from lakeflow_meta.warehouse.postgres_tokens import tokens


def split_statements(text: str) -> list[str]:
    """The statements of a script, as `lakeflow_meta.sql.split_statements` has them for Spark."""
    return split_tokens(text, tokens(text), _AtomicBody)


class _AtomicBody:
    """Whether a statement is inside ``BEGIN ATOMIC … END``, the SQL body of a routine.

    Any other BEGIN starts a transaction, and ends at its own semicolon.
    https://www.postgresql.org/docs/current/sql-createfunction.html
    """

    def __init__(self) -> None:
        self._depth = 0
        self._before = ""

    @property
    def open(self) -> bool:
        return self._depth > 0

    def read(self, token: Token) -> None:
        word = token.word
        if (self._before, word) == ("BEGIN", "ATOMIC") or (self.open and word == "CASE"):
            self._depth += 1
        elif self.open and word == "END":
            self._depth -= 1
        self._before = word
