"""Which files of a folder can be recorded together, and which rows that is about. Pure.

A bad file is left out, with all that cannot be understood without it, and the others go on.
Only rows that the changed files declare are recorded again: a row that somebody changed by SQL, or
restored, since its own file was taken keeps what they did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from lakeflow_meta.control.declared import SCRIPT_FOLDER, Declared
from lakeflow_meta.control.watched_files import is_yaml
from lakeflow_meta.errors import Problem

ReadDeclared = Callable[[Mapping[str, str], Mapping[str, str]], Declared]
"""YAML by file name, DDL scripts by ``target/release/file``: what they declare."""

_SHARED = "variables"
"""A file that holds this word may set values that other files use."""


@dataclass(frozen=True, slots=True)
class Taking:
    """``declared`` is what to record; ``names`` are the files that it stands for."""

    declared: Declared
    names: frozenset[str]
    problems: tuple[Problem, ...]


def take(
    texts: Mapping[str, str],
    changed: Collection[str],
    read: ReadDeclared,
    *,
    everything: bool = False,
) -> Taking:
    """Read all ``texts``; rows are those of ``changed`` files, or with ``everything`` all.

    Files taken before come first, so that of two that declare the same the newcomer is to blame.
    """
    order = sorted(texts, key=lambda name: (name in changed, name))
    left = {name: texts[name] for name in order}
    problems: dict[Problem, None] = {}
    first = True
    while True:
        declared = _read(left, read)
        problems |= {p: None for p in declared.problems if first or p.file in changed}
        bad = {problem.file for problem in declared.problems} & left.keys()
        if not declared.problems:
            break
        if not bad:
            return Taking(Declared(), frozenset(), tuple(problems))
        left = {name: text for name, text in left.items() if name not in bad}
        first = False
    names = frozenset(changed) & left.keys()
    if not everything and not shares(texts[name] for name in names):
        declared = _without(
            declared, _read({n: t for n, t in left.items() if n not in names}, read)
        )
    return Taking(declared, names, tuple(problems))


def shares(texts: Any) -> bool:
    """Whether one of the files may set values that others use."""
    return any(_SHARED in text for text in texts)


def _read(texts: Mapping[str, str], read: ReadDeclared) -> Declared:
    prefix = f"{SCRIPT_FOLDER}/"
    yaml = {name: text for name, text in texts.items() if is_yaml(name)}
    scripts = {n.removeprefix(prefix): t for n, t in texts.items() if not is_yaml(n)}
    return read(yaml, scripts)


def _without(declared: Declared, rest: Declared) -> Declared:
    """Rows that the rest does not declare in the same words."""
    kinds = [kind.name for kind in fields(declared) if kind.name != "problems"]
    left: dict[str, Any] = {}
    for kind in kinds:
        known = {_identity(row) for row in getattr(rest, kind)}
        left[kind] = tuple(row for row in getattr(declared, kind) if _identity(row) not in known)
    return replace(declared, **left)


def _identity(row: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(row.items()))
