"""What changed between two states of the control tables. Pure.

Decisions rest on content: a row that was written again with the same content is no change, and a
forgotten or equal timestamp hides none. A module that has a row which cannot be read is neither
new nor updated nor deactivated: it is left out, and the row is among the problems.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lakeflow_meta.control.rows import BadRow, Module, Recorded, module_row, source_row
from lakeflow_meta.errors import Problem
from lakeflow_meta.fingerprint import fingerprint

UNKNOWN = ""
"""The fingerprint of what could not be read: it is none, so it equals that of no content."""


@dataclass(frozen=True, slots=True)
class ModuleState:
    """Fingerprints of one module: of its job-level settings, and of each of its sources."""

    module: str
    sources: Mapping[str, str] = field(default_factory=dict)

    def without(self, source_id: str) -> ModuleState:
        """The same, but the content of one source, or of the settings, is not known."""
        if not source_id:
            return replace(self, module=UNKNOWN)
        if source_id not in self.sources:
            return self
        return replace(self, sources={**self.sources, source_id: UNKNOWN})

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
    bad_rows: tuple[BadRow, ...] = ()
    """Rows that cannot be read; nothing is said of their modules."""
    warnings: tuple[str, ...] = ()
    """What the answer cannot know."""

    def __bool__(self) -> bool:
        return bool(self.modules)

    @property
    def modules(self) -> tuple[str, ...]:
        """Every module that differs."""
        return tuple(sorted({*self.new_modules, *self.updated_modules, *self.deactivated_modules}))

    @property
    def pending(self) -> frozenset[str]:
        """Every module that is not known to be as it was: it differs, or cannot be read."""
        return frozenset({*self.modules, *(bad.module_name for bad in self.bad_rows)})

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the rows that cannot be read, once each."""
        return tuple(sorted({bad.problem for bad in self.bad_rows}))

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
            "problems": [asdict(problem) for problem in self.problems],
            "warnings": list(self.warnings),
        }


def module_state(module: Module) -> ModuleState:
    """Fingerprints of an active module as it is recorded."""
    tables = [[name, module.definitions.get(name)] for name in module.tables]
    return ModuleState(
        fingerprint([module_row(module), tables]),
        {source.source_id: fingerprint(source_row(source)) for source in module.sources},
    )


def active_states(modules: Mapping[str, Module]) -> dict[str, ModuleState]:
    """States of the modules that should have a job: active, with something to run."""
    return {name: module_state(m) for name, m in modules.items() if has_job(m)}


def recorded_states(
    recorded: Recorded, known: Collection[str] | None = None
) -> dict[str, ModuleState]:
    """`active_states`, where the content of rows that cannot be read equals no other.

    With ``known``, the content of other modules is left unknown, which spares most of the work:
    they are new, whatever they hold.
    """
    wanted = recorded.modules
    states = {n: _state_of_new(m) for n, m in wanted.items() if known is not None and has_job(m)}
    states |= active_states({n: m for n, m in wanted.items() if known is None or n in known})
    for bad in recorded.bad_rows:
        if bad.module_name in states:
            states[bad.module_name] = states[bad.module_name].without(bad.source_id)
    return states


def _state_of_new(module: Module) -> ModuleState:
    return ModuleState(UNKNOWN, {source.source_id: UNKNOWN for source in module.sources})


def has_job(module: Module) -> bool:
    """Whether the module should have a job."""
    return module.is_active and bool(module.sources or module.tables or module.ddl_targets)


def detect(
    before: Mapping[str, ModuleState],
    after: Mapping[str, ModuleState],
    bad_rows: Collection[BadRow] = (),
    warnings: Collection[str] = (),
) -> Changes:
    """Compare two sets of active modules, but for those that have bad rows."""
    unreadable = {bad.module_name for bad in bad_rows}
    before = {name: state for name, state in before.items() if name not in unreadable}
    after = {name: state for name, state in after.items() if name not in unreadable}
    new = sorted(after.keys() - before.keys())
    gone = sorted(before.keys() - after.keys())
    updated = sorted(n for n in after.keys() & before.keys() if after[n] != before[n])
    sources = [
        change
        for name in sorted(after.keys() | before.keys())
        for change in _source_changes(name, before.get(name), after.get(name))
    ]
    return Changes(
        tuple(new),
        tuple(updated),
        tuple(gone),
        tuple(sources),
        tuple(sorted(set(bad_rows))),
        tuple(warnings),
    )


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
