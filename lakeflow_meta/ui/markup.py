"""Pages as HTML. Everything that is not our own text is escaped here, in one way.

https://html.spec.whatwg.org/multipage/syntax.html
"""

from __future__ import annotations

import re
import unicodedata
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from markupsafe import Markup, escape

from lakeflow_meta.ui.blocks import (
    Cell,
    Code,
    Link,
    Mark,
    Page,
    Place,
    Seconds,
    Size,
    Tone,
    place,
    state_mark,
    tone_of,
)
from lakeflow_meta.ui.graph import NODE_HEIGHT, NODE_WIDTH
from lakeflow_meta.ui.site import MENU, SECTIONS

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
SIGNS: Mapping[Tone, str] = {
    Tone.GOOD: "✓",
    Tone.BAD: "✗",
    Tone.BUSY: "▸",
    Tone.WAITING: "…",
    Tone.WARNING: "!",
    Tone.OFF: "○",
}
_LINE_TONES = {"+": "add", "-": "take", "~": "change", "!": "warn", "✗": "bad"}
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_NODE_TEXT = 17
_CELL = 2000


class Links(Protocol):
    """Where places are."""

    def address(self, at: Place) -> str | None:
        """What leads there; None where that page is not there."""


@dataclass(frozen=True, slots=True)
class View:
    """How pages are shown: where links lead, the moment, and how deep the first heading is."""

    links: Links
    now: datetime
    level: int = 1
    prefix: str = "p"
    """Begins every id of a page, so that several fit into one document."""


@cache
def stylesheet() -> str:
    """The one style sheet."""
    return (HERE / "static" / "style.css").read_text(encoding="utf-8")


@cache
def script() -> str:
    """The few lines that refresh a page while something runs."""
    return (HERE / "static" / "refresh.js").read_text(encoding="utf-8")


@cache
def icon() -> str:
    """The picture of a tab."""
    return (HERE / "static" / "icon.svg").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(str(HERE / "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    environment.globals.update(
        signs=SIGNS,
        node_width=NODE_WIDTH,
        node_height=NODE_HEIGHT,
        place=place,
        mark_of=state_mark,
        tone_of=tone_of,
    )
    environment.filters.update(
        seconds=seconds_text, clip=clipped, line_tone=line_tone, output=output_text
    )
    return environment


def render(template: str, view: View, **values: Any) -> str:
    """Fill a template."""
    writer = _Writer(view)
    text: str = (
        _environment()
        .get_template(template)
        .render(view=view, cell=writer.cell, link=writer.link, address=view.links.address, **values)
    )
    return text


def render_page(page: Page, view: View, title: str) -> str:
    """A whole document of one page. ``title`` names what is looked at."""
    section = SECTIONS.get(page.place.kind, page.place.kind)
    return render("page.html", view, page=page, menu=MENU, section=section, home=title)


def style_hash() -> str:
    """The style sheet as a Content-Security-Policy names it."""
    digest = b64encode(sha256(stylesheet().encode()).digest()).decode()
    return f"sha256-{digest}"


def _clean(value: Any) -> Any:
    """What no document may hold is replaced, also in attributes."""
    if isinstance(value, Markup):
        return value
    return clean_text(value) if isinstance(value, str) else value


def clean_text(text: str) -> str:
    """Without control characters, halves of surrogate pairs, and changes of direction."""
    return _DIRECTIONS.sub("\ufffd", _FORBIDDEN.sub("\ufffd", text))


def output_text(text: str) -> str:
    """What a task printed, without the colours of terminals."""
    return clean_text(_COLOURS.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def line_tone(line: str) -> str:
    """What the first sign of a line of a plan says."""
    return _LINE_TONES.get(line.strip()[:1], "")


def seconds_text(value: float) -> str:
    """A duration for people: 0.42 s, 12.3 s, 4 min 05 s, 2 h 03 min."""
    if value < 10:
        return f"{value:.2f}".rstrip("0").rstrip(".") + " s"
    if value < 60:
        return f"{value:.1f}".removesuffix(".0") + " s"
    minutes, seconds = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min"


def size_text(value: int) -> str:
    """Bytes for people, by powers of 1024."""
    amount = float(value)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{value:,} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago something was, or in how long it will be, in one unit."""
    away = (now - moment).total_seconds()
    amount = abs(away)
    for unit, length in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if amount >= length:
            count = int(amount / length)
            text = f"{count:,} {unit}{'s' if count > 1 else ''}"
            break
    else:
        text = f"{int(amount)} s"
    return f"{text} ago" if away >= 0 else f"in {text}"


def clipped(text: str, most: int = _NODE_TEXT) -> str:
    """As much of a text as fits; wide characters count twice."""
    width = 0
    for at, character in enumerate(text):
        width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width > most:
            return f"{text[: max(at - 1, 1)]}…"
    return text


class _Writer:
    """Cells and links as HTML."""

    def __init__(self, view: View) -> None:
        self._view = view

    def link(self, link: Link, current: bool = False) -> Markup:
        """A link, or its text where nothing is there."""
        text = escape(clean_text(link.text))
        address = self._view.links.address(link.place)
        if address is None:
            return Markup("<span>{}</span>").format(text)
        here = Markup(' aria-current="page"') if current else ""
        return Markup('<a href="{}"{}>{}</a>').format(clean_text(address), here, text)

    def cell(self, value: Cell) -> Markup:
        """One value of a table or a fact."""
        match value:
            case None | str() | bool() | int() | float():
                return _plain(value)
            case datetime():
                return self._moment(value)
            case Link():
                return self.link(value)
            case Code():
                return Markup("<code>{}</code>").format(_cut(clean_text(value.text)))
            case Mark():
                return self.mark(value)
            case Seconds():
                return _number(None if value.value is None else seconds_text(value.value))
            case Size():
                return _number(None if value.value is None else size_text(value.value))
            case _:
                assert_never(value)

    def mark(self, mark: Mark) -> Markup:
        """A word, its sign before it."""
        return Markup(
            '<span class="mark {}"><span class="sign" aria-hidden="true">{}</span>&nbsp;{}</span>'
        ).format(mark.tone, SIGNS[mark.tone], clean_text(mark.text))

    def _moment(self, value: datetime) -> Markup:
        """A time in UTC, and how long ago that is."""
        utc = value.astimezone(UTC)
        return Markup('<time datetime="{}">{}</time> <span class="ago">{}</span>').format(
            utc.isoformat(timespec="seconds"),
            utc.strftime("%Y-%m-%d %H:%M:%S"),
            ago(utc, self._view.now),
        )


def _cut(text: str) -> str:
    """Errors and values of others may be as long as they like; a cell is not."""
    return text if len(text) <= _CELL else f"{text[:_CELL]}… ({len(text):,} characters)"


def _plain(value: str | float | bool | None) -> Markup:
    """A text or a number; nothing for None."""
    match value:
        case bool():
            return escape("yes" if value else "no")
        case int():
            return _number(f"{value:,}")
        case float():
            return _number(f"{value:,.2f}")
        case _:
            return escape(_cut(clean_text(value or "")))


def _number(text: str | None) -> Markup:
    return Markup("") if text is None else Markup('<span class="number">{}</span>').format(text)
