"""Metadata-driven control-table orchestrator for the lakehouse.

Importing this package imports neither Spark nor the Databricks SDK: the public names below are
resolved on first use.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "LakeflowMetaError": "lakeflow_meta.errors",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    """Resolve a public name from the module that holds it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
