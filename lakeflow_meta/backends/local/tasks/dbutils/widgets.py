"""``dbutils.widgets``: the parameters of the task, else the defaults that the notebook declares.

https://docs.databricks.com/dev-tools/databricks-utils#widgets-utility-dbutilswidgets
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from lakeflow_meta.backends.local.tasks.dbutils.utility import Utility
from lakeflow_meta.backends.local.tasks.task_attempt import TaskFailedError


class Widgets(Utility):
    """Parameters of the task by name."""

    TITLE = "dbutils.widgets"

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._given = dict(parameters)
        self._defaults: dict[str, str] = {}

    def get(self, name: str) -> str:
        """The value of a widget or parameter."""
        values = self.getAll()
        if name not in values:
            raise TaskFailedError(f"the notebook has no widget or parameter {name!r}")
        return values[name]

    def getArgument(self, name: str, defaultValue: str | None = None) -> str:  # noqa: N802, N803 - the platform's names
        """The value of a widget or parameter, else the default."""
        if defaultValue is None:
            return self.get(name)
        return self.getAll().get(name, defaultValue)

    def getAll(self) -> dict[str, str]:  # noqa: N802 - the platform's name
        """Every value by name."""
        return {**self._defaults, **self._given}

    def text(self, name: str, defaultValue: str = "", label: str = "") -> None:  # noqa: N803, ARG002 - the platform's names
        """Declare a text widget."""
        self._defaults[name] = defaultValue

    def dropdown(
        self,
        name: str,
        defaultValue: str,  # noqa: N803 - the platform's name
        choices: Sequence[str],
        label: str = "",  # noqa: ARG002 - nothing is drawn here
    ) -> None:
        """Declare a widget whose default is one of ``choices``."""
        if defaultValue not in choices:
            raise TaskFailedError(f"widget {name!r}: {defaultValue!r} is none of its choices")
        self._defaults[name] = defaultValue

    multiselect = dropdown

    def combobox(
        self,
        name: str,
        defaultValue: str,  # noqa: N803 - the platform's name
        choices: Sequence[str],  # noqa: ARG002 - any text may be given besides them
        label: str = "",  # noqa: ARG002 - nothing is drawn here
    ) -> None:
        """Declare a widget that takes one of ``choices`` or any other text."""
        self._defaults[name] = defaultValue

    def remove(self, name: str) -> None:
        """Forget a declared widget."""
        self._defaults.pop(name, None)

    def removeAll(self) -> None:  # noqa: N802 - the platform's name
        """Forget every declared widget."""
        self._defaults.clear()

    @contextmanager
    def _with(self, arguments: Mapping[str, str]) -> Iterator[None]:
        """The values that ``%run`` gives to the notebook it runs."""
        before = self._given
        self._given = {**before, **arguments}
        try:
            yield
        finally:
            self._given = before
