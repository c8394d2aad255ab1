"""`MetadataMonitor`: watches metadata files and control tables, and keeps the jobs as they say.

One look takes changed files into the control tables, asks the change detector, and applies the
modules that differ. Each step compares content and may be repeated, so a monitor that dies
anywhere is completed by its next look, and two of them do no harm. A look that finds nothing
writes nothing: not a row, not a commit.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from lakeflow_meta.control.change_memory import ChangeMemory, Versions
from lakeflow_meta.control.changes import Changes
from lakeflow_meta.control.file_intake import FileIntake
from lakeflow_meta.control.monitor_report import JobUpdate, TickReport, status_line
from lakeflow_meta.errors import LakeflowMetaError
from lakeflow_meta.ports import Clock, utc_now

logger = logging.getLogger(__name__)

APPLY_AT_ONCE = 100
"""Modules applied between two looks at the stop signal."""

Heartbeat = Callable[[Mapping[str, Any]], None]


class JobOutcome(Protocol):
    """What became of one module's job."""

    @property
    def module(self) -> str:
        """The module."""

    @property
    def job_id(self) -> int | None:
        """Its job."""

    @property
    def action(self) -> str:
        """What was done."""

    @property
    def error(self) -> str | None:
        """Why it could not be done."""


Apply = Callable[[Sequence[str]], Sequence[JobOutcome]]


def no_heartbeat(_status: Mapping[str, Any]) -> None:
    """The default: nobody listens."""


class MetadataMonitor:
    """Looks again and again, until ``stop`` is set.

    ``intake`` takes metadata files in; None watches the control tables only. ``detect`` is the
    change detector, ``apply`` makes the jobs of the named modules; None reports only.
    ``heartbeat`` is told the status after each look; it must not write control tables.
    """

    def __init__(
        self,
        *,
        memory: ChangeMemory,
        detect: Callable[[], Changes],
        apply: Apply | None,
        intake: FileIntake | None = None,
        check_interval_seconds: float = 60.0,
        clock: Clock = utc_now,
        stop: threading.Event | None = None,
        heartbeat: Heartbeat = no_heartbeat,
    ) -> None:
        self.check_interval = check_interval_seconds
        self.last_check_timestamp: datetime | None = None
        self.stop = stop or threading.Event()
        self._memory = memory
        self._detect = detect
        self._apply = apply
        self._intake = intake
        self._clock = clock
        self._heartbeat = heartbeat
        self._settled: Versions | None = None
        """Table versions at which everything was as applied; None asks the detector again.

        A row that cannot be read keeps it None, so that each look reports the row.
        """

    # --- one look

    def check_and_update(self) -> dict[str, Any]:
        """Look once. Errors are in the result, and what they concern is tried at the next look."""
        tick = TickReport(self._clock(), self.last_check_timestamp)
        for step in (self._take_files, self._update_jobs):
            if self.stop.is_set():
                break
            try:
                step(tick)
            except LakeflowMetaError as error:
                tick.errors.append(str(error))
        self.last_check_timestamp = tick.began_at
        return tick.to_dict()

    def _take_files(self, tick: TickReport) -> None:
        if self._intake is not None:
            self._intake.take(tick)

    def _update_jobs(self, tick: TickReport) -> None:
        """Versions are read before the answer is made, so that no later commit is missed."""
        versions = self._memory.versions()
        if versions == self._settled:
            return
        self._settled = None
        tick.changes = found = self._detect()
        tick.report(found.problems)
        if found and self._apply is not None:
            self._apply_modules(self._apply, found.modules, tick)
            if self.stop.is_set():
                return
            versions, found = self._memory.versions(), self._detect()
            tick.report(found.problems)
        if versions:
            self._memory.remember(versions, found.pending)
        if not found.problems and (not found or self._apply is None):
            self._settled = versions

    def _apply_modules(self, apply: Apply, modules: Sequence[str], tick: TickReport) -> None:
        for start in range(0, len(modules), APPLY_AT_ONCE):
            if self.stop.is_set():
                return
            for outcome in apply(modules[start : start + APPLY_AT_ONCE]):
                if outcome.error is not None:
                    tick.errors.append(f"{outcome.module}: {outcome.error}")
                else:
                    update = JobUpdate(outcome.module, outcome.job_id, outcome.action)
                    tick.jobs.append(update)

    # --- the loop

    def run_continuous(
        self,
        max_iterations: int | None = None,
        *,
        on_result: Callable[[dict[str, Any]], None] | None = None,
    ) -> int:
        """Look every ``check_interval`` seconds until stopped; how often it looked.

        The interval is counted from the start of a look. Nothing is kept from one look to the
        next but what decides, so memory stays as it is.
        """
        count = 0
        result: dict[str, Any] = {}
        while not self.stop.is_set() and (max_iterations is None or count < max_iterations):
            began = time.monotonic()
            result = self.check_and_update()
            count += 1
            self._tell(result, on_result)
            if count != max_iterations:
                self._beat("running", count, result)
                self.stop.wait(max(0.0, self.check_interval - (time.monotonic() - began)))
        self._beat("stopped", count, result)
        return count

    def _tell(
        self, result: dict[str, Any], on_result: Callable[[dict[str, Any]], None] | None
    ) -> None:
        level = logging.INFO if result["changes_detected"] or result["errors"] else logging.DEBUG
        logger.log(level, "%s", status_line(result))
        if on_result is not None:
            on_result(result)

    def _beat(self, state: str, count: int, result: Mapping[str, Any]) -> None:
        self._heartbeat(
            {
                "state": state,
                "at": self._clock().isoformat(),
                "iterations": count,
                "interval_seconds": self.check_interval,
                "last": result,
            }
        )
