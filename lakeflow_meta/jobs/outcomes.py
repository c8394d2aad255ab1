"""What became of every module's job. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lakeflow_meta.errors import RunFailedError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one module's job; ``action`` is one of `plan.DONE`'s words."""

    module: str
    job_id: int | None
    action: str
    error: str | None = None
    wanted: bool = True
    """Whether the module still asks for the job; a retired module's job is not to be run."""

    @property
    def failed(self) -> bool:
        """Whether the job is not as the module says."""
        return self.error is not None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "module": self.module,
            "job_id": self.job_id,
            "action": self.action,
            "error": self.error,
        }


def raise_failures(outcomes: Sequence[Outcome]) -> None:
    """Raise RunFailedError, which carries all outcomes, when at least one failed."""
    failed = [outcome for outcome in outcomes if outcome.failed]
    if failed:
        lines = [f"  {outcome.module}: {outcome.error}" for outcome in failed]
        title = f"{len(failed)} of {len(outcomes)} modules failed"
        raise RunFailedError("\n".join([title, *lines]), outcomes)
