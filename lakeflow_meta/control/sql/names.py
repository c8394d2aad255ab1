"""Which column a name in SQL means: of a source, of a query around it, of the SELECT list. Pure.

Checked trees hold no name that somebody typed. Sources, WITH queries and result columns get names
of ours, so what people write can neither end a quote nor collide with a word of any engine.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from sqlglot import exp

from lakeflow_meta.control.sql.kinds import Kind, RefusalError, Value, value


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a source or a result: the name that people know, ours, and its kind."""

    name: str
    own: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Source:
    """One source of a FROM. ``full`` is the table's full name in lower case, where it is one."""

    alias: str
    own: str
    columns: tuple[Column, ...]
    full: str = ""

    def value(self, column: Column, typed: exp.Expr | None = None) -> Value:
        """The column as an expression."""
        return value(exp.column(column.own, table=self.own, quoted=True), column.kind, typed)

    def is_named(self, typed: exp.Column) -> bool:
        """Whether the table part of a column name means this source."""
        given = ".".join(part.name for part in typed.parts[:-1]).lower()
        if given == self.alias.lower():
            return True
        return bool(self.full) and "." in given and f".{self.full}".endswith(f".{given}")


@dataclass(slots=True)
class Names:
    """What can be named at one place of a query."""

    outer: Names | None = None
    sources: list[Source] = field(default_factory=list)
    joined: dict[str, Value] = field(default_factory=dict)
    """Columns of JOIN … USING: one value for both sides."""
    aliases: dict[str, Value] = field(default_factory=dict)
    """Earlier names of the same SELECT list."""
    aliases_first: bool = False
    """Whether these come before columns of one name, as they do in ORDER BY."""

    def add(self, source: Source, typed: exp.Expr | None = None) -> None:
        """Raises RefusalError for a second source of one name."""
        if source.alias and any(s.alias.lower() == source.alias.lower() for s in self.sources):
            raise RefusalError(f"two sources are named {source.alias}", typed)
        self.sources.append(source)

    @property
    def own(self) -> frozenset[str]:
        """Our names of the sources at this place, not of those around it."""
        return frozenset(source.own for source in self.sources)

    def column(self, typed: exp.Column) -> Value:
        """The value that a name means. Raises RefusalError."""
        place: Names | None = self
        while place is not None:
            found = place.find(typed, aliases=place is self)
            if found is not None:
                return Value(found.tree.copy(), found.kind, typed)
            place = place.outer
        raise self._unknown(typed)

    def find(self, typed: exp.Column, *, aliases: bool = True) -> Value | None:
        """The value that a name means at this place, without the places around it."""
        name = typed.name.lower()
        sources = self.sources
        if self.aliases_first and len(typed.parts) == 1 and name in self.aliases:
            return self.aliases[name]
        if len(typed.parts) > 1:
            sources = [source for source in sources if source.is_named(typed)]
        elif name in self.joined:
            return self.joined[name]
        found = [s.value(c, typed) for s in sources for c in s.columns if c.name.lower() == name]
        if len(found) > 1:
            owners = ", ".join(s.alias for s in sources if _has(s, name))
            raise RefusalError(f"column {typed.name} is in {owners}", typed, hint="say which")
        if found:
            return found[0]
        return self.aliases.get(name) if aliases and len(typed.parts) == 1 else None

    def star(self, typed: exp.Expr, table: exp.Column | None = None) -> list[tuple[str, Value]]:
        """What ``*`` or ``table.*`` stands for. Raises RefusalError."""
        chosen = self.sources if table is None else [s for s in self.sources if s.is_named(table)]
        if not chosen:
            what = f"no source is named {table.table}" if table is not None else "there is no FROM"
            raise RefusalError(what, typed)
        found: list[tuple[str, Value]] = []
        shown: set[str] = set()
        for source in chosen:
            for column in source.columns:
                merged = self.joined.get(column.name.lower()) if table is None else None
                if merged is not None and column.name.lower() in shown:
                    continue
                shown.add(column.name.lower())
                both = None if merged is None else Value(merged.tree.copy(), merged.kind, typed)
                found.append((column.name, both or source.value(column, typed)))
        return found

    def _unknown(self, typed: exp.Column) -> RefusalError:
        sources = [source for place in self._places() for source in place.sources]
        if len(typed.parts) > 1:
            named = [source for source in sources if source.is_named(typed)]
            if not named:
                given = ".".join(part.name for part in typed.parts[:-1])
                return RefusalError(
                    f"no source is named {given}",
                    typed,
                    hint=did_you_mean(given, [s.alias for s in sources]),
                )
            sources = named
        names = [column.name for source in sources for column in source.columns]
        return unknown_column(typed.name, names, typed)

    def _places(self) -> Iterable[Names]:
        place: Names | None = self
        while place is not None:
            yield place
            place = place.outer


def _has(source: Source, name: str) -> bool:
    return any(column.name.lower() == name for column in source.columns)


def unknown_column(name: str, known: Sequence[str], typed: exp.Expr | None) -> RefusalError:
    """A column that is not there, with what may have been meant."""
    return RefusalError(f"there is no column {name}", typed, hint=did_you_mean(name, known))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What may have been meant; all there is, where nothing is near."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"there are {', '.join(names)}" if names else ""


class Maker:
    """Gives names that nothing else in the statement has."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def name(self, letter: str) -> str:
        """The next name, such as ``t3``."""
        return f"{letter}{next(self._numbers)}"


def unique_names(names: Sequence[str]) -> list[str]:
    """Result names that differ: one that came before gets a number."""
    taken: set[str] = set()
    found = []
    for name in names:
        candidates = (name if n == 1 else f"{name}_{n}" for n in count(1))
        chosen = next(candidate for candidate in candidates if candidate.lower() not in taken)
        taken.add(chosen.lower())
        found.append(chosen)
    return found
