"""How far a SQL script came that has not succeeded yet. Pure.

Kept with the lease of its target, written before each statement. So of a script whose process died,
all statements but the last one that started are known to have finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class ScriptProgress:
    """Digests of the statements that finished, from the script's first one on.

    ``started`` is the digest of one whose outcome is not known, and ``transaction`` the number of
    its transaction where the platform tells one; ``execution`` and ``number`` name what it writes,
    and no other statement that was ever started has the same.
    """

    execution: str
    done: tuple[str, ...] = ()
    started: str = ""
    number: int = 0
    transaction: str = ""

    @classmethod
    def of(cls, value: Any, execution: str) -> ScriptProgress:
        """What was kept; a new one named ``execution`` where nothing was, or nothing readable."""
        match value:
            case {
                "execution": str(kept),
                "done": list(done),
                "started": str(started),
                "number": int(number),
                "transaction": str(transaction),
            }:
                return cls(kept, tuple(map(str, done)), started, number, transaction)
        return cls(execution)

    def to_dict(self) -> Mapping[str, Any]:
        """As JSON."""
        return {
            "execution": self.execution,
            "done": list(self.done),
            "started": self.started,
            "number": self.number,
            "transaction": self.transaction,
        }

    def within(self, digests: Sequence[str]) -> ScriptProgress:
        """What of it holds for a text with these statements: they may have been edited since.

        What follows an edited statement runs again.
        """
        same = 0
        while same < min(len(self.done), len(digests)) and self.done[same] == digests[same]:
            same += 1
        whole = same == len(self.done) and self.started in digests[same : same + 1]
        return replace(self, done=self.done[:same], started=self.started if whole else "")

    def in_doubt(self, digests: Sequence[str], position: int) -> bool:
        """Whether the statement at ``position`` was started, and nobody knows how it ended."""
        return (
            bool(self.started) and position == len(self.done) and self.started == digests[position]
        )

    def starting(self, digests: Sequence[str], position: int) -> ScriptProgress:
        """All before ``position`` has finished, and that statement starts."""
        number = self.number if self.in_doubt(digests, position) else self.number + 1
        done = tuple(digests[:position])
        return ScriptProgress(self.execution, done, digests[position], number)

    def committing(self, transaction: str) -> ScriptProgress:
        """The statement that was started has run, and is about to be committed."""
        return replace(self, transaction=transaction)

    def finished(self, digests: Sequence[str], position: int) -> ScriptProgress:
        """All up to ``position`` has finished."""
        return ScriptProgress(self.execution, tuple(digests[: position + 1]), number=self.number)

    def stopped(self) -> ScriptProgress:
        """The statement that was started had no effect, and that is known."""
        return replace(self, started="", transaction="")
