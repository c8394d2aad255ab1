"""What people declare in YAML: many files in, one set of rows out. Pure.

Every problem of every file is found before anything is recorded. A module, table or script may be
declared once; two files that declare the same thing are both named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakeflow_meta.control.declared_extracts import extracts_findings, task_findings
from lakeflow_meta.control.declared_files import FileExists, missing_files
from lakeflow_meta.control.declared_scripts import DdlScriptSpec, read_declared_scripts
from lakeflow_meta.control.jobs_dialect import BUNDLE_ROOTS, JOB_ROOTS, read_jobs, variable_values
from lakeflow_meta.control.rows import Module, Row, Source, module_row, source_row
from lakeflow_meta.control.yaml_nodes import Document, declared_variables, read_document
from lakeflow_meta.errors import Problem, SpecError
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.rows import to_rows
from lakeflow_meta.findings import (
    Finding,
    Path,
    did_you_mean,
    read_path_text,
    validation_findings,
)
from lakeflow_meta.ingest.source import check_source, is_file_source
from lakeflow_meta.jobs.job_settings import JobContext, check_module
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.table_spec import TableSpec
from lakeflow_meta.scripts.script import Script

Name = Annotated[str, Field(min_length=1, max_length=255)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SourceSpec(_Strict):
    """One source: one task of the module's job."""

    source_id: Name
    description: str = ""
    source_type: str = "unknown"
    execution_order: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
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


class MetadataFile(_Strict):
    """One YAML file."""

    metadata_version: str | float | int | None = None
    description: str = ""
    variables: dict[str, Any] = {}
    modules: list[ModuleSpec] = []
    tables: list[TableSpec] = []
    ddl_scripts: list[DdlScriptSpec] = []
    extracts: list[Extract] = []
    jobs: Annotated[
        dict[str, Any] | list[Any], Field(description="modules as lakeflow-jobs-meta writes them")
    ] = {}
    resources: Annotated[
        dict[str, Any], Field(description="jobs: modules as an asset bundle writes them")
    ] = {}
    bundle: Annotated[dict[str, Any], Field(description="name of the bundle; not used")] = {}


@dataclass(frozen=True, slots=True)
class Declared:
    """Rows to record, by kind. ``is_active`` is None in rows whose YAML does not name it."""

    sources: tuple[Row, ...] = ()
    modules: tuple[Row, ...] = ()
    tables: tuple[Row, ...] = ()
    ddl_scripts: tuple[Row, ...] = ()
    extracts: tuple[Row, ...] = ()
    extract_details: tuple[Row, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    document: Document
    path: Path
    locate: Callable[[Path], Path] = lambda path: path
    """Where a value of the module is written, for modules that are written as jobs."""

    def problem(self, finding: Finding) -> Problem:
        written = Finding(self.locate(finding.path), finding.message, finding.hint)
        return self.document.problem(written.under(*self.path))

    def __str__(self) -> str:
        at = self.document.problem(Finding(self.path, ""))
        return f"{at.file}:{at.line}"


@dataclass(frozen=True, slots=True)
class _DeclaredModule:
    place: _Place
    spec: ModuleSpec
    sources: tuple[Source, ...]


@dataclass(slots=True)
class _Reader:
    """Collects rows and problems over all files."""

    context: JobContext
    file_exists: FileExists
    problems: list[Problem] = field(default_factory=list)
    places: dict[tuple[str, str], _Place] = field(default_factory=dict)
    modules: list[_DeclaredModule] = field(default_factory=list)
    tables: list[tuple[_Place, TableSpec]] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)
    extracts: list[tuple[_Place, Extract]] = field(default_factory=list)
    extract_names: set[str] = field(default_factory=set)
    extract_groups: set[str] = field(default_factory=set)
    """Also of extracts that cannot be read: what names them is no second problem."""

    def once(self, kind: str, name: str, place: _Place) -> bool:
        """Whether this is the first declaration of the name."""
        earlier = self.places.setdefault((kind, name.lower()), place)
        if earlier is not place:
            message = f"{kind} {name!r} is already declared at {earlier}"
            self.problems.append(place.problem(Finding((), message, "keep one")))
        return earlier is place

    def add_module(self, place: _Place, spec: ModuleSpec) -> None:
        """Keep the module, unless its name is taken."""
        if self.once("module", spec.module_name, place):
            sources = tuple(_source(spec.module_name, source) for source in spec.sources)
            self.modules.append(_DeclaredModule(place, spec, sources))


