"""What people see of a plan or an apply while it goes on."""

import io
import threading

from lakeflow_meta.cli.job_progress import Condensed, condensed
from lakeflow_meta.cli.live import Lines, Relay
from lakeflow_meta.progress import Event, StepState


def apply(name: str, done: int, total: int = 3) -> Event:
    return Event("apply", name, StepState.DONE, done, total, "created")


def test_what_is_quick_shows_nothing() -> None:
    seen: list[Event] = []
    relay = Relay()
    relay.sink = seen.append
    with condensed(relay):
        relay(apply("a", 1))
        relay(apply("b", 3))
    assert seen == []


def test_after_a_while_all_modules_are_one_line_that_goes_on() -> None:
    seen: list[Event] = []
    sink = Condensed(seen.append)
    sink(Event("list", "jobs", StepState.STARTED))
    sink(apply("a", 1))
    sink.begin()
    sink(apply("b", 2))
    sink(apply("c", 3))
    assert [(e.step, e.key, e.state.value, e.done, e.detail) for e in seen] == [
        ("apply", "modules", "running", 1, "a: created"),
        ("apply", "modules", "running", 2, "b: created"),
        ("apply", "modules", "done", 3, ""),
    ]


def test_a_long_list_of_jobs_is_told_while_it_is_read() -> None:
    seen: list[Event] = []
    shown = threading.Event()
    relay = Relay()
    relay.sink = lambda event: (seen.append(event), shown.set())[0]
    with condensed(relay, patience_seconds=0.01):
        relay(Event("list", "jobs", StepState.STARTED))
        assert shown.wait(10)
    assert [(e.step, e.state.value) for e in seen] == [("list", "started")]


def test_runs_are_shown_as_they_are() -> None:
    seen: list[Event] = []
    event = Event("run", "sales", StepState.RUNNING)
    Condensed(seen.append)(event)
    assert seen == [event]


def test_lines_of_a_log_are_few() -> None:
    out = io.StringIO()
    sink = Condensed(Lines(out))
    sink.begin()
    for number in range(1, 1001):
        sink(apply(f"m{number}", number, 1000))
    assert out.getvalue().splitlines() == [
        "  … apply modules 1/1,000  m1: created",
        "  ✓ apply modules 1,000/1,000",
    ]
