"""Tells what happens, and the same thing not again and again."""

from __future__ import annotations

from collections.abc import Callable

from lakeflow_meta.ports import Clock
from lakeflow_meta.serve.happenings import Happening, What
from lakeflow_meta.serve.triggers import StartedJob

Tell = Callable[[Happening], None]


class Teller:
    """``had_failures``: whether anything bad was told."""

    def __init__(self, tell: Tell, clock: Clock) -> None:
        self._tell = tell
        self._clock = clock
        self._said: dict[tuple[int, What], str] = {}
        self.had_failures = False

    def say(
        self,
        what: What,
        text: str = "",
        *,
        job: StartedJob | None = None,
        run_id: int | None = None,
        bad: bool = False,
    ) -> None:
        """Something that happened just now."""
        name, job_id = ("", None) if job is None else (job.name, job.job_id)
        self.pass_on(Happening(self._clock(), what, text, name, job_id, run_id, bad=bad))

    def say_once(self, what: What, text: str, job: StartedJob) -> None:
        """What is found again at each look is told when it is another than the last time."""
        if self._said.get((job.job_id, what)) != text:
            self._said[(job.job_id, what)] = text
            self.say(what, text, job=job, bad=what is What.FAILED)

    def is_over(self, what: What, job: StartedJob) -> None:
        """The next time it is told again."""
        self._said.pop((job.job_id, what), None)

    def pass_on(self, happening: Happening) -> None:
        """As it is."""
        self.had_failures = self.had_failures or happening.bad
        self._tell(happening)