def read_declared(
    texts: Mapping[str, str],
    script_texts: Mapping[str, str],
    *,
    variables: Mapping[str, Any],
    context: JobContext,
    file_exists: FileExists = lambda _path: True,
) -> Declared:
    """Read YAML files (name to text) and DDL script files (``target/release/file`` to text).

    ``variables`` win over the ``variables:`` of the files. ``file_exists`` answers for the files
    that tasks name (SQL files, notebooks).
    """
    reader = _Reader(context, cache(file_exists))
    defaults: dict[str, Any] = {}
    for file, text in texts.items():
        defaults.update(variable_values(declared_variables(file, text)))
    values = {**defaults, **variables}
    for file, text in texts.items():
        _read_file(reader, read_document(file, text, values))
    scripts = _read_scripts(reader, script_texts)
    _check_modules(reader, {script.target for script in scripts})
    _check_tables(reader)
    _check_extracts(reader)
    pairs = [to_rows(extract) for _, extract in reader.extracts]
    return Declared(
        sources=tuple(row for module in reader.modules for row in _source_rows(module)),
        modules=tuple(_module_row(module.spec) for module in reader.modules),
        tables=tuple(spec.row() for _, spec in reader.tables),
        ddl_scripts=tuple({**script.row(), "is_active": None} for script in scripts),
        extracts=tuple(row for row, _ in pairs),
        extract_details=tuple(details for _, details in pairs),
        problems=tuple(sorted(set(reader.problems))),
    )


def _read_file(reader: _Reader, document: Document) -> None:
    reader.problems += document.problems
    value = document.value
    if not isinstance(value, dict):
        if not document.problems:
            what = "empty" if value is None else "not a mapping"
            finding = Finding((), f"the file is {what}", "declare modules: or tables:")
            reader.problems.append(document.problem(finding))
        return
    _read_root(reader, document, value)
    for place, module in _read_list(reader, document, "modules", ModuleSpec):
        reader.add_module(place, module)
    _read_jobs(reader, document)
    for place, table in _read_list(reader, document, "tables", TableSpec):
        if reader.once("table", table.full_name, place):
            reader.tables.append((place, table))
    for place, script in _read_list(reader, document, "ddl_scripts", DdlScriptSpec):
        if reader.once("script", script.name, place):
            reader.scripts[script.name] = script.body
    for place, extract in _read_list(reader, document, "extracts", Extract):
        _note_name(reader, {"extract_name": extract.extract_name, "group": extract.group}, place)
        if reader.once("extract", extract.extract_name, place):
            reader.extracts.append((place, extract))


def _read_root(reader: _Reader, document: Document, value: Mapping[str, Any]) -> None:
    """The keys of the file, and everything that is not a list of declarations."""
    for key in sorted(BUNDLE_ROOTS.keys() & value.keys()):
        finding = Finding((key,), f"{key}: is not read by this version", BUNDLE_ROOTS[key])
        reader.problems.append(document.problem(finding))
    lists = {key for key in _LISTS if isinstance(value.get(key), list)}
    elsewhere = {*lists, *BUNDLE_ROOTS, *JOB_ROOTS}
    rest = {k: v for k, v in value.items() if k not in elsewhere}
    try:
        MetadataFile.model_validate(rest)
    except ValidationError as error:
        findings = validation_findings(error, MetadataFile)
        reader.problems += [document.problem(finding) for finding in findings]


_LISTS = ("modules", "tables", "ddl_scripts", "extracts")
_Spec = TypeVar("_Spec", bound=BaseModel)


def _read_list(
    reader: _Reader, document: Document, key: str, model: type[_Spec]
) -> Iterable[tuple[_Place, _Spec]]:
    """The declarations that can be read, one by one: a wrong one does not hide the others."""
    items = document.value.get(key)
    for i, item in enumerate(items if isinstance(items, list) else ()):
        place = _Place(document, (key, i))
        try:
            yield place, model.model_validate(item)
        except ValidationError as error:
            findings = [*validation_findings(error, model), *_file_source_findings(item)]
            reader.problems += [place.problem(finding) for finding in findings]
            _note_name(reader, item, place)


def _note_name(reader: _Reader, item: Any, place: _Place) -> None:
    """What cannot be read is declared all the same: what names it is no problem."""
    if not isinstance(item, dict):
        return
    name, extract, group = (item.get(k) for k in ("module_name", "extract_name", "group"))
    if isinstance(name, str):
        reader.places.setdefault(("module", name.lower()), place)
    if isinstance(extract, str):
        reader.extract_names.add(extract)
        reader.extract_groups |= {group} if isinstance(group, str) else set()


