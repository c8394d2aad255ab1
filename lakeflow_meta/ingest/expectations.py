"""Expectations: what rows have to be, and what becomes of those that are not. Pure.

As in pipelines of Databricks: https://docs.databricks.com/ldp/expectations
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class OnViolation(StrEnum):
    """What becomes of a row that does not meet an expectation."""

    WARN = "warn"
    """It is written, and counted."""
    DROP = "drop"
    """It is left out, and goes to the quarantine table where there is one."""
    FAIL = "fail"
    """Its file fails, and none of its rows is written."""


class Expectation(BaseModel):
    """A condition in SQL on the columns that are written. NULL does not meet it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1)]
    condition: Annotated[str, Field(min_length=1)]
    on_violation: Annotated[OnViolation, Field(strict=False)] = OnViolation.WARN
