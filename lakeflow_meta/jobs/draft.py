"""A module while it is read: its job's parts, and all that is wrong with them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from lakeflow_meta.control.rows import Module
from lakeflow_meta.findings import Finding, Path
from lakeflow_meta.jobs.job_config import JobConfig
from lakeflow_meta.jobs.job_context import JobContext
from lakeflow_meta.jobs.task_order import waiting_for
from lakeflow_meta.jobs.tasks import ReadTask

DDL_KEY = "_ddl"
TABLES_KEY = "_tables"


@dataclass(slots=True)
class Draft:
    """All parts of the job, each None or empty where it cannot be read, and all findings."""

    module: Module
    context: JobContext
    config: JobConfig | None = None
    tasks: list[ReadTask] = field(default_factory=list)
    """One for each source, in the module's order."""
    findings: list[Finding] = field(default_factory=list)

    def add(self, path: Path, message: str, hint: str = "") -> None:
        """Note something that is wrong at ``path`` in the module."""
        self.findings.append(Finding(path, message, hint))

    @property
    def first_keys(self) -> list[str]:
        """See `first_keys`."""
        return first_keys(self.module)

    def positions(self) -> dict[str, int]:
        """The first position of every source id."""
        return {task.source_id: i for i, task in reversed(list(enumerate(self.tasks)))}

    def waits(self) -> dict[str, list[str]]:
        """What every source waits for, by source id (our own first tasks by key)."""
        orders = [(source.source_id, source.execution_order) for source in self.module.sources]
        explicit = {t.source_id: e for t in self.tasks if (e := explicit_needs(t)) is not None}
        return waiting_for(orders, explicit, self.first_keys[-1:])


def first_keys(module: Module) -> list[str]:
    """Keys of our own tasks, which come before every source."""
    ddl = [DDL_KEY] if module.ddl_targets else []
    return [*ddl, TABLES_KEY] if module.tables else ddl


def explicit_needs(task: ReadTask) -> list[str] | None:
    """Source ids that the task names in ``depends_on``; None when it says nothing."""
    if task.spec is None or task.spec.depends_on is None:
        return None
    return [dependency.task_key for dependency in task.spec.depends_on]
