"""The note that a writer leaves in a commit: JSON in Delta's own field for it, `userMetadata`.

So DESCRIBE HISTORY shows it, whoever wrote it: https://docs.databricks.com/delta/custom-metadata.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping


def write_note(note: Mapping[str, str]) -> str:
    """The text for `userMetadata`."""
    return json.dumps(dict(note), ensure_ascii=False, sort_keys=True)


def read_note(text: str | None) -> dict[str, str]:
    """What `write_note` wrote; somebody else's text stands under Delta's name for the field."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return {"userMetadata": text}
    return {str(key): str(value) for key, value in found.items()}
