"""What a row says that does not fit: an error that Spark raises in the middle of a job, and that
names the file of the row.

Spark gives such an error a message and nothing else, so the message is JSON: the file's path,
and the reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column

_FILE, _REASON = "file", "reason"


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a file cannot be loaded. ``path``: what the ledger knows the file by."""

    path: str
    reason: str

    @classmethod
    def read(cls, message: str) -> Misfit | None:
        """What `raised` said; None for messages of others."""
        try:
            told = json.loads(message)
        except ValueError:
            return None
        if not (isinstance(told, dict) and told.keys() == {_FILE, _REASON}):
            return None
        return cls(str(told[_FILE]), str(told[_REASON]))


def raised(path: Column, reason: Column) -> Column:
    """An expression that raises, whatever type is wanted where it stands."""
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    known = F.coalesce(path, F.lit(""))
    return F.raise_error(F.to_json(F.struct(known.alias(_FILE), reason.alias(_REASON))))
