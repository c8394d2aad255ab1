"""The pages under docs/reference are what the package says of itself."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer.main
from pydantic import BaseModel

from lakeflow_meta.cli.main import cli, run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.control.declared import MetadataFile
from lakeflow_meta.control.descriptions import describe_schema, described, models_with_texts
from lakeflow_meta.ingest.source import SourceConfig, TargetConfig
from lakeflow_meta.jobs.job_config import JobConfig
from lakeflow_meta.jobs.task_types import TASK_SPECS
from lakeflow_meta.settings import Settings

DOCS = Path(__file__).parents[3] / "docs"
ROOTS: list[type[BaseModel]] = [
    MetadataFile,
    JobConfig,
    SourceConfig,
    TargetConfig,
    Settings,
    *TASK_SPECS.values(),
]


@pytest.fixture(scope="module")
def generator() -> SimpleNamespace:
    sys.path.insert(0, str(DOCS))
    try:
        import generate
        from making import command_pages, model_pages
    finally:
        sys.path.remove(str(DOCS))
    return SimpleNamespace(**{**vars(command_pages), **vars(model_pages), **vars(generate)})


def test_the_pages_are_what_the_generator_writes(generator: SimpleNamespace) -> None:
    written = {path.name: path.read_text("utf-8") for path in (DOCS / "reference").glob("*.md")}
    assert written == generator.pages(), "run `make docs`"


def test_every_command_is_on_the_page_with_its_result(generator: SimpleNamespace) -> None:
    page = (DOCS / "reference" / "cli.md").read_text("utf-8")
    found = [path for path, _ in generator.commands(typer.main.get_command(cli))]
    assert len(found) > 30
    assert [path for path in found if f"## {path}\n" not in page] == []
    assert sorted(set(generator.RESULTS) - set(found)) == [], "of commands that are gone"
    assert sorted(set(found) - set(generator.RESULTS)) == [], "what does --json print?"


def test_every_option_says_what_it_does(generator: SimpleNamespace) -> None:
    silent = [
        f"{path} {parameter.name}"
        for path, command in generator.commands(typer.main.get_command(cli))
        for parameter in command.params
        if not parameter.help
    ]
    assert silent == []


def models(generator: SimpleNamespace) -> Iterator[type[BaseModel]]:
    """Every model that people write to."""
    seen: set[type[BaseModel]] = set()
    waiting = list(ROOTS)
    while waiting:
        model = waiting.pop()
        if model not in seen:
            seen.add(model)
            yield model
            for field in model.model_fields.values():
                waiting += generator.models_in(field.annotation)


def test_every_key_says_what_it_means(generator: SimpleNamespace) -> None:
    silent = [
        f"{model.__module__}.{model.__name__}.{name}"
        for model in models(generator)
        for name in model.model_fields
        if not generator.description(model, name)
    ]
    assert silent == []


def test_no_text_is_left_of_a_key_that_is_gone(generator: SimpleNamespace) -> None:
    known = {f"{m.__module__.split('.')[1]}.{m.__name__}": m for m in models(generator)}
    for each in list(known.values()):
        for base in each.__mro__:
            if issubclass(base, BaseModel) and base.__module__.startswith("lakeflow_meta."):
                known.setdefault(f"{base.__module__.split('.')[1]}.{base.__name__}", base)
    for name, keys in models_with_texts().items():
        assert name in known, name
        assert set(keys) <= set(known[name].model_fields), name


def test_editors_are_told_the_same() -> None:
    schema = describe_schema(MetadataFile.model_json_schema())
    silent = [
        f"{name}.{key}"
        for name, part in schema["$defs"].items()
        for key, value in part.get("properties", {}).items()
        if not value.get("description")
    ]
    assert silent == []
    said = io.StringIO()
    assert run(["schema"], Session(Output(out=said))) == 0
    printed = json.loads(said.getvalue())["properties"]["modules"]["description"]
    assert printed == described(MetadataFile)["modules"]
