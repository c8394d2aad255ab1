"""What people see while something goes on: in a log, and on a terminal."""

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from lakeflow_meta.cli.live import Lines, Relay, redraws, watching
from lakeflow_meta.cli.progress_board import Board, cut, span
from lakeflow_meta.progress import Event, StepState


@dataclass
class Clock:
    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


def ingest(done: int, total: int = 40, state: StepState = StepState.RUNNING) -> Event:
    return Event("ingest", "orders", state, done, total, unit="files")


def task(key: str, state: StepState, done: int, log: Path | None = None) -> Event:
    return Event("run", key, state, done, 3, "", "tasks", "shop", log)


def shown(board: Board, width: int = 100, height: int = 20) -> list[str]:
    return [text for _, text in board.lines(width, height)]


# --------------------------------------------------------------------------- the board


def test_a_row_tells_how_far_it_is_how_fast_and_how_long_it_will_take() -> None:
    clock = Clock()
    board = Board(clock)
    board.take(ingest(0, state=StepState.STARTED))
    clock.seconds += 20
    board.take(ingest(10))
    assert shown(board, width=70) == [
        "  … ingest orders 10/40 files  0:20  0.5 files/s  about 1:00 left"
    ]
    assert "━━━─────────" in shown(board, width=120)[0]


def test_rows_without_a_known_end_have_a_rate_and_no_remaining_time() -> None:
    clock = Clock()
    board = Board(clock)
    board.take(Event("extract", "daily", StepState.STARTED, unit="rows"))
    clock.seconds += 4
    board.take(Event("extract", "daily", StepState.RUNNING, 200_000, unit="rows"))
    assert shown(board) == ["  … extract daily 200,000 rows  0:04  50,000 rows/s"]


def test_nothing_is_foretold_of_what_has_just_begun_or_has_ended() -> None:
    clock = Clock()
    board = Board(clock)
    board.take(ingest(0, state=StepState.STARTED))
    clock.seconds += 0.5
    board.take(ingest(39))
    assert shown(board, 70) == ["  … ingest orders 39/40 files"]
    clock.seconds += 60
    board.take(ingest(40, state=StepState.DONE))
    clock.seconds += 60
    assert shown(board, 70) == ["  ✓ ingest orders 40/40 files  1:00  0.7 files/s"]


def test_a_rate_counts_only_what_was_done_since_it_was_first_heard_of() -> None:
    clock = Clock()
    board = Board(clock)
    board.take(ingest(1000, total=2000))
    clock.seconds += 10
    board.take(ingest(1100, total=2000))
    assert "10 files/s  about 1:30 left" in shown(board)[0]


def test_a_run_is_a_tree_of_its_tasks_with_the_last_line_of_what_runs(tmp_path: Path) -> None:
    log = tmp_path / "load.log"
    log.write_text("reading\n12 of 40 \x1b[2J\n\n")
    clock = Clock()
    board = Board(clock)
    board.take(task("first", StepState.STARTED, 0))
    clock.seconds += 3
    board.take(task("first", StepState.DONE, 1))
    board.take(task("load", StepState.STARTED, 1, log))
    board.take(task("gone", StepState.STARTED, 1, tmp_path / "not there yet"))
    assert shown(board, 70) == [
        "  … run shop 1/3 tasks  0:03  about 0:06 left",
        "    ✓ first  0:03",
        "    … load",
        "      │ 12 of 40  [2J",
        "    … gone",
    ]


def test_a_run_of_which_a_task_failed_has_failed() -> None:
    board = Board(Clock())
    board.take(task("a", StepState.FAILED, 1))
    board.take(task("b", StepState.DONE, 2))
    assert shown(board, 70)[0] == "  … run shop 2/3 tasks"
    board.take(task("c", StepState.DONE, 3))
    assert shown(board, 70)[0] == "  ✗ run shop 3/3 tasks"


def test_many_objects_are_counted_and_what_runs_is_always_shown() -> None:
    clock = Clock()
    board = Board(clock)
    for number in range(500):
        clock.seconds += 0.001
        board.take(Event("sync", f"t{number}", StepState.DONE))
    board.take(Event("sync", "slow", StepState.STARTED))
    lines = shown(board, height=10)
    assert len(lines) <= 10
    assert "  … sync slow" in lines
    assert lines[-1].endswith("more: 492 done")


@pytest.mark.parametrize("width", [5, 20, 40, 79, 200])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    clock = Clock()
    board = Board(clock)
    board.take(Event("ingest", "x" * 90, StepState.STARTED, 1, 3, "y\n" * 90, "files"))
    clock.seconds += 9
    assert all(len(text) <= width for text in shown(board, width))


