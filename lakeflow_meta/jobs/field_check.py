"""Fields of a job that the platform's client does not know: typos, unless they came by ``extra``.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lakeflow_meta.control.rows import Module
from lakeflow_meta.errors import Problem, SpecError
from lakeflow_meta.findings import Finding, path_text

UnknownFields = Callable[[Mapping[str, Any]], Sequence[Finding]]
"""Names what the platform's client does not know in job settings."""


def knows_all(_settings: Mapping[str, Any]) -> Sequence[Finding]:
    """For platforms that refuse unknown fields themselves."""
    return ()


def check_fields(module: Module, findings: Sequence[Finding], control_table: str) -> None:
    """Raises SpecError for findings that nobody asked to pass on by ``extra``."""
    configs = [module.job_config, *(source.transformation_config for source in module.sources)]
    passed = {name for config in configs for name in _keys(config.get("extra"))}
    name = module.module_name
    problems = [
        Problem(control_table, 0, 0, f"{name}: {path_text(f.path)}", f.message, f.hint)
        for f in findings
        if not passed.intersection(f.path)
    ]
    if problems:
        raise SpecError(problems)


def _keys(value: Any) -> Iterator[str]:
    """Every key inside a value, at any depth."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)
