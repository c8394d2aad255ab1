"""What every part of ``dbutils`` has: help, and a plain word about what does not work here."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, NoReturn

from lakeflow_meta.backends.local.tasks.task_attempt import TaskFailedError


class Utility:
    """One part of ``dbutils``; ``TITLE`` is how it is written in a notebook."""

    TITLE: ClassVar[str] = "dbutils"

    def help(self, name: str = "") -> None:
        """Print what there is, or what one method does."""
        if name:
            member = getattr(self, name)
            print(f"{self.TITLE}.{name}{_signature(member)}\n\n{inspect.getdoc(member) or ''}")  # noqa: T201 - a notebook's output
            return
        print(f"{self.TITLE}: {_first_line(type(self))}\n")  # noqa: T201 - likewise
        for each in self._names():
            member = getattr(self, each)
            shown = "" if isinstance(member, Utility) else _signature(member)
            print(f"{each}{shown} -> {_first_line(member)}")  # noqa: T201 - likewise

    def _names(self) -> list[str]:
        names = {*vars(self), *(name for kind in type(self).__mro__ for name in vars(kind))}
        return sorted(name for name in names if name[0] != "_" and name not in {"TITLE", "help"})

    def __getattr__(self, name: str) -> NoReturn:
        """Only for what is not there: refused by its name."""
        if name.startswith("_"):
            raise AttributeError(name)
        raise TaskFailedError(f"{self.TITLE}.{name} does not work on the embedded workspace")


def _signature(member: Any) -> str:
    parameters = inspect.signature(member).parameters
    shown = ", ".join(
        name if each.default is each.empty else f"{name}={each.default!r}"
        for name, each in parameters.items()
    )
    return f"({shown})"


def _first_line(member: Any) -> str:
    kind = type(member) if isinstance(member, Utility) else member
    return (inspect.getdoc(kind) or "").partition("\n")[0]
