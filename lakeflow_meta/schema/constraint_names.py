"""Names of keys, derived from what they join. Pure.

The same declaration gives the same name on every run and machine. Where the plain name would hold
characters that are not allowed, or be too long, it ends in a hash of all that it stands for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.table import DeltaTable, ForeignKey

# https://docs.databricks.com/sql/language-manual/sql-ref-names.html: at most 255 characters.
MAX_LENGTH = 255
_HASH_LENGTH = 10
_NOT_ALLOWED = re.compile(r"[^a-z0-9_]")


def primary_key_name(table: DeltaTable) -> str:
    """``pk_<table>``."""
    return _constraint_name(["pk", table.name], [str(table.full_name)])


def foreign_key_name(table: TableName, key: ForeignKey) -> str:
    """The key's own name, else ``fk_<table>_<columns>_<parent>``."""
    if key.name:
        return key.name
    return _constraint_name(
        ["fk", table.name, *key.columns, key.parent.name],
        [str(table), *key.columns, str(key.parent)],
    )


def _constraint_name(parts: Sequence[str], identity: Sequence[str]) -> str:
    wanted = "_".join(parts).lower()
    allowed = _NOT_ALLOWED.sub("_", wanted)
    if allowed == wanted and len(allowed) <= MAX_LENGTH:
        return allowed
    digest = hashlib.sha256("\0".join(identity).lower().encode()).hexdigest()[:_HASH_LENGTH]
    return f"{allowed[: MAX_LENGTH - _HASH_LENGTH - 1]}_{digest}"