def test_words_of_time_and_of_length() -> None:
    assert [span(s) for s in (0.4, 7, 750, 3723)] == ["0:00", "0:07", "12:30", "1:02:03"]
    assert cut("a\tb\x1b[31mc", 20) == "a b [31mc"


# --------------------------------------------------------------------------- a log


def test_a_log_has_a_line_each_ten_seconds_and_one_for_each_end() -> None:
    clock, out = Clock(), io.StringIO()
    sink = Lines(out, clock)
    sink(ingest(0, state=StepState.STARTED))
    for done in range(1, 41):
        clock.seconds += 0.5
        sink(ingest(done))
    sink(ingest(40, state=StepState.DONE))
    assert out.getvalue().splitlines() == [
        "  … ingest orders 0/40 files",
        "  … ingest orders 20/40 files  0:10  2.0 files/s  about 0:10 left",
        "  … ingest orders 40/40 files  0:20  2.0 files/s",
        "  ✓ ingest orders 40/40 files  0:20  2.0 files/s",
    ]


def test_what_sends_nothing_is_told_of_every_ten_seconds_too() -> None:
    clock, out = Clock(), io.StringIO()
    sink = Lines(out, clock)
    sink(task("slow", StepState.STARTED, 0))
    sink(task("other", StepState.STARTED, 0))
    for _ in range(4):
        clock.seconds += 6
        sink.tick()
    assert out.getvalue().splitlines() == [
        "  run shop 0/3 tasks: … slow",
        "  run shop 0/3 tasks: … slow  0:12  (and 1 more)",
        "  run shop 0/3 tasks: … slow  0:24  (and 1 more)",
    ]


def test_a_thousand_objects_that_end_well_are_not_a_thousand_lines() -> None:
    out = io.StringIO()
    sink = Lines(out, Clock())
    for number in range(1000):
        state = StepState.FAILED if number == 990 else StepState.UNCHANGED
        sink(Event("sync", f"t{number}", state))
    lines = out.getvalue().splitlines()
    assert len(lines) == 51
    assert lines[-1] == "  ✗ sync t990"


# --------------------------------------------------------------------------- a terminal


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "live"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True),
        ({"TERM": "dumb"}, False),
        ({}, False),
        ({"TERM": "xterm", "CI": "true"}, False),
    ],
)
def test_only_a_terminal_that_can_is_drawn_on(environment: dict[str, str], live: bool) -> None:
    assert redraws(_Terminal(), environment) is live
    assert not redraws(io.StringIO(), environment)


def test_what_tells_nothing_writes_nothing() -> None:
    out = io.StringIO()
    with watching(Relay(), out):
        pass
    assert out.getvalue() == ""


def test_what_is_printed_meanwhile_stands_above_the_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    relay, terminal = Relay(), _Terminal()
    with watching(relay, terminal) as output:
        print("before", file=output)
        relay(ingest(1))
        print("[bold]mid", end="", file=output)
        print("way", file=output)
        relay(ingest(2))
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n")
    lines = [line for line in drawn.splitlines() if line.strip()]
    assert lines[0] == "before"
    assert "[bold]midway" in lines
    assert lines[-1].endswith("2/40 files")


_PROGRAM = """
import sys, time
from lakeflow_meta.cli.live import Relay, watching
from lakeflow_meta.progress import Event, StepState
relay = Relay()
try:
    with watching(relay, sys.stderr):
        relay(Event("ingest", "orders", StepState.STARTED, 0, 40, unit="files"))
        relay(Event("ingest", "orders", StepState.RUNNING, 10, 40, unit="files"))
        print("ready", flush=True)
        time.sleep(30)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def test_a_terminal_is_drawn_on_and_left_whole_by_ctrl_c() -> None:
    """A real pseudo-terminal of 60 columns, without colours, and a real Ctrl-C."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "60", "LINES": "24"}
    environment.pop("CI", None)
    program = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    os.close(theirs)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    drawn = _read(ours, until="10/40 files")
    program.send_signal(signal.SIGINT)
    assert program.communicate(timeout=20)[0] == "stopped\n"
    drawn += _read(ours)
    os.close(ours)
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1
    assert "\x1b[3" not in drawn
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn).replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= 60
    assert "  … ingest orders 10/40 files" in "\n".join(lines)
    assert program.returncode == 0


def _read(terminal: int, until: str = "\0", seconds: float = 10.0) -> str:
    """What was written, up to a word or to its end."""
    found, deadline = b"", time.monotonic() + seconds
    while until.encode() not in found and time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            if until == "\0":
                break
            continue
        try:
            found += os.read(terminal, 65_536)
        except OSError:  # the other end is closed
            break
    return found.decode(errors="replace")
