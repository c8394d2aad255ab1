"""Recorded rows as YAML: sorted, without timestamps, the same bytes each time. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from lakeflow_meta.control.yaml_text import yaml_text
from lakeflow_meta.extract.config import Extract

_HEADER = "# Exported from the control tables. Load it with `lakeflow-meta sync FILE`.\n"


def export_yaml(
    *,
    sources: Iterable[Mapping[str, Any]],
    modules: Iterable[Mapping[str, Any]],
    tables: Iterable[Mapping[str, Any]],
    scripts: Iterable[Mapping[str, Any]],
    extracts: Iterable[Extract] = (),
) -> str:
    """The rows of the control tables as one metadata file."""
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in sources:
        grouped.setdefault(row["module_name"], []).append(row)
    settings = {row["module_name"]: row for row in modules}
    document: dict[str, Any] = {}
    names = sorted(settings.keys() | grouped.keys())
    if names:
        document["modules"] = [_module(n, settings.get(n, {}), grouped.get(n, [])) for n in names]
    if found := sorted(tables, key=lambda row: str(row["table_name"])):
        document["tables"] = [_table(row) for row in found]
    if found := sorted(scripts, key=lambda row: str(row["script_id"])):
        document["ddl_scripts"] = [_script(row) for row in found]
    if exports := sorted(extracts, key=lambda extract: extract.extract_name):
        document["extracts"] = [extract.document() for extract in exports]
    return _HEADER + yaml_text(escaped(document))


def _module(
    name: str, row: Mapping[str, Any], sources: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    return _without_empty(
        {
            "module_name": name,
            "description": row.get("description"),
            "is_active": _flag(row),
            "job_config": _json(row, "job_config"),
            "ddl_targets": _json(row, "ddl_targets"),
            "sources": [_source(s) for s in sorted(sources, key=_source_order)],
        }
    )


def _source_order(row: Mapping[str, Any]) -> tuple[bool, int, str]:
    order = row["execution_order"]
    return (order is None, order or 0, row["source_id"])


def _source(row: Mapping[str, Any]) -> dict[str, Any]:
    return _without_empty(
        {
            "source_id": row["source_id"],
            "description": row.get("description"),
            "source_type": row["source_type"],
            "execution_order": row["execution_order"],
            "is_active": _flag(row),
            "source_config": _json(row, "source_config"),
            "target_config": _json(row, "target_config"),
            "transformation_config": _json(row, "transformation_config"),
        }
    )


def _table(row: Mapping[str, Any]) -> dict[str, Any]:
    return _without_empty(
        {
            "table": row["table_name"],
            "module": row["module_name"],
            "is_active": _flag(row),
            **_json(row, "definition"),
        }
    )


def _script(row: Mapping[str, Any]) -> dict[str, Any]:
    target, *release, file = row["script_id"].split("/", 2)
    return _without_empty(
        {
            "target": target,
            "release": "".join(release),
            "file": file,
            "is_active": _flag(row),
            "body": row["body"],
        }
    )


def _flag(row: Mapping[str, Any]) -> bool | None:
    """Only a soft delete is written; active is what a file means anyway."""
    return False if row.get("is_active") is False else None


def _json(row: Mapping[str, Any], column: str) -> Any:
    return json.loads(row.get(column) or "{}")


def _without_empty(value: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if item not in (None, {}, [], "")}


def escaped(value: Any) -> Any:
    """Text that looks like a variable is escaped, so that it loads back as the text it is."""
    match value:
        case str():
            return value.replace("${", "$${")
        case list():
            return [escaped(item) for item in value]
        case dict():
            return {escaped(key): escaped(item) for key, item in value.items()}
        case _:
            return value
