"""A task's log that shows no secret."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TextIO


class RedactedOutput:
    """Stands in for a text file; what is written goes through `redact` first.

    A value that a program writes in two pieces is not recognised, as on the platform.
    """

    def __init__(self, output: TextIO, redact: Callable[[str], str]) -> None:
        self._output = output
        self.redact = redact

    def write(self, text: str) -> int:
        """As of a text file: the number of characters that were given."""
        self._output.write(self.redact(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As of a text file."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)
