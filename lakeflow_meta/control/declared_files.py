"""Files of the project that declarations name: are they there? Pure but for the question."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lakeflow_meta.control.rows import Source
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.findings import Finding, Path
from lakeflow_meta.paths import NOTEBOOK_ENDINGS

FileExists = Callable[[str], bool]

_FILE_KEYS = ("notebook_path", "file_path", "sql_file_path", "python_file")


def missing_files(source: Source, file_exists: FileExists) -> Iterator[Finding]:
    """Files of the project that a task names and that are not there."""
    config = source.transformation_config
    nested = config.get("sql_task")
    for prefix, keys in (((), config), (("sql_task",), nested)):
        if not isinstance(keys, dict) or keys.get("file_source", "WORKSPACE") != "WORKSPACE":
            continue
        for name in _FILE_KEYS:
            path = keys.get(name)
            if isinstance(path, str) and path:
                where = ("transformation_config", *prefix, name)
                notebook = name == "notebook_path" or config.get("task_type") == "notebook"
                asked = _is_notebook(file_exists) if notebook else file_exists
                yield from missing_file(path, where, asked)


def _is_notebook(file_exists: FileExists) -> FileExists:
    def exists(path: str) -> bool:
        if file_exists(path) or path.endswith(NOTEBOOK_ENDINGS):
            return file_exists(path)
        return any(file_exists(path + ending) for ending in NOTEBOOK_ENDINGS)

    return exists


def missing_file(path: str, where: Path, file_exists: FileExists) -> Iterator[Finding]:
    """What is wrong with one path that is written at ``where``."""
    try:
        if not file_exists(path):
            hint = "paths are relative to the project, where .lakeflow is"
            yield Finding(where, f"there is no file {path}", hint)
    except ConfigError as error:
        yield Finding(where, str(error))
    except OSError as error:
        yield Finding(where, f"{path} cannot be looked at: {error.strerror}")
