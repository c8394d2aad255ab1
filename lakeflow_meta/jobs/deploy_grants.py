"""What principals of a deployment must be allowed in Unity Catalog, as statements. Pure.

Whoever the jobs run as keeps the control tables and reads the package and the metadata. Whoever
may manage the jobs may edit the control tables; whoever may see them may read these.

https://docs.databricks.com/data-governance/unity-catalog/manage-privileges/privileges.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lakeflow_meta.names import TableName
from lakeflow_meta.sql import grant

_KEEPS = ("USE SCHEMA", "CREATE TABLE", "SELECT", "MODIFY")
_EDITS = ("USE SCHEMA", "SELECT", "MODIFY")
_READS = ("USE SCHEMA", "SELECT")

Securable = tuple[str, tuple[str, ...]]
"""Kind of object, and the parts of its name."""


@dataclass(slots=True)
class _Grants:
    """Privileges by object and principal, in the order in which they are first asked for."""

    found: dict[tuple[Securable, str], dict[str, None]] = field(default_factory=dict)

    def add(self, principal: str, privileges: Iterable[str], kind: str, *name: str) -> None:
        asked = self.found.setdefault(((kind, name), principal), {})
        asked.update(dict.fromkeys(privileges))

    def add_schema(self, principal: str, privileges: Iterable[str], *name: str) -> None:
        self.add(principal, ["USE CATALOG"], "CATALOG", name[0])
        self.add(principal, privileges, "SCHEMA", *name)

    def statements(self) -> tuple[str, ...]:
        return tuple(
            grant(privileges, kind, name, principal)
            for ((kind, name), principal), privileges in self.found.items()
        )


def grant_statements(
    control_table: TableName,
    *,
    run_as: str | None,
    permissions: Iterable[Mapping[str, str]],
    paths: Iterable[str],
) -> tuple[str, ...]:
    """GRANT statements; ``paths`` are what the jobs read, of which those in volumes count.

    None for whom the jobs run as when nobody is named: that is who deploys, and owns them.
    """
    grants = _Grants()
    schema = (control_table.catalog, control_table.schema)
    if run_as is not None:
        grants.add_schema(run_as, _KEEPS, *schema)
        for volume in dict.fromkeys(filter(None, map(_volume, paths))):
            grants.add_schema(run_as, ["USE SCHEMA"], *volume[:2])
            grants.add(run_as, ["READ VOLUME"], "VOLUME", *volume)
    for entry in permissions:
        manages = entry["permission_level"] == "CAN_MANAGE"
        grants.add_schema(principal(entry), _EDITS if manages else _READS, *schema)
    return grants.statements()


def principal(entry: Mapping[str, str]) -> str:
    """Whom an entry of permissions, or ``run_as``, names."""
    return next(value for name, value in entry.items() if name.endswith("_name"))


def _volume(path: str) -> tuple[str, ...] | None:
    parts = path.split("/")
    return tuple(parts[2:5]) if parts[1] == "Volumes" else None
