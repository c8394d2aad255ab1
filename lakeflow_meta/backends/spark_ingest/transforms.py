"""Functions that people give to change what their files hold, before it goes into the table.

A function takes a DataFrame and returns one. By default it sees one file at a time, so that
aggregates and windows stay inside it; ``row_wise`` promises that it looks at rows alone, and lets
all files of a batch go through it together. What a function raises is a fault of its file.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.spark_ingest.columns import ColumnsError
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.ingest.batch import SOURCE_FILE, BadFilesError, Batch
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.paths import PathMap
from lakeflow_meta.sql import ident

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Function = Callable[["DataFrame"], "DataFrame"]
ReadRaw = Callable[[Batch], "DataFrame"]
"""The rows of a batch's files as they are, and each row's file in ``_source_file``."""

_MOST_CHARACTERS = 4000


class Transforms:
    """The functions of the sources of one project."""

    def __init__(self, paths: PathMap) -> None:
        self._loaded = cache(lambda reference: load_function(reference, paths.project_root))

    def function(self, source: FileSource) -> Function | None:
        """The function of a source; None where it has none. Raises ConfigError."""
        if source.transform_fn is not None:
            return source.transform_fn
        reference = source.source_config.transform
        return None if reference is None else self._loaded(reference)

    def rows(self, batch: Batch, function: Function, read: ReadRaw) -> DataFrame:
        """The rows of a batch as the function makes them, and each row's file.

        Raises BadFilesError with every file that the function refuses, ColumnsError.
        """
        if batch.source.source_config.row_wise:
            return _row_wise(function, read(batch))
        frames, bad = [], {}
        for file in batch.files:
            alone = batch.only([file])
            try:
                made = _applied(function, read(alone).drop(SOURCE_FILE))
            except TransformError as error:
                bad[file.path] = str(error)
            else:
                frames.append(_marked(made, file.path))
        if bad:
            raise BadFilesError(bad)
        return _united(frames)


class TransformError(ColumnsError):
    """The function raised, or returned no DataFrame; the message says where."""


def _row_wise(function: Function, frame: DataFrame) -> DataFrame:
    made = _applied(function, frame)
    if SOURCE_FILE not in made.columns:
        raise TransformError(
            f"a row_wise transform has to keep the column {SOURCE_FILE}, which tells whose row it"
            " is",
            code="TRANSFORM",
        )
    return made


def _applied(function: Function, frame: DataFrame) -> DataFrame:
    from pyspark.sql import DataFrame

    try:
        made: Any = function(frame)
        if isinstance(made, DataFrame):
            _ = made.schema  # Spark Connect looks at a frame only now
    except Exception as error:
        raise TransformError(told(error), code="TRANSFORM") from error
    if not isinstance(made, DataFrame):
        kind = type(made).__name__
        raise TransformError(f"the transform returned {kind}, no DataFrame", code="TRANSFORM")
    return made


def told(error: BaseException) -> str:
    """What was raised, and the lines of Python that led there, ours left out."""
    lines = traceback.extract_tb(error.__traceback__)
    theirs = [line for line in lines if line.filename != __file__] or lines
    where = "".join(traceback.format_list(theirs))
    text = f"the transform raised {type(error).__name__}: {error}"
    shown = f"{text[: _MOST_CHARACTERS // 2]}\n{where}"
    return shown if len(shown) <= _MOST_CHARACTERS else shown[:_MOST_CHARACTERS] + " …"


def _marked(frame: DataFrame, path: str) -> DataFrame:
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    data = [frame[ident(name)] for name in frame.columns if name != SOURCE_FILE]
    return frame.select(*data, F.lit(path).alias(SOURCE_FILE))


def _united(frames: list[DataFrame]) -> DataFrame:
    """All rows; halves of halves, because Spark walks through a chain of unions again each time."""
    if len(frames) == 1:
        return frames[0]
    middle = len(frames) // 2
    left, right = _united(frames[:middle]), _united(frames[middle:])
    return left.unionByName(right, allowMissingColumns=True)


# --- loading


def load_function(reference: str, root: Path) -> Function:
    """The function that ``file.py:function`` names, of a file of the project.

    The file is run. Raises ConfigError: it leads out of the project, is not there, cannot be run,
    or has no such function.
    """
    file, _, name = reference.rpartition(":")
    path = (root / file).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ConfigError(f"transform {reference}: the file has to lie in the project, {root}")
    if not path.is_file():
        raise ConfigError(f"transform {reference}: there is no file {path}")
    module = _run(reference, path)
    function: Function | None = getattr(module, name, None)
    if not callable(function):
        known = ", ".join(_functions(module)) or "none"
        raise ConfigError(f"transform {reference}: {file} has no function {name}; it has: {known}")
    return function


def _run(reference: str, path: Path) -> ModuleType:
    """The file as a module, whose functions travel to Spark's workers: they cannot import it."""
    from pyspark.cloudpickle import register_pickle_by_value

    name = f"lakeflow_transform_{sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"transform {reference}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(
            f"transform {reference}: {path} cannot be run: {_last_line(path, error)}"
        ) from error
    register_pickle_by_value(module)
    return module


def _last_line(path: Path, error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    lines = [t for t in traceback.extract_tb(error.__traceback__) if t.filename == str(path)]
    where = f"line {lines[-1].lineno}: " if lines else ""
    return f"{where}{type(error).__name__}: {error}"


def _functions(module: ModuleType) -> list[str]:
    members: Mapping[str, Any] = vars(module)
    return sorted(
        name
        for name, value in members.items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__
    )
