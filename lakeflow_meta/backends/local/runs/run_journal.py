"""What a run has to write and to tell, gathered until it must be on disk.

All that one step of the coordinator decides is one transaction: it costs as much as one row, and a
process that dies leaves all of it or nothing. Nothing starts and nothing is told before `flush`.
"""

from __future__ import annotations

import logging
from pathlib import Path

from lakeflow_meta.backends.local.runs.run_plan import RunPlan
from lakeflow_meta.backends.local.runs.run_store import RunStore
from lakeflow_meta.backends.local.tasks.task_context import MAX_VALUE_BYTES, TaskOutput, as_json
from lakeflow_meta.ports import RunState, TaskRun
from lakeflow_meta.progress import Event, Progress, StepState

logger = logging.getLogger(__name__)


class RunJournal:
    """The writing side of one run."""

    def __init__(self, store: RunStore, plan: RunPlan, progress: Progress) -> None:
        self._store = store
        self._run_id = plan.context.run_id
        self._job_name = plan.context.job_name
        self._total = len(plan.tasks)
        self._progress = progress
        self._path = plan.path
        self._records: list[TaskRun] = []
        self._outputs: dict[str, str] = {}
        self._events: list[Event] = []

    def put(self, record: TaskRun) -> None:
        """Record how far an attempt is."""
        self._records.append(record)

    def keep_output(self, task_key: str, output: TaskOutput | None) -> None:
        """Keep what a task gave back, for references; too much of it is not kept."""
        if output is None:
            return
        text = as_json(output.value)
        if len(text.encode("utf-8", "surrogatepass")) > MAX_VALUE_BYTES:
            limit = f"{MAX_VALUE_BYTES:,} bytes"
            logger.warning("task %s gave back more than %s: not kept", task_key, limit)
            return
        self._outputs[task_key] = text

    @property
    def has_outputs(self) -> bool:
        """Whether something is gathered that a reference may ask for."""
        return bool(self._outputs)

    def tell(
        self, key: str, state: StepState, done: int, detail: str = "", log: Path | None = None
    ) -> None:
        """Tell of a task, or of an iteration; ``done`` tasks of the run have ended."""
        event = Event(
            "run",
            f"{self._path}{key}",
            state,
            done,
            self._total,
            detail,
            unit="tasks",
            part_of=self._job_name,
            log=log,
        )
        self._events.append(event)

    def tell_end(self, record: TaskRun, done: int) -> None:
        """Tell how a task ended."""
        step = _STEPS.get(record.state, StepState.SKIPPED)
        self.tell(record.task_key, step, done, _detail(record))

    def flush(self) -> None:
        """Write and tell all that is gathered."""
        if self._records or self._outputs:
            records, outputs = self._records, self._outputs
            self._records, self._outputs = [], {}
            self._store.put_tasks(self._run_id, records, outputs)
        events, self._events = self._events, []
        for event in events:
            self._progress(event)


_STEPS = {
    RunState.SUCCESS: StepState.DONE,
    RunState.FAILED: StepState.FAILED,
    RunState.TIMED_OUT: StepState.FAILED,
    RunState.CANCELLED: StepState.FAILED,
    RunState.UPSTREAM_FAILED: StepState.SKIPPED,
}


def _detail(record: TaskRun) -> str:
    if record.state is RunState.SUCCESS:
        return record.outcome or f"{record.seconds:.1f} s"
    return f"{record.state}: {record.error}" if record.error else str(record.state)
