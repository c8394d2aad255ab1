"""Which files of a folder can be recorded together, and which rows that is about. Pure.

A bad file is left out, with all that cannot be understood without it, and the others go on.
Only rows of files that changed, or that use a variable that did, are recorded again: a row that
somebody changed by SQL, or restored, since its own file was taken keeps what they did.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from lakeflow_meta.control.declared import Declared
from lakeflow_meta.control.declared_scripts import SCRIPT_FOLDER
from lakeflow_meta.control.monitor_report import FilesCursor
from lakeflow_meta.control.shared_variables import SharedVariables, content_of, used_in
from lakeflow_meta.control.watched_files import is_yaml
from lakeflow_meta.control.yaml_nodes import declared_variables
from lakeflow_meta.errors import Problem

ReadDeclared = Callable[[Mapping[str, str], Mapping[str, str]], Declared]
"""YAML by file name, DDL scripts by ``target/release/file``: what they declare."""


@dataclass(frozen=True, slots=True)
class FolderTexts:
    """The files that can be read whole, with their digests; and those that cannot be used now.

    ``unusable`` maps a name to its text, "" where there is none. ``given`` variables win.
    """

    texts: Mapping[str, str]
    digests: Mapping[str, str]
    unusable: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taking:
    """``declared`` is what to record; ``marks`` are those of the files that it stands for."""

    declared: Declared
    marks: Mapping[str, str] = field(default_factory=dict)
    defines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def take(
    folder: FolderTexts, cursor: FilesCursor, read: ReadDeclared, *, everything: bool = False
) -> Taking:
    """Read all texts; rows are those of files that differ from the cursor, or all.

    Files taken before come first, so that of two that declare the same the newcomer is to blame.
    """
    changed = {n for n, d in folder.digests.items() if content_of(cursor.files.get(n, "")) != d}
    good = _Good(folder, cursor, changed, read)
    if not good.settle():
        return Taking(Declared(), problems=tuple(good.problems))
    variables = good.variables
    marks = {n: variables.mark(folder.digests[n], text) for n, text in good.texts.items()}
    names = {n for n, mark in marks.items() if everything or cursor.files.get(n) != mark}
    names -= good.blocked
    if not names and not everything:
        return Taking(Declared(), problems=tuple(good.problems))
    declared = good.read(sorted(good.texts)) if variables.overlap else good.declared
    if not everything:
        declared = _without(declared, good.read_without(names))
    return Taking(
        declared,
        {name: marks[name] for name in names},
        {n: tuple(sorted(found)) for n, found in variables.by_file.items() if n in names},
        tuple(good.problems),
    )


class _Good:
    """The files that can be recorded together, found by leaving out bad ones again and again."""

    def __init__(
        self,
        folder: FolderTexts,
        cursor: FilesCursor,
        changed: set[str],
        read: ReadDeclared,
    ) -> None:
        order = sorted(folder.texts, key=lambda name: (name in changed, name))
        self.texts = {name: folder.texts[name] for name in order}
        self.problems: dict[Problem, None] = {}
        self.blocked: set[str] = set()
        self.declared = Declared()
        self._folder = folder
        self._cursor = cursor
        self._changed = changed
        self._read = read

    def settle(self) -> bool:
        """Leave out bad files until no problem is left; False where nobody is to blame."""
        first = True
        while True:
            self._block()
            self.declared = self.read(self.texts)
            found = self.declared.problems
            self.problems |= {p: None for p in found if first or p.file in self._changed}
            if not found:
                return True
            bad = {problem.file for problem in found} & self.texts.keys()
            if not bad:
                return False
            self._leave_out(bad)
            first = False

    def _block(self) -> None:
        """A file that uses a variable of one that is unusable now would get another value."""
        lost = self._lost_variables()
        users = {name: used_in(text) & lost.keys() for name, text in self.texts.items()}
        self.blocked = {name for name, used in users.items() if used}
        for name in sorted(self.blocked & self._changed):
            variable = min(users[name])
            message = f"variable {variable!r} is of {lost[variable]}, which cannot be used now"
            self.problems[Problem(name, 0, 0, "", message)] = None
        self._leave_out(self.blocked & self._changed)

    def _lost_variables(self) -> dict[str, str]:
        """Variables that only unusable files define, and the file of each."""
        lost: dict[str, str] = {}
        left_out = {n: t for n, t in self._folder.texts.items() if n not in self.texts}
        for name, text in {**self._folder.unusable, **left_out}.items():
            now = declared_variables(name, text) if is_yaml(name) else ()
            lost |= dict.fromkeys((*self._cursor.defines.get(name, ()), *now), name)
        have = self.variables.values
        return {variable: file for variable, file in lost.items() if variable not in have}

    @property
    def variables(self) -> SharedVariables:
        """Those of the files that are left."""
        return SharedVariables(self.texts, self._folder.given)

    def _leave_out(self, names: set[str]) -> None:
        self.texts = {name: text for name, text in self.texts.items() if name not in names}

    def read(self, names: Any) -> Declared:
        """What some of the files declare."""
        return _read({name: self.texts[name] for name in names}, self._read)

    def read_without(self, names: set[str]) -> Declared:
        """What the other files declare, with the variables of all."""
        texts = {name: text for name, text in self.texts.items() if name not in names}
        stubs = {
            name: json.dumps({"variables": dict(found)}, default=str)
            for name, found in self.variables.by_file.items()
            if name in names
        }
        return _read(texts | stubs, self._read)


def _read(texts: Mapping[str, str], read: ReadDeclared) -> Declared:
    prefix = f"{SCRIPT_FOLDER}/"
    yaml = {name: text for name, text in texts.items() if is_yaml(name)}
    scripts = {n.removeprefix(prefix): t for n, t in texts.items() if not is_yaml(n)}
    return read(yaml, scripts)


def _without(declared: Declared, rest: Declared) -> Declared:
    """Rows that the rest does not declare in the same words."""
    left: dict[str, Any] = {}
    for kind in (kind.name for kind in fields(declared) if kind.name != "problems"):
        known = {_identity(row) for row in getattr(rest, kind)}
        left[kind] = tuple(row for row in getattr(declared, kind) if _identity(row) not in known)
    return replace(declared, **left)


def _identity(row: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(row.items()))
