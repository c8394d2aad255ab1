"""What changed between two states of the control tables. Pure.

Decisions rest on content: a row that was written again with the same content is no change, and a
forgotten or equal timestamp hides none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lakeflow_meta.control.rows import Module, module_row, source_row
from lakeflow_meta.fingerprint import fingerprint


@dataclass(frozen=True, slots=True)
class ModuleState:
    """Fingerprints of one module: of its job-level settings, and of each of its sources."""

    module: str
    sources: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form that `etl_control_jobs.applied_state` keeps."""
        return {"module": self.module, "sources": dict(self.sources)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ModuleState:
        """Read the JSON form; what is missing compares as different."""
        return cls(str(value.get("module", "")), dict(value.get("sources", {})))


@dataclass(frozen=True, slots=True)
class SourceChange:
    """One source that differs. ``action`` is new, updated or deleted."""

    module_name: str
    source_id: str
    action: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The answer of the change detector, sorted by name."""

    new_modules: tuple[str, ...] = ()
    updated_modules: tuple[str, ...] = ()
    deactivated_modules: tuple[str, ...] = ()
    changed_sources: tuple[SourceChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new_modules or self.updated_modules or self.deactivated_modules)

    def to_dict(self) -> dict[str, Any]:
        """Both spellings of the answer: modules and sources, jobs and tasks."""
        return {
            "new_modules": list(self.new_modules),
            "updated_modules": list(self.updated_modules),
            "deactivated_modules": list(self.deactivated_modules),
            "changed_sources": [
                {"source_id": c.source_id, "module_name": c.module_name, "action": c.action}
                for c in self.changed_sources
            ],
            "new_jobs": list(self.new_modules),
            "updated_jobs": list(self.updated_modules),
            "disabled_jobs": list(self.deactivated_modules),
            "changed_tasks": [
                {"task_key": c.source_id, "job_name": c.module_name, "action": c.action}
                for c in self.changed_sources
            ],
        }


def module_state(module: Module) -> ModuleState:
    """Fingerprints of an active module as it is recorded."""
    return ModuleState(
        fingerprint([module_row(module), list(module.tables)]),
        {source.source_id: fingerprint(source_row(source)) for source in module.sources},
    )


def active_states(modules: Mapping[str, Module]) -> dict[str, ModuleState]:
    """States of the modules that should have a job: active, with something to run."""
    return {name: module_state(m) for name, m in modules.items() if has_job(m)}


def has_job(module: Module) -> bool:
    """Whether the module should have a job."""
    return module.is_active and bool(module.sources or module.tables or module.ddl_targets)


def detect(before: Mapping[str, ModuleState], after: Mapping[str, ModuleState]) -> Changes:
    """Compare two sets of active modules."""
    new = sorted(after.keys() - before.keys())
    gone = sorted(before.keys() - after.keys())
    updated = sorted(n for n in after.keys() & before.keys() if after[n] != before[n])
    sources = [
        change
        for name in sorted(after.keys() | before.keys())
        for change in _source_changes(name, before.get(name), after.get(name))
    ]
    return Changes(tuple(new), tuple(updated), tuple(gone), tuple(sources))


def _source_changes(
    module: str, before: ModuleState | None, after: ModuleState | None
) -> list[SourceChange]:
    old = before.sources if before else {}
    new = after.sources if after else {}
    found = []
    for source_id in sorted(old.keys() | new.keys()):
        if source_id not in old:
            found.append(SourceChange(module, source_id, "new"))
        elif source_id not in new:
            found.append(SourceChange(module, source_id, "deleted"))
        elif old[source_id] != new[source_id]:
            found.append(SourceChange(module, source_id, "updated"))
    return found
