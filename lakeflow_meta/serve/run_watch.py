"""The runs that this process has started: told when they have ended, cancelled when asked to."""

from __future__ import annotations

import logging
from datetime import timedelta

from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ports import Clock, FiredRuns, JobRun
from lakeflow_meta.serve.happenings import Happening, What
from lakeflow_meta.serve.telling import Teller

logger = logging.getLogger(__name__)

_SHOWN_ERRORS = 3


class RunWatch:
    """Its length is the number of runs under way."""

    def __init__(self, runs: FiredRuns, teller: Teller, clock: Clock) -> None:
        self._runs = runs
        self._teller = teller
        self._clock = clock
        self._active: set[int] = set()

    def __len__(self) -> int:
        return len(self._active)

    def add(self, run_id: int) -> None:
        """Follow this one too."""
        self._active.add(run_id)

    def follow(self) -> bool:
        """Tell which runs have ended; whether any has."""
        ended = [run for run in map(self._get, sorted(self._active)) if run and run.state.ended]
        for run in ended:
            self._active.discard(run.run_id)
            self._teller.pass_on(self._end_of(run))
        return bool(ended)

    def cancel(self) -> None:
        """Ask every run to stop."""
        for run_id in self._active:
            try:
                self._runs.cancel(run_id)
            except BackendError as error:
                logger.warning("run %s cannot be cancelled: %s", run_id, error)

    def _get(self, run_id: int) -> JobRun | None:
        """None where it is gone, or cannot be asked for now."""
        try:
            return self._runs.get(run_id)
        except NotFoundError:
            self._active.discard(run_id)
        except BackendError as error:
            logger.warning("run %s: %s", run_id, error)
        return None

    def _end_of(self, run: JobRun) -> Happening:
        failed = [f"{task.task_key}: {task.error}" for task in run.tasks if task.error]
        took = run.ended_at - run.started_at if run.ended_at else timedelta()
        return Happening(
            self._clock(),
            What.ENDED,
            run.error or "; ".join(failed[:_SHOWN_ERRORS]),
            run.job_name,
            run.job_id,
            run.run_id,
            str(run.state),
            took.total_seconds(),
            bad=run.state.bad,
        )
