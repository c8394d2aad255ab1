"""Runs one entry point of a package: what `program_start` does for a ``python_wheel_task``.

It imports nothing of lakeflow_meta. As on the platform, the entry point is a name in the package's
metadata, else a function of the package (https://docs.databricks.com/jobs/python-wheel).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any


def find_entry_point(package: str, name: str) -> Callable[[], Any]:
    """The function to call. Raises LookupError when there is none of that name."""
    try:
        entry_points = distribution(package).entry_points
    except PackageNotFoundError:
        entry_points = ()  # type: ignore[assignment]  # only iterated
    for entry_point in entry_points:
        if entry_point.name == name:
            return entry_point.load()  # type: ignore[no-any-return]  # whatever the package says
    module = importlib.import_module(package.replace("-", "_"))
    if not hasattr(module, name):
        raise LookupError(f"package {package} has no entry point {name!r}")
    return getattr(module, name)  # type: ignore[no-any-return]  # whatever the package says


def main(arguments: list[str]) -> None:
    """Call the entry point with the rest of the arguments in ``sys.argv``."""
    package, name, *rest = arguments
    function = find_entry_point(package, name)
    sys.argv = [name, *rest]
    sys.exit(function())
