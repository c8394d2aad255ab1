"""Where the tasks of a graph are drawn: in columns, each right of all that it waits for. Pure.

The steps are Sugiyama's: columns by the longest way, places in between for lines that pass several
columns, an order with few crossings (barycentres), and heights near those of the neighbours (by
isotonic regression, so that no two touch). Any graph is drawn, also one with cycles.

Tasks that wait for the same several tasks share one joint: n times m lines become n plus m.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

NODE_WIDTH = 172
NODE_HEIGHT = 46
BETWEEN_COLUMNS = 40
BETWEEN_ROWS = 16
MARGIN = 8
_SWEEPS = 6
_MOST_BENDS = 4000
"""Above so many places in between, lines are drawn straight: the picture is a blot anyway."""

_TOWER = 8
_MOST_SIDE_BY_SIDE = 5
"""Of tasks that have no lines: so many in a column at least, and so many columns at most."""


@dataclass(frozen=True, slots=True)
class Edge:
    """``child`` waits for ``parent``; ``label`` is the outcome that it waits for."""

    parent: str
    child: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a task is drawn: its left upper corner, in pixels."""

    key: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, from left to right."""

    points: tuple[tuple[float, float], ...]
    label: str = ""
    arrow: bool = True

    @property
    def path(self) -> str:
        """As the ``d`` of an SVG path: level at each point, curved between two."""
        (x, y), *rest = self.points
        parts = [f"M{x:g} {y:g}"]
        for nx, ny in rest:
            middle = (x + nx) / 2
            parts.append(f"C{middle:g} {y:g} {middle:g} {ny:g} {nx:g} {ny:g}")
            x, y = nx, ny
        return "".join(parts)

    @property
    def middle(self) -> tuple[float, float]:
        """Where a label stands."""
        (ax, ay), (bx, by) = self.points[:2]
        return (ax + bx) / 2, (ay + by) / 2


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn graph, in pixels."""

    spots: tuple[Spot, ...]
    lines: tuple[Line, ...]
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class _Place:
    """Something in a column: a task (``key``), or a joint or a bend (None)."""

    number: int
    key: str | None = None


_Steps = list[tuple[int, int, str]]
"""Lines between places of any columns, by number, with labels."""


