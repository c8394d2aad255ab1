"""Runs work functions, each once for its target. A verb; acts through ports.

The function is found again by its guid. Two sessions that come with the same one run it once: the
second waits, and finds that it ran.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from lakeflow_meta.errors import BackendError, ConflictError, RunFailedError
from lakeflow_meta.ports import Clock, utc_now
from lakeflow_meta.scripts.execution_log import Execution, ExecutionLog
from lakeflow_meta.scripts.target_lease import Leases
from lakeflow_meta.scripts.work import Work, WorkFunctionError, check_callable, work_guid

logger = logging.getLogger(__name__)

CallWork = Callable[[Work], object]
"""Calls a function; its result. Raises BackendError for whatever it raises, as the cause of it."""


class ScriptFailedError(RunFailedError, RuntimeError):
    """The work failed, or could not be recorded. The cause is what the function itself raised;
    ``report`` is the `Execution`.
    """


@dataclass(frozen=True, slots=True)
class RunOnce:
    """Runs functions for one target, once each."""

    log: ExecutionLog
    leases: Leases
    target: str
    call: CallWork
    clock: Clock = utc_now
    monotonic: Callable[[], float] = time.monotonic

    def run(self, work: Work, name: str, guid: str | None = None) -> tuple[str, bool]:
        """Run the function unless it ran; its guid, and whether it ran now.

        Raises WorkFunctionError, ScriptFailedError, and ConflictError when another session does not
        come to an end with it in time.
        """
        check_callable(work)
        key, checksum = _identity(work, guid)
        if self._ran(key, name, checksum):
            return key, False
        self.leases.ensure()
        lease = self.leases.of(f"{self.target}/{key}")
        with lease.held():
            if self._ran(key, name, checksum):
                return key, False
            self._run(work, key, name, checksum)
        return key, True

    def _ran(self, guid: str, name: str, checksum: str | None) -> bool:
        found = self.log.success_of(guid, self.target)
        before = None if found is None else found.checksum
        if before is not None and checksum is not None and before != checksum:
            logger.warning("%s: %s was changed after it ran; it does not run again", guid, name)
        return found is not None

    def _run(self, work: Work, guid: str, name: str, checksum: str | None) -> None:
        started_at, started = self.clock(), self.monotonic()
        reason, cause = self._outcome(work)
        message = f"Error in work_fn for {guid} ({name}): {reason}" if reason else ""
        execution = Execution(
            guid,
            name,
            reason,
            target=self.target,
            checksum=checksum,
            started_at=started_at,
            seconds=self.monotonic() - started,
        )
        unlogged = self._write(execution)
        if message:
            logger.error("%s", message)
            raise ScriptFailedError(message + unlogged, execution) from cause
        if unlogged:
            raise ScriptFailedError(f"{guid} ({name}): the work is done{unlogged}", execution)
        logger.info("Successfully executed work_fn for guid=%s (%s)", guid, name)

    def _outcome(self, work: Work) -> tuple[str, BaseException | None]:
        """Why the work failed, with what it raised; empty where it did not fail."""
        try:
            result = self.call(work)
        except BackendError as error:
            return str(error), error.__cause__ or error
        return _refused(result), None

    def _write(self, execution: Execution) -> str:
        """Append the row; why that failed, as the end of a sentence, or nothing.

        If the process dies just before, the work runs again. The row of work that was done is never
        turned into a `Failure`.
        """
        try:
            self.log.write(execution)
        except (BackendError, ConflictError) as error:
            return f", but the execution log could not be written, so it will run again: {error}"
        return ""


def _identity(work: Work, guid: str | None) -> tuple[str, str | None]:
    """The guid, and the hash of what runs: None where a given guid stands for an unknown source."""
    if guid is None:
        made = work_guid(work)
        return made, made
    if not guid:
        raise WorkFunctionError("guid is empty")
    try:
        return guid, work_guid(work)
    except WorkFunctionError:
        return guid, None


def _refused(result: object) -> str:
    """Why a result means that the work was not done."""
    if result is False:
        return "it returned False"
    if inspect.iscoroutine(result):
        result.close()
        return "it returned a coroutine, so its body did not run"
    return "" if not inspect.isgenerator(result) else "it returned a generator, which did not run"