def _read_jobs(reader: _Reader, document: Document) -> None:
    """Jobs in the dialects of others: modules by another name, in the same house."""
    jobs, findings = read_jobs(document)
    reader.problems += [document.problem(finding) for finding in findings]
    for job in jobs:
        place = _Place(document, job.path, job.locate)
        try:
            module = ModuleSpec.model_validate(job.module)
        except ValidationError as error:
            found = validation_findings(error, ModuleSpec)
            reader.problems += [place.problem(finding) for finding in found]
            _note_name(reader, job.module, place)
            continue
        reader.add_module(place, module)


def _file_source_findings(item: Any) -> Iterable[Finding]:
    """What is wrong with the file sources of a module that cannot be read as a whole."""
    sources = item.get("sources") if isinstance(item, dict) else None
    for i, value in enumerate(sources if isinstance(sources, list) else ()):
        try:
            source = _source("", SourceSpec.model_validate(value))
        except ValidationError:
            continue
        if is_file_source(source):
            for finding in check_source(source):
                yield finding.under("sources", i)


def _read_scripts(reader: _Reader, files: Mapping[str, str]) -> list[Script]:
    def problem(name: str, finding: Finding) -> Problem | None:
        place = reader.places.get(("script", name.lower()))
        return None if place is None else place.problem(finding)

    scripts, problems = read_declared_scripts(files, reader.scripts, problem)
    reader.problems += problems
    return scripts


def _check_modules(reader: _Reader, targets: set[str]) -> None:
    """What the job builder and the ingestor would refuse later is found now."""
    tables_by_module: dict[str, list[str]] = {}
    for place, table in reader.tables:
        tables_by_module.setdefault(table.module, []).append(table.full_name)
        if table.module and ("module", table.module.lower()) not in reader.places:
            message = f"module {table.module!r} is not declared"
            reader.problems.append(place.problem(Finding(("module",), message)))
    for declared in reader.modules:
        found = list(_module_findings(reader, declared, tables_by_module, targets))
        reader.problems += [declared.place.problem(finding) for finding in found]


def _check_tables(reader: _Reader) -> None:
    """What tables say of each other: keys that fit, names of constraints, places, circles."""
    places = {table.full_name.lower(): place for place, table in reader.tables}
    try:
        Registry(table.to_table() for _, table in reader.tables).in_order()
    except SpecError as error:
        for problem in error.problems:
            finding = Finding(read_path_text(problem.path), problem.message, problem.hint)
            reader.problems.append(places[problem.file.lower()].problem(finding))


def _check_extracts(reader: _Reader) -> None:
    extracts = [extract for _, extract in reader.extracts]
    for position, finding in extracts_findings(extracts, reader.file_exists):
        reader.problems.append(reader.extracts[position][0].problem(finding))


def _module_findings(
    reader: _Reader,
    declared: _DeclaredModule,
    tables: Mapping[str, Sequence[str]],
    targets: set[str],
) -> Iterable[Finding]:
    spec = declared.spec
    for i, target in enumerate(spec.ddl_targets or ()):
        if target not in targets:
            hint = did_you_mean(target, targets) if targets else "add ddl_scripts/<target>/…"
            yield Finding(("ddl_targets", i), f"no DDL script has target {target!r}", hint)
    module = Module(
        spec.module_name,
        spec.job_config,
        spec.description,
        tuple(spec.ddl_targets or ()),
        sources=declared.sources,
        tables=tuple(sorted(tables.get(spec.module_name, ()))),
    )
    yield from check_module(module, context=reader.context)
    for i, recorded in enumerate(module.sources):
        found = task_findings(recorded, reader.extract_names, reader.extract_groups)
        yield from (finding.under("sources", i) for finding in found)
        yield from (f.under("sources", i) for f in missing_files(recorded, reader.file_exists))
        if is_file_source(recorded):
            for finding in check_source(recorded):
                yield finding.under("sources", i)


def _source(module_name: str, spec: SourceSpec) -> Source:
    return Source(
        module_name=module_name,
        source_id=spec.source_id,
        source_type=spec.source_type,
        execution_order=spec.execution_order,
        source_config=spec.source_config,
        target_config=spec.target_config,
        transformation_config=spec.transformation_config,
        description=spec.description,
    )


def _source_rows(module: _DeclaredModule) -> Iterable[Row]:
    for source, spec in zip(module.sources, module.spec.sources, strict=True):
        yield {**source_row(source), "is_active": spec.is_active}


def _module_row(spec: ModuleSpec) -> Row:
    targets = tuple(spec.ddl_targets or ())
    module = Module(spec.module_name, spec.job_config, spec.description, targets)
    return {**module_row(module), "is_active": spec.is_active}
