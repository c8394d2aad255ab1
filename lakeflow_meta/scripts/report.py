"""What a run of DDL scripts did, or would do, target by target. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from lakeflow_meta.errors import RunFailedError
from lakeflow_meta.scripts.script import Script
from lakeflow_meta.scripts.summary import summary_lines, totals


class ScriptStatus(StrEnum):
    """How a script came out. ``PENDING`` only in a dry run."""

    SUCCESS = "success"
    ALREADY_RUN = "already_run"
    PENDING = "pending"
    ACCEPTED = "accepted"
    """It was changed after it ran, and the new text counts as what ran."""
    FAILED = "failed"
    SKIPPED = "skipped"


class TargetStatus(StrEnum):
    """How a target came out. ``PENDING`` only in a dry run."""

    SUCCESS = "success"
    UNCHANGED = "unchanged"
    PENDING = "pending"
    FAILED = "failed"


_MARKS = {
    ScriptStatus.SUCCESS: "✓",
    ScriptStatus.ALREADY_RUN: "=",
    ScriptStatus.PENDING: "+",
    ScriptStatus.ACCEPTED: "≈",
    ScriptStatus.FAILED: "✗",
    ScriptStatus.SKIPPED: "-",
}


@dataclass(frozen=True, slots=True)
class ScriptOutcome:
    """One script. ``seconds`` is how long it ran."""

    script: Script
    status: ScriptStatus
    error: str = ""
    seconds: float = 0.0

    def line(self) -> str:
        """For people."""
        text = f"{_MARKS[self.status]} {self.script.script_id}: {self.status}"
        if self.status is ScriptStatus.SUCCESS:
            text += f" ({self.seconds:.1f} s)"
        return f"{text}: {self.error}" if self.error else text

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "script_id": self.script.script_id,
            "status": str(self.status),
            "seconds": round(self.seconds, 3),
            "error": self.error or None,
        }


@dataclass(frozen=True, slots=True)
class TargetReport:
    """One target with its scripts in order. ``error`` concerns the target as a whole.

    ``raised``: it is of the machinery (the store, the lease), and says nothing of the scripts.
    ``planned``: nothing was done, of a dry run.
    """

    target: str
    outcomes: tuple[ScriptOutcome, ...]
    error: str = ""
    seconds: float = 0.0
    raised: bool = False
    noun: str = "lakehouse"
    planned: bool = False

    @property
    def status(self) -> TargetStatus:
        """Follows from the scripts and the error."""
        found = {outcome.status for outcome in self.outcomes}
        if self.error or found & {ScriptStatus.FAILED, ScriptStatus.SKIPPED}:
            return TargetStatus.FAILED
        if ScriptStatus.PENDING in found or (self.planned and ScriptStatus.ACCEPTED in found):
            return TargetStatus.PENDING
        if found & {ScriptStatus.SUCCESS, ScriptStatus.ACCEPTED}:
            return TargetStatus.SUCCESS
        return TargetStatus.UNCHANGED

    @property
    def pending(self) -> tuple[Script, ...]:
        """Scripts that would run."""
        return tuple(o.script for o in self.outcomes if o.status is ScriptStatus.PENDING)

    @property
    def accepted(self) -> tuple[Script, ...]:
        """Changed scripts whose text is to count as what ran."""
        return tuple(o.script for o in self.outcomes if o.status is ScriptStatus.ACCEPTED)

    @property
    def first_error(self) -> str:
        """Why it failed, in as few words as there are; empty where it did not."""
        return self.error or next((o.error for o in self.outcomes if o.error), "")

    def failed(self, error: str, *, raised: bool = False) -> TargetReport:
        """The same target, given up: what did not run is skipped."""
        outcomes = tuple(
            replace(outcome, status=ScriptStatus.SKIPPED)
            if outcome.status is ScriptStatus.PENDING
            else outcome
            for outcome in self.outcomes
        )
        return replace(self, outcomes=outcomes, error=error, raised=raised)

    def counts(self) -> dict[str, int]:
        """How many scripts came out how."""
        found = Counter(outcome.status for outcome in self.outcomes)
        return {str(status): found[status] for status in ScriptStatus}

    def lines(self) -> Iterator[str]:
        """For people; scripts that ran before are only counted."""
        told = [o for o in self.outcomes if o.status is not ScriptStatus.ALREADY_RUN]
        before = len(self.outcomes) - len(told)
        name = self.target if self.noun == "lakehouse" else f"{self.target} ({self.noun})"
        yield f"{name}: {self.status}" + (f" ({before} ran before)" if before else "")
        if self.error:
            yield f"  {self.error}"
        yield from (f"  {outcome.line()}" for outcome in told)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "status": str(self.status),
            **self.counts(),
            "seconds": round(self.seconds, 3),
            "error": self.first_error or None,
            "scripts": [outcome.to_dict() for outcome in self.outcomes],
        }


@dataclass(frozen=True, slots=True)
class ScriptsReport:
    """All targets of a run, by name. ``seconds`` is how long the whole run took."""

    targets: tuple[TargetReport, ...]
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def has_changes(self) -> bool:
        """Whether a script ran, or would run."""
        changing = {ScriptStatus.SUCCESS, ScriptStatus.PENDING, ScriptStatus.ACCEPTED}
        return any(o.status in changing for target in self.targets for o in target.outcomes)

    @property
    def has_failures(self) -> bool:
        """Whether a target failed."""
        return any(target.status is TargetStatus.FAILED for target in self.targets)

    def raise_failures(self) -> None:
        """Raise RunFailedError with this report when a target failed."""
        failed = [target for target in self.targets if target.status is TargetStatus.FAILED]
        if failed:
            reasons = [o.error for target in failed for o in target.outcomes if o.error]
            reason = (reasons or [failed[0].error])[0].splitlines()[0]
            title = f"{len(failed)} of {len(self.targets)} targets failed"
            raise RunFailedError(f"{title}: {failed[0].target}: {reason}", self)

    def lines(self) -> Iterator[str]:
        """For people: every target, then a total."""
        for target in self.targets:
            yield from target.lines()
        if not self.targets:
            yield "no DDL scripts: nothing to do"
        elif self.dry_run:
            yield self._total()
        else:
            yield from summary_lines(self)

    def _total(self) -> str:
        counts = Counter(str(target.status) for target in self.targets)
        shown = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        noun = "target" if len(self.targets) == 1 else "targets"
        return f"{len(self.targets)} {noun}: {shown}"

    def plan_lines(self) -> Iterator[str]:
        """For people: only what would run, and what is in the way."""
        for target in self.targets:
            if target.status is not TargetStatus.UNCHANGED:
                yield from target.lines()

    def actions(self) -> list[dict[str, Any]]:
        """What would run or cannot, in the form of ``plan``'s JSON."""
        shown = {
            ScriptStatus.PENDING: "run",
            ScriptStatus.FAILED: "rejected",
            ScriptStatus.SKIPPED: "blocked",
        }
        return [
            {
                "kind": "ddl_script",
                "name": outcome.script.script_id,
                "action": shown[outcome.status],
                "changes": [],
                "error": outcome.error or target.error or None,
            }
            for target in self.targets
            for outcome in target.outcomes
            if outcome.status in shown
        ]

    def to_dict(self) -> dict[str, Any]:
        """As JSON: a summary a target, and one of all."""
        return {
            "dry_run": self.dry_run,
            "targets": {target.target: target.to_dict() for target in self.targets},
            **totals(self),
        }


