"""Which rows differ between two versions of a control table. Pure.

Rows are compared by content, NULL equal to NULL. SQL may have made several rows with one key, or
keys that are NULL: such a key has changed when the set of its rows has, and ``before`` and
``after`` then show one of them each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lakeflow_meta.control.rows import Row
from lakeflow_meta.control.sync import Key, key_of


@dataclass(frozen=True, slots=True)
class RowChange:
    """One key whose rows differ. ``before`` is None for a new row, ``after`` for a removed one."""

    key: Key
    before: Row | None
    after: Row | None

    @property
    def action(self) -> str:
        """added, changed or removed."""
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"

    @property
    def columns(self) -> list[str]:
        """The columns that differ; all of a row that was added or removed."""
        old, new = self.before or {}, self.after or {}
        if not old or not new:
            return list(old or new)
        return [name for name in new if old.get(name) != new[name]]


def compare_rows(
    before: Iterable[Row], after: Iterable[Row], keys: Sequence[str], ignore: Iterable[str] = ()
) -> list[RowChange]:
    """Compare two sets of rows; ``ignore`` names columns that are no difference, nor in the result.

    A column that only one side has is NULL on the other. Sorted by key.
    """
    left_out = frozenset(ignore)
    old, new = list(before), list(after)
    names = [n for n in dict.fromkeys(n for row in (*new, *old) for n in row) if n not in left_out]
    pairs: list[tuple[Row | None, Row | None]] = [
        *(({n: row.get(n) for n in names}, None) for row in old),
        *((None, {n: row.get(n) for n in names}) for row in new),
    ]
    return from_pairs(pairs, keys)


def from_pairs(
    pairs: Iterable[tuple[Row | None, Row | None]], keys: Sequence[str]
) -> list[RowChange]:
    """Changes from pairs of old and new rows of one key each, equal rows among them or not."""
    groups: dict[Key, tuple[list[Row], list[Row]]] = {}
    for before, after in pairs:
        key = key_of(before if before is not None else after or {}, keys)
        old, new = groups.setdefault(key, ([], []))
        if before is not None and before not in old:
            old.append(before)
        if after is not None and after not in new:
            new.append(after)
    changes = [
        RowChange(key, _first_of(old, new), _first_of(new, old))
        for key, (old, new) in groups.items()
        if any(row not in new for row in old) or any(row not in old for row in new)
    ]
    return sorted(changes, key=lambda change: tuple((v is not None, str(v)) for v in change.key))


def _first_of(rows: Sequence[Row], other: Sequence[Row]) -> Row | None:
    """A row that the other side does not have, else any."""
    return next((row for row in rows if row not in other), rows[0] if rows else None)
