"""Why a value has no result."""

from __future__ import annotations


class SqlValueError(Exception):
    """A value that has no result, such as a division by zero."""
