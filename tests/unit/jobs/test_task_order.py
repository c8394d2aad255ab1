"""Which task waits for which."""

import itertools
import random
import time

from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.jobs.task_order import cycles, order_groups, waiting_for

NAMES = st.sampled_from("abcdefgh")
GRAPHS = st.dictionaries(NAMES, st.lists(NAMES, max_size=3), max_size=8)


def test_groups_go_by_order_and_those_without_one_come_last() -> None:
    orders = [("x", None), ("b", 20), ("a", 10), ("c", 20), ("z", -1), ("zero", 0)]
    assert order_groups(orders) == [["z"], ["zero"], ["a"], ["b", "c"], ["x"]]


def test_a_group_waits_for_all_of_the_next_lower_group_that_exists() -> None:
    orders = [("a", 1), ("b", 1), ("c", 7), ("d", None)]
    assert waiting_for(orders, {}, []) == {"a": [], "b": [], "c": ["a", "b"], "d": ["c"]}


def test_explicit_dependencies_win_and_are_counted_once() -> None:
    orders = [("a", 1), ("b", 2), ("c", 3), ("d", 3)]
    waits = waiting_for(orders, {"c": ["a", "a"], "d": []}, [])
    assert waits == {"a": [], "b": ["a"], "c": ["a"], "d": []}


def test_what_would_wait_for_nothing_waits_for_the_first_tasks() -> None:
    orders = [("a", 1), ("b", 2), ("c", 2)]
    assert waiting_for(orders, {"c": []}, ["_tables"]) == {
        "a": ["_tables"],
        "b": ["a"],
        "c": ["_tables"],
    }


def test_every_knot_is_shown_as_one_cycle() -> None:
    graph = {"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"], "x": ["y"], "y": ["x"], "free": []}
    assert cycles(graph) == [["a", "b", "c", "a"], ["x", "y", "x"]]


@given(GRAPHS)
def test_a_cycle_is_one_and_there_is_one_exactly_when_no_order_exists(
    graph: dict[str, list[str]],
) -> None:
    found = cycles(graph)
    for cycle in found:
        assert cycle[0] == cycle[-1]
        assert len(cycle) > 1
        assert all(after in graph[before] for before, after in itertools.pairwise(cycle))
    waiting = dict(graph)
    while free := [n for n, needs in waiting.items() if not any(x in waiting for x in needs)]:
        for name in free:
            del waiting[name]
    assert bool(waiting) == bool(found)


def test_a_chain_of_many_in_any_order_is_no_depth() -> None:
    names = [f"t{n}" for n in range(20_000)]
    graph = {name: names[n - 1 : n] if n else [] for n, name in enumerate(names)}
    shuffled = list(graph)
    random.Random(7).shuffle(shuffled)  # noqa: S311 (no secret)
    started = time.monotonic()
    assert cycles({name: graph[name] for name in shuffled}) == []
    closed = {name: graph[name] for name in shuffled} | {"t0": ["t19999"]}
    assert [len(cycle) for cycle in cycles(closed)] == [20_001]
    assert time.monotonic() - started < 5
