"""What pages are made of: values that say what is shown, never how. Pure.

Every text in them is taken for hostile: names, errors and logs are escaped where they are rendered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from lakeflow_meta.ports import RunState
from lakeflow_meta.ui.graph import Picture
from lakeflow_meta.ui.timeline import Timeline


class Kind(StrEnum):
    """The pages there are; the value is the path on the server."""

    OVERVIEW = "overview"
    MODULES = "modules"
    MODULE = "module"
    PLAN = "plan"
    RUNS = "runs"
    RUN = "run"
    TASK = "task"
    LOG = "log"
    FILES = "files"
    TABLES = "tables"
    TABLE = "table"
    EXTRACTS = "extracts"
    SCRIPTS = "scripts"
    FEED = "feed"
    SETTINGS = "settings"


@dataclass(frozen=True, slots=True)
class Place:
    """One page: its kind, and what it shows of it, sorted by name. Empty values are left out."""

    kind: Kind
    values: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """A value, "" where it is not given."""
        return dict(self.values).get(name, "")


def place(kind: Kind, **values: object) -> Place:
    """A place by its values; None and "" are no values."""
    given = ((name, str(value)) for name, value in values.items() if value not in (None, ""))
    return Place(kind, tuple(sorted(given)))


# --------------------------------------------------------------------------- cells


@dataclass(frozen=True, slots=True)
class Link:
    """A text that leads to another page; just the text where that page is not there."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Code:
    """A name or a value, set in a fixed width."""

    text: str


class Tone(StrEnum):
    """What a mark means. Each has a sign and a colour of its own."""

    GOOD = "good"
    BAD = "bad"
    BUSY = "busy"
    WAITING = "waiting"
    WARNING = "warning"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Mark:
    """A word with the sign and the colour of its meaning."""

    text: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Seconds:
    """A duration; None where it is not known."""

    value: float | None


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes; None where it is not known."""

    value: int | None


Cell = str | int | float | datetime | None | Link | Code | Mark | Seconds | Size


_TONES: Mapping[RunState, Tone] = {
    RunState.QUEUED: Tone.WAITING,
    RunState.RUNNING: Tone.BUSY,
    RunState.WAITING_FOR_RETRY: Tone.WAITING,
    RunState.SUCCESS: Tone.GOOD,
    RunState.SUCCESS_WITH_FAILURES: Tone.WARNING,
    RunState.FAILED: Tone.BAD,
    RunState.TIMED_OUT: Tone.BAD,
    RunState.CANCELLED: Tone.WARNING,
    RunState.UPSTREAM_FAILED: Tone.BAD,
    RunState.UPSTREAM_CANCELLED: Tone.WARNING,
}


def tone_of(state: RunState) -> Tone:
    """What a state means for people; what never ran means nothing."""
    return _TONES.get(state, Tone.OFF)


def state_mark(state: RunState | None) -> Mark:
    """The mark of a run or a task, also of one that never ran."""
    if state is None:
        return Mark("never ran", Tone.OFF)
    return Mark(str(state).replace("_", " "), tone_of(state))


# --------------------------------------------------------------------------- blocks


@dataclass(frozen=True, slots=True)
class Banner:
    """The one thing to know first."""

    mark: Mark
    detail: str = ""
    links: tuple[Link, ...] = ()
    name: str = "banner"


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph, and links after it."""

    text: str
    links: tuple[Link, ...] = ()
    name: str = "text"


@dataclass(frozen=True, slots=True)
class Cards:
    """A few numbers with their names."""

    items: tuple[tuple[str, Cell], ...]
    name: str = "cards"


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, one a line."""

    items: tuple[tuple[str, Cell], ...]
    name: str = "facts"


@dataclass(frozen=True, slots=True)
class Pager:
    """What part of a list is shown, and the way to the others."""

    text: str
    newer: Link | None = None
    older: Link | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns. The first cell of a row names it."""

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    empty: str = "nothing yet"
    pager: Pager | None = None
    name: str = "table"


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines whose first sign says what they are: ``+ ~ - ! ✗``."""

    caption: str
    lines: Sequence[str]
    name: str = "lines"


@dataclass(frozen=True, slots=True)
class Node:
    """A task of a graph."""

    mark: Mark
    kind: str
    """What the task does, in a word."""
    place: Place | None


@dataclass(frozen=True, slots=True)
class Graph:
    """A picture of tasks and what they wait for."""

    caption: str
    picture: Picture
    nodes: Mapping[str, Node]
    name: str = "graph"


@dataclass(frozen=True, slots=True)
class Course:
    """A run in time."""

    caption: str
    timeline: Timeline
    places: Mapping[str, Place] = field(default_factory=dict)
    """Where the label of a lane leads, by its key."""
    name: str = "course"


@dataclass(frozen=True, slots=True)
class Output:
    """What a task printed, or another text as it is."""

    caption: str
    text: str
    note: str = ""
    links: tuple[Link, ...] = ()
    name: str = "output"


@dataclass(frozen=True, slots=True)
class Choice:
    """A field of a form. Without options it takes any text."""

    field: str
    label: str
    value: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """A form that narrows a list; it is a GET of the same page."""

    kind: Kind
    choices: tuple[Choice, ...]
    name: str = "filter"


Block = Banner | Text | Cards | Facts | Table | Lines | Graph | Course | Output | Filter


@dataclass(frozen=True, slots=True)
class Page:
    """One page."""

    place: Place
    title: str
    blocks: Sequence[Block]
    trail: tuple[Link, ...] = ()
    """The pages above it."""
    changing: bool = False
    """Whether it will soon look otherwise: something is under way."""


def shown_lines(lines: Iterable[str], most: int) -> list[str]:
    """The first lines, and how many more there are."""
    found = list(lines)
    more = len(found) - most
    return found if more <= 0 else [*found[:most], f"… and {more:,} more lines"]
