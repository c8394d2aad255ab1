"""What became of every module's job. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lakeflow_meta.errors import RunFailedError
from lakeflow_meta.jobs.settings_diff import Change

NOT_BEGUN = "skipped"
"""The action of a module that a stopped run did not come to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one module's job; ``action`` is one of `plan.DONE`'s words or `NOT_BEGUN`."""

    module: str
    job_id: int | None
    action: str
    error: str | None = None
    wanted: bool = True
    """Whether the module still asks for the job; a retired module's job is not to be run."""
    note: str = ""
    """What people should know although nothing failed."""
    drift: tuple[Change, ...] = ()
    """What others changed in the job and was left so, because that was asked for."""

    @property
    def failed(self) -> bool:
        """Whether the job is not as the module says."""
        return self.error is not None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        document: dict[str, Any] = {
            "module": self.module,
            "job_id": self.job_id,
            "action": self.action,
            "error": self.error,
        }
        drift = [change.to_dict() for change in self.drift]
        return document | {k: v for k, v in (("note", self.note), ("drift", drift)) if v}


class ApplyStopped(KeyboardInterrupt):
    """Ctrl-C during an apply: what had begun was ended and recorded, nothing else was begun.

    ``outcomes`` tells of every module.
    """

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes = tuple(outcomes)
        skipped = sum(outcome.action == NOT_BEGUN for outcome in outcomes)
        super().__init__(f"stopped; {skipped} of {len(outcomes)} modules were not begun")


def raise_failures(outcomes: Sequence[Outcome]) -> None:
    """Raise RunFailedError, which carries all outcomes, when at least one failed."""
    failed = [outcome for outcome in outcomes if outcome.failed]
    if failed:
        lines = [f"  {outcome.module}: {outcome.error}" for outcome in failed]
        title = f"{len(failed)} of {len(outcomes)} modules failed"
        raise RunFailedError("\n".join([title, *lines]), outcomes)
