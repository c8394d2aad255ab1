"""What job settings depend on besides a module's rows; our package on the platform too. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

JsonDict = dict[str, Any]

PACKAGE_KEY = "lakeflow_meta"
"""Key of the environment or job cluster that carries this package; modules may not use it."""

PACKAGE_NAME = "lakeflow_meta"
"""The package whose entry point our own tasks call."""

DEPLOY_FIRST = "run lakeflow-meta deploy first"


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a job depends on besides its module's rows."""

    control_table: str
    name_template: str = "{module_name}"
    """The job's display name; ``{module_name}`` is replaced."""
    default_warehouse_id: str | None = None
    """The SQL warehouse of SQL tasks that name none."""
    require_warehouse: bool = False
    """Whether the platform runs SQL tasks on a warehouse, and Python tasks on a cluster or in a
    serverless environment (the embedded one does not)."""
    package_task: Mapping[str, Any] = field(default_factory=dict)
    """Fields for this package's own tasks that say where it is installed, e.g. ``libraries``."""
    package_libraries: tuple[Mapping[str, Any], ...] = ()
    """What installs it on a cluster that the task names itself."""
    package_compute: Mapping[str, Any] = field(default_factory=dict)
    """What a job with such tasks declares: an entry of ``environments`` or ``job_clusters``."""
    package_options: tuple[str, ...] = ()
    """Global options of our command line that every such task gets."""
    package_missing: str = ""
    """Why such tasks cannot run on the platform yet; "" where they can."""

    def job_name(self, module_name: str) -> str:
        """The display name of a module's job that names none itself."""
        return self.name_template.replace("{module_name}", module_name)


def package_task(context: JobContext, arguments: Sequence[str]) -> JsonDict:
    """A task that runs this package's command line."""
    return {
        **context.package_task,
        "python_wheel_task": {
            "package_name": PACKAGE_NAME,
            "entry_point": "lakeflow-meta",
            "parameters": [
                *context.package_options,
                "--control-table",
                context.control_table,
                *arguments,
            ],
        },
    }
