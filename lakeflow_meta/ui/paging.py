"""Parts of long lists: which page was asked for, and the way to the others. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lakeflow_meta.ui.blocks import Link, Pager, Place, place

MOST_PAGES = 10**6


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a list: rows from ``start`` up to ``start + size``."""

    at: Place
    size: int
    number: int

    @classmethod
    def asked(cls, at: Place, size: int) -> Part:
        """The part that a place names by ``page``; the first where that is no usable number."""
        text = at.get("page")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 1
        return cls(at, size, min(max(number, 1), MOST_PAGES))

    @property
    def start(self) -> int:
        """Rows before it."""
        return (self.number - 1) * self.size

    def pager(self, total: int, what: str, *, more: bool = False) -> Pager:
        """How it lies in ``total`` rows; ``more``: there may be others beyond them."""
        last = min(self.start + self.size, total)
        count = f"{total:,}{' or more' if more else ''}"
        shown = f"{self.start + 1:,} to {last:,} of {count}" if last > self.start else f": {count}"
        newer = self._link("Newer", self.number - 1) if self.number > 1 else None
        older = self._link("Older", self.number + 1) if last < total else None
        return Pager(f"{what} {shown}", newer, older)

    def _link(self, text: str, number: int) -> Link:
        values = dict(self.at.values) | {"page": str(number) if number > 1 else ""}
        return Link(text, place(self.at.kind, **values))
