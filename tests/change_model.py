"""The change detector by brute force: whole states as plain dicts, compared in full.

It shares no code with the package but the names of tables and columns. What it calls content is
parsed JSON, written again with sorted keys; content that cannot be read equals nothing.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakeflow_meta.control.tables import MODULES, SOURCES, TABLES, TableLayout

Row = Mapping[str, Any]
State = Mapping[TableLayout, Sequence[Row]]

NAMELESS = "(no module)"
LAYOUTS = (SOURCES, MODULES, TABLES)
JSON_COLUMNS = {
    SOURCES: {"source_config": {}, "target_config": {}, "transformation_config": {}},
    MODULES: {"job_config": {}, "ddl_targets": []},
    TABLES: {"definition": {}},
}
PLAIN_COLUMNS = {
    SOURCES: ("source_type", "execution_order", "description"),
    MODULES: ("description",),
    TABLES: ("table_name",),
}
NAMES = {SOURCES: ("module_name", "source_id"), MODULES: ("module_name",), TABLES: ("table_name",)}
NO_CONTENT = (
    "created_timestamp",
    "updated_timestamp",
    "applied_fingerprint",
    "applied_version",
)


@dataclass
class View:
    """What one state says: modules that should have a job, and modules that cannot be told."""

    settings: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, set[Any]] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    inactive: set[str] = field(default_factory=set)
    bad: dict[str, set[str]] = field(default_factory=dict)
    """Keys of bad rows by module."""

    def modules(self) -> dict[str, tuple[Any, dict[str, Any]]]:
        """Content of the modules that should have a job: of settings and tables, of sources."""
        found = {}
        for name in {*self.settings, *self.tables, *self.sources} - self.inactive:
            settings, targets = self.settings.get(name, (("{}", ""), "[]"))
            tables, sources = self.tables.get(name, set()), self.sources.get(name, {})
            if tables or sources or targets != "[]":
                found[name] = ((settings, targets, frozenset(tables)), sources)
        return found


def view_of(state: State) -> View:
    view = View()
    for layout in LAYOUTS:
        groups: dict[Any, list[Row]] = {}
        for row in state[layout]:
            groups.setdefault(tuple(row[key] for key in layout.keys), []).append(row)
        for key, group in groups.items():
            active = [row for row in group if row["is_active"] is not False]
            for row in active:
                good = len(group) == 1 and _readable(layout, row)
                if not good:
                    view.bad.setdefault(row["module_name"] or NAMELESS, set()).add(_text(key))
                _put(view, layout, row, _content(layout, row) if good else object())
            if layout is MODULES and not active:
                view.inactive.add(group[0]["module_name"])
    return view


def _text(key: tuple[Any, ...]) -> str:
    return "/".join("NULL" if part is None else part or "''" for part in key)


def _readable(layout: TableLayout, row: Row) -> bool:
    if any(not row[name] for name in NAMES[layout]):
        return False
    for column, empty in JSON_COLUMNS[layout].items():
        try:
            value = json.loads(row[column], parse_constant=_refuse) if row[column] else empty
        except ValueError:
            return False
        if type(value) is not type(empty):
            return False
    return True


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _content(layout: TableLayout, row: Row) -> tuple[Any, ...]:
    parsed = [
        json.dumps(json.loads(row[column]) if row[column] else empty, sort_keys=True)
        for column, empty in JSON_COLUMNS[layout].items()
    ]
    plain = [row[column] or "" for column in PLAIN_COLUMNS[layout] if column != "execution_order"]
    return (*parsed, *plain, row.get("execution_order"))


def _put(view: View, layout: TableLayout, row: Row, content: Any) -> None:
    name = row["module_name"]
    if not name or (layout is SOURCES and not row["source_id"]):
        return
    if layout is SOURCES:
        view.sources.setdefault(name, {})[row["source_id"]] = content
    elif layout is TABLES:
        view.tables.setdefault(name, set()).add(content)
    elif isinstance(content, tuple):
        job_config, targets, description, _ = content
        view.settings[name] = ((job_config, description), targets)
    else:
        view.settings[name] = (content, "[]")


def answer(
    before: Mapping[str, tuple[Any, Mapping[str, Any]]],
    after: Mapping[str, tuple[Any, Mapping[str, Any]]],
    bad: Mapping[str, Collection[str]],
) -> dict[str, Any]:
    """The dict of `detect_changes`, its problems as the set of their keys."""
    names = sorted({*before, *after} - {*bad})
    sources = []
    for name in names:
        old = before[name][1] if name in before else {}
        new = after[name][1] if name in after else {}
        for source_id in sorted({*old, *new}):
            if old.get(source_id) != new.get(source_id):
                gone, came = source_id not in new, source_id not in old
                action = "deleted" if gone else "new" if came else "updated"
                sources.append((name, source_id, action))
    return {
        "new_modules": [n for n in names if n not in before],
        "updated_modules": [
            n for n in names if n in before and n in after and before[n] != after[n]
        ],
        "deactivated_modules": [n for n in names if n not in after],
        "changed_sources": sources,
        "problems": sorted({key for keys in bad.values() for key in keys}),
    }


def told(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same part of a real answer; the other spellings must say the same."""
    sources = [(c["module_name"], c["source_id"], c["action"]) for c in found["changed_sources"]]
    tasks = [(c["job_name"], c["task_key"], c["action"]) for c in found["changed_tasks"]]
    assert tasks == sources
    assert found["new_jobs"] == found["new_modules"]
    assert found["updated_jobs"] == found["updated_modules"]
    assert found["disabled_jobs"] == found["deactivated_modules"]
    names = ("new_modules", "updated_modules", "deactivated_modules")
    return {
        **{name: found[name] for name in names},
        "changed_sources": sources,
        "problems": sorted({problem["path"] for problem in found["problems"]}),
    }


def touched(before: State, after: State) -> set[str]:
    """Modules with rows that came, went or differ, and those with a key that now has more rows."""
    found: set[str] = set()
    for layout in LAYOUTS:
        old, new = _rows(before[layout]), _rows(after[layout])
        found |= {module for module, _ in old.keys() ^ new.keys()}
        doubles_then, doubles_now = (_by_key(layout, s[layout]) for s in (before, after))
        for key, modules in doubles_now.items():
            if modules.total() > 1 and modules != doubles_then.get(key):
                found |= modules.keys()
    return found


def _rows(rows: Sequence[Row]) -> Counter[tuple[str, Any]]:
    kept = [
        (
            row["module_name"] or NAMELESS,
            tuple((k, v) for k, v in row.items() if k not in NO_CONTENT),
        )
        for row in rows
    ]
    return Counter(kept)


def _by_key(layout: TableLayout, rows: Sequence[Row]) -> dict[Any, Counter[str]]:
    found: dict[Any, Counter[str]] = {}
    for row in rows:
        key = tuple(row[name] for name in layout.keys)
        found.setdefault(key, Counter())[row["module_name"] or NAMELESS] += 1
    return found
