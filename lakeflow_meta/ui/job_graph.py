"""The tasks of a job as a graph, each with its last state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lakeflow_meta.ports import TaskRun
from lakeflow_meta.ui.blocks import Graph, Kind, Node, Place, place, state_mark
from lakeflow_meta.ui.graph import Edge, draw

_SUFFIX = "_task"


def job_graph(
    caption: str,
    tasks: Sequence[Mapping[str, Any]],
    run_id: int | None,
    ran: Sequence[TaskRun],
    otherwise: Callable[[str], Place | None] = lambda _key: None,
) -> Graph:
    """Draw the tasks of a settings document; ``ran`` are those of run ``run_id``.

    A task leads to what it did in that run, or ``otherwise``.
    """
    keys = [str(task["task_key"]) for task in tasks]
    edges = [
        Edge(str(need["task_key"]), str(task["task_key"]), str(need.get("outcome") or ""))
        for task in tasks
        for need in task.get("depends_on") or ()
    ]
    last = {task.task_key: task for task in ran}
    nodes = {
        key: Node(
            state_mark(last[key].state if key in last else None),
            task_kind(task),
            _place(run_id, last.get(key)) or otherwise(key),
        )
        for key, task in zip(keys, tasks, strict=True)
    }
    return Graph(caption, draw(keys, edges), nodes)


def _place(run_id: int | None, last: TaskRun | None) -> Place | None:
    if last is None or run_id is None:
        return None
    return place(Kind.TASK, run=run_id, key=last.task_key)


def task_kind(task: Mapping[str, Any]) -> str:
    """What a task does, in a word or two: the name of its one field ``…_task``."""
    for name in task:
        if name.endswith(_SUFFIX):
            return name.removesuffix(_SUFFIX).replace("_", " ")
    return "task"
