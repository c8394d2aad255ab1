"""The warehouse of a target: what stands behind it, the door for people, and the doctor's look."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from lakeflow_meta.app import App
from lakeflow_meta.backends.local.spark.runtime import Check
from lakeflow_meta.errors import ConfigError, LakeflowMetaError
from lakeflow_meta.ports import Sleep
from lakeflow_meta.warehouse.dialects import Dialect
from lakeflow_meta.warehouse.sql_warehouse import SqlWarehouse

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from pyspark.sql import SparkSession

_DIALECTS = (Dialect.DATABRICKS, Dialect.POSTGRES)


def warehouse_utils(
    target_workspace_id: str | None = None,
    target_warehouse_id: str | None = None,
    *,
    dialect: str | None = None,
    connection_string: str | SecretStr | None = None,
    sql_templates: Path | str | None = None,
    target: str | None = None,
    home: Path | str | None = None,
    conf: Path | str | None = None,
    spark: SparkSession | None = None,
    workspace_client: WorkspaceClient | None = None,
    sleep: Sleep = time.sleep,
) -> SqlWarehouse:
    """The SQL database of a target.

    On a Databricks target ``target_warehouse_id`` is the SQL warehouse, else ``warehouse_id`` of
    the settings. On a local one it is the PostgreSQL that ``POSTGRES_*`` or the settings name, or
    the embedded one; the two ids then name nothing, and the same notebook runs in both places.
    ``connection_string`` is any other PostgreSQL. Nothing is opened before the first statement.
    Raises ConfigError.
    """
    if connection_string is not None and not isinstance(connection_string, SecretStr):
        connection_string = SecretStr(connection_string)  # it may hold a password
    _check_dialect(dialect)
    if connection_string is not None:
        warehouse = _named_by(connection_string, dialect, sleep)
        folder = None if sql_templates is None else Path(sql_templates)
    else:
        overrides = {
            "target": target,
            "home": home,
            "warehouse_id": target_warehouse_id,
            "backend": "databricks" if spark is not None and target is None else None,
            "sql_templates": sql_templates,
        }
        app = App.from_environment(
            overrides={name: value for name, value in overrides.items() if value is not None},
            conf=None if conf is None else Path(conf),
            spark=spark,
            workspace_client=workspace_client,
        )
        warehouse = app.target.open_warehouse(sleep)
        folder = app.sql_templates
        _check_same(dialect, warehouse.dialect)
    return SqlWarehouse(
        warehouse, templates=folder, workspace=target_workspace_id, name=target_warehouse_id
    )


def _check_dialect(dialect: str | None) -> None:
    if dialect is not None and dialect not in _DIALECTS:
        known = " and ".join(repr(str(known)) for known in _DIALECTS)
        raise ConfigError(f"Unsupported dialect: {dialect}. Supported dialects are {known}.")


def _check_same(wanted: str | None, found: str) -> None:
    if wanted is not None and wanted != found:
        raise ConfigError(
            f"the warehouse of this target speaks {found}, not {wanted};"
            " name another target, or leave the dialect out"
        )


def _named_by(text: SecretStr, dialect: str | None, sleep: Sleep) -> Any:
    from lakeflow_meta.backends.postgres.connect import PostgresConnector
    from lakeflow_meta.backends.postgres.warehouse import PostgresWarehouse

    _check_same(dialect, Dialect.POSTGRES)
    return PostgresWarehouse(PostgresConnector.of_text(text), sleep=sleep)


# --- doctor --------------------------------------------------------------------------------------


def check_warehouse(app: App) -> Check:
    """Whether the warehouse can be reached. A server of our own is not started for that."""
    try:
        detail = app.target.warehouse_state()
    except LakeflowMetaError as error:
        first, _, rest = str(error).partition("\n")
        return Check("warehouse", False, first, rest or "see docs/warehouse.md")
    return Check("warehouse", True, detail)
