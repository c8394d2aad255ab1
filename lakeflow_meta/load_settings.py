"""Reads settings: files of ``conf/``, the environment, and what a caller gives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.findings import did_you_mean
from lakeflow_meta.settings import (
    ENVIRONMENT_PREFIX,
    Layer,
    Resolved,
    environment_layer,
    resolve,
)
from lakeflow_meta.targets.databricks import in_runtime


def load_settings(overrides: Mapping[str, Any], conf: Path | None) -> Resolved:
    """Effective settings: overrides win over the environment, and that over files of ``conf/``.

    Inside a Databricks runtime that is the usual target, else the embedded workspace. Raises
    ConfigError.
    """
    return resolve(_layers(overrides, conf))


def _layers(overrides: Mapping[str, Any], conf: Path | None) -> list[Layer]:
    """Settings by rising weight. Raises ConfigError."""
    environment = environment_layer(os.environ)
    inside = in_runtime(os.environ)
    usual = "databricks" if inside else "local"
    target = overrides.get("target") or environment.values.get("target") or usual
    folder = conf or Path(os.environ.get(f"{ENVIRONMENT_PREFIX}CONF") or "conf")
    if conf is not None and not conf.is_dir():
        raise ConfigError(
            f"there is no settings folder {conf}; it is the one with default.yml, and needs no"
            " --conf where it is called conf"
        )
    files = [folder / "default.yml", folder / f"{target}.yml"]
    if target != usual and not files[1].is_file():
        known = {usual, *(file.stem for file in folder.glob("*.yml"))} - {"default"}
        hint = did_you_mean(str(target), known)
        raise ConfigError(f"target {target!r} has no settings file {files[1]}; {hint}")
    runtime = {"target": usual, "backend": "databricks"}
    return [
        *([Layer("Databricks runtime", runtime)] if inside else []),
        *(_file_layer(file) for file in files if file.is_file()),
        environment,
        Layer("command line", overrides),
    ]


def _file_layer(file: Path) -> Layer:
    from lakeflow_meta.control.yaml_nodes import read_document

    try:
        document = read_document(str(file), file.read_text(encoding="utf-8"), {})
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {file} cannot be read: {error}") from error
    value = {} if document.value is None else document.value
    if document.problems or not isinstance(value, dict):
        lines = [str(problem) for problem in document.problems] or [f"{file}: not a mapping"]
        raise ConfigError("\n".join(lines))
    return Layer(str(file), value)
