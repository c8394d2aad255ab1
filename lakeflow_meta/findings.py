"""What is wrong with a value, and where inside it. Pure; positions in files are added later."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong at ``path`` inside a value."""

    path: Path
    message: str
    hint: str = ""

    def under(self, *prefix: str | int) -> Finding:
        """The same finding, seen from a value that holds this one at ``prefix``."""
        return Finding((*prefix, *self.path), self.message, self.hint)


def path_text(path: Path) -> str:
    """``("modules", 0, "source_id")`` as ``modules[0].source_id``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


_PATH_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def read_path_text(text: str) -> Path:
    """The path that `path_text` wrote, of keys without dots and brackets."""
    parts = _PATH_PART.findall(text)
    return tuple(int(index) if index else key for index, key in parts)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or all of them when none is near."""
    words = sorted(known)
    if not words:
        return "there are none yet; load metadata with `lakeflow-meta sync PATH`"
    near = get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(words)}" if len(words) <= 40 else ""


def validation_findings(error: ValidationError, model: type[BaseModel]) -> list[Finding]:
    """What pydantic found, in our words, unknown keys with the nearest known one."""
    return [_finding(detail, model) for detail in error.errors(include_url=False)]


def _finding(detail: Any, model: type[BaseModel]) -> Finding:
    path: Path = tuple(detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            known = _fields_at(model, path[:-1])
            return Finding(path, f"unknown key {path[-1]!r}", did_you_mean(str(path[-1]), known))
        case "missing":
            return Finding(path[:-1], f"{path[-1]} is missing", f"add {path[-1]}: …")
        case "value_error":
            error = detail["ctx"]["error"]
            hint = detail["ctx"].get("hint") or getattr(error, "hint", "")
            return Finding(path, str(error), hint)
        case _:
            given = detail["input"]
            message = detail["msg"][:1].lower() + detail["msg"][1:]
            return Finding(path, f"{message}, got {_shown(given)}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """Names of the fields that the model knows at ``path``."""
    current: Any = model
    for part in path:
        fields = _model_of(current)
        if fields is not None and isinstance(part, str):
            by_name = {f.alias or name: f for name, f in fields.model_fields.items()}
            if part in by_name:
                current = by_name[part].annotation
                continue
        current = _inner(current)
    found = _model_of(current)
    if found is None:
        return []
    return [field.alias or name for name, field in found.model_fields.items()]


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if (found := _model_of(argument)) is not None:
            return found
    return None


def _inner(annotation: Any) -> Any:
    arguments = get_args(annotation)
    return arguments[-1] if arguments else annotation
