"""Names of tables: parsed, checked, derived. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lakeflow_meta.errors import ConfigError

# Databricks: an object name has at most 255 characters and holds no '.', space, '/' or control
# character (docs: "Names", Unity Catalog object name rules).
_FORBIDDEN = re.compile(r"[./\s\x00-\x1f\x7f]")
_QUOTED_PARTS = re.compile(r"`((?:[^`]|``)+)`|([^.`]+)")


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A three-level name ``catalog.schema.name``, compared without regard to case."""

    catalog: str
    schema: str
    name: str

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Read ``catalog.schema.name``; any part may be quoted in backticks.

        Raises ConfigError when there are not exactly three usable parts.
        """
        parts = _split(text)
        if len(parts) != 3:
            raise ConfigError(
                f"table name {text!r} has {len(parts)} part(s); write catalog.schema.table"
            )
        for part in parts:
            _check_part(part, text)
        return cls(*parts)

    @property
    def key(self) -> str:
        """The identity of the table: the name in lower case."""
        return str(self).lower()

    def sibling(self, name: str) -> TableName:
        """Another table of the same schema."""
        return TableName(self.catalog, self.schema, name)

    def __str__(self) -> str:
        return f"{self.catalog}.{self.schema}.{self.name}"


def _split(text: str) -> list[str]:
    parts: list[str] = []
    position = 0
    while True:
        match = _QUOTED_PARTS.match(text, position)
        if match is None:
            raise ConfigError(f"table name {text!r} cannot be read; write catalog.schema.table")
        quoted, bare = match.groups()
        parts.append(quoted.replace("``", "`") if quoted is not None else bare.strip())
        position = match.end()
        if position == len(text):
            return parts
        if text[position] != ".":
            raise ConfigError(f"table name {text!r} cannot be read; write catalog.schema.table")
        position += 1


def _check_part(part: str, text: str) -> None:
    if not part or len(part) > 255 or _FORBIDDEN.search(part):
        raise ConfigError(
            f"table name {text!r}: {part!r} is not a usable name"
            " (1 to 255 characters, no dot, slash, space or control character)"
        )
