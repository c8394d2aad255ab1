"""Pages as HTML: nothing that is shown can become markup."""

from datetime import UTC, datetime, timedelta

import pytest
from html_checker import Document
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.ports import RunState
from lakeflow_meta.ui.blocks import (
    Banner,
    Cards,
    Choice,
    Code,
    Course,
    Facts,
    Filter,
    Graph,
    Kind,
    Lines,
    Link,
    Mark,
    Node,
    Output,
    Page,
    Pager,
    Seconds,
    Size,
    Table,
    Text,
    Tone,
    place,
)
from lakeflow_meta.ui.graph import Edge, draw
from lakeflow_meta.ui.markup import (
    View,
    ago,
    clean_text,
    clipped,
    output_text,
    render_page,
    seconds_text,
    size_text,
)
from lakeflow_meta.ui.server import ServerLinks
from lakeflow_meta.ui.timeline import Span, timeline

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VIEW = View(ServerLinks(), NOW)
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</pre></title></style><b>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "&lt;&amp;&#x3c;",
    "\x00\x1b[31m\ud800\u202e",
    "../../etc/passwd",
    "%2e%2e/%00",
    "]]>--><!--",
]
TEXTS = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(), max_size=30),
    st.lists(st.sampled_from(HOSTILE), max_size=3).map("".join),
)


def page_of(text: str) -> Page:
    """A page that shows one text in every place where a text can stand."""
    mark, code = Mark(text, Tone.BAD), Code(text)
    link = Link(text, place(Kind.MODULE, name=text))
    keys = [text, f"{text}2"]
    nodes = {key: Node(mark, text, place(Kind.TASK, key=key)) for key in keys}
    spans = [Span(text, text, NOW, NOW + timedelta(seconds=1), RunState.FAILED)]
    course = timeline([(text, RunState.FAILED)], spans, NOW, NOW + timedelta(seconds=2))
    rows = [(text, code, link, mark, 3, 2.5, True, None, NOW, Seconds(1.0), Size(9))]
    columns = tuple("abcdefghijk")
    pager = Pager(text, link, link)
    return Page(
        place(Kind.MODULE, name=text),
        text,
        [
            Banner(mark, text, (link,)),
            Text(text, (link,)),
            Cards(((text, code),)),
            Facts(((text, link),)),
            Table(text, (text, *columns[1:]), rows, text, pager),
            Table(text, columns, (), text),
            Lines(text, [text, f"+ {text}"]),
            Graph(text, draw(keys, [Edge(*keys, text)]), nodes),
            Course(text, course, {text: place(Kind.TASK, key=text)}),
            Output(text, text, text, (link,)),
            Filter(Kind.FILES, (Choice("path", text, text), Choice("status", text, text, (text,)))),
        ],
        (link,),
        changing=True,
    )


PLAIN = Document(render_page(page_of("plain"), VIEW, "home"))


@given(TEXTS.filter(lambda text: text.strip() != ""))
def test_no_text_becomes_markup(text: str) -> None:
    document = Document(render_page(page_of(text), VIEW, text))
    assert document.faults == []
    assert document.tags == PLAIN.tags
    assert document.attributes == PLAIN.attributes
    assert document.loaded == PLAIN.loaded
    assert all(link.startswith(("/", "#main")) for link in document.links)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_hostile_can_be_read(text: str) -> None:
    document = Document(render_page(page_of(text), VIEW, "home"))
    assert document.text.count(clean_text(text)) >= 10


@given(TEXTS)
def test_every_text_can_be_sent(text: str) -> None:
    for cleaned in (clean_text(text), output_text(text)):
        assert cleaned.encode().decode() == cleaned
        assert not set(cleaned) & set("\x00\x07\x1b\u202e")


def test_colours_of_terminals_are_left_out_and_lines_are_kept() -> None:
    assert output_text("\x1b[1;31mred\x1b[0m\r\n50 %\rdone\ttab") == "red\n50 %\ndone\ttab"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.42, "0.42 s"), (9.999, "10 s"), (12.34, "12.3 s"), (245, "4 min 05 s"),
     (120, "2 min"), (7380, "2 h 03 min"), (3600 * 1000, "1,000 h 00 min")],
)  # fmt: skip
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1023, "1,023 bytes"), (1536, "1.5 KiB"), (2**40, "1.0 TiB")]
)
def test_sizes_are_for_people(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("away", "text"),
    [(0, "0 s ago"), (59, "59 s ago"), (60, "1 minute ago"), (7300, "2 hours ago"),
     (-90, "in 1 minute"), (-172800, "in 2 days")],
)  # fmt: skip
def test_how_long_ago_something_was(away: int, text: str) -> None:
    assert ago(NOW - timedelta(seconds=away), NOW) == text


def test_names_are_cut_by_how_wide_they_are() -> None:
    assert clipped("short") == "short"
    assert clipped("abcdefghijklmnopqrstuvwxyz", 10) == "abcdefghi…"
    assert len(clipped("名" * 20, 10)) == 5
