"""Which task waits for which. Pure, and iterative: a chain of a thousand tasks is no depth.

Explicit dependencies win. Otherwise every source of one ``execution_order`` starts after all
sources of the next lower order that exists; sources without an order come last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Graph = Mapping[str, Sequence[str]]
"""Each key with the keys that it waits for."""


def order_groups(orders: Iterable[tuple[str, int | None]]) -> list[list[str]]:
    """Names grouped by order, lowest first, those without an order last."""
    groups: dict[tuple[bool, int], list[str]] = {}
    for name, order in orders:
        groups.setdefault((order is None, order or 0), []).append(name)
    return [groups[key] for key in sorted(groups)]


def waiting_for(
    orders: Sequence[tuple[str, int | None]], explicit: Graph, first: Sequence[str]
) -> dict[str, list[str]]:
    """What every name waits for; ``first`` is what those wait for that would wait for nothing."""
    result: dict[str, list[str]] = {}
    earlier: list[str] = []
    for group in order_groups(orders):
        for name in group:
            chosen = explicit.get(name, earlier)
            result[name] = list(dict.fromkeys(chosen)) or list(first)
        earlier = group
    return {name: result[name] for name, _ in orders}


def cycles(graph: Graph) -> list[list[str]]:
    """One cycle for each knot of names that wait for each other, as ``[a, b, a]``."""
    remaining = _unresolvable(graph)
    found: list[list[str]] = []
    while remaining:
        cycle = _walk(graph, remaining)
        found.append(cycle)
        shown = set(cycle)
        remaining = _unresolvable({n: graph[n] for n in remaining if n not in shown})
    return found


def _unresolvable(graph: Graph) -> dict[str, None]:
    """Names that never get to start, in the order of the graph (Kahn's algorithm)."""
    waits = {name: sum(need in graph for need in set(needs)) for name, needs in graph.items()}
    followers: dict[str, list[str]] = {}
    for name, needs in graph.items():
        for need in set(needs):
            followers.setdefault(need, []).append(name)
    ready = [name for name, count in waits.items() if count == 0]
    while ready:
        name = ready.pop()
        del waits[name]
        for follower in followers.get(name, ()):
            waits[follower] -= 1
            if waits[follower] == 0:
                ready.append(follower)
    return dict.fromkeys(waits)


def _walk(graph: Graph, remaining: Mapping[str, None]) -> list[str]:
    """Follow what is waited for until a name comes again; every remaining name waits for one."""
    seen: dict[str, int] = {}
    path: list[str] = []
    name = next(iter(remaining))
    while name not in seen:
        seen[name] = len(path)
        path.append(name)
        name = next(need for need in graph[name] if need in remaining)
    return [*path[seen[name] :], name]
