"""Metadata-driven control-table orchestrator for the lakehouse.

Importing this package imports neither Spark nor the Databricks SDK: the public names below are
resolved on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakeflow_meta.api import JobOrchestrator as JobOrchestrator
    from lakeflow_meta.api import MetadataManager as MetadataManager
    from lakeflow_meta.api import MetadataMonitor as MetadataMonitor
    from lakeflow_meta.errors import BackendError as BackendError
    from lakeflow_meta.errors import ConfigError as ConfigError
    from lakeflow_meta.errors import ConflictError as ConflictError
    from lakeflow_meta.errors import LakeflowMetaError as LakeflowMetaError
    from lakeflow_meta.errors import NotFoundError as NotFoundError
    from lakeflow_meta.errors import RunFailedError as RunFailedError
    from lakeflow_meta.errors import SpecError as SpecError
    from lakeflow_meta.errors import SyncFailedError as SyncFailedError
    from lakeflow_meta.errors import UnsafeChangeError as UnsafeChangeError

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("JobOrchestrator", "MetadataManager", "MetadataMonitor"), "lakeflow_meta.api"),
    **dict.fromkeys(
        (
            "LakeflowMetaError",
            "ConfigError",
            "SpecError",
            "UnsafeChangeError",
            "ConflictError",
            "BackendError",
            "NotFoundError",
            "RunFailedError",
            "SyncFailedError",
        ),
        "lakeflow_meta.errors",
    ),
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    """Resolve a public name from the module that holds it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