Applied = Mapping[str, str | None]
"""Scripts that ran: identity to the checksum of the text that ran, None where it is not known."""


def plan_target(
    target: str,
    scripts: Sequence[Script],
    applied: Applied,
    problems: Sequence[str],
    *,
    accept_changed: bool = False,
) -> TargetReport:
    """What would run. Nothing does where a script changed after it ran, or cannot be read.

    With ``accept_changed`` such a script counts as run with its new text.
    """
    planned = (_plan_script(script, applied, accept_changed) for script in scripts)
    report = TargetReport(target, tuple(planned))
    if problems:
        return report.failed("; ".join(problems))
    changed = [o.script.script_id for o in report.outcomes if o.status is ScriptStatus.FAILED]
    if changed:
        return report.failed(f"nothing runs, because scripts changed: {', '.join(changed)}")
    return report


_CHANGED = (
    "the script was changed after it ran, and would not run again; take the change back and put it"
    " into a new script, or let the new text count as what ran: ddl run --accept-changed"
)


def _plan_script(script: Script, applied: Applied, accept_changed: bool) -> ScriptOutcome:
    if script.script_id not in applied:
        return ScriptOutcome(script, ScriptStatus.PENDING)
    if applied[script.script_id] in (None, script.checksum):
        return ScriptOutcome(script, ScriptStatus.ALREADY_RUN)
    if script.is_repeatable:
        return ScriptOutcome(script, ScriptStatus.PENDING)
    if accept_changed:
        return ScriptOutcome(script, ScriptStatus.ACCEPTED)
    return ScriptOutcome(script, ScriptStatus.FAILED, _CHANGED)
