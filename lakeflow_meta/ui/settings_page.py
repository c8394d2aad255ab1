"""Every effective setting and where it is from. What looks like a secret is not shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lakeflow_meta.ui.blocks import Cell, Code, Mark, Page, Place, Table, Text, Tone
from lakeflow_meta.ui.module_pages import pretty

if TYPE_CHECKING:
    from lakeflow_meta.ui.snapshot import Snapshot

HIDDEN = "(hidden)"

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|pwd|secret|token|credential|signature|private"
    r"|(access|account|api|shared|encryption|sas|auth)[._-]?key|connection[._-]?string|\bsas\b"
    r"|(^|[._-])key$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"  # user:password@ of a URL
    r"|\bdapi[0-9a-f]{16,}\S*|\bdose[0-9a-f]{16,}\S*"  # tokens of Databricks
    r"|\bey[\w-]{10,}\.[\w-]{10,}\.[\w-]*"  # JSON web tokens
    r"|\bAKIA[0-9A-Z]{16}\b|\bghp_\w{20,}|\bsig=[^&\s]+"
)


def settings(snapshot: Snapshot, at: Place) -> Page:
    """The settings of this process."""
    resolved = snapshot.app.resolved
    values = resolved.settings.model_dump(mode="json")
    rows: list[tuple[Cell, ...]] = [
        (name, _cell(without_secrets(value, name)), resolved.origins[name])
        for name, value in values.items()
    ]
    note = Text("Values whose name or form is that of a secret are hidden.")
    return Page(at, "Settings", [Table("Settings", ("setting", "value", "from"), rows), note])


def without_secrets(value: Any, name: str = "") -> Any:
    """The value with all that looks like a secret, by its name or by its form, hidden."""
    if value in (None, "", (), [], {}) or isinstance(value, bool):
        return value
    if _SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: without_secrets(held, str(key)) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(held, name) for held in value]
    return _SECRET_VALUE.sub(HIDDEN, value) if isinstance(value, str) else value


def _cell(value: Any) -> Cell:
    match value:
        case None | "":
            return Mark("not set", Tone.OFF)
        case bool():
            return "yes" if value else "no"
        case dict() | list():
            return Code(pretty(value)) if value else Mark("none", Tone.OFF)
        case _:
            return Code(str(value))
