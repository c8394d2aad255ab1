"""The reference of YAML and of settings, from the models that check them."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from making.api_fields import job_field, task_field
from making.markdown_table import Row, table
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from lakeflow_meta.control.declared import MetadataFile, ModuleSpec, SourceSpec
from lakeflow_meta.control.declared_scripts import DdlScriptSpec
from lakeflow_meta.control.descriptions import described
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.ingest.source import SourceConfig, TargetConfig
from lakeflow_meta.jobs.job_config import JobConfig
from lakeflow_meta.jobs.task_spec import TaskSpec
from lakeflow_meta.jobs.task_types import TASK_SPECS, TaskType
from lakeflow_meta.schema.table_spec import TableSpec
from lakeflow_meta.settings import ENVIRONMENT_PREFIX, Settings, environment_layer

Model = type[BaseModel]


def settings_page() -> str:
    """Every setting."""
    named = environment_layer({ENVIRONMENT_PREFIX + n.upper(): "x" for n in Settings.model_fields})
    text = (
        "# Settings\n\nOf `conf/default.yml`, then `conf/<target>.yml`, then the environment, then "
        "the command line: later wins. Mappings are merged key by key. `lakeflow-meta config` "
        "prints each effective value and where it comes from.\n\n"
    )
    names = ", ".join(f"`{ENVIRONMENT_PREFIX}{name.upper()}`" for name in named.values)
    text += f"In the environment: {names}; and `LAKEFLOW_META_CONF` for the folder.\n\n"
    return text + _model(Settings, "Settings", level=2)


YAML_INTRO = """# YAML

Every key of metadata files, as the checks know them. [yaml.md](../yaml.md) tells how they go
together; `lakeflow-meta schema` prints the same for editors. A *required* key may not be left out;
an unknown key is refused. \"API\" is the field of the
[Jobs API](https://docs.databricks.com/api/workspace/jobs/create) that a key becomes.

"""


def yaml_page() -> str:
    """Every key of metadata."""
    text = YAML_INTRO
    text += _model(MetadataFile, "A file", level=2, nested=False)
    text += _model(ModuleSpec, "modules[]", level=2, nested=False)
    text += _model(SourceSpec, "sources[]", level=2, nested=False)
    text += _model(JobConfig, "job_config", level=2, api=job_field)
    text += "## transformation_config\n\n"
    text += "A task: the keys of all tasks, and those of its `task_type`.\n\n"
    text += _model(TaskSpec, "Every task", level=3, api=task_field(TaskType.RUN_JOB))
    shared = set(TaskSpec.model_fields)
    for kind, spec in TASK_SPECS.items():
        text += _model(spec, f"task_type: {kind}", level=3, api=task_field(kind), skip=shared)
    text += _model(SourceConfig, "source_config of files", level=2)
    text += _model(TargetConfig, "target_config of files", level=2)
    text += _model(TableSpec, "tables[]", level=2)
    text += _model(DdlScriptSpec, "ddl_scripts[]", level=2)
    return text + _model(Extract, "extracts[]", level=2)


Api = Callable[[str], str] | None


def _model(
    model: Model,
    title: str,
    *,
    level: int,
    nested: bool = True,
    api: Api = None,
    skip: set[str] | frozenset[str] = frozenset(),
    seen: set[Model] | None = None,
) -> str:
    """A model as a section, then the models inside it."""
    seen = seen if seen is not None else set()
    seen.add(model)
    names = [name for name in model.model_fields if name not in skip]
    text = f"{'#' * level} {title}\n\n{_plain(inspect.getdoc(model) or '')}\n\n"
    if names:
        head = ["key", "type", "default", "", *(["API"] if api else [])]
        text += table(head, [_field(model, name, api) for name in names])
    for name in names if nested else ():
        for inner in models_in(model.model_fields[name].annotation):
            if inner not in seen:
                key = _key(model, name)
                text += _model(inner, f"{title}: {key}", level=level + 1, seen=seen)
    return text


def _field(model: Model, name: str, api: Api) -> Row:
    field = model.model_fields[name]
    key = _key(model, name)
    row = [
        f"`{key}`",
        _type(_schema(model)["properties"][key], _schema(model)),
        _shown_default(field),
    ]
    row.append(description(model, name))
    return [*row, api(name)] if api else row


def _key(model: Model, name: str) -> str:
    return model.model_fields[name].alias or name


def description(model: Model, name: str) -> str:
    """What a field means, from its one home; "" where nobody says."""
    said = model.model_fields[name].description or _attribute_texts(model).get(name)
    text = said or described(model).get(name, "")
    return _plain(text).rstrip(".")


@cache
def _attribute_texts(model: Model) -> Mapping[str, str]:
    """The texts below the fields, of the model and of those that it is made of."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not each.__module__.startswith("lakeflow_meta."):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        for field, text in itertools.pairwise(getattr(definition, "body", [])):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                    value=ast.Constant(value=str(said))
                ):
                    found[name] = said
    return found


def _plain(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _shown_default(field: Any) -> str:
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    if value in (None, PydanticUndefined, "", (), [], {}) or isinstance(value, BaseModel):
        return ""
    return f"`{value}`" if isinstance(value, str | Path) else f"`{json.dumps(value)}`"


@cache
def _schema(model: Model) -> dict[str, Any]:
    return model.model_json_schema()


def _type(part: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    """A JSON Schema in words."""
    if "$ref" in part:
        target = whole["$defs"][part["$ref"].split("/")[-1]]
        return _type(target, whole) if "enum" in target else "mapping"
    if "anyOf" in part:
        words = [_type(each, whole) for each in part["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(words))
    if words := part.get("enum", [part["const"]] if "const" in part else []):
        return ", ".join(f"`{json.dumps(word).strip(chr(34))}`" for word in words)
    match part.get("type"):
        case "array":
            return _list_of(_type(part.get("items", {}), whole))
        case "object":
            inner = part.get("additionalProperties")
            return f"mapping of {_type(inner, whole)}" if isinstance(inner, dict) else "mapping"
        case "integer" | "number" as word:
            return {"integer": "whole number", "number": "number"}[word] + _limits(part)
        case "string":
            return "text" + (f" like `{part['pattern']}`" if "pattern" in part else "")
        case "boolean":
            return "true, false"
        case _:
            return "anything"


def _list_of(inner: str) -> str:
    return f"list of {inner}" if inner != "anything" else "list"


def _limits(part: Mapping[str, Any]) -> str:
    words = [
        f"{word} {part[key]:g}"
        for key, word in _LIMITS.items()
        if key in part and abs(part[key]) < _NOT_WORTH_TELLING
    ]
    return f" {' '.join(words)}" if words else ""


_LIMITS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "exclusiveMaximum": "below",
}
_NOT_WORTH_TELLING = 10**6
"""What is larger is the limit of a number's type."""


def models_in(annotation: Any) -> Iterator[Model]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in getattr(annotation, "__args__", ()):
        yield from models_in(each)
