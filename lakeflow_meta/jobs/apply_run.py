"""One apply, or plan, over many modules: one step a module, and one outcome each.

Order of one step: save inline SQL, create or update the job, trash queries that are no longer
used, record. A process may die between any two of these: the next run finds the job by the
recorded id, else by its tags, and does what is left.

Steps of different modules may go out at once. A run that is stopped (Ctrl-C) starts no more steps,
and ends and records those that have begun.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from lakeflow_meta.errors import BackendError, LakeflowMetaError, NotFoundError
from lakeflow_meta.jobs.field_check import UnknownFields, check_fields, knows_all
from lakeflow_meta.jobs.job_settings import JobContext, JobDefinition, build_job
from lakeflow_meta.jobs.journal import Journal
from lakeflow_meta.jobs.live_jobs import LiveJobs
from lakeflow_meta.jobs.outcomes import Outcome
from lakeflow_meta.jobs.ownership import tag_value
from lakeflow_meta.jobs.plan import (
    DONE,
    Action,
    ActionKind,
    Prune,
    foreign_owner,
    pause_status,
    plan_job,
    plan_retirement,
)
from lakeflow_meta.jobs.recorded_jobs import RecordedJobs
from lakeflow_meta.jobs.records import JobRecord, applied_record
from lakeflow_meta.jobs.saved_queries import QueryPlan, SavedQueries
from lakeflow_meta.ports import NOT_TAKEN, OUTCOME_UNKNOWN, JobsApi, LiveJob, Sleep
from lakeflow_meta.progress import Event, Progress, StepState

logger = logging.getLogger(__name__)

Renew = Callable[[], None]
"""Called before something is created; raises when the right to create is lost."""

SECOND_LOOKS = 3
"""How often a run looks again at creations whose outcome it does not know."""

_FIRST_PAUSE_SECONDS = 5.0
_CHANGES_LIVE = frozenset(
    {ActionKind.UPDATE, ActionKind.ADOPT, ActionKind.PAUSE, ActionKind.DELETE}
)


@dataclass(frozen=True, slots=True)
class Step:
    """One module's action with what it takes to carry it out."""

    action: Action
    record: JobRecord | None = None
    live: LiveJob | None = None
    definition: JobDefinition | None = None
    queries: QueryPlan = field(default_factory=QueryPlan)


