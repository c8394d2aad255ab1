"""What a statement of PostgreSQL is, as far as its first words tell. Pure."""

from __future__ import annotations

from itertools import islice

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.warehouse.postgres_split import split_statements
from lakeflow_meta.warehouse.postgres_tokens import tokens

_COPIED = frozenset(
    {"SELECT", "WITH", "VALUES", "TABLE", "(", "INSERT", "UPDATE", "DELETE", "MERGE"}
)
_TRANSACTION = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE"})


def can_be_copied(statement: str) -> bool:
    """Whether `COPY (…) TO` takes it; calls of procedures, SHOW and EXPLAIN it does not."""
    first = next(tokens(statement), None)
    return first is not None and first.text.upper() in _COPIED


def refuse_transactions(statement: str) -> None:
    """Raise ConfigError for a text that begins or ends transactions itself: what was carried out
    when a connection breaks could no longer be told.
    """
    for one in split_statements(statement):
        words = [token.word for token in islice(tokens(one), 2)]
        if words[0] in _TRANSACTION and (words[0] != "PREPARE" or words[1:] == ["TRANSACTION"]):
            raise ConfigError(
                f"every statement is a transaction of its own here; {words[0]} is for a connection"
                " of your own: get_connection()"
            )
