"""Which tasks of a graph are decided next. Pure; `task_graph` has the rules.

A task is looked at once, when the last of its dependencies has ended: the work grows with the
number of edges, not with its square.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from lakeflow_meta.backends.local.runs.run_plan import PlannedTask
from lakeflow_meta.backends.local.runs.task_graph import Ended, verdict
from lakeflow_meta.ports import RunState


class Frontier:
    """The tasks of one run, and how those that have ended did. ``ended`` may be read."""

    def __init__(self, tasks: Sequence[PlannedTask], ended: Mapping[str, Ended]) -> None:
        self.ended = dict(ended)
        self._undecided = {t.node.task_key: t for t in tasks if t.node.task_key not in ended}
        self._children: dict[str, list[str]] = {}
        self._missing: dict[str, int] = {}
        for key, task in self._undecided.items():
            parents = [e.task_key for e in task.node.depends_on if e.task_key not in ended]
            self._missing[key] = len(parents)
            for parent in parents:
                self._children.setdefault(parent, []).append(key)
        self._ready = deque(
            key
            for key, task in self._undecided.items()
            if task.node.disabled or not self._missing[key]
        )

    @property
    def is_open(self) -> bool:
        """Whether some task has no verdict yet."""
        return bool(self._undecided)

    @property
    def has_ready(self) -> bool:
        """Whether `decide` has something to say at once."""
        return bool(self._ready)

    def decide(self) -> Iterator[tuple[PlannedTask, RunState]]:
        """Each task whose dependencies have ended, with its verdict.

        What is told by `end` meanwhile is taken up: verdicts bring verdicts.
        """
        while self._ready:
            task = self._undecided.pop(self._ready.popleft(), None)
            if task is None:
                continue
            state = verdict(task.node, self.ended)
            if state is None:
                raise AssertionError("a task is ready when its dependencies have ended")
            yield task, state

    def end(self, task_key: str, ended: Ended) -> None:
        """Note how a task ended."""
        self.ended[task_key] = ended
        for child in self._children.pop(task_key, ()):
            self._missing[child] -= 1
            if not self._missing[child]:
                self._ready.append(child)

    def give_up(self) -> list[str]:
        """Take out every task that has no verdict; their keys."""
        keys = list(self._undecided)
        self._undecided.clear()
        self._ready.clear()
        return keys