@dataclass(slots=True)
class ApplyRun:
    """The modules of one run with their outcomes so far."""

    recorded: RecordedJobs
    names: Sequence[str]
    prune: Prune
    keep_drift: bool
    jobs: JobsApi
    live: LiveJobs
    queries: SavedQueries
    journal: Journal
    context: JobContext
    progress: Progress
    sleep: Sleep
    unknown_fields: UnknownFields = knows_all
    max_parallel: int = 1
    waiting: list[str] = field(default_factory=list)
    """Modules that need a new job or query, and so the lock."""
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    """Modules whose creation may have happened, or was not taken by a busy platform."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    """Guards the journal, the outcomes and the right to create."""

    # --- plan

    def planned(self, name: str) -> Step:
        """The step of one module; what cannot be planned is a failed action."""
        try:
            return self._step(name)
        except LakeflowMetaError as error:
            return Step(Action(name, ActionKind.FAIL, error=str(error)))

    def _step(self, name: str) -> Step:
        record = self.recorded.records.get(name)
        if name in self.recorded.problems:
            return Step(Action(name, ActionKind.FAIL, error=self.recorded.problems[name]))
        if self.recorded.wants_job(name):
            return self._wanted_step(name, record)
        if record is None:
            return Step(Action(name, ActionKind.UNCHANGED))
        return self._retired_step(record, self.live.get(record.job_id))

    def _retired_step(self, record: JobRecord, live: LiveJob | None) -> Step:
        table = self.context.control_table
        return Step(plan_retirement(record, live, self.prune, table), record, live)

    def _wanted_step(self, name: str, record: JobRecord | None) -> Step:
        definition = build_job(self.recorded.modules[name], self.context)
        unknown = self.unknown_fields(definition.settings)
        check_fields(self.recorded.modules[name], unknown, self.context.control_table)
        live = self.live.get(record.job_id) if record else None
        adopted = live is None
        if live is None and self.live.may_list:
            live = next((self.live.get(job.job_id) for job in self.live.tagged(name)), None)
        if live is not None and (reason := foreign_owner(live, self.context.control_table, name)):
            return Step(Action(name, ActionKind.FAIL, live.job_id, error=reason))
        saved = record.applied.queries if record else {}
        queries = self.queries.plan(
            name, definition.queries, saved, look_by_name=self.live.may_list
        )
        action = plan_job(definition.with_queries(queries.ids), live, record, adopted=adopted)
        if queries.pending and action.kind is ActionKind.UNCHANGED:
            action = replace(action, kind=ActionKind.UPDATE)
        action = replace(action, changes=action.changes + queries.changes)
        return Step(self._with_doubles(action), record, live, definition, queries)

    def _with_doubles(self, action: Action) -> Action:
        """Two jobs with the tags of one module: one is kept, and people are told of the others."""
        if not self.live.is_listed:
            return action
        tagged = [job.job_id for job in self.live.tagged(action.module_name)]
        others = [job_id for job_id in tagged if job_id != action.job_id]
        if action.job_id is None or not others:
            return action
        note = f"other jobs carry this module's tags: {', '.join(map(str, others))}"
        logger.warning("module %s: %s", action.module_name, note)
        return replace(action, note=note)

    # --- apply

    def apply_existing(self) -> None:
        """Everything that needs no new job or query; the rest is left in ``waiting``."""
        self.live.may_list = False
        self._each(self._apply_existing, self.names)
        self.waiting.sort()

    def _apply_existing(self, name: str) -> None:
        step = self.planned(name)
        if _creates(step):
            self.waiting.append(name)
        else:
            self._apply(self._looked_at_again(step), _no_creation)

    def _looked_at_again(self, step: Step) -> Step:
        """A change is computed from a job that was read just now, not with hundreds of others."""
        live = step.live
        if live is None or step.action.kind not in _CHANGES_LIVE:
            return step
        return self.planned(step.action.module_name) if self.live.forget(live.job_id) else step

    def apply_waiting(self, recorded: RecordedJobs, renew: Renew) -> None:
        """The rest, under the lock: with fresh records and a fresh list of jobs.

        Where the platform did not say whether something was made, a later look tells.
        """
        self.recorded = recorded
        self.live.may_list = True
        names: Sequence[str] = self.waiting
        for look in range(1 + SECOND_LOOKS):
            if look:
                pause = _FIRST_PAUSE_SECONDS * 2 ** (look - 1)
                logger.warning("%d modules are looked at again in %.0f s", len(names), pause)
                self.sleep(pause)
            self.unsure.clear()
            self.live.list_now()
            self.queries.forget()
            self._each(lambda name: self._apply_new(name, renew), names)
            names = sorted(self.unsure)
            if not names:
                return

    def _apply_new(self, name: str, renew: Renew) -> None:
        self._apply(self._looked_at_again(self.planned(name)), renew)

    def _each(self, work: Callable[[str], None], names: Iterable[str]) -> None:
        """One after the other, or many at once; an error or Ctrl-C stops what has not begun."""
        if self.max_parallel == 1:
            for name in names:
                work(name)
            return
        pool = ThreadPoolExecutor(self.max_parallel, thread_name_prefix="apply")
        try:
            for future in [pool.submit(work, name) for name in names]:
                future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def retire_orphans(self, renew: Renew) -> None:
        """Jobs that carry our tags, have no record, and whose module wants no job."""
        recorded = self.recorded
        known_names = [*recorded.modules, *recorded.records, *recorded.problems]
        names = {tag_value(name): name for name in known_names}
        for tag, jobs in self.live.by_module_tag().items():
            name = names.get(tag, tag)
            known = name in recorded.records or name in recorded.problems
            if recorded.wants_job(name) or known:
                continue
            if tag_value(name) != tag:
                ids = ", ".join(str(job.job_id) for job in jobs)
                logger.warning("job %s is of a module that is not known any more (%s)", ids, tag)
                continue
            live = self.live.get(jobs[0].job_id)
            if live is not None:
                record = JobRecord(name, live.job_id, str(live.settings.get("name", "")))
                self._apply(self._retired_step(record, live), renew)

    def fail_waiting(self, error: LakeflowMetaError) -> None:
        """The lock or the list of jobs could not be had: nothing was created."""
        for name in self.waiting:
            if name not in self.outcomes:
                self._done(Outcome(name, None, DONE[ActionKind.FAIL], str(error)))

    def finished(self) -> list[Outcome]:
        """All outcomes by module; what could not be recorded has failed."""
        for name, reason in self.journal.failures.items():
            outcome = self.outcomes.get(name, Outcome(name, None, ""))
            if not outcome.failed:
                error = f"the job was {outcome.action}, but could not be recorded: {reason}"
                self.outcomes[name] = replace(outcome, action=DONE[ActionKind.FAIL], error=error)
        return [self.outcomes[name] for name in sorted(self.outcomes)]

    def _apply(self, step: Step, renew: Renew) -> None:
        action = step.action
        try:
            outcome = self._carry_out(step, renew)
        except LakeflowMetaError as error:
            if _may_have_happened(error) or _was_not_taken(error):
                self.unsure.add(action.module_name)
            failed = DONE[ActionKind.FAIL]
            outcome = Outcome(action.module_name, action.job_id, failed, str(error))
        self._done(outcome)

    def _carry_out(self, step: Step, renew: Renew) -> Outcome:
        action = step.action
        if action.kind is ActionKind.FAIL:
            word = DONE[ActionKind.FAIL]
            return Outcome(action.module_name, action.job_id, word, action.error)
        if step.definition is not None:
            return self._carry_out_job(step, step.definition, renew)
        if step.record is not None and action.kind is ActionKind.PAUSE:
            self._pause(step.record, step)
        if step.record is not None and action.kind is ActionKind.DELETE:
            self._delete(step.record, step)
        return Outcome(action.module_name, action.job_id, DONE[action.kind])

    def _carry_out_job(self, step: Step, wanted: JobDefinition, renew: Renew) -> Outcome:
        name, kind = step.action.module_name, step.action.kind
        self._renew(step, renew)
        query_ids = self.queries.save(name, step.queries)
        definition = wanted.with_queries(query_ids)
        action = plan_job(definition, step.live, step.record, adopted=kind is ActionKind.ADOPT)
        if action.drift and self.keep_drift and not step.queries.pending:
            kind, action = ActionKind.UNCHANGED, replace(action, settings={}, fields_to_remove=())
        self._renew(step, renew)
        job_id = self._send(action, [query_ids[query.task_key] for query in step.queries.create])
        self.queries.trash(step.queries.trash)
        record = applied_record(
            definition,
            self.recorded.modules[name],
            job_id,
            query_ids=query_ids,
            control_version=self.recorded.version,
        )
        with self._lock:
            if kind is not ActionKind.UNCHANGED:
                self.journal.event(name, DONE[kind], job_id, step.action.changes)
            if not record.says_the_same(step.record):
                self.journal.record(record)
        return Outcome(name, job_id, DONE[kind])

    def _renew(self, step: Step, renew: Renew) -> None:
        if _creates(step):
            with self._lock:
                renew()

    def _send(self, action: Action, new_queries: Sequence[str]) -> int:
        """The job's id, once the platform has it; new queries are taken back when it refuses."""
        try:
            if action.job_id is None:
                return self.jobs.create_job(action.settings)
            if action.calls_platform:
                self.jobs.update_job(action.job_id, action.settings, action.fields_to_remove)
        except LakeflowMetaError as error:
            if not _may_have_happened(error):
                self.queries.take_back(new_queries)
            raise
        return action.job_id

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
            with self._lock:
                self.journal.record(record)
                self.journal.flush()
            if (reason := self.journal.failures.get(name)) is not None:
                raise BackendError(f"not paused, because it could not be recorded: {reason}")
            self.jobs.update_job(record.job_id, action.settings)
        with self._lock:
            self.journal.record(replace(record, is_active=False))
            self.journal.event(name, DONE[action.kind], record.job_id, action.changes)

    def _delete(self, record: JobRecord, step: Step) -> None:
        if step.live is not None:
            try:
                self.jobs.delete_job(record.job_id)
            except NotFoundError:
                logger.info("job %s is gone already", record.job_id)
        self.queries.trash(record.applied.queries.values())
        with self._lock:
            self.journal.event(record.module_name, DONE[step.action.kind], record.job_id, ())
            self.journal.remove(record.module_name)

    def _done(self, outcome: Outcome) -> None:
        outcome = replace(outcome, wanted=self.recorded.wants_job(outcome.module))
        unchanged = outcome.action == DONE[ActionKind.UNCHANGED]
        state = StepState.UNCHANGED if unchanged else StepState.DONE
        state = StepState.FAILED if outcome.failed else state
        detail = outcome.error or outcome.action
        with self._lock:
            self.outcomes[outcome.module] = outcome
            done, total = len(self.outcomes), len(self.names)
            self.progress(Event("apply", outcome.module, state, done, total, detail))


def _creates(step: Step) -> bool:
    """Whether the step makes a new job or a new saved query, or takes over a job."""
    new_job = step.action.kind in (ActionKind.CREATE, ActionKind.RECREATE, ActionKind.ADOPT)
    return new_job or bool(step.queries.create)


def _no_creation() -> None:
    """Steps outside the lock create nothing."""


def _may_have_happened(error: LakeflowMetaError) -> bool:
    return isinstance(error, BackendError) and error.code == OUTCOME_UNKNOWN


def _was_not_taken(error: LakeflowMetaError) -> bool:
    return isinstance(error, BackendError) and error.code == NOT_TAKEN
