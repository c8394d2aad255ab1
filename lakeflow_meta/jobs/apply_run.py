"""One apply over many modules: one step a module, and one outcome each.

Order of one step: save inline SQL, create or update the job, trash queries that are no longer
used, set permissions, record. A process may die between any two of these: the next run finds the
job by the recorded id, else by its tags, and does what is left.

Steps of different modules may go out at once. A run that is stopped (Ctrl-C) starts no more steps,
and ends and records those that have begun.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from lakeflow_meta.errors import BackendError, LakeflowMetaError, NotFoundError
from lakeflow_meta.jobs.interruption import Interruption
from lakeflow_meta.jobs.job_permissions import levels, names_owner, plan_permissions
from lakeflow_meta.jobs.job_settings import JobDefinition
from lakeflow_meta.jobs.journal import Journal
from lakeflow_meta.jobs.outcomes import NOT_BEGUN, Outcome
from lakeflow_meta.jobs.ownership import tag_value
from lakeflow_meta.jobs.plan import DONE, Action, ActionKind, pause_status, plan_job
from lakeflow_meta.jobs.plan_basis import PlanBasis
from lakeflow_meta.jobs.planner import Planner, Step
from lakeflow_meta.jobs.recorded_jobs import RecordedJobs
from lakeflow_meta.jobs.records import JobRecord, applied_record
from lakeflow_meta.ports import NOT_TAKEN, OUTCOME_UNKNOWN, JobsApi, Sleep
from lakeflow_meta.progress import Event, Progress, StepState

logger = logging.getLogger(__name__)

Renew = Callable[[], None]
"""Called before something is created; raises when the right to create is lost."""

SECOND_LOOKS = 3
"""How often a run looks again at creations whose outcome it does not know."""

_FIRST_PAUSE_SECONDS = 5.0
_FAILED = DONE[ActionKind.FAIL]


@dataclass(slots=True)
class ApplyRun:
    """The modules of one run with their outcomes so far."""

    planner: Planner
    names: Sequence[str]
    jobs: JobsApi
    journal: Journal
    progress: Progress
    sleep: Sleep
    stop: Interruption
    max_parallel: int = 1
    expected: PlanBasis | None = None
    """The plan that alone is to be carried out."""
    waiting: list[str] = field(default_factory=list)
    """Modules that need a new job or query, and so the lock."""
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    """Modules whose creation may have happened, or was not taken by a busy platform."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    """Guards the outcomes and the right to create."""

    @property
    def recorded(self) -> RecordedJobs:
        """What the control tables say."""
        return self.planner.recorded

    # --- many modules

    def planned(self) -> dict[str, Step]:
        """The step of every module, by name; nothing is written."""
        steps: dict[str, Step] = {}

        def plan(name: str) -> None:
            step = self.planner.planned(name)
            steps[name] = step
            state = StepState.DONE if step.action.pending else StepState.UNCHANGED
            state = StepState.FAILED if step.action.kind is ActionKind.FAIL else state
            detail = step.action.error or step.action.kind
            self._tell("plan", name, state, len(steps), detail)

        self._each(plan, self.names)
        return {name: steps[name] for name in self.names}

    def apply_existing(self) -> None:
        """Everything that needs no new job or query; the rest is left in ``waiting``."""
        self.planner.live.may_list = False
        self._each(self._apply_existing, self.names)
        self.waiting.sort()

    def _apply_existing(self, name: str) -> None:
        step = self.planner.planned(name)
        step = step if step.creates else self.planner.looked_at_again(step)
        if step.creates:
            self.waiting.append(name)
        else:
            self._apply(self._as_planned(step), _no_creation)

    def apply_waiting(self, recorded: RecordedJobs, renew: Renew) -> None:
        """The rest, under the lock: with fresh records and a fresh list of jobs.

        Where the platform did not say whether something was made, a later look tells.
        """
        self.planner.recorded = recorded
        self.planner.live.may_list = True
        names: Sequence[str] = self.waiting
        for look in range(1 + SECOND_LOOKS):
            if look:
                pause = _FIRST_PAUSE_SECONDS * 2 ** (look - 1)
                logger.warning("%d modules are looked at again in %.0f s", len(names), pause)
                self.sleep(pause)
            self.unsure.clear()
            self.list_jobs()
            self.planner.queries.forget()
            apply = self._apply_begun if look else self._apply_new
            self._each(partial(apply, renew), names)
            names = sorted(self.unsure)
            if not names or self.stop.asked:
                return

    def list_jobs(self, *, with_tasks: bool = False) -> None:
        """Read all jobs of the platform again, which takes a while where there are many."""
        self.progress(Event("list", "jobs", StepState.STARTED))
        count = self.planner.live.list_now(with_tasks=with_tasks)
        self.progress(Event("list", "jobs", StepState.DONE, count, count))

    def _apply_new(self, renew: Renew, name: str) -> None:
        step = self.planner.looked_at_again(self.planner.planned(name))
        self._apply(self._as_planned(step), renew)

    def _apply_begun(self, renew: Renew, name: str) -> None:
        """What a step has made may be there by now, so it is another one than was planned."""
        self._apply(self.planner.looked_at_again(self.planner.planned(name)), renew)

    def _each(self, work: Callable[[str], None], names: Iterable[str]) -> None:
        """One after the other, or many at once; an error or Ctrl-C stops what has not begun."""

        def begin(name: str) -> None:
            if not self.stop.asked:
                work(name)

        if self.max_parallel == 1:
            for name in names:
                begin(name)
            return
        pool = ThreadPoolExecutor(self.max_parallel, thread_name_prefix="apply")
        try:
            for future in [pool.submit(begin, name) for name in names]:
                future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def retire_orphans(self, renew: Renew) -> None:
        """Jobs that carry our tags, have no record, and whose module wants no job."""
        recorded, live = self.recorded, self.planner.live
        known_names = [*recorded.modules, *recorded.records, *recorded.problems]
        names = {tag_value(name): name for name in known_names}
        for tag, jobs in live.by_module_tag().items():
            name = names.get(tag, tag)
            known = name in recorded.records or name in recorded.problems
            if recorded.wants_job(name) or known or self.stop.asked:
                continue
            if tag_value(name) != tag:
                ids = ", ".join(str(job.job_id) for job in jobs)
                logger.warning("job %s is of a module that is not known any more (%s)", ids, tag)
                continue
            found = live.get(jobs[0].job_id)
            if found is not None:
                record = JobRecord(name, found.job_id, str(found.settings.get("name", "")))
                self._apply(self.planner.retired_step(record, found), renew)

    # --- what became of them

    def fail_waiting(self, error: LakeflowMetaError) -> None:
        """The lock or the list of jobs could not be had: nothing was created."""
        for name in self.waiting:
            if name not in self.outcomes:
                self._done(Outcome(name, None, _FAILED, str(error)))

    def finished(self) -> list[Outcome]:
        """All outcomes by module; what could not be recorded has failed, what is missing was not
        begun."""
        for name, reason in self.journal.failures.items():
            outcome = self.outcomes.get(name, Outcome(name, None, ""))
            if not outcome.failed:
                error = f"the job was {outcome.action}, but could not be recorded: {reason}"
                self.outcomes[name] = replace(outcome, action=_FAILED, error=error)
        for name in self.names:
            if name not in self.outcomes:
                self.outcomes[name] = self._not_begun(name)
        return [self.outcomes[name] for name in sorted(self.outcomes)]

    def _not_begun(self, name: str) -> Outcome:
        record = self.recorded.records.get(name)
        job_id = None if record is None else record.job_id
        wanted = self.recorded.wants_job(name)
        return Outcome(name, job_id, NOT_BEGUN, wanted=wanted, note="the run was stopped before it")

    def _done(self, outcome: Outcome) -> None:
        outcome = replace(outcome, wanted=self.recorded.wants_job(outcome.module))
        unchanged = outcome.action == DONE[ActionKind.UNCHANGED]
        state = StepState.UNCHANGED if unchanged else StepState.DONE
        state = StepState.FAILED if outcome.failed else state
        detail = outcome.error or outcome.action
        with self._lock:
            self.outcomes[outcome.module] = outcome
            self._tell("apply", outcome.module, state, len(self.outcomes), detail)

    def _tell(self, verb: str, name: str, state: StepState, done: int, detail: str) -> None:
        self.progress(Event(verb, name, state, done, len(self.names), detail))

    # --- one module

    def _apply(self, step: Step, renew: Renew) -> None:
        action = step.action
        try:
            outcome = self._carry_out(step, renew)
        except LakeflowMetaError as error:
            self._look_again_after(error, action.module_name)
            outcome = Outcome(action.module_name, action.job_id, _FAILED, str(error))
        self._done(outcome)

    def _look_again_after(self, error: LakeflowMetaError, name: str) -> None:
        if isinstance(error, BackendError) and error.code in (OUTCOME_UNKNOWN, NOT_TAKEN):
            self.unsure.add(name)

    def _as_planned(self, step: Step) -> Step:
        """The step, if it is the one that was planned; else one that fails and touches nothing."""
        if self.expected is None or step.action.kind is ActionKind.FAIL:
            return step
        name = step.action.module_name
        before = self.expected.by_module[name]
        if before.work == step.work:
            return step
        moved = "; ".join(before.moved(self.planner.basis(step)))
        error = f"not done, because while the plan was applied {moved}"
        return Step(Action(name, ActionKind.FAIL, step.action.job_id, error=error))

    def _carry_out(self, step: Step, renew: Renew) -> Outcome:
        action = step.action
        name = action.module_name
        if action.kind is ActionKind.FAIL:
            return Outcome(name, action.job_id, _FAILED, action.error)
        if step.definition is not None:
            return self._carry_out_job(step, step.definition, renew)
        if step.record is not None and action.kind is ActionKind.PAUSE:
            self._pause(step.record, step)
        if step.record is not None and action.kind is ActionKind.DELETE:
            self._delete(step.record, step)
        return Outcome(name, action.job_id, DONE[action.kind], note=action.note)

    def _carry_out_job(self, step: Step, wanted: JobDefinition, renew: Renew) -> Outcome:
        name, action = step.action.module_name, step.action
        if step.leaves_job:
            job_id, query_ids = action.job_id or 0, dict(step.queries.ids)
        else:
            job_id, query_ids = self._send(step, wanted, renew)
        refused = self._permit(step, wanted, job_id)
        before = step.record.applied.permissions if step.record else {}
        record = applied_record(
            wanted.with_queries(query_ids),
            self.recorded.modules[name],
            job_id,
            query_ids=query_ids,
            permissions=levels(wanted.permissions) if refused is None else before,
            control_version=self.recorded.version,
        )
        record = record if refused is None else record.unfinished
        word = DONE[action.kind]
        if action.kind is not ActionKind.UNCHANGED:
            self.journal.event(name, word, job_id, action.changes)
        if not record.says_the_same(step.record):
            self.journal.record(record)
        if refused is not None:
            self._look_again_after(refused, name)
            error = f"the job was {word}, but not its permissions: {refused}"
            return Outcome(name, job_id, _FAILED, error)
        left = tuple(change for change in action.drift if change not in action.changes)
        return Outcome(name, job_id, word, note=action.note, drift=left)

    def _send(self, step: Step, wanted: JobDefinition, renew: Renew) -> tuple[int, dict[str, str]]:
        """The ids of the job and of its queries, once the platform has them.

        New queries are taken back when it refuses the job.
        """
        queries, kind = self.planner.queries, step.action.kind
        self._renew(step, renew)
        query_ids = queries.save(step.action.module_name, step.queries)
        definition = wanted.with_queries(query_ids)
        action = plan_job(definition, step.live, step.record, adopted=kind is ActionKind.ADOPT)
        self._renew(step, renew)
        try:
            job_id = self._sent(action)
        except LakeflowMetaError as error:
            if not _may_have_happened(error):
                queries.take_back([query_ids[query.task_key] for query in step.queries.create])
            raise
        queries.trash(step.queries.trash)
        return job_id, query_ids

    def _sent(self, action: Action) -> int:
        if action.job_id is None:
            return self.jobs.create_job(action.settings)
        if action.calls_platform:
            self.jobs.update_job(action.job_id, action.settings, action.fields_to_remove)
        return action.job_id

    def _renew(self, step: Step, renew: Renew) -> None:
        if step.creates:
            with self._lock:
                renew()

    def _permit(self, step: Step, wanted: JobDefinition, job_id: int) -> LakeflowMetaError | None:
        """Set permissions; why they were refused. The job is there already, and is recorded."""
        api, plan = self.planner.permissions, step.permissions
        if not (plan.give or plan.replace_all):
            return None
        try:
            if step.live is None and names_owner(wanted.permissions):
                plan = plan_permissions(wanted.permissions, api.get(job_id), {})
            if plan.replace_all:
                api.replace(job_id, plan.replace_all)
            elif plan.give:
                api.update(job_id, plan.give)
        except LakeflowMetaError as error:
            return error
        return None

    def _pause(self, record: JobRecord, step: Step) -> None:
        """What the pause status was before is recorded first, so that it is never forgotten.

        That the module is gone is recorded last: a pause that fails stays a change to apply.
        """
        action, name = step.action, record.module_name
        status = pause_status(step.live.settings) if step.live is not None else None
        begun = status == "PAUSED" and record.applied.paused_from is not None
        before = record.applied.paused_from if begun else status
        record = replace(record, applied=replace(record.applied, paused_from=before))
        if action.calls_platform:
            self.journal.record(record)
            self.journal.flush()
            if (reason := self.journal.failures.get(name)) is not None:
                raise BackendError(f"not paused, because it could not be recorded: {reason}")
            self.jobs.update_job(record.job_id, action.settings)
        self.journal.record(replace(record, is_active=False))
        self.journal.event(name, DONE[action.kind], record.job_id, action.changes)

    def _delete(self, record: JobRecord, step: Step) -> None:
        if step.live is not None:
            try:
                self.jobs.delete_job(record.job_id)
            except NotFoundError:
                logger.info("job %s is gone already", record.job_id)
        self.planner.queries.trash(record.applied.queries.values())
        self.journal.event(record.module_name, DONE[step.action.kind], record.job_id, ())
        self.journal.remove(record.module_name)


def _no_creation() -> None:
    """Steps outside the lock create nothing."""


def _may_have_happened(error: LakeflowMetaError) -> bool:
    return isinstance(error, BackendError) and error.code == OUTCOME_UNKNOWN
