"""Works out what has to be done for one module: its rows against its job, queries, permissions.

Reads only, and no more than is needed: permissions only of jobs whose metadata names some, or did
so when it was last applied. Safe to use from several threads.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lakeflow_meta.control.changes import module_state
from lakeflow_meta.errors import LakeflowMetaError
from lakeflow_meta.fingerprint import fingerprint
from lakeflow_meta.jobs.field_check import check_fields
from lakeflow_meta.jobs.job_permissions import PermissionPlan, levels, plan_permissions
from lakeflow_meta.jobs.job_settings import JobContext, JobDefinition, build_job
from lakeflow_meta.jobs.known_fields import UnknownFields, knows_all
from lakeflow_meta.jobs.live_jobs import LiveJobs
from lakeflow_meta.jobs.plan import (
    Action,
    ActionKind,
    OnDrift,
    Prune,
    foreign_owner,
    is_applied,
    plan_job,
    plan_retirement,
)
from lakeflow_meta.jobs.plan_basis import ModuleBasis, live_state
from lakeflow_meta.jobs.recorded_jobs import RecordedJobs
from lakeflow_meta.jobs.records import JobRecord
from lakeflow_meta.jobs.saved_queries import QueryPlan, SavedQueries
from lakeflow_meta.ports import LiveJob, PermissionsApi

logger = logging.getLogger(__name__)

_LEFT = "left as others changed it"


@dataclass(frozen=True, slots=True)
class Step:
    """One module's action with what it takes to carry it out."""

    action: Action
    record: JobRecord | None = None
    live: LiveJob | None = None
    definition: JobDefinition | None = None
    queries: QueryPlan = field(default_factory=QueryPlan)
    permissions: PermissionPlan = field(default_factory=PermissionPlan)
    granted: Mapping[str, str] = field(default_factory=dict)
    """Live levels by principal, where they were read."""
    leaves_job: bool = False
    """Others changed the job or its queries, and it is to stay so."""

    @property
    def creates(self) -> bool:
        """Whether the step makes a new job or a new saved query, or takes over a job."""
        new_job = self.action.kind in (ActionKind.CREATE, ActionKind.RECREATE, ActionKind.ADOPT)
        return new_job or bool(self.queries.create)

    @property
    def work(self) -> str:
        """A fingerprint of exactly what is to be done."""
        action = self.action
        if action.kind is ActionKind.FAIL:
            return fingerprint(action.kind)
        return fingerprint(
            [
                action.kind,
                action.job_id,
                action.settings,
                sorted(action.fields_to_remove),
                [change.to_dict() for change in action.changes],
                self.queries.trash,
                self.permissions.give,
                self.permissions.replace_all,
            ]
        )


