"""Which fields of a job a platform's client knows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lakeflow_meta.findings import Finding

UnknownFields = Callable[[Mapping[str, Any]], Sequence[Finding]]
"""Names fields that the platform's client does not know, and values that it does not take."""


def knows_all(_settings: Mapping[str, Any]) -> Sequence[Finding]:
    """For platforms that refuse unknown fields themselves."""
    return ()
