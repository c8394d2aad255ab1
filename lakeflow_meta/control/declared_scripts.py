"""DDL scripts as people declare them: written in YAML, or files of a folder beside it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from lakeflow_meta.errors import Problem
from lakeflow_meta.findings import Finding
from lakeflow_meta.scripts.script import Script, read_scripts

SCRIPT_FOLDER = "ddl_scripts"

_Name = Annotated[str, Field(min_length=1, max_length=255)]

PlaceProblem = Callable[[str, Finding], Problem | None]
"""What is wrong with a script that YAML declares, where it is written; None for a file's."""


class DdlScriptSpec(BaseModel):
    """One DDL script written inside the YAML instead of a file of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    target: _Name
    release: Annotated[
        _Name | None, Field(description="NNN_release; a repeatable script needs none")
    ] = None
    file: Annotated[str, Field(description="NNN_name.sql, or R__name.sql for a repeatable one")]
    body: str
    is_active: bool | None = None

    @property
    def name(self) -> str:
        """The script's name as a file would have it."""
        return "/".join(part for part in (self.target, self.release, self.file) if part)


def read_declared_scripts(
    files: Mapping[str, str], written: Mapping[str, str], problem_of: PlaceProblem
) -> tuple[list[Script], list[Problem]]:
    """Scripts of files and of YAML together: their numbers must fit."""
    scripts, findings = read_scripts({**files, **written})
    found = [*_twice(files, written, problem_of)]
    for finding in findings:
        name = str(finding.path[0])
        line = next((part for part in finding.path[1:] if isinstance(part, int)), 1)
        declared = problem_of(name, Finding((), finding.message, finding.hint))
        file = f"{SCRIPT_FOLDER}/{name}"
        found.append(declared or Problem(file, line, 1, "", finding.message, finding.hint))
    return scripts, found


def _twice(
    files: Mapping[str, str], written: Mapping[str, str], problem_of: PlaceProblem
) -> Iterator[Problem]:
    for name in sorted(files.keys() & written.keys()):
        message = f"script {name!r} is also a file of {SCRIPT_FOLDER}/"
        problem = problem_of(name, Finding((), message, "keep one"))
        if problem is not None:
            yield problem
