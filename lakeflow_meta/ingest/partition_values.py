"""Columns whose values stand in the names of folders, as Hive writes them: ``…/year=2024/…``. Pure.

The names are compared without case. Only folders count, not the file's own name, and the whole path
does, as far up as it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
"""What stands for NULL in the name of a folder."""


def folders(path: str) -> list[tuple[str, str]]:
    """The ``name=value`` folders of a file's path, as they are spelled, from the top down."""
    parts = path.split("/")[:-1]
    pairs = (part.partition("=") for part in parts)
    return [(name, value) for name, equals, value in pairs if name and equals]


def spellings(paths: Iterable[str], columns: Sequence[str]) -> dict[str, list[str]]:
    """How the folders of these paths spell each column; nothing where no path has it."""
    wanted = {column.lower(): column for column in columns}
    found: dict[str, dict[str, None]] = {column: {} for column in columns}
    for path in paths:
        for name, _ in folders(path):
            if name.lower() in wanted:
                found[wanted[name.lower()]][name] = None
    return {column: list(names) for column, names in found.items()}


def partition_faults(paths: Iterable[str], columns: Sequence[str]) -> Mapping[str, str]:
    """Why files have no value, or no single one, for each of the columns; by path."""
    faults = {}
    for path in paths:
        names = [name.lower() for name, _ in folders(path)]
        missing = [column for column in columns if column.lower() not in names]
        twice = [column for column in columns if names.count(column.lower()) > 1]
        if missing:
            shown = ", ".join(f"{column}=…" for column in missing)
            faults[path] = f"its path has no folder {shown} (partition_columns)"
        elif twice:
            faults[path] = f"its path has several folders {twice[0]}=…"
    return faults