def draw(keys: Sequence[str], edges: Iterable[Edge]) -> Picture:
    """Place every task; what waits for tasks that are not among ``keys`` just has no such line."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    places = [_Place(number, key) for key, number in numbers.items()]
    steps = _joined(_acyclic(numbers, edges), places)
    columns = _columns(len(places), steps)
    _spread(columns, steps)
    chains = _with_bends(steps, columns, places)
    layers = _layers(columns)
    links = [(a, b) for chain, _ in chains for a, b in pairwise(chain)]
    _order(layers, links)
    return _picture(places, layers, links, chains)


def _acyclic(numbers: Mapping[str, int], edges: Iterable[Edge]) -> _Steps:
    """The edges between known tasks, but those that close a cycle."""
    children: dict[int, dict[int, str]] = defaultdict(dict)
    for edge in edges:
        if edge.parent in numbers and edge.child in numbers:
            children[numbers[edge.parent]].setdefault(numbers[edge.child], edge.label)
    kept: _Steps = []
    open_or_done: dict[int, bool] = {}  # True while a node is on the way
    for root in numbers.values():
        if root in open_or_done:
            continue
        open_or_done[root] = True
        way = [(root, iter(children[root].items()))]
        while way:
            node, rest = way[-1]
            for child, label in rest:
                if open_or_done.get(child):
                    continue
                kept.append((node, child, label))
                if child not in open_or_done:
                    open_or_done[child] = True
                    way.append((child, iter(children[child].items())))
                    break
            else:
                open_or_done[node] = False
                way.pop()
    return sorted(kept)


def _joined(steps: _Steps, places: list[_Place]) -> _Steps:
    """One joint for several tasks that wait for the same several ones."""
    parents: dict[int, set[int]] = defaultdict(set)
    labelled = {child for _, child, label in steps if label}
    for parent, child, _ in steps:
        parents[child].add(parent)
    groups: dict[frozenset[int], list[int]] = defaultdict(list)
    for child, found in parents.items():
        if child not in labelled and len(found) > 1:
            groups[frozenset(found)].append(child)
    joints: dict[int, int] = {}
    added: _Steps = []
    for before, after in groups.items():
        if len(after) > 1 and len(before) * len(after) > len(before) + len(after):
            joint = _Place(len(places))
            places.append(joint)
            joints |= dict.fromkeys(after, joint.number)
            added += [(parent, joint.number, "") for parent in sorted(before)]
            added += [(joint.number, child, "") for child in after]
    return [step for step in steps if step[1] not in joints] + added


def _columns(count: int, steps: _Steps) -> list[int]:
    """The column of each place: the longest way to it."""
    after: dict[int, list[int]] = defaultdict(list)
    waiting = [0] * count
    for parent, child, _ in steps:
        after[parent].append(child)
        waiting[child] += 1
    columns = [0] * count
    ready = [number for number in range(count) if not waiting[number]]
    for node in ready:
        for child in after[node]:
            columns[child] = max(columns[child], columns[node] + 1)
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    return columns


def _spread(columns: list[int], steps: _Steps) -> None:
    """Put many tasks that have no lines side by side; one column of them would be a tower."""
    joined = {number for parent, child, _ in steps for number in (parent, child)}
    alone = [number for number in range(len(columns)) if number not in joined]
    wide = max(max(columns, default=0) + 1, min(_MOST_SIDE_BY_SIDE, -(-len(alone) // _TOWER)))
    rows = max(_TOWER, -(-len(alone) // wide))
    for place, number in enumerate(alone):
        columns[number] = place // rows


def _with_bends(
    steps: _Steps, columns: list[int], places: list[_Place]
) -> list[tuple[list[int], str]]:
    """Each line as the places that it passes; new places are put into ``columns``."""
    bends = sum(columns[child] - columns[parent] - 1 for parent, child, _ in steps)
    chains = []
    for parent, child, label in steps:
        chain = [parent]
        if bends <= _MOST_BENDS:
            for column in range(columns[parent] + 1, columns[child]):
                chain.append(len(places))
                places.append(_Place(len(places)))
                columns.append(column)
        chains.append(([*chain, child], label))
    return chains


def _layers(columns: Sequence[int]) -> list[list[int]]:
    layers: list[list[int]] = [[] for _ in range(max(columns, default=-1) + 1)]
    for number, column in enumerate(columns):
        layers[column].append(number)
    return layers


def _order(layers: list[list[int]], links: Sequence[tuple[int, int]]) -> None:
    """Sort each column by where its neighbours stand, to and fro, and keep the order in place."""
    before, after = _neighbours(links)
    rank = {number: float(at) for layer in layers for at, number in enumerate(layer)}
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        neighbours = before if forth else after
        for layer in layers if forth else reversed(layers):
            middle = {n: _mean([rank[o] for o in neighbours[n]], rank[n]) for n in layer}
            layer.sort(key=middle.__getitem__)
            rank.update({number: float(at) for at, number in enumerate(layer)})


def _neighbours(
    links: Sequence[tuple[int, int]],
) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    before: dict[int, list[int]] = defaultdict(list)
    after: dict[int, list[int]] = defaultdict(list)
    for left, right in links:
        before[right].append(left)
        after[left].append(right)
    return before, after


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _picture(
    places: Sequence[_Place],
    layers: Sequence[Sequence[int]],
    links: Sequence[tuple[int, int]],
    chains: Sequence[tuple[list[int], str]],
) -> Picture:
    middles = _heights(places, layers, links)
    sides, width = _sides(places, layers)
    column = {number: at for at, layer in enumerate(layers) for number in layer}
    half = NODE_HEIGHT / 2
    spots = tuple(
        Spot(place.key, sides[column[place.number]][0], middles[place.number] - half)
        for place in places
        if place.key is not None
    )

    def points(chain: Sequence[int]) -> Iterator[tuple[float, float]]:
        """From the right side of a task to the left side of another; level across columns."""
        for number in chain:
            is_task = places[number].key is not None
            left, right = sides[column[number]]
            if not is_task or number == chain[-1]:
                yield left, round(middles[number], 1)
            if number != chain[-1] and (is_task or right > left):
                yield right, round(middles[number], 1)

    lines = [
        Line(tuple(points(chain)), label, arrow=places[chain[-1]].key is not None)
        for chain, label in chains
    ]
    height = max((middles[p.number] for p in places), default=0.0) + half + MARGIN
    return Picture(spots, tuple(lines), width, height)


def _sides(
    places: Sequence[_Place], layers: Sequence[Sequence[int]]
) -> tuple[list[tuple[float, float]], float]:
    """The sides of each column, and how wide they all are; joints alone need no width."""
    sides: list[tuple[float, float]] = []
    x = float(MARGIN)
    for layer in layers:
        wide = any(places[number].key is not None for number in layer)
        sides.append((x, x + (NODE_WIDTH if wide else 0)))
        x = sides[-1][1] + BETWEEN_COLUMNS
    return sides, max(x - BETWEEN_COLUMNS, 0.0) + MARGIN


def _heights(
    places: Sequence[_Place], layers: Sequence[Sequence[int]], links: Sequence[tuple[int, int]]
) -> dict[int, float]:
    """The middle of each place: near its neighbours', in the order of its column."""
    before, after = _neighbours(links)
    step = NODE_HEIGHT + BETWEEN_ROWS
    middles = {number: at * float(step) for layer in layers for at, number in enumerate(layer)}
    for sweep in range(_SWEEPS + 1):
        forth = sweep % 2 == 1
        neighbours = before if forth else after
        for layer in layers if forth else reversed(layers):
            wanted = [_mean([middles[o] for o in neighbours[n]], middles[n]) for n in layer]
            gaps = [_gap(places[a], places[b]) for a, b in pairwise(layer)]
            middles.update(zip(layer, apart(wanted, gaps), strict=True))
    top = min(middles.values(), default=0.0) - NODE_HEIGHT / 2 - MARGIN
    return {number: middle - top for number, middle in middles.items()}


def _gap(upper: _Place, lower: _Place) -> float:
    """How far the middles of two neighbours of a column are apart at least."""
    full = NODE_HEIGHT + BETWEEN_ROWS
    return full if upper.key is not None or lower.key is not None else full / 2


def apart(wanted: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """Numbers as near as possible to ``wanted``, each its gap above the one before.

    Least squares under order: pool adjacent violators.
    """
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    pools: list[tuple[float, int]] = []  # sum and size
    for value, offset in zip(wanted, offsets, strict=False):
        total, size = value - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / size:
            earlier, count = pools.pop()
            total, size = total + earlier, size + count
        pools.append((total, size))
    levels = [total / size for total, size in pools for _ in range(size)]
    return [level + offset for level, offset in zip(levels, offsets, strict=False)]
