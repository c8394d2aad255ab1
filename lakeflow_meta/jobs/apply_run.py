"""One apply, or plan, over many modules: one step a module, and one outcome each.

Order of one step: save inline SQL, create or update the job, trash queries that are no longer
used, record. A process may die between any two of these: the next run finds the job by the
recorded id, else by its tags, and does what is left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lakeflow_meta.errors import BackendError, LakeflowMetaError, NotFoundError
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
from lakeflow_meta.ports import JobsApi, LiveJob
from lakeflow_meta.progress import Event, Progress, StepState

logger = logging.getLogger(__name__)

Renew = Callable[[], None]
"""Called before something is created; raises when the right to create is lost."""


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
    waiting: list[str] = field(default_factory=list)
    """Modules that need a new job or query, and so the lock."""
    outcomes: dict[str, Outcome] = field(default_factory=dict)

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
        for name in self.names:
            step = self.planned(name)
            if _creates(step):
                self.waiting.append(name)
            else:
                self._apply(step, _no_creation)

    def apply_waiting(self, recorded: RecordedJobs, renew: Renew) -> None:
        """The rest, under the lock: with fresh records and a fresh list of jobs."""
        self.recorded = recorded
        self.live.may_list = True
        self.live.list_now()
        for name in self.waiting:
            self._apply(self.planned(name), renew)

    def retire_orphans(self, renew: Renew) -> None:
        """Jobs that carry our tags, have no record, and whose module wants no job."""
        recorded = self.recorded
        names = {tag_value(name): name for name in [*recorded.modules, *recorded.records]}
        for tag, jobs in self.live.by_module_tag().items():
            name = names.get(tag, tag)
            if recorded.wants_job(name) or name in recorded.records:
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
        if _creates(step):
            renew()
        query_ids = self.queries.save(name, step.queries)
        definition = wanted.with_queries(query_ids)
        action = plan_job(definition, step.live, step.record, adopted=kind is ActionKind.ADOPT)
        if action.drift and self.keep_drift and not step.queries.pending:
            kind, action = ActionKind.UNCHANGED, replace(action, settings={}, fields_to_remove=())
        job_id = self._send(action, [query_ids[query.task_key] for query in step.queries.create])
        self.queries.trash(step.queries.trash)
        if kind is not ActionKind.UNCHANGED:
            self.journal.event(name, DONE[kind], job_id, step.action.changes)
        record = applied_record(
            definition,
            self.recorded.modules[name],
            job_id,
            query_ids=query_ids,
            control_version=self.recorded.version,
        )
        if not record.says_the_same(step.record):
            self.journal.record(record)
        return Outcome(name, job_id, DONE[kind])

    def _send(self, action: Action, new_queries: Sequence[str]) -> int:
        """The job's id, once the platform has it; new queries are taken back when it refuses."""
        try:
            if action.job_id is None:
                return self.jobs.create_job(action.settings)
            if action.calls_platform:
                self.jobs.update_job(action.job_id, action.settings, action.fields_to_remove)
        except LakeflowMetaError:
            self.queries.take_back(new_queries)
            raise
        return action.job_id

    def _pause(self, record: JobRecord, step: Step) -> None:
        """Recorded first, so that what the pause status was before is never forgotten."""
        action = step.action
        before = pause_status(step.live.settings) if step.live is not None else None
        applied = replace(record.applied, paused_from=before)
        self.journal.record(replace(record, is_active=False, applied=applied))
        self.journal.flush()
        if (reason := self.journal.failures.get(record.module_name)) is not None:
            raise BackendError(f"not paused, because it could not be recorded: {reason}")
        if action.calls_platform:
            self.jobs.update_job(record.job_id, action.settings)
        self.journal.event(record.module_name, DONE[action.kind], record.job_id, action.changes)

    def _delete(self, record: JobRecord, step: Step) -> None:
        if step.live is not None:
            try:
                self.jobs.delete_job(record.job_id)
            except NotFoundError:
                logger.info("job %s is gone already", record.job_id)
        self.queries.trash(record.applied.queries.values())
        self.journal.event(record.module_name, DONE[step.action.kind], record.job_id, ())
        self.journal.remove(record.module_name)

    def _done(self, outcome: Outcome) -> None:
        outcome = replace(outcome, wanted=self.recorded.wants_job(outcome.module))
        self.outcomes[outcome.module] = outcome
        unchanged = outcome.action == DONE[ActionKind.UNCHANGED]
        state = StepState.UNCHANGED if unchanged else StepState.DONE
        state = StepState.FAILED if outcome.failed else state
        detail = outcome.error or outcome.action
        done, total = len(self.outcomes), len(self.names)
        self.progress(Event("apply", outcome.module, state, done, total, detail))


def _creates(step: Step) -> bool:
    """Whether the step makes a new job or a new saved query, or takes over a job."""
    new_job = step.action.kind in (ActionKind.CREATE, ActionKind.RECREATE, ActionKind.ADOPT)
    return new_job or bool(step.queries.create)


def _no_creation() -> None:
    """Steps outside the lock create nothing."""
