"""What `serve` needs of a workspace: its memory, runs that start once, and what can be watched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lakeflow_meta.ports.jobs import JobRun, Trigger
    from lakeflow_meta.serve.memory import Fire, Memory, Note


class FireStore(Protocol):
    """The memory of what started which job. One process holds it at a time.

    Every method raises BackendError.
    """

    @property
    def identity(self) -> str:
        """What no other memory has: tokens of another one mean other fires."""

    def take(self) -> str | None:
        """Become the holder; the name of a dead one that it was taken from.

        Raises ConflictError, which says who holds it.
        """

    def renew(self) -> None:
        """Say that the holder lives. Raises ConflictError when somebody else holds it now."""

    def let_go(self) -> None:
        """Hold it no longer; done already is done."""

    def memories(self) -> Mapping[int, Memory]:
        """What is remembered, by job."""

    def seen_files(self, job_id: int) -> frozenset[str]:
        """Names of files that are no news."""

    def remember(self, notes: Sequence[Note]) -> None:
        """Keep what is to be remembered of some jobs, in one transaction."""

    def claim(self, fire: Fire, note: Note) -> bool:
        """`remember`, and write down that this fire will be started; whether it is a new one."""

    def settle(self, token: str, outcome: str) -> None:
        """What became of a claimed fire: it is never started after this."""

    def open_fires(self) -> list[Fire]:
        """Claimed, and not settled: the process died in between. Oldest first."""

    def forget(self, job_ids: Iterable[int]) -> None:
        """Drop all that is kept of jobs that are gone."""


class FiredRuns(Protocol):
    """Runs of a workspace, each started once for its token."""

    def start(self, job_id: int, trigger: Trigger, token: str) -> int:
        """Start a run; its id, or that of the run that this token has started before.

        Raises NotFoundError (no such job), ConflictError (it may have no further run at once and
        has no queue), BackendError (a task cannot run here).
        """

    def get(self, run_id: int) -> JobRun:
        """A run as it stands. Raises NotFoundError."""

    def newest(self, job_id: int, limit: int) -> list[JobRun]:
        """The newest runs of a job first."""

    def cancel(self, run_id: int) -> None:
        """Ask a run to stop."""


class Sightings(Protocol):
    """What can be watched without starting anything."""

    def files(self, url: str) -> Mapping[str, tuple[int, int]]:
        """Size and time of change of every file in a folder and below it; none where there is
        no folder. Raises ConfigError (it can never be watched from here), BackendError.
        """

    def data_version(self, table: str, known: int) -> tuple[int, bool]:
        """The newest version of a table (-1: there is none), and whether its data has changed
        since the version ``known``. Raises BackendError.
        """
