"""This package as pip would have installed it, also where the tests run from the source folder."""

from __future__ import annotations

import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def own_distribution(folder: Path) -> Path | None:
    """A directory to put on ``sys.path`` that holds the metadata; None where it is installed."""
    try:
        distribution("lakeflow_meta")
    except PackageNotFoundError:
        return write_distribution(folder)
    return None


def write_distribution(folder: Path, *, version: str | None = None) -> Path:
    """What pip leaves of the metadata in ``pyproject.toml``."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    info = folder / "site" / "lakeflow_meta.dist-info"
    info.mkdir(parents=True)
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {version or project['version']}",
        f"Summary: {project['description']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {needed}" for needed in project["dependencies"]),
    ]
    for extra, needs in project["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {needed}; extra == '{extra}'" for needed in needs]
    (info / "METADATA").write_text("\n".join([*lines, "", "# The read-me", ""]))
    commands = [f"{name} = {place}" for name, place in project["scripts"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[console_scripts]", *commands, ""]))
    return info.parent


def distribution_at(folder: Path) -> Distribution:
    """The one that `write_distribution` left."""
    return Distribution.at(folder / "lakeflow_meta.dist-info")
