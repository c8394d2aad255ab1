"""Something that is done again and again at the times of a schedule, beside the jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lakeflow_meta.errors import LakeflowMetaError
from lakeflow_meta.jobs.cron_times import CronTimes
from lakeflow_meta.ports import Clock
from lakeflow_meta.serve.happenings import Happening, What

_NAP_SECONDS = 30.0
"""The clock is read that often: it may be set meanwhile."""


class ScheduledWork:
    """``work`` says in one line what it did. Times that pass while it works are left out."""

    def __init__(
        self,
        times: CronTimes,
        work: Callable[[], str],
        *,
        tell: Callable[[Happening], None],
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._times = times
        self._work = work
        self._tell = tell
        self._clock = clock
        self._stop = stop

    def run(self) -> None:
        """Until somebody asks to stop. A schedule that has no further time is waited out."""
        while self._wait_for_next() and not self._stop.is_set():
            self.work()
        self._stop.wait()

    def work(self) -> None:
        """Once, now; a failure is told, and the next time tries again."""
        try:
            text, bad = self._work(), False
        except LakeflowMetaError as error:
            text, bad = str(error), True
        self._tell(Happening(self._clock(), What.ORCHESTRATOR, text, bad=bad))

    def _wait_for_next(self) -> bool:
        due = self._times.after(self._clock())
        while due is not None and not self._stop.is_set():
            left = (due - self._clock()).total_seconds()
            if left <= 0:
                return True
            self._stop.wait(min(left, _NAP_SECONDS))
        return False
