"""SQL from template files: ``sql.render("create_schema", schema_name="log")``.

``<name>.sql.jinja`` is written in PostgreSQL's dialect, whatever the warehouse: it is filled,
parsed by sqlglot, and written in the warehouse's own. ``<name>.<dialect>.sql.jinja`` beside it is
for what cannot be translated, and is taken as it is. Files of a user's own folder come before those
of the package.

Nothing gets into a statement but through a filter that quotes it: `ident`, `idents`, `literal`,
`literals`, `sql_type`; `own_sql` is for SQL that people wrote themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.warehouse.dialects import CANONICAL, Dialect
from lakeflow_meta.warehouse.template_values import Fillings, SqlText

if TYPE_CHECKING:
    from jinja2 import Environment, FileSystemLoader, Template
    from jinja2.nodes import Template as TemplateTree

_PACKAGE_FOLDER = Path(__file__).parent / "templates"
_SUFFIX = ".sql.jinja"
_OPTIONAL_BY = {"default", "d", "defined"}


class SqlTemplates:
    """Renders templates in one dialect. ``folder`` holds a user's own."""

    def __init__(self, dialect: Dialect, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"there is no folder of SQL templates {folder}")
        self.dialect = dialect
        self._folders = [*([] if folder is None else [folder]), _PACKAGE_FOLDER]

    def names(self) -> list[str]:
        """Every template that can be rendered in this dialect, sorted."""
        stems = {
            file.name.removesuffix(_SUFFIX)
            for folder in self._folders
            for file in folder.glob(f"*{_SUFFIX}")
        }
        others = {f".{dialect}" for dialect in Dialect if dialect is not self.dialect}
        kept = {stem for stem in stems if not any(stem.endswith(other) for other in others)}
        return sorted({stem.removesuffix(f".{self.dialect}") for stem in kept})

    def render(self, name: str, /, **parameters: Any) -> str:
        """The statement in the warehouse's dialect; several are separated by semicolons.

        A parameter of None is one that is not given. Raises ConfigError: there is no such template,
        parameters are missing or unknown (all are named), or a value cannot be written as SQL.
        """
        file, direct = self._file(name)
        given = {key: value for key, value in parameters.items() if value is not None}
        self._check_parameters(name, file, given)
        fillings = Fillings(self.dialect, direct=direct)
        text = self._filled(name, file, fillings, given)
        return text.strip() if direct else self._translated(name, text, fillings)

    # --- files

    def _file(self, name: str) -> tuple[str, bool]:
        """The template's file, and whether it is of this dialect alone."""
        for folder in self._folders:
            for stem, direct in ((f"{name}.{self.dialect}", True), (name, False)):
                if (folder / f"{stem}{_SUFFIX}").is_file():
                    return f"{stem}{_SUFFIX}", direct
        known = ", ".join(self.names())
        raise ConfigError(
            f"there is no SQL template {name!r} for dialect {self.dialect}; there are: {known}"
        )

    @cached_property
    def _loader(self) -> FileSystemLoader:
        from jinja2 import FileSystemLoader

        return FileSystemLoader([str(folder) for folder in self._folders])

    @cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, StrictUndefined

        environment = Environment(  # noqa: S701 (this is SQL, not HTML; `_only_quoted` is the guard)
            loader=self._loader,
            undefined=StrictUndefined,
            finalize=_only_quoted,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(_unbound_filters())
        return environment

    # --- parameters

    def _check_parameters(self, name: str, file: str, given: Mapping[str, Any]) -> None:
        required, optional = self._parameters(file)
        missing = sorted(required - given.keys())
        unknown = sorted(given.keys() - required - optional)
        if not missing and not unknown:
            return
        said = [f"SQL template {name!r}"]
        if missing:
            said.append(f"required parameters were not given: {', '.join(missing)}")
        if unknown:
            known = ", ".join(sorted(required | optional)) or "none"
            said.append(f"unknown parameters: {', '.join(unknown)} (it takes: {known})")
        raise ConfigError("; ".join(said))

    def parameters(self, name: str) -> tuple[list[str], list[str]]:
        """The parameters that a template must and may be given. Raises ConfigError."""
        required, optional = self._parameters(self._file(name)[0])
        return sorted(required), sorted(optional)

    def _parameters(self, file: str) -> tuple[set[str], set[str]]:
        """Optional is what the template asks about (``is defined``), or has a default for."""
        from jinja2 import TemplateSyntaxError, meta

        try:
            tree = self._tree(file)
            every = meta.find_undeclared_variables(tree)
        except TemplateSyntaxError as error:
            raise ConfigError(f"SQL template {file}:{error.lineno}: {error.message}") from error
        optional = set(_asked_about(tree)) & every
        return every - optional, optional

    def _tree(self, file: str) -> TemplateTree:
        source = self._loader.get_source(self._environment, file)[0]
        return self._environment.parse(source, file)

    # --- text

    def _filled(self, name: str, file: str, fillings: Fillings, given: Mapping[str, Any]) -> str:
        from jinja2 import TemplateError

        environment = self._environment.overlay()
        environment.filters = {**self._environment.filters, **fillings.filters()}
        template: Template = environment.from_string(self._tree(file))
        try:
            return template.render(given)
        except (TemplateError, ConfigError) as error:
            raise ConfigError(f"SQL template {name!r}: {error}") from error

    def _translated(self, name: str, text: str, fillings: Fillings) -> str:
        import sqlglot
        from sqlglot import ErrorLevel, exp
        from sqlglot.errors import SqlglotError

        try:
            trees = [tree for tree in sqlglot.parse(text, read=CANONICAL) if tree is not None]
            if not trees or any(isinstance(tree, exp.Command) for tree in trees):
                raise ConfigError(
                    f"SQL template {name!r} cannot be translated;"
                    f" write it as {name}.{self.dialect}{_SUFFIX}"
                )
            return ";\n".join(
                fillings.replaced(tree).sql(
                    self.dialect, normalize_functions=False, unsupported_level=ErrorLevel.RAISE
                )
                for tree in trees
            )
        except SqlglotError as error:
            raise ConfigError(f"SQL template {name!r} cannot be translated: {error}") from error


def _only_quoted(value: Any) -> str:
    """The guard: what a template puts into its text went through a filter."""
    if isinstance(value, SqlText):
        return value
    raise ConfigError(
        f"{value!r} is put into the text without a filter;"
        " write {{ … | ident }} for a name, {{ … | literal }} for a value"
    )


def _unbound_filters() -> dict[str, Any]:
    """So that a template can be parsed before there is anything to fill in."""
    return dict(Fillings(CANONICAL, direct=False).filters())


def _asked_about(tree: TemplateTree) -> Iterator[str]:
    from jinja2 import nodes

    for node in tree.find_all((nodes.Test, nodes.Filter)):
        if node.name in _OPTIONAL_BY and isinstance(node.node, nodes.Name):
            yield node.node.name
