"""One live table as a declaration: all parts of it that obey the rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.findings import Finding, Path
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.constraint_names import foreign_key_name
from lakeflow_meta.schema.kept_properties import is_kept
from lakeflow_meta.schema.live import LiveForeignKey, LiveKeys, LiveTable
from lakeflow_meta.schema.table import Column, DeltaTable, ForeignKey, InvalidTableError, Policy
from lakeflow_meta.sql_tokens import tokens


@dataclass(slots=True)
class Draft:
    """Arguments of a `DeltaTable`, from which parts are taken out until it obeys the rules."""

    parts: dict[str, Any]
    broken: list[Finding] = field(default_factory=list)

    def table(self) -> DeltaTable | None:
        """The table; None where what is broken last cannot be taken out."""
        while True:
            try:
                return DeltaTable(**self.parts)
            except InvalidTableError as error:
                refused = {self._place(finding.path): finding for finding in error.findings}
            # Backwards: taking out a foreign key moves those behind it.
            for place in sorted(refused, key=_order, reverse=True):
                self.broken.append(self._said(refused[place], place))
                if not self._take_out(place):
                    return None

    def _place(self, path: Path) -> Path:
        """The path of the part that can be taken out."""
        return path[:2] if path[0] == "foreign_keys" else path

    def _said(self, finding: Finding, place: Path) -> Finding:
        """The finding in words of the live table, which has no places in lists."""
        match place:
            case ("foreign_keys", int(index)):
                columns = ", ".join(self.parts["foreign_keys"][index].columns)
                message = f"foreign key ({columns}): {finding.message}"
                return Finding(("foreign_keys",), message)
            case (part, *_):
                return replace(finding, path=(_IN_YAML.get(str(part), part),))
            case _:
                return finding

    def _take_out(self, place: Path) -> bool:
        match place:
            case ("columns", int(index), "tags", *keys):
                column = self.parts["columns"][index]
                left = {k: v for k, v in column.tags.items() if keys and k not in keys}
                self.parts["columns"][index] = replace(column, tags=left)
            case ("foreign_keys", int(index)):
                self.parts["foreign_keys"].pop(index)
            case ("checks" | "tags" | "properties" as part, str(key)):
                del self.parts[part][key]
            case (("tags" | "primary_key" | "clustered_by" | "location") as part,):
                self.parts[part] = type(self.parts[part])()
            case _:
                return False
        return True


_IN_YAML = {"clustered_by": "cluster_by", "partitioned_by": "partition_by"}


def _order(place: Path) -> list[tuple[int, str]]:
    return [(part, "") if isinstance(part, int) else (-1, part) for part in place]


def draft_of(live: LiveTable, policy: Policy) -> Draft:
    """All of the table; a foreign key whose parent has a name that nobody can write is broken."""
    keys = live.keys or LiveKeys()
    draft = Draft(_parts(live, keys, policy))
    for key in sorted(keys.foreign, key=lambda key: key.name.lower()):
        if can_be_written(key.parent):
            draft.parts["foreign_keys"].append(_foreign_key(live, key))
        else:
            message = f"foreign key {key.name}: the name of its parent cannot be written"
            draft.broken.append(Finding(("foreign_keys",), message))
    return draft


def can_be_written(name: TableName) -> bool:
    """Whether the plain text of the name is read back as the same name."""
    try:
        return TableName.parse(str(name)) == name
    except ConfigError:
        return False


def _parts(live: LiveTable, keys: LiveKeys, policy: Policy) -> dict[str, Any]:
    return {
        "catalog": live.name.catalog,
        "schema": live.name.schema,
        "name": live.name.name,
        "columns": [_column(column) for column in live.columns],
        "comment": live.comment,
        "primary_key": _spelled(live, keys.primary.columns if keys.primary else ()),
        "foreign_keys": [],
        "properties": {k: v for k, v in live.properties.items() if not is_kept(k)},
        "clustered_by": _spelled(live, live.clustered_by or ()),
        "partitioned_by": _spelled(live, live.partitioned_by),
        "checks": {name: _without_comments(text) for name, text in live.checks.items()},
        "tags": dict(live.tags or {}),
        "location": live.location,
        "policy": policy,
    }


def _column(live: Column) -> Column:
    return replace(
        live,
        default=_without_comments(live.default),
        generated=_without_comments(live.generated),
    )


def _without_comments(expression: str) -> str:
    """The same tokens; a declared expression holds no comments."""
    parts: list[str] = []
    position = 0
    for token in tokens(expression):
        between = expression[position : token.start]
        parts += [" " if between.strip() else between, token.text]
        position = token.end
    return "".join(parts).strip()


def _foreign_key(table: LiveTable, live: LiveForeignKey) -> ForeignKey:
    key = ForeignKey(_spelled(table, live.columns), live.parent, live.referenced_columns)
    derived = foreign_key_name(table.name, key)
    return key if live.name.lower() == derived else replace(key, name=live.name)


def _spelled(live: LiveTable, names: Iterable[str]) -> list[str]:
    """Names of columns as the columns have them; paths into structs as they are."""
    spelled = {column.name.lower(): column.name for column in live.columns}
    return [spelled.get(name.lower(), name) for name in names]
