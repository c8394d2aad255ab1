"""What the platform's client does not take in a job: typos, unless they came by ``extra``.

Clusters, libraries and environments are written as the API has them, so a wrong key or value in
them is first seen here, before anything is sent. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lakeflow_meta.control.rows import Module
from lakeflow_meta.errors import Problem, SpecError
from lakeflow_meta.findings import Finding, Path, path_text
from lakeflow_meta.jobs.draft import first_keys


class UnknownField(Finding):
    """A field that the client does not know: a typo, or newer than the client."""

    __slots__ = ()


def check_fields(module: Module, findings: Sequence[Finding], control_table: str) -> None:
    """Raises SpecError for findings; unknown fields pass that somebody wrote under ``extra``."""
    if not findings:
        return
    passed = list(_passed(module))
    problems = [
        Problem(control_table, 0, 0, _where(module, finding.path), finding.message, finding.hint)
        for finding in findings
        if not (isinstance(finding, UnknownField) and _is_passed(finding.path, passed))
    ]
    if problems:
        raise SpecError(problems)


def _is_passed(path: Path, ends: Sequence[Path]) -> bool:
    return any(_meet(path, end) for end in ends)


def _meet(path: Path, end: Path) -> bool:
    """Whether one lies inside the other."""
    shorter = min(len(path), len(end))
    return path[:shorter] == end[:shorter]


def _where(module: Module, path: Path) -> str:
    """The place as people know it: the module, the source, the rest of the path."""
    match path:
        case ("tasks", int(number), *rest) if number >= (own := len(first_keys(module))):
            source = module.sources[number - own].source_id
            return f"{module.module_name}/{source}: {path_text(tuple(rest))}"
        case _:
            return f"{module.module_name}: {path_text(path)}"


def _passed(module: Module) -> Iterator[Path]:
    """Paths in the job's settings that ``extra`` set."""
    yield from _ends(module.job_config.get("extra"), ())
    for number, source in enumerate(module.sources, start=len(first_keys(module))):
        config: Any = source.transformation_config
        yield from _ends(config.get("extra"), ("tasks", number))
        inner = config.get("task")
        if isinstance(inner, Mapping):
            yield from _ends(inner.get("extra"), ("tasks", number, "for_each_task", "task"))


def _ends(extra: Any, at: Path) -> Iterator[Path]:
    """``extra`` is merged into what there is, so only its ends are its own."""
    for name, value in extra.items() if isinstance(extra, Mapping) else ():
        if isinstance(value, Mapping) and value:
            yield from _ends(value, (*at, name))
        else:
            yield (*at, name)
