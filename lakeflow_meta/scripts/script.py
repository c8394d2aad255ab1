"""DDL scripts as values: read from file names and control-table rows. Pure.

A script is named ``<target>/<NNN_release>/<NNN_name>.{sql,py}``. That name, with forward slashes on
every system, is its identity: a renamed script is a new one. Numbers order releases and scripts.
A repeatable script is named ``R__<name>.{sql,py}``, in the folder of its target or of a release; it
runs after all numbered ones, by name, and again whenever its text has changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.rows import RowError
from lakeflow_meta.findings import Finding
from lakeflow_meta.fingerprint import content_hash
from lakeflow_meta.scripts.python_script import syntax_problem

if TYPE_CHECKING:
    from lakeflow_meta.ports import Row

_RELEASE = re.compile(r"(\d+)_(.+)")
_FILE = re.compile(r"(\d+)_(.+)\.(sql|py)")
_REPEATABLE = re.compile(r"R__(.+)\.(sql|py)")
_EXPECTED = "name scripts <target>/<NNN_release>/<NNN_name>.sql or .py; repeatable ones R__<name>"
_OTHER_NUMBER = "give one of them another number"


class Language(StrEnum):
    """What a script is written in."""

    SQL = "sql"
    PY = "py"


@dataclass(frozen=True, slots=True)
class Script:
    """One script. ``ordinal`` is its number inside the release; ``body`` has Unix line ends.

    A repeatable script has no ordinal, and its ``release`` may be empty.
    """

    script_id: str
    target: str
    release: str
    ordinal: int | None
    name: str
    language: Language
    body: str
    is_active: bool = True

    @property
    def is_repeatable(self) -> bool:
        """Whether it runs again when its text has changed."""
        return _is_repeatable(self.script_id)

    @property
    def checksum(self) -> str:
        """SHA-256 of the text; the same for Windows and Unix line ends."""
        return content_hash(self.body.encode())

    @property
    def order(self) -> tuple[bool, int, int, str, str]:
        """Position inside the target: numbered ones by release and number, then the others."""
        if self.is_repeatable:
            return (True, 0, 0, self.name, self.script_id)
        return (False, self.release_number, self.ordinal or 0, "", self.script_id)

    @property
    def release_number(self) -> int:
        """The number of the release; 0 where there is none."""
        match = _RELEASE.fullmatch(self.release)
        return int(match[1]) if match else 0

    def row(self) -> Row:
        """The control-table row, without its timestamps."""
        return {
            "script_id": self.script_id,
            "target": self.target,
            "release": self.release,
            "ordinal": self.ordinal,
            "script_name": self.name,
            "language": str(self.language),
            "body": self.body,
            "checksum": self.checksum,
            "is_active": self.is_active,
        }


def read_scripts(texts: Mapping[str, str]) -> tuple[list[Script], list[Finding]]:
    """Scripts from files: name to text. A finding's path is the file's name, and its line if known.

    Misnamed files, two files with one number and Python that cannot be compiled are findings; all
    are found at once.
    """
    scripts: list[Script] = []
    findings: list[Finding] = []
    for file, body in sorted(texts.items()):
        try:
            scripts.append(_read_file(file, body))
        except ValueError as error:
            findings.append(Finding((file,), str(error), _EXPECTED))
    scripts.sort(key=lambda script: (script.target, script.order))
    return scripts, [*findings, *number_findings(scripts), *syntax_findings(scripts)]


def _read_file(file: str, body: str) -> Script:
    parts = file.replace("\\", "/").strip("/").split("/")
    if len(parts) == 2 and _is_repeatable(parts[1]):
        target, release, name = parts[0], "", parts[1]
    elif len(parts) == 3:
        target, release, name = parts
        if not _RELEASE.fullmatch(release):
            raise ValueError(f"release {release!r} does not begin with a number and an underscore")
    else:
        raise ValueError(f"script {file!r} does not lie in <target>/<release>/")
    repeatable, numbered = _REPEATABLE.fullmatch(name), _FILE.fullmatch(name)
    if repeatable is None and numbered is None:
        raise ValueError(f"script {name!r} is not named <number>_<name>.sql or .py")
    stem, suffix = (repeatable or numbered).groups()[-2:]  # type: ignore[union-attr]  # one of them
    return Script(
        script_id="/".join(parts),
        target=target,
        release=release,
        ordinal=int(numbered[1]) if numbered else None,
        name=stem,
        language=Language(suffix),
        body=_unix(body),
    )


def _is_repeatable(name: str) -> bool:
    return _REPEATABLE.fullmatch(name.rpartition("/")[2]) is not None


def _unix(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def number_findings(scripts: Iterable[Script]) -> Iterator[Finding]:
    """Two releases of a target, or two scripts of a release, that have one number."""
    releases: dict[tuple[str, int], str] = {}
    numbers: dict[tuple[str, str, int | None], str] = {}
    for script in scripts:
        if script.is_repeatable:
            continue
        path = (script.script_id,)
        first = releases.setdefault((script.target, script.release_number), script.release)
        if first != script.release:
            message = f"releases {first!r} and {script.release!r} have the same number"
            yield Finding(path, message, _OTHER_NUMBER)
        number = (script.target, script.release, script.ordinal)
        other = numbers.setdefault(number, script.script_id)
        if other != script.script_id:
            message = f"scripts {other!r} and {script.script_id!r} have the same number"
            yield Finding(path, message, _OTHER_NUMBER)


def syntax_findings(scripts: Iterable[Script]) -> Iterator[Finding]:
    """Python scripts that cannot be compiled, so that none is found in the middle of a run."""
    for script in scripts:
        if script.language is not Language.PY:
            continue
        problem = syntax_problem(script.body, file_name(script.script_id))
        if problem is not None:
            yield Finding((script.script_id, problem.line), problem.message)


def file_name(script_id: str) -> str:
    """Where a script lies beside the metadata: the name that tracebacks show."""
    return f"ddl_scripts/{script_id}"


def read_script(row: Mapping[str, Any]) -> Script:
    """A script from its row. Raises RowError naming the column.

    The checksum is always that of the body: somebody who changes the text by SQL may forget it.
    """
    script_id = _text(row, "script_id")
    repeatable = _is_repeatable(script_id)
    release = row.get("release") or "" if repeatable else _text(row, "release")
    if release and not _RELEASE.fullmatch(release):
        raise RowError(f"release {release!r} does not begin with a number and an underscore")
    if not repeatable and not isinstance(row.get("ordinal"), int):
        raise RowError("ordinal is empty")
    language = _text(row, "language")
    if language not in list(Language):
        raise RowError(f"language {language!r} is not {' or '.join(Language)}")
    return Script(
        script_id=script_id,
        target=_text(row, "target"),
        release=release,
        ordinal=None if repeatable else row["ordinal"],
        name=_text(row, "script_name"),
        language=Language(language),
        body=_unix(row.get("body") or ""),
        is_active=row.get("is_active") is not False,
    )


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value:
        raise RowError(f"{column} is empty")
    return value
