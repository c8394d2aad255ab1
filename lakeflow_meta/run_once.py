"""Run-once work from notebooks and programs, under the names that people know.

    du = ddl_utils("my_workspace", "my_lakehouse")
    du.run_once(create_orders, "orders")

Locally no Spark is started for it: the log is a control table. In a Databricks runtime it is kept
by the active session, or by ``spark=``.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Protocol, TextIO, Unpack, runtime_checkable

from lakeflow_meta.api import Parts, app_of
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.scripts.execution_log import FAILURE, SUCCESS, Execution
from lakeflow_meta.scripts.log_text import log_text
from lakeflow_meta.scripts.work import Work

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

    from lakeflow_meta.app import App
    from lakeflow_meta.scripts.execution_log import ExecutionLog
    from lakeflow_meta.scripts.run_once import RunOnce

logger = logging.getLogger(__name__)

LOG_GUID = "b8c83c87-36d2-46a8-9686-ced38363e169"
LOG_NAME = "ddl_script_executions"


@runtime_checkable
class DDLUtilsInterface(Protocol):
    """Runs work once for a target, and remembers it in ``ddl_script_executions``."""

    def __init__(self, target_workspace_id: str, target_lakehouse_id: str) -> None: ...

    @staticmethod
    def execution_log_schema() -> StructType:
        """The columns of the log that are its contract."""

    def print_log(self) -> None:
        """Show what ran for this target."""

    def check_if_script_has_run(self, script_id: str) -> bool:
        """Whether the log holds a `Success` of this script; a `Failure` does not count."""

    def print_skipped_script_execution(self, guid: str, object_name: str) -> None:
        """Say that a script has run before."""

    def run_once(self, work_fn: Work, object_name: str, guid: str | None = None) -> None:
        """Call a function unless it was called with success before."""

    def write_to_execution_log(
        self, object_guid: str, object_name: str, script_status: str
    ) -> None:
        """Add one row to the log."""

    def initialise_ddl_script_executions_table(self) -> None:
        """Make the log where it is absent."""


class ddl_utils:  # noqa: N801 - the name that people know
    """`DDLUtilsInterface` for one target. Making one makes the log's table where it is absent.

    Workspace and lakehouse name the target: the same work runs once for each pair. The log lies
    beside ``control_table`` (the configured one). ``output`` is where `print_log` writes (stdout).
    ``spark=``, ``store=`` and the other parts are those of `MetadataManager`.
    """

    def __init__(
        self,
        target_workspace_id: str,
        target_lakehouse_id: str,
        *,
        control_table: str | None = None,
        output: TextIO | None = None,
        **parts: Unpack[Parts],
    ) -> None:
        for name, value in (
            ("target_workspace_id", target_workspace_id),
            ("target_lakehouse_id", target_lakehouse_id),
        ):
            if not isinstance(value, str) or not value:
                raise ConfigError(f"{name} is not set")
        target = f"{target_workspace_id}/{target_lakehouse_id}"
        self._begin(app_of(control_table, parts), target_workspace_id, target_lakehouse_id, target)
        self._output = output

    def _begin(self, app: App, workspace: str, lakehouse: str, target: str) -> None:
        from lakeflow_meta.script_operations import make_run_once

        self.target_workspace_id = workspace
        self.target_lakehouse_id = lakehouse
        self._target = target
        self._once: RunOnce = make_run_once(app, target)
        self.initialise_ddl_script_executions_table()

    @property
    def _log(self) -> ExecutionLog:
        return self._once.log

    @staticmethod
    def execution_log_schema() -> StructType:
        """The four columns of the contract, as Spark has them; ours come after them, nullable."""
        from lakeflow_meta.backends.spark_schemas import spark_schema
        from lakeflow_meta.control.tables import EXECUTIONS

        return spark_schema(EXECUTIONS.columns[: EXECUTIONS.contract])

    def run_once(self, work_fn: Work, object_name: str, guid: str | None = None) -> None:
        """Call ``work_fn`` unless it was called with success before, for this target.

        Without ``guid`` the function's source and what it captured are its identity: an edited
        function is another one. With it the guid alone counts. `False` as a result is a failure.
        Two sessions at once call it once; the second waits. Raises ScriptFailedError, which fails a
        notebook, with what the function raised as its cause; WorkFunctionError for a lambda or a
        function without source; ConflictError when another session does not end.
        """
        key, ran = self._once.run(work_fn, object_name, guid)
        if not ran:
            self.print_skipped_script_execution(key, object_name)

    def check_if_script_has_run(self, script_id: str) -> bool:
        """Whether the log holds a `Success` of this script for this target."""
        return self._log.success_of(script_id, self._target) is not None

    def write_to_execution_log(
        self, object_guid: str, object_name: str, script_status: str
    ) -> None:
        """Add one row for this target; the status is `Success` or `Failure`."""
        if script_status.lower() not in (SUCCESS.lower(), FAILURE.lower()):
            raise ConfigError(f"status {script_status!r} is not {SUCCESS} or {FAILURE}")
        failed = script_status.lower() == FAILURE.lower()
        execution = Execution(object_guid, object_name, target=self._target, failed=failed)
        self._log.write(execution)

    def print_log(self) -> None:
        """Write what ran for this target, oldest first."""
        text = log_text(self._log.rows_of(self._target))
        (self._output or sys.stdout).write(text)

    def print_skipped_script_execution(self, guid: str, object_name: str) -> None:
        """Log that a script has run before."""
        logger.info(
            "Skipping %s:%s as the script has already run on workspace_id:%s | lakehouse_id:%s",
            guid,
            object_name,
            self.target_workspace_id,
            self.target_lakehouse_id,
        )

    def initialise_ddl_script_executions_table(self) -> None:
        """Make the log where it is absent, and let it say so itself. Again it changes nothing."""
        self._log.ensure()
        if not self._log.write_once(Execution(LOG_GUID, LOG_NAME)):
            logger.debug("Skipping %s as it already exists", LOG_NAME)


class ScriptUtils(ddl_utils):
    """The same for a script of ``target`` that runs now: its rows are of the script's target."""

    def __init__(self, app: App, target: str, output: TextIO) -> None:
        self._begin(app, app.settings.target, target, target)
        self._output = output
