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
    from lakeflow_meta.api import build_databricks_engine as build_databricks_engine
    from lakeflow_meta.errors import BackendError as BackendError
    from lakeflow_meta.errors import ConfigError as ConfigError
    from lakeflow_meta.errors import ConflictError as ConflictError
    from lakeflow_meta.errors import LakeflowMetaError as LakeflowMetaError
    from lakeflow_meta.errors import NotFoundError as NotFoundError
    from lakeflow_meta.errors import RunFailedError as RunFailedError
    from lakeflow_meta.errors import SpecError as SpecError
    from lakeflow_meta.errors import SyncFailedError as SyncFailedError
    from lakeflow_meta.errors import UnsafeChangeError as UnsafeChangeError
    from lakeflow_meta.ingest_api import IdempotentIngestor as IdempotentIngestor
    from lakeflow_meta.run_once import DDLUtilsInterface as DDLUtilsInterface
    from lakeflow_meta.run_once import ddl_utils as ddl_utils
    from lakeflow_meta.schema.registry import NamePolicy as NamePolicy
    from lakeflow_meta.schema.registry import Registry as Registry
    from lakeflow_meta.schema.table import Column as Column
    from lakeflow_meta.schema.table import DeltaTable as DeltaTable
    from lakeflow_meta.schema.table import DroppedTable as DroppedTable
    from lakeflow_meta.schema.table import ForeignKey as ForeignKey
    from lakeflow_meta.schema.table import Identity as Identity
    from lakeflow_meta.schema.table import Policy as Policy
    from lakeflow_meta.schema.table import View as View
    from lakeflow_meta.schema.types import Array as Array
    from lakeflow_meta.schema.types import Binary as Binary
    from lakeflow_meta.schema.types import Boolean as Boolean
    from lakeflow_meta.schema.types import Byte as Byte
    from lakeflow_meta.schema.types import Char as Char
    from lakeflow_meta.schema.types import Date as Date
    from lakeflow_meta.schema.types import Decimal as Decimal
    from lakeflow_meta.schema.types import Double as Double
    from lakeflow_meta.schema.types import Float as Float
    from lakeflow_meta.schema.types import Integer as Integer
    from lakeflow_meta.schema.types import Long as Long
    from lakeflow_meta.schema.types import Map as Map
    from lakeflow_meta.schema.types import Short as Short
    from lakeflow_meta.schema.types import String as String
    from lakeflow_meta.schema.types import Struct as Struct
    from lakeflow_meta.schema.types import StructField as StructField
    from lakeflow_meta.schema.types import Timestamp as Timestamp
    from lakeflow_meta.schema.types import TimestampNtz as TimestampNtz
    from lakeflow_meta.schema.types import Varchar as Varchar
    from lakeflow_meta.schema.types import Variant as Variant
    from lakeflow_meta.schema.types import Void as Void
    from lakeflow_meta.scripts.run_once import ScriptFailedError as ScriptFailedError
    from lakeflow_meta.scripts.work import WorkFunctionError as WorkFunctionError
    from lakeflow_meta.warehouse_operations import warehouse_utils as warehouse_utils

__version__ = "0.1.0"

_HOMES = {
    "IdempotentIngestor": "lakeflow_meta.ingest_api",
    **dict.fromkeys(
        ("JobOrchestrator", "MetadataManager", "MetadataMonitor", "build_databricks_engine"),
        "lakeflow_meta.api",
    ),
    **dict.fromkeys(
        ("Column", "DeltaTable", "DroppedTable", "ForeignKey", "Identity", "Policy", "View"),
        "lakeflow_meta.schema.table",
    ),
    **dict.fromkeys(("DDLUtilsInterface", "ddl_utils"), "lakeflow_meta.run_once"),
    "ScriptFailedError": "lakeflow_meta.scripts.run_once",
    "WorkFunctionError": "lakeflow_meta.scripts.work",
    "warehouse_utils": "lakeflow_meta.warehouse_operations",
    **dict.fromkeys(("NamePolicy", "Registry"), "lakeflow_meta.schema.registry"),
    **dict.fromkeys(
        (
            *("Array", "Binary", "Boolean", "Byte", "Char", "Date", "Decimal", "Double", "Float"),
            *("Integer", "Long", "Map", "Short", "String", "Struct", "StructField", "Timestamp"),
            *("TimestampNtz", "Varchar", "Variant", "Void"),
        ),
        "lakeflow_meta.schema.types",
    ),
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
