"""A run in time."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.ports import RunState
from lakeflow_meta.ui.timeline import Span, timeline

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_bars_stand_where_their_attempts_were() -> None:
    spans = [
        Span("a", "second", at(50), at(100), RunState.SUCCESS),
        Span("a", "waited", at(25), at(50), None),
        Span("a", "first", at(0), at(25), RunState.FAILED),
    ]
    found = timeline([("a", RunState.SUCCESS), ("b", RunState.SKIPPED)], spans, START, at(100))
    lane, other = found.lanes
    assert [(bar.left, bar.width) for bar in lane.bars] == [(0, 25), (25, 25), (50, 50)]
    assert lane.seconds == 75
    assert other.bars == ()
    assert found.ticks == ((0, 0.0), (30, 30.0), (60, 60.0), (90, 90.0))


def test_what_still_runs_reaches_until_now() -> None:
    spans = [Span("a", "first", at(60), None, RunState.RUNNING)]
    (lane,) = timeline([("a", RunState.RUNNING)], spans, START, at(120)).lanes
    assert (lane.bars[0].left, lane.bars[0].width) == (50, 50)


@given(
    st.floats(0, 10**8),
    st.lists(st.tuples(st.floats(-1e5, 1e9), st.floats(0, 1e6)), max_size=10),
)
def test_whatever_was_recorded_stays_inside_and_can_be_seen(
    total: float, times: list[tuple[float, float]]
) -> None:
    spans = [Span("a", "", at(s), at(s + d), RunState.FAILED) for s, d in times]
    found = timeline([("a", RunState.FAILED)], spans, START, at(total))
    for bar in found.lanes[0].bars:
        assert bar.left >= 0
        assert bar.left + bar.width <= 100.01
        assert bar.width > 0
    assert 1 <= len(found.ticks) <= 6
    assert all(0 <= place <= 100 for _, place in found.ticks)
