"""Where tasks are drawn."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.ui.graph import NODE_HEIGHT, NODE_WIDTH, Edge, Picture, apart, draw

KEYS = st.lists(st.text(min_size=1, max_size=4), min_size=0, max_size=14, unique=True)


@st.composite
def graphs(draw_from: st.DrawFn) -> tuple[list[str], list[Edge]]:
    """Any graph: with cycles, loops, doubles, and edges from tasks that are not there."""
    keys = draw_from(KEYS)
    ends = st.sampled_from([*keys, "?not there"])
    edges = st.builds(Edge, ends, ends, st.sampled_from(["", "", "true"]))
    return keys, draw_from(st.lists(edges, max_size=40))


def lefts(picture: Picture) -> dict[str, float]:
    return {spot.key: spot.x for spot in picture.spots}


@given(graphs())
def test_every_task_is_drawn_once_inside_the_picture_and_none_touches_another(
    graph: tuple[list[str], list[Edge]],
) -> None:
    keys, edges = graph
    picture = draw(keys, edges)
    assert sorted(spot.key for spot in picture.spots) == sorted(keys)
    for spot in picture.spots:
        assert 0 <= spot.x <= picture.width - NODE_WIDTH
        assert -0.01 <= spot.y <= picture.height - NODE_HEIGHT
    for one in picture.spots:
        for other in picture.spots:
            if one is not other:
                apart_enough = (
                    abs(one.y - other.y) > NODE_HEIGHT or abs(one.x - other.x) > NODE_WIDTH
                )
                assert apart_enough, (one, other)


def test_many_tasks_without_lines_stand_side_by_side() -> None:
    few = draw([f"t{number}" for number in range(8)], [])
    assert len(set(lefts(few).values())) == 1
    many = draw([f"t{number}" for number in range(58)], [])
    assert len(set(lefts(many).values())) == 5
    assert many.height < 2 * few.height
    assert lefts(many)["t0"] < lefts(many)["t57"]


@given(graphs())
def test_lines_run_from_left_to_right(graph: tuple[list[str], list[Edge]]) -> None:
    for line in draw(*graph).lines:
        xs = [x for x, _ in line.points]
        assert xs == sorted(xs)
        assert len(set(xs)) == len(xs)


@given(graphs())
def test_no_line_turns_behind_a_task(graph: tuple[list[str], list[Edge]]) -> None:
    picture = draw(*graph)
    for line in picture.lines:
        for x, y in line.points:
            for spot in picture.spots:
                if x in (spot.x, spot.x + NODE_WIDTH) and abs(spot.y + NODE_HEIGHT / 2 - y) > 0.1:
                    assert not spot.y < y < spot.y + NODE_HEIGHT


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_a_task_stands_right_of_all_that_it_waits_for(pairs: list[tuple[int, int]]) -> None:
    edges = [Edge(str(a), str(b)) for a, b in pairs if a < b]
    x = lefts(draw([str(n) for n in range(10)], edges))
    assert all(x[edge.parent] < x[edge.child] for edge in edges)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0, 30)), min_size=1, max_size=20))
def test_places_are_apart_and_as_near_as_can_be(wishes: list[tuple[float, float]]) -> None:
    wanted, gaps = [w for w, _ in wishes], [g for _, g in wishes[1:]]
    found = apart(wanted, gaps)
    for at, gap in enumerate(gaps):
        assert found[at + 1] - found[at] >= gap - 1e-6
    assert sum(found) == pytest.approx(sum(wanted), abs=1e-6)  # least squares keep the mean


def test_places_that_fit_are_left_where_they_are() -> None:
    assert apart([0, 50, 120], [40, 40]) == [0, 50, 120]


def test_tasks_that_wait_for_the_same_ones_share_a_joint() -> None:
    before, after = [f"a{n}" for n in range(5)], [f"b{n}" for n in range(5)]
    picture = draw([*before, *after], [Edge(a, b) for a in before for b in after])
    assert len(picture.lines) == 10
    assert sum(line.arrow for line in picture.lines) == 5


def test_a_line_that_passes_a_column_of_tasks_is_level_there() -> None:
    edges = [Edge("a", "b"), Edge("b", "c"), Edge("a", "c")]
    picture = draw(["a", "b", "c"], edges)
    long = max(picture.lines, key=lambda line: len(line.points))
    (_, first), (left, enters), (right, leaves), (_, last) = long.points
    assert enters == leaves
    assert right - left == NODE_WIDTH
    b = next(spot for spot in picture.spots if spot.key == "b")
    assert left == b.x
    assert not b.y <= enters <= b.y + NODE_HEIGHT  # beside the task, not behind it
    assert first > 0
    assert last > 0


def test_an_outcome_stands_at_its_line_and_is_never_joined() -> None:
    edges = [Edge("check", "yes", "true"), Edge("check", "no", "false")]
    labels = {line.label for line in draw(["check", "yes", "no"], edges).lines}
    assert labels == {"true", "false"}


def test_a_thousand_tasks_are_drawn_at_once() -> None:
    keys = [f"t{n}" for n in range(1000)]
    edges = [Edge(keys[n // 3], keys[n]) for n in range(1, 1000)]
    edges += [Edge(keys[n], keys[n + 97]) for n in range(0, 900, 7)]
    began = time.process_time()
    draw(keys, edges)
    draw(keys, [Edge(a, b) for a, b in pairwise(keys)])
    assert time.process_time() - began < 3
