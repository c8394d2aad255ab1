"""Declared extracts beside each other, and the tasks of modules that name them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from lakeflow_meta.control.declared_files import FileExists, missing_file
from lakeflow_meta.control.rows import Source
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.overlaps import overlaps
from lakeflow_meta.findings import Finding, Path, did_you_mean

_TASK = ("transformation_config",)
_NO_EXTRACTS = "declare it under extracts:"


def extracts_findings(
    extracts: Sequence[Extract], file_exists: FileExists
) -> Iterator[tuple[int, Finding]]:
    """What is wrong with extracts that are each sound, with the position of each."""
    for position, extract in enumerate(extracts):
        if (template := extract.source.template) is not None:
            for finding in missing_file(template, ("source", "template"), file_exists):
                yield position, finding
    for later, _, finding in overlaps(extracts):
        yield later, finding


def task_findings(
    source: Source, names: Collection[str], groups: Collection[str]
) -> Iterator[Finding]:
    """Extracts and groups that a task names, and that nobody declares.

    What is wrong with the task itself is found by whoever builds it.
    """
    yield from _named(source.transformation_config, _TASK, source.source_id, names, groups)


def _named(
    task: Mapping[str, Any],
    path: Path,
    default: str,
    names: Collection[str],
    groups: Collection[str],
) -> Iterator[Finding]:
    inner = task.get("task")
    if task.get("task_type") == "for_each" and isinstance(inner, dict):
        yield from _named(inner, (*path, "task"), default, names, groups)
    if task.get("task_type") != "extract":
        return
    group, given = task.get("group"), task.get("extracts")
    if isinstance(group, str):
        yield from _unknown("group of extracts", group, (*path, "group"), groups)
    elif isinstance(given, list) and given:
        for position, name in enumerate(given):
            if isinstance(name, str):
                yield from _unknown("extract", name, (*path, "extracts", position), names)
    elif group is None and not given:
        yield from _unknown("extract", default, path, names)


def _unknown(what: str, name: str, path: Path, known: Collection[str]) -> Iterator[Finding]:
    """References such as ``{{input}}`` are values that only a run knows."""
    if name not in known and "{{" not in name:
        hint = did_you_mean(name, known) if known else _NO_EXTRACTS
        yield Finding(path, f"no {what} {name!r} is declared", hint)
