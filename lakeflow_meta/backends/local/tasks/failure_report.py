"""How a failure of a user's SQL or Python is shown: one line, then a screen. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_WIDEST = 120
_LINES_ABOVE = 2


@dataclass(frozen=True, slots=True)
class Source:
    """Where a piece of code lies: the file's name, the line it starts in, the cell.

    ``line`` is 0 in an .ipynb, whose cells have lines of their own; ``cell`` is 0 outside of
    notebooks.
    """

    name: str
    line: int = 1
    cell: int = 0

    def place(self, line: int, column: int = 0) -> str:
        """A place in words; ``line`` counts from 1 in this piece, ``column`` from 1, 0 for none."""
        behind = f":{column}" if column else ""
        if self.line:
            cell = f"cell {self.cell}, " if self.cell else ""
            return f"{cell}{self.name}:{self.line + line - 1}{behind}"
        return f"cell {self.cell}, line {line}{behind}"


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Both from 1."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def excerpt(text: str, start: int, end: int, first_line: int = 1) -> str:
    """The line that holds ``start``, a few above it, and carets under what is to blame.

    ``first_line`` is the number of the text's first line.
    """
    line, column = line_and_column(text, start)
    lines = text.split("\n")
    blamed = lines[line - 1]
    width = max(1, min(end - start, len(blamed) - column + 1))
    above = [(n, lines[n - 1]) for n in range(max(1, line - _LINES_ABOVE), line)]
    digits = len(str(first_line + line - 1))
    left = max(0, column - 1 - _WIDEST // 2) if len(blamed) > _WIDEST else 0
    shown = [*above, (line, blamed)]
    numbered = [
        f"  {first_line + n - 1:>{digits}} | {each[left : left + _WIDEST]}" for n, each in shown
    ]
    indent = "".join("\t" if c == "\t" else " " for c in blamed[left : column - 1])
    carets = f"  {'':>{digits}} | {indent}{'^' * min(width, _WIDEST)}"
    return "\n".join([*numbered, carets])


def first_line_of(text: str) -> str:
    """The first line that holds something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
