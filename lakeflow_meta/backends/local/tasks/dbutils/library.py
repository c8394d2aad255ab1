"""``dbutils.library``: what follows a ``%pip`` cell in many notebooks."""

from __future__ import annotations

from lakeflow_meta.backends.local.tasks.dbutils.utility import Utility


class Library(Utility):
    """Python packages of the notebook."""

    TITLE = "dbutils.library"

    def restartPython(self) -> None:  # noqa: N802 - the platform's name
        """Nothing: %pip installs nothing here, so what is imported is up to date."""