@dataclass(slots=True)
class Planner:
    """What to do with each module of one run."""

    recorded: RecordedJobs
    prune: Prune
    on_drift: OnDrift
    live: LiveJobs
    queries: SavedQueries
    permissions: PermissionsApi
    context: JobContext
    unknown_fields: UnknownFields = knows_all

    def planned(self, name: str) -> Step:
        """The step of one module; what cannot be planned is a failed action."""
        try:
            return self._step(name)
        except LakeflowMetaError as error:
            return Step(Action(name, ActionKind.FAIL, error=str(error)))

    def looked_at_again(self, step: Step) -> Step:
        """A change is computed from a job that was read just now, not with hundreds of others."""
        live = step.live
        if live is None or not step.action.pending or step.action.kind is ActionKind.FAIL:
            return step
        return self.planned(step.action.module_name) if self.live.forget(live.job_id) else step

    def basis(self, step: Step) -> ModuleBasis:
        """What the step was worked out from."""
        name = step.action.module_name
        live = None
        if step.live is not None:
            granted = {f"permissions/{who}": level for who, level in step.granted.items()}
            live = {**live_state(step.live.settings), **granted}
        return ModuleBasis(self.recorded.fingerprint(name), live, step.work)

    def retired_step(self, record: JobRecord, live: LiveJob | None) -> Step:
        """What becomes of the job of a module that wants none."""
        table = self.context.control_table
        return Step(plan_retirement(record, live, self.prune, table), record, live)

    def _step(self, name: str) -> Step:
        record = self.recorded.records.get(name)
        if name in self.recorded.problems:
            return Step(Action(name, ActionKind.FAIL, error=self.recorded.problems[name]))
        if self.recorded.wants_job(name):
            return self._wanted_step(name, record)
        if record is None:
            return Step(Action(name, ActionKind.UNCHANGED))
        return self.retired_step(record, self.live.get(record.job_id))

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
        step = Step(Action(name, ActionKind.UNCHANGED), record, live, definition)
        return self._compared(step, definition, None if adopted else record)

    def _compared(self, step: Step, definition: JobDefinition, known: JobRecord | None) -> Step:
        """The step with everything that differs from the live job.

        ``known`` is the record of exactly this job; None for one that was found by its tags.
        """
        record, live = step.record, step.live
        queries = self.queries.plan(
            definition.module_name,
            definition.queries,
            record.applied.queries if record else {},
            look_by_name=self.live.may_list,
        )
        wanted = definition.with_queries(queries.ids)
        action = plan_job(wanted, live, record, adopted=known is None)
        step = replace(step, queries=queries, action=action)
        step = self._with_permissions(step, definition, known)
        return self._with_doubles(self._put_together(step, definition, known))

    def _with_permissions(
        self, step: Step, definition: JobDefinition, known: JobRecord | None
    ) -> Step:
        applied = known.applied.permissions if known else {}
        if not (definition.permissions or applied):
            return step
        live = [] if step.live is None else self.permissions.get(step.live.job_id)
        plan = plan_permissions(definition.permissions, live, applied)
        return replace(step, permissions=plan, granted=levels(live))

    def _put_together(self, step: Step, definition: JobDefinition, known: JobRecord | None) -> Step:
        """All changes in one action; what others changed is told apart, and left where so told."""
        job, others = step.action.changes + step.queries.changes, step.permissions.changes
        job_drift = bool(job) and self._job_is_applied(definition, known)
        named = levels(definition.permissions)
        applied = known is not None and known.is_active and known.applied.permissions == named
        drift = (job if job_drift else ()) + (others if applied else ())
        action = replace(step.action, changes=job + others, drift=drift)
        step = replace(step, action=action)
        if self.on_drift is OnDrift.REPORT:
            step = _left(step, job=job_drift, permissions=applied and bool(others))
        pending = bool(step.action.changes or step.queries.pending)
        if pending and step.action.kind is ActionKind.UNCHANGED:
            step = replace(step, action=replace(step.action, kind=ActionKind.UPDATE))
        return step

    def _job_is_applied(self, definition: JobDefinition, known: JobRecord | None) -> bool:
        """Whether settings and saved queries are wanted as they were applied last."""
        if known is None or not is_applied(definition, known):
            return False
        state = module_state(self.recorded.modules[definition.module_name])
        return not definition.queries or state.sources == known.applied.sources

    def _with_doubles(self, step: Step) -> Step:
        """Two jobs with the tags of one module: one is kept, and people are told of the others."""
        if not self.live.is_listed or step.action.job_id is None:
            return step
        tagged = [job.job_id for job in self.live.tagged(step.action.module_name)]
        others = [job_id for job_id in tagged if job_id != step.action.job_id]
        if not others:
            return step
        note = f"other jobs carry this module's tags: {', '.join(map(str, others))}"
        logger.warning("module %s: %s", step.action.module_name, note)
        notes = [text for text in (step.action.note, note) if text]
        return replace(step, action=replace(step.action, note="; ".join(notes)))


def _left(step: Step, *, job: bool, permissions: bool) -> Step:
    """The step without what others changed; the rest is still to be done."""
    action = step.action
    if job:
        saved = step.record.applied.queries if step.record else {}
        action = replace(action, kind=ActionKind.UNCHANGED, settings={}, fields_to_remove=())
        step = replace(step, leaves_job=True, queries=QueryPlan(saved))
    if permissions:
        step = replace(step, permissions=PermissionPlan())
    if job or permissions:
        changes = tuple(change for change in action.changes if change not in action.drift)
        action = replace(action, changes=changes, note=_LEFT)
    return replace(step, action=action)
