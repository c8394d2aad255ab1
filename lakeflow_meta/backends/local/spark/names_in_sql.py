"""Where a SQL text names tables, and the same text with other names in their place. Pure.

No grammar, only position: a name is a table's name where a table's name is expected (behind FROM,
JOIN, INTO, TABLE, …, and behind a comma of a FROM list). A dotted name elsewhere is a column, a
struct field or a function; it is touched only where it begins with a table's name of the same
statement (``main.silver.orders.id``). So strings, comments, aliases and struct paths stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lakeflow_meta.backends.local.spark.dotted_names import Dotted, Item
from lakeflow_meta.sql import ident
from lakeflow_meta.sql_tokens import Kind, Token

Parts = tuple[str, ...]
Rename = Callable[[Parts], str | None]
"""The text to write for a name, None to leave it as it stands."""


@dataclass(frozen=True, slots=True)
class Edit:
    """``text[start:end]`` becomes ``new``."""

    start: int
    end: int
    new: str


@dataclass(frozen=True, slots=True)
class NameUse:
    """One name that stands for a table or view. ``rest`` is what follows it: a column's name."""

    parts: Parts
    start: int
    end: int
    rest: Parts = ()

    def renamed(self, new: str) -> Edit:
        """The edit that names the table ``new`` and keeps the rest."""
        rest = "".join("." + ident(part) for part in self.rest)
        return Edit(self.start, self.end, new + rest)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a text: those of tables, and all longer ones that may begin with such a name."""

    tables: tuple[NameUse, ...]
    longer: tuple[NameUse, ...]

    def edits(self, rename: Rename) -> list[Edit]:
        """What to change so that every table is named as ``rename`` says."""
        found = [use.renamed(new) for use in self.tables if (new := rename(use.parts)) is not None]
        known = {_key(use.parts): rename(use.parts) for use in self.tables if len(use.parts) > 1}
        for use in self.longer:
            found.extend(_qualifier_edit(use, known))
        return found


def _qualifier_edit(use: NameUse, known: dict[Parts, str | None]) -> list[Edit]:
    for length in (3, 2):
        new = known.get(_key(use.parts[:length]))
        if new is not None and len(use.parts) > length:
            return [replace(use, rest=use.parts[length:]).renamed(new)]
    return []


def _key(parts: Parts) -> Parts:
    return tuple(part.lower() for part in parts)


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """The text with all edits made; they must not overlap."""
    pieces: list[str] = []
    position = 0
    for edit in sorted(edits, key=lambda each: each.start):
        pieces += [text[position : edit.start], edit.new]
        position = edit.end
    return "".join([*pieces, text[position:]])


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A text with the edits that give it Spark's names."""

    text: str
    edits: tuple[Edit, ...] = ()

    @property
    def result(self) -> str:
        """The edited text."""
        return apply_edits(self.text, self.edits)

    def original_position(self, line: int, column: int) -> tuple[int, int]:
        """Where in ``text`` a place of ``result`` is; lines count from 1, columns from 0."""
        offset = self.original_offset(_offset(self.result, line, column))
        before = self.text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1)

    def original_offset(self, offset: int, *, end: bool = False) -> int:
        """Where in ``text`` an offset of ``result`` is; inside a new name it is the old one's edge.

        ``end``: the offset is behind the last character of what it marks.
        """
        longer = 0
        for edit in sorted(self.edits, key=lambda each: each.start):
            start = edit.start + longer
            behind = start + len(edit.new)
            if offset < start or (end and offset == start):
                break
            if offset < behind or (end and offset == behind):
                return edit.end if end else edit.start
            longer += len(edit.new) - (edit.end - edit.start)
        return offset - longer


def _offset(text: str, line: int, column: int) -> int:
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
    return start + column


_QUERY_WORDS = {"SELECT", "WITH", "FROM", "VALUES", "TABLE", "MAP", "REDUCE"}
_TABLE_FOLLOWS = {"JOIN", "INTO", "OVERWRITE", "USING", "TABLE", "VIEW", "CLONE"}
_STILL_FOLLOWS = {"IF", "NOT", "EXISTS", "STREAM", "LATERAL", "TABLE", "ONLY", "DIRECTORY"}
_LIST_ENDS = {
    *("SELECT", "WHERE", "GROUP", "ORDER", "HAVING", "SET", "VALUES", "WHEN", "UNION", "EXCEPT"),
    *("INTERSECT", "MINUS", "LIMIT", "OFFSET", "WINDOW", "QUALIFY", "SORT", "CLUSTER"),
    *("DISTRIBUTE", "PIVOT", "UNPIVOT", "LATERAL"),
}
_HEADS = {
    "UPDATE",
    "OPTIMIZE",
    "VACUUM",
    "RESTORE",
    "REFRESH",
    "CACHE",
    "UNCACHE",
    "DESCRIBE",
    "DESC",
}
_BEHIND_HEAD = {"EXTENDED", "FORMATTED", "DETAIL", "HISTORY", "LAZY"}
_SHOWN_TABLE = {"TBLPROPERTIES", "PARTITIONS", "IN", "FROM"}


