"""What shells complete: names of modules, sources, tables, extracts, targets, runs and tasks.

Asked at each press of the Tab key, in any folder, before anything of the command line is checked:
what cannot be told is left out, without a word. Of a Databricks workspace nothing is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lakeflow_meta.errors import LakeflowMetaError

if TYPE_CHECKING:
    from lakeflow_meta.backends.local.known_names import KnownNames
    from lakeflow_meta.control.tables import ControlTables

Found = list[tuple[str, str]]
"""Names, each with a word on it (or none)."""
_Ask = Callable[["_Known"], Iterable[str | tuple[str, str]]]


class _Known:
    """The home that the options, the environment and ``conf/`` lead to. Raises ConfigError."""

    def __init__(self, context: typer.Context) -> None:
        from lakeflow_meta.load_settings import load_settings

        root = context.find_root().params
        given = {k: root.get(k) for k in ("target", "home", "control_table")}
        overrides = {k: v for k, v in given.items() if v}
        settings = load_settings(overrides, root.get("conf")).settings
        self.params = context.params
        self.unparsed = context.args
        """Words after which an option that has no value yet stopped the parser."""
        self.is_local = settings.backend == "local"
        self._home = settings.home.expanduser().absolute()
        self._control_table = settings.control_table

    @property
    def names(self) -> KnownNames:
        from lakeflow_meta.backends.local.known_names import KnownNames

        return KnownNames(self._home)

    @property
    def tables(self) -> ControlTables:
        from lakeflow_meta.control.tables import ControlTables

        return ControlTables.named(self._control_table)


def _answers(context: typer.Context, incomplete: str, ask: _Ask) -> Found:
    try:
        known = _Known(context)
        found = list(ask(known)) if known.is_local else []
    except (LakeflowMetaError, OSError):
        return []
    pairs = [(item, "") if isinstance(item, str) else item for item in found]
    return [pair for pair in pairs if pair[0].startswith(incomplete)]


def let_name_shell(arguments: Sequence[str]) -> None:
    """Let ``--show-completion zsh`` name a shell: typer only looks which one it was started from.

    Its other way, by this variable, is there for where that cannot be seen, and takes a name.
    """
    for option in ("--show-completion", "--install-completion"):
        if option in arguments[:-1] and arguments[arguments.index(option) + 1] in _SHELLS:
            os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"


_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def modules(context: typer.Context, incomplete: str) -> Found:
    """Recorded modules."""
    return _answers(context, incomplete, _modules)


def _modules(known: _Known) -> list[str]:
    from lakeflow_meta.backends.local.known_names import MODULES
    from lakeflow_meta.control.tables import MODULES as SETTINGS

    tables = (known.tables.sources, known.tables.of(SETTINGS))
    rows = [row for table in tables for row in known.names.of_table(table, MODULES)]
    return sorted({name for (name,) in rows})


def sources(context: typer.Context, incomplete: str) -> Found:
    """Recorded file sources, as ``source`` and as ``module/source``."""
    return _answers(context, incomplete, _sources)


def _sources(known: _Known) -> list[str]:
    from lakeflow_meta.backends.local.known_names import FILE_SOURCES

    rows = known.names.of_table(known.tables.sources, FILE_SOURCES)
    return sorted({source for _, source in rows} | {"/".join(row) for row in rows})


def tables(context: typer.Context, incomplete: str) -> Found:
    """Declared tables, by their full names."""
    from lakeflow_meta.backends.local.known_names import TABLES
    from lakeflow_meta.control.tables import TABLES as DECLARED

    return _answers(
        context,
        incomplete,
        lambda known: [n for (n,) in known.names.of_table(known.tables.of(DECLARED), TABLES)],
    )


def extracts(context: typer.Context, incomplete: str) -> Found:
    """Recorded extracts."""
    return _answers(context, incomplete, lambda known: [name for name, _ in _extracts(known)])


def extract_groups(context: typer.Context, incomplete: str) -> Found:
    """Groups of recorded extracts."""
    return _answers(
        context,
        incomplete,
        lambda known: sorted({group for _, group in _extracts(known)} - {""}),
    )


def _extracts(known: _Known) -> list[tuple[str, ...]]:
    from lakeflow_meta.backends.local.known_names import EXTRACTS
    from lakeflow_meta.control.tables import EXTRACTS as RECORDED

    return known.names.of_table(known.tables.of(RECORDED), EXTRACTS)


def ddl_targets(context: typer.Context, incomplete: str) -> Found:
    """Targets of recorded DDL scripts."""
    from lakeflow_meta.backends.local.known_names import TARGETS
    from lakeflow_meta.control.tables import DDL_SCRIPTS

    return _answers(
        context,
        incomplete,
        lambda known: [n for (n,) in known.names.of_table(known.tables.of(DDL_SCRIPTS), TARGETS)],
    )


def run_ids(context: typer.Context, incomplete: str) -> Found:
    """The newest runs, with their jobs and how they ended."""
    return _answers(context, incomplete, lambda known: known.names.runs())


def task_keys(context: typer.Context, incomplete: str) -> Found:
    """Tasks of the run that was named."""
    return _answers(context, incomplete, _task_keys)


def _task_keys(known: _Known) -> list[str]:
    run_id = known.params.get("run_id") or next(filter(str.isdigit, known.unparsed), None)
    return known.names.tasks(int(run_id)) if run_id else []


def settings_targets(context: typer.Context, incomplete: str) -> Found:
    """Targets that have a settings file: ``conf/TARGET.yml``."""
    given: Any = context.find_root().params.get("conf")
    folder = Path(given or os.environ.get("LAKEFLOW_META_CONF") or "conf")
    names = {"local", *(file.stem for file in folder.glob("*.yml"))} - {"default"}
    return [(name, "") for name in sorted(names) if name.startswith(incomplete)]


def one_of(*words: str) -> Callable[[str], list[str]]:
    """A completion of fixed words."""

    def words_with(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return words_with
