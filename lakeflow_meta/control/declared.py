"""What people declare in YAML: many files in, one set of rows out. Pure.

Every problem of every file is found before anything is recorded. A module, table or script may be
declared once; two files that declare the same thing are both named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakeflow_meta.control.rows import Module, Source, module_row, source_row
from lakeflow_meta.control.yaml_nodes import Document, declared_variables, read_document
from lakeflow_meta.errors import ConfigError, Problem
from lakeflow_meta.findings import Finding, Path, validation_findings
from lakeflow_meta.ingest.source import FileSource, is_file_source
from lakeflow_meta.jobs.job_settings import JobContext, check_module
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Row
from lakeflow_meta.schema.table import TableSpec
from lakeflow_meta.scripts.script import Script, read_scripts

Name = Annotated[str, Field(min_length=1, max_length=255)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SourceSpec(_Strict):
    """One source: one task of the module's job."""

    source_id: Name
    description: str = ""
    source_type: str = "unknown"
    execution_order: int | None = None
    source_config: dict[str, Any] = {}
    target_config: dict[str, Any] = {}
    transformation_config: dict[str, Any] = {}
    is_active: bool | None = None


class ModuleSpec(_Strict):
    """One module: one job."""

    module_name: Name
    metadata_version: str | float | int | None = None
    description: str = ""
    job_config: dict[str, Any] = {}
    ddl_targets: list[Name] | None = None
    sources: list[SourceSpec] = []
    is_active: bool | None = None


class DdlScriptSpec(_Strict):
    """One run-once script written inside the YAML instead of a file of its own."""

    target: Name
    release: Name
    file: Annotated[str, Field(description="NNN_name.sql")]
    body: str
    is_active: bool | None = None


class MetadataFile(_Strict):
    """One YAML file."""

    metadata_version: str | float | int | None = None
    description: str = ""
    variables: dict[str, Any] = {}
    modules: list[ModuleSpec] = []
    tables: list[TableSpec] = []
    ddl_scripts: list[DdlScriptSpec] = []


_LATER_ROOTS = {
    "jobs": "write modules: (module_name, job_config, sources)",
    "extracts": "remove it",
}


@dataclass(frozen=True, slots=True)
class Declared:
    """Rows to record, by kind. ``is_active`` is None in rows whose YAML does not name it."""

    sources: tuple[Row, ...] = ()
    modules: tuple[Row, ...] = ()
    tables: tuple[Row, ...] = ()
    ddl_scripts: tuple[Row, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    document: Document
    path: Path

    def problem(self, finding: Finding) -> Problem:
        return self.document.problem(finding.under(*self.path))

    def __str__(self) -> str:
        at = self.document.problem(Finding(self.path, ""))
        return f"{at.file}:{at.line}"


@dataclass(slots=True)
class _Reader:
    """Collects rows and problems over all files."""

    context: JobContext
    problems: list[Problem] = field(default_factory=list)
    places: dict[tuple[str, str], _Place] = field(default_factory=dict)
    modules: list[tuple[_Place, ModuleSpec]] = field(default_factory=list)
    tables: list[tuple[_Place, TableSpec]] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)

    def once(self, kind: str, name: str, place: _Place) -> bool:
        """Whether this is the first declaration of the name."""
        earlier = self.places.setdefault((kind, name.lower()), place)
        if earlier is not place:
            message = f"{kind} {name!r} is already declared at {earlier}"
            self.problems.append(place.problem(Finding((), message, "keep one")))
        return earlier is place


def read_declared(
    texts: Mapping[str, str],
    script_texts: Mapping[str, str],
    *,
    variables: Mapping[str, Any],
    context: JobContext,
) -> Declared:
    """Read YAML files (name to text) and DDL script files (``target/release/file`` to text).

    ``variables`` win over the ``variables:`` of the files.
    """
    reader = _Reader(context)
    defaults: dict[str, Any] = {}
    for file, text in texts.items():
        defaults.update(declared_variables(file, text))
    values = {**defaults, **variables}
    for file, text in texts.items():
        _read_file(reader, read_document(file, text, values))
    found, findings = read_scripts(script_texts)
    reader.problems += [Problem(str(f.path[0]), 1, 1, "", f.message, f.hint) for f in findings]
    reader.scripts += found
    _check_modules(reader)
    return Declared(
        sources=tuple(row for _, spec in reader.modules for row in _source_rows(spec)),
        modules=tuple(_module_row(spec) for _, spec in reader.modules),
        tables=tuple(spec.row() for _, spec in reader.tables),
        ddl_scripts=tuple(_script_rows(reader.scripts)),
        problems=tuple(sorted(set(reader.problems))),
    )


def _read_file(reader: _Reader, document: Document) -> None:
    reader.problems += document.problems
    if document.value is None:
        return
    spec = _parse(reader, document)
    if spec is None:
        return
    for i, module in enumerate(spec.modules):
        place = _Place(document, ("modules", i))
        if reader.once("module", module.module_name, place):
            reader.modules.append((place, module))
    for i, table in enumerate(spec.tables):
        place = _Place(document, ("tables", i))
        if reader.once("table", table.full_name, place):
            reader.tables.append((place, table))
    for i, script in enumerate(spec.ddl_scripts):
        place = _Place(document, ("ddl_scripts", i))
        name = f"{script.target}/{script.release}/{script.file}"
        found, findings = read_scripts({name: script.body})
        reader.problems += [place.problem(Finding((), f.message, f.hint)) for f in findings]
        if reader.once("script", name, place):
            reader.scripts += found


def _parse(reader: _Reader, document: Document) -> MetadataFile | None:
    value = document.value
    if not isinstance(value, dict):
        finding = Finding((), "the file is not a mapping", "declare modules: or tables:")
        reader.problems.append(document.problem(finding))
        return None
    for key in sorted(_LATER_ROOTS.keys() & value.keys()):
        finding = Finding((key,), f"{key}: is not read by this version", _LATER_ROOTS[key])
        reader.problems.append(document.problem(finding))
    known = {key: item for key, item in value.items() if key not in _LATER_ROOTS}
    try:
        return MetadataFile.model_validate(known)
    except ValidationError as error:
        findings = validation_findings(error, MetadataFile)
        reader.problems += [document.problem(finding) for finding in findings]
        return None