@dataclass(slots=True)
class _Frame:
    """One level of parentheses. ``lists_tables``: a comma here is followed by a table."""

    is_expression: bool = False
    lists_tables: bool = False


@dataclass(slots=True)
class _Walk:
    """Goes over the items once and notes where a table's name is expected."""

    items: Sequence[Item]
    frames: list[_Frame] = field(default_factory=lambda: [_Frame()])
    expected: bool = False
    tables: list[NameUse] = field(default_factory=list)
    longer: list[NameUse] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """Keywords of the statement so far, outside parentheses."""

    def run(self) -> Names:
        for index, item in enumerate(self.items):
            if isinstance(item, Token):
                self._symbol(item, index)
            else:
                self._name(item, index)
        return Names(tuple(self.tables), tuple(self.longer))

    def _symbol(self, token: Token, index: int) -> None:
        match token.text:
            case "(":
                self._open(index)
            case ")":
                self.frames = self.frames[:-1] or [_Frame()]
                self.expected = False
            case ",":
                self.expected = self.frames[-1].lists_tables
            case ";":
                self._restart()
            case _:
                self.expected = False

    def _open(self, index: int) -> None:
        if self._word_at(index + 1) in _QUERY_WORDS:
            self.frames.append(_Frame())
            self.expected = False
        elif self.expected:
            self.frames.append(_Frame(lists_tables=True))
        else:
            self.frames.append(_Frame(is_expression=True))

    def _restart(self) -> None:
        self.frames = [_Frame()]
        self.expected = False
        self.words.clear()

    def _name(self, name: Dotted, index: int) -> None:
        word = name.word
        if self.expected and not (word in _STILL_FOLLOWS and self._continues(index)):
            self._note_table(name, index)
        elif word:
            self._keyword(word, index)
        else:
            self._note_longer(name)
        if len(self.frames) == 1:
            self.words.append(word)

    def _note_table(self, name: Dotted, index: int) -> None:
        if self._is_modifier(name.word, index):
            return
        self.tables.append(NameUse(name.parts, name.start, name.end))
        self.expected = False

    def _note_longer(self, name: Dotted) -> None:
        self.expected = False
        use = NameUse(name.parts, name.start, name.end)
        if self.words[:2] == ["COMMENT", "ON"] and self.words[-1] == "COLUMN":
            self.tables.append(NameUse(name.parts[:-1], name.start, name.end, name.parts[-1:]))
        else:
            self.longer.append(use)

    def _is_modifier(self, word: str, index: int) -> bool:
        """DESCRIBE HISTORY t: the word belongs to the head, unless nothing follows it."""
        in_head = len(self.words) <= 2 and word in _BEHIND_HEAD
        return in_head and self._continues(index)

    def _continues(self, index: int) -> bool:
        following = self.items[index + 1] if index + 1 < len(self.items) else None
        return isinstance(following, Dotted) or (following is not None and self._is_open(following))

    def _is_open(self, item: Item) -> bool:
        return isinstance(item, Token) and item.kind is Kind.SYMBOL and item.text == "("

    def _word_at(self, index: int) -> str:
        item = self.items[index] if index < len(self.items) else None
        return item.word if item is not None else ""

    def _keyword(self, word: str, index: int) -> None:
        frame = self.frames[-1]
        previous = self._word_at(index - 1) if index else ""
        if word == "FROM":
            self._from(frame, previous)
        elif word in _LIST_ENDS:
            frame.lists_tables = self.expected = False
        elif word in _STILL_FOLLOWS and self.expected:
            pass
        else:
            frame.lists_tables = frame.lists_tables or word == "JOIN"
            self.expected = self._table_follows(word, previous)

    def _from(self, frame: _Frame, previous: str) -> None:
        """``extract(year FROM x)`` and ``IS DISTINCT FROM x`` name no table."""
        self.expected = not frame.is_expression and previous != "DISTINCT"
        frame.lists_tables = frame.lists_tables or self.expected

    def _table_follows(self, word: str, previous: str) -> bool:
        if self.frames[-1].is_expression:
            return False
        if word in _TABLE_FOLLOWS or (word in _HEADS and not self.words):
            return True
        if word == "TO":
            return previous == "RENAME"
        if word == "DELTA":
            return previous == "TO"
        if word == "LIKE":
            return self.words[:2] == ["CREATE", "TABLE"] and "SELECT" not in self.words
        return word in _SHOWN_TABLE and self.words[:1] == ["SHOW"]


def find_names(items: Sequence[Item]) -> Names:
    """Where the text names tables."""
    return _Walk(items).run()
